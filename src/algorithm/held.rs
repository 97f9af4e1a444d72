//! Counters that are held of: their state, and beside it what is held, where one access to memory finds both.
//!
//! Most counters are never held of and have no such place. What is charged knows nothing of it.

use crate::clock::Timestamp;

use super::{Holds, Indebted, Rule, State};

/// What a counter remembers, and what is held beside it.
#[derive(Clone, Debug)]
pub struct Held {
    counted: State,
    holds: Holds,
}

impl Held {
    /// The instant from which the state is as good as fresh, and nothing is held; `None` if it never is by itself.
    pub(super) fn idle_from(&self, rule: Rule<'_>) -> Option<Timestamp> {
        let lapse = self.holds.last_lapse().unwrap_or_default();
        self.counted.idle_from(rule).map(|idle_from| idle_from.max(lapse))
    }

    /// What it counts.
    pub(super) fn counted(&self) -> &State {
        &self.counted
    }
}

impl State {
    /// What is charged in its place: without what is held, and of a limit that has come to carry debt with that.
    #[cold]
    pub(super) fn charged(&mut self) -> &mut Self {
        if let Self::Period(count) = self {
            *self = Self::Indebted(Box::new(Indebted { count: *count, pays: 0 }));
        }
        self.counted()
    }

    /// The state without what is held.
    pub fn counted(&mut self) -> &mut Self {
        match self {
            Self::Held(held) => &mut held.counted,
            state => state,
        }
    }

    /// What is held; `None` if nothing ever was.
    pub fn holds(&mut self) -> Option<&mut Holds> {
        match self {
            Self::Held(held) => Some(&mut held.holds),
            _ => None,
        }
    }

    /// The state without what is held, and that.
    pub fn counted_and_held(&mut self) -> (&mut Self, &mut Holds) {
        if !matches!(self, Self::Held(_)) {
            let counted = std::mem::replace(self, Self::Nothing);
            *self = Self::Held(Box::new(Held { counted, holds: Holds::default() }));
        }
        let Self::Held(held) = self else { unreachable!("it was made one that is held of") };
        (&mut held.counted, &mut held.holds)
    }
}

#[cfg(test)]
mod tests {
    use super::Held;

    #[test]
    fn two_cache_lines_have_room_for_what_is_held() {
        assert_eq!(size_of::<Held>(), 128);
    }
}
