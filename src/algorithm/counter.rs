//! What is done to a counter, whatever its window: look, admit, change, tell.
//!
//! Knows no window. Each window's file says how it sees itself at an instant and how it changes; the order of
//! these steps is here, once. What is only looked at is never changed.

use crate::clock::Timestamp;
use crate::limits::Number;

use super::{Holds, Op, Outcome, Overrun, Retry, Standing, Verdict};

/// What is asked of a counter.
#[derive(Clone, Copy)]
pub(super) struct Ask<'h> {
    /// The most that may be counted at once.
    pub(super) most: Number,
    pub(super) op: Op,
    pub(super) overrun: Overrun,
    pub(super) now: Timestamp,
    /// What is held beside what is counted, if anything may be.
    pub(super) holds: Option<&'h Holds>,
}

/// A state of one kind of window. `Terms` is what the rule says of time.
pub(super) trait Counter<Terms: Copy> {
    /// The state as time has left it at an instant.
    type Seen: Copy;

    /// The state at `now`.
    fn seen(&self, terms: Terms, now: Timestamp) -> Self::Seen;

    /// What is counted.
    fn spent(&self, seen: Self::Seen) -> u64;

    /// When `excess` units will have been forgotten, of those that are counted.
    fn freed_after(&self, terms: Terms, seen: Self::Seen, excess: u64, now: Timestamp) -> Retry;

    /// When the counter is whole again; `None` if time alone never brings it there.
    fn whole_at(&self, terms: Terms, seen: Self::Seen) -> Option<Timestamp>;

    /// Counts `charge`, up to the most that anything counts.
    fn add(&mut self, terms: Terms, seen: Self::Seen, charge: u64, now: Timestamp) -> Self::Seen;

    /// Takes `units` off, down to 0.
    fn give_back(&mut self, terms: Terms, seen: Self::Seen, units: u64, now: Timestamp) -> Self::Seen;
}

/// Does what is asked.
#[inline(always)]
pub(super) fn charge<T: Copy, C: Counter<T>>(counter: &mut C, terms: T, ask: Ask<'_>) -> Outcome {
    let Ask { most, op, overrun, now, holds } = ask;
    let mut seen = counter.seen(terms, now);
    let verdict = match op.room() {
        Some(room) => admit(counter, terms, seen, room, ask),
        None => Verdict::Admitted,
    };
    if op.changes() && (verdict == Verdict::Admitted || overrun == Overrun::Count) {
        seen = match op {
            Op::Take { charge, .. } => counter.add(terms, seen, charge, now),
            Op::GiveBack { units } => counter.give_back(terms, seen, units, now),
            Op::Set { units } => set(counter, terms, units, now),
            Op::Clear => set(counter, terms, 0, now),
            Op::Hold { .. } => seen,
        };
    }
    let used = counter.spent(seen);
    let reset_after = counter.whole_at(terms, seen).map(|whole| whole.since(now));
    let held = holds.map_or(0, Holds::held);
    let remaining = most.left_after(used.saturating_add(held));
    Outcome { verdict, standing: Standing { used, held, remaining, reset_after } }
}

/// Counts `units` as if they were charged now, and nothing else. Where nothing changes there is no past to begin.
fn set<T: Copy, C: Counter<T>>(counter: &mut C, terms: T, units: u64, now: Timestamp) -> C::Seen {
    let seen = counter.seen(terms, now);
    if counter.spent(seen) > 0 {
        counter.give_back(terms, seen, counter.spent(seen), now);
    }
    let empty = counter.seen(terms, now);
    if units > 0 { counter.add(terms, empty, units, now) } else { empty }
}

fn admit<T: Copy, C: Counter<T>>(counter: &C, terms: T, seen: C::Seen, room: u64, ask: Ask<'_>) -> Verdict {
    let Number::AtMost(most) = ask.most else {
        return Verdict::Admitted;
    };
    let held = ask.holds.map_or(0, Holds::held);
    let asked = counter.spent(seen).saturating_add(held).saturating_add(room);
    if asked <= most {
        Verdict::Admitted
    } else if room > most {
        Verdict::Refused(Retry::Never)
    } else {
        let (excess, spent) = (asked - most, counter.spent(seen));
        let forgets = |excess| {
            if excess <= spent { counter.freed_after(terms, seen, excess, ask.now) } else { Retry::Never }
        };
        Verdict::Refused(match ask.holds {
            Some(holds) => holds.freed_after(excess, ask.now, forgets),
            None => forgets(excess),
        })
    }
}

/// Of a limit on the size of one call.
pub(super) struct Nothing;

impl Counter<()> for Nothing {
    type Seen = ();

    fn seen(&self, (): (), _: Timestamp) {}

    fn spent(&self, (): ()) -> u64 {
        0
    }

    fn freed_after(&self, (): (), (): (), _: u64, _: Timestamp) -> Retry {
        Retry::Never
    }

    fn whole_at(&self, (): (), (): ()) -> Option<Timestamp> {
        Some(Timestamp(0))
    }

    fn add(&mut self, (): (), (): (), _: u64, _: Timestamp) {}

    fn give_back(&mut self, (): (), (): (), _: u64, _: Timestamp) {}
}
