//! How many tokens a call used, by class.
//!
//! A value. The classes are disjoint, so the total is their sum and nothing is counted twice. The sum stays within what
//! limits count.

use super::Class;
use crate::money::MAX_AMOUNT;

/// Tokens by class, together at most [`MAX_AMOUNT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens([u64; Class::COUNT]);

/// More tokens than anything counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these are more than {MAX_AMOUNT} tokens")]
pub struct TooManyTokens;

impl Tokens {
    /// Adds `count` tokens of `class`.
    ///
    /// # Errors
    ///
    /// That the sum would be above [`MAX_AMOUNT`]; nothing is added then.
    pub fn add(&mut self, class: Class, count: u64) -> Result<(), TooManyTokens> {
        let total = self.total().checked_add(count).filter(|total| *total <= MAX_AMOUNT);
        total.ok_or(TooManyTokens)?;
        self.0[class.place()] += count;
        Ok(())
    }

    /// Those of `class`.
    pub const fn of(&self, class: Class) -> u64 {
        self.0[class.place()]
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Those that the model is given, of all classes.
    pub fn input(&self) -> u64 {
        self.counts().filter(|(class, _)| !class.is_output()).map(|(_, count)| count).sum()
    }

    /// The classes of which there are any, and how many.
    pub fn counts(&self) -> impl Iterator<Item = (Class, u64)> + '_ {
        Class::ALL.into_iter().map(|class| (class, self.of(class))).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, Tokens, TooManyTokens};
    use crate::money::MAX_AMOUNT;

    #[test]
    fn the_total_is_the_sum_and_stays_within_bounds() {
        let mut tokens = Tokens::default();
        for (class, count, expected) in [
            (Class::Input, 7, Ok(())),
            (Class::Output, MAX_AMOUNT - 8, Ok(())),
            (Class::Image, 2, Err(TooManyTokens)),
            (Class::Input, u64::MAX, Err(TooManyTokens)),
            (Class::Input, 1, Ok(())),
        ] {
            assert_eq!(tokens.add(class, count), expected, "{class} {count}");
        }
        assert_eq!(tokens.total(), MAX_AMOUNT);
        let counts: Vec<_> = tokens.counts().collect();
        assert_eq!(counts, [(Class::Input, 8), (Class::Output, MAX_AMOUNT - 8)]);
    }
}
