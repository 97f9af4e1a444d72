//! What a reservation was told to have used so far.
//!
//! Totals only grow: whoever tells less than before has told nothing new.

use crate::limits::Unit;
use crate::store::{Before, Report, Spent};

use super::Spending;

/// What was used in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::store) struct Totals {
    tokens: u64,
    money: u64,
    classes: Vec<u64>,
}

impl Totals {
    /// Of so many tokens, nano-USD, and so many of each class.
    pub(in crate::store) fn of(tokens: u64, money: u64, classes: Vec<u64>) -> Self {
        Self { tokens, money, classes }
    }

    /// The tokens, the nano-USD, and how many of each class.
    pub(in crate::store) fn numbers(&self) -> (u64, u64, &[u64]) {
        (self.tokens, self.money, &self.classes)
    }

    /// Grows to what is told now of a reservation that was `found` so. `held` is the most that is held for a unit.
    pub(in crate::store) fn grow(
        &mut self,
        found: Before,
        spent: Spent,
        report: Report<'_>,
        held: impl Fn(Unit) -> u64,
    ) -> Spending {
        let due = |unit| spent.of(unit, held(unit));
        self.classes.resize(self.classes.len().max(report.classes.len()), 0);
        let mut classes = vec![0; self.classes.len()];
        for ((total, told), grown) in self.classes.iter_mut().zip(report.classes).zip(&mut classes) {
            *grown = raise(total, *told);
        }
        Spending {
            found,
            tokens: raise(&mut self.tokens, due(Unit::Tokens)),
            money: raise(&mut self.money, due(Unit::Money)),
            classes,
        }
    }
}

impl Spending {
    /// Whether there is none.
    pub(in crate::store) fn is_nothing(&self) -> bool {
        self.tokens == 0 && self.money == 0 && self.classes.iter().all(|grown| *grown == 0)
    }
}

/// Raises `total` to `told`, if that is more. Tells by how much.
fn raise(total: &mut u64, told: u64) -> u64 {
    let before = std::mem::replace(total, told.max(*total));
    *total - before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Due;

    fn grow(totals: &mut Totals, tokens: Due, money: Due, classes: &[u64]) -> (u64, u64, Vec<u64>) {
        let report = Report { about: b"", line: b"", classes };
        let held = |unit| if unit == Unit::Money { 50 } else { 5 };
        let Spending { tokens, money, classes, .. } =
            totals.grow(Before::Held, Spent { tokens, money }, report, held);
        (tokens, money, classes)
    }

    #[test]
    fn what_grew_adds_up_to_the_most_that_was_told() {
        let mut totals = Totals::default();
        let exactly = Due::Exactly;
        assert_eq!(grow(&mut totals, exactly(3), exactly(30), &[1, 2]), (3, 30, vec![1, 2]));
        assert_eq!(grow(&mut totals, exactly(2), exactly(20), &[2]), (0, 0, vec![1, 0]));
        assert_eq!(grow(&mut totals, Due::AsHeld, Due::AsHeld, &[]), (2, 20, vec![0, 0]));
        assert_eq!(grow(&mut totals, exactly(6), exactly(49), &[2, 2, 7]), (1, 0, vec![0, 0, 7]));
        assert_eq!(grow(&mut totals, Due::AtLeast(4), Due::AtLeast(51), &[]), (0, 1, vec![0, 0, 0]));
    }
}
