//! Open holds of one counter: room that is reserved and not yet spent.
//!
//! A hold is an amount that nobody else may have until it is taken away again or its time is over; nobody has to
//! act for it to lapse. What is held is never mixed with what is used: holds stand beside the state of a counter,
//! whatever its window, and are added to what it counts only to ask for room.
//!
//! **Bound.** Whoever is admitted found used + held + asked ≤ N. Until a hold of h ends, at most h is spent of it and
//! only the rest is held on; once it has ended, the rest has to find room as anyone does. So used + held, and with it
//! what is used within any window, stays within N: but for what is spent beyond a hold or after it, and where N came
//! down or refuses nobody.
//!
//! **Source.** Leases (Gray and Cheriton, SOSP 1989) over an escrow of room (O'Neil, "The Escrow Transactional
//! Method", TODS 1986): what is promised is set aside, so that nobody has to wait for the outcome.

mod line;
mod share;

use crate::clock::Timestamp;
use crate::limits::{MAX_AMOUNT, Window};

use super::{Retry, Span};
use line::Line;

pub use share::Share;

/// How many holds are looked at to tell when there is room.
const LOOKED_AT: usize = 128;

/// How many holds are let go at once: nobody else is served meanwhile.
const LET_GO_AT_ONCE: usize = 512;

/// Which hold; unique on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId(pub u128);

/// Whose hold it is, and when it lapses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Which hold.
    pub id: HoldId,
    /// The first instant at which it is no more.
    pub until: Timestamp,
}

impl Holder {
    /// The same, of what is held at `now` of a counter of `window`: not beyond the period that it is held in.
    pub fn within(self, window: &Window, now: Timestamp) -> Self {
        Self { until: self.until.min(Span::holding(window, now).end), ..self }
    }
}

/// The holds of one counter, in the order in which they lapse.
#[derive(Clone, Debug, Default)]
pub struct Holds {
    open: Line,
    held: u64,
}

impl Holds {
    /// How much is held.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Whether nothing is open, not even a hold of nothing.
    pub fn is_empty(&self) -> bool {
        self.open.len() == 0
    }

    /// When the last of them lapses; `None` if none is open.
    pub fn last_lapse(&self) -> Option<Timestamp> {
        self.open.last()
    }

    /// Whether they take more room than most do. Then someone has to look after them once they have lapsed.
    pub fn are_many(&self) -> bool {
        self.open.is_long()
    }

    /// Lets go of what has lapsed by `now`, at most [`LET_GO_AT_ONCE`]: the rest is held until this is asked again. Tells
    /// how many.
    pub fn lapse(&mut self, now: Timestamp) -> usize {
        for gone in 0..LET_GO_AT_ONCE {
            match self.open.take_first(now) {
                Some(amount) => self.held -= amount,
                None => return gone,
            }
        }
        LET_GO_AT_ONCE
    }

    /// Holds `amount` more, up to the most that anything counts.
    pub fn put(&mut self, holder: Holder, amount: u64) {
        let amount = amount.min(MAX_AMOUNT - self.held);
        self.open.add(holder, amount);
        self.held += amount;
    }

    /// Ends a hold. Tells how much it was; `None` if it is over already.
    pub fn take(&mut self, holder: Holder) -> Option<u64> {
        let amount = self.open.take(holder)?;
        self.held -= amount;
        Some(amount)
    }

    /// When `excess` units will be free at `now`, if holds lapse one after the other and the counter forgets the rest
    /// as `forgets` tells. Earlier, if holds are settled for less. Whoever would have to wait for more than the first
    /// [`LOOKED_AT`] is told when those have lapsed.
    pub(super) fn freed_after(&self, excess: u64, now: Timestamp, forgets: impl Fn(u64) -> Retry) -> Retry {
        let mut best = forgets(excess);
        let (mut lapsed, mut lapse) = (0_u64, Retry::Never);
        for (until, amount) in self.open.iter().take(LOOKED_AT) {
            lapse = Retry::After(until.since(now));
            if lapse >= best {
                return best;
            }
            lapsed += amount;
            best = best.min(match excess.saturating_sub(lapsed) {
                0 => lapse,
                rest => lapse.max(forgets(rest)),
            });
        }
        best.min(if self.open.len() > LOOKED_AT { lapse } else { Retry::Never })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Micros;

    fn holder(id: u128, until: u64) -> Holder {
        Holder { id: HoldId(id), until: Timestamp(until) }
    }

    #[test]
    fn what_has_lapsed_is_held_no_more_and_cannot_be_taken() {
        let mut holds = Holds::default();
        holds.put(holder(1, 10), 3);
        holds.put(holder(2, 20), 4);
        holds.put(holder(2, 20), 5);
        assert_eq!(holds.held(), 12);
        holds.lapse(Timestamp(9));
        assert_eq!((holds.held(), holds.take(holder(2, 21))), (12, None));
        holds.lapse(Timestamp(10));
        assert_eq!((holds.held(), holds.take(holder(1, 10))), (9, None));
        assert_eq!((holds.take(holder(2, 20)), holds.held(), holds.is_empty()), (Some(9), 0, true));
    }

    #[test]
    fn what_lapses_with_very_many_goes_little_by_little() {
        let mut holds = Holds::default();
        (1..=1300).for_each(|id| holds.put(holder(id, 10), 1));
        let left = [10, 10, 10, 10].map(|at| (holds.lapse(Timestamp(at)), holds.held()));
        assert_eq!(left, [(512, 788), (512, 276), (276, 0), (0, 0)]);
    }

    #[test]
    fn no_more_is_held_than_anything_counts() {
        let mut holds = Holds::default();
        (1..=3000).for_each(|id| holds.put(holder(id, 10), MAX_AMOUNT));
        assert_eq!(holds.held(), MAX_AMOUNT);
        assert_eq!((holds.take(holder(2, 10)), holds.take(holder(1, 10))), (Some(0), Some(MAX_AMOUNT)));
        (0..6).for_each(|_| _ = holds.lapse(Timestamp(10)));
        assert_eq!((holds.held(), holds.is_empty()), (0, true));
    }

    #[test]
    fn room_returns_by_lapse_and_by_forgetting_whichever_is_first() {
        let mut holds = Holds::default();
        holds.put(holder(1, 10), 3);
        holds.put(holder(2, 20), 4);
        let after = |at: u64| Retry::After(Micros(at));
        // The counter forgets 2 at 5, and 2 more at 15.
        let forgets = |excess| match excess {
            0..=2 => after(5),
            3..=4 => after(15),
            _ => Retry::Never,
        };
        let freed = |excess| holds.freed_after(excess, Timestamp(0), forgets);
        let expected = [(1, 5), (3, 10), (5, 10), (6, 15), (7, 15), (8, 20), (11, 20)];
        assert_eq!(expected.map(|(excess, _)| freed(excess)), expected.map(|(_, at)| after(at)));
        assert_eq!(freed(12), Retry::Never);
    }

    #[test]
    fn who_waits_for_many_is_told_when_the_first_have_lapsed() {
        let mut holds = Holds::default();
        (1..=200).for_each(|at| holds.put(holder(at.into(), at), 1));
        let freed = |excess| holds.freed_after(excess, Timestamp(0), |_| Retry::Never);
        let after = |at: u64| Retry::After(Micros(at));
        assert_eq!(
            [freed(7), freed(128), freed(129), freed(200)],
            [after(7), after(128), after(128), after(128)]
        );
    }
}
