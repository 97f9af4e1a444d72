//! Which ends of reservations counts know of: those that were counted, and those that nobody has heard of.
//!
//! A store says of an end that is told again that it was told before, and not who heard of that. If nobody did, it is
//! counted when it is found; if anybody did, it is counted already. Names are known for an hour at least, unless there are
//! too many: an end that is told again after that, and gets lost once more, may be counted twice.

use std::collections::HashSet;
use std::hash::Hash;
use std::mem;

use crate::clock::{Micros, Timestamp};
use crate::limits::CounterKey;
use crate::store::{Before, Then};

/// How many are known for sure, of each kind. It is more than settles can wait for a store.
const MOST: usize = 16_384;
/// For how long they are known for sure.
const SPAN: Micros = Micros::from_secs(3600);

/// What is known of ends.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Of which names an end was heard of, and which.
    counted: Recent<(u128, Then)>,
    /// Of which names an end may have been made that was not heard of.
    lost: Recent<u128>,
}

impl Heard {
    /// That the store had no answer at `at` when the reservation `name` was to go on as `then` says.
    pub(super) fn lose(&mut self, name: CounterKey, then: Then, at: Timestamp) {
        let is_counted = [then, Then::Done].iter().any(|then| self.counted.has((name.id, *then), at));
        if is_end(then) && !is_counted {
            self.lost.add(name.id, at);
        }
    }

    /// How the reservation `name`, which goes on as `then` says, was found at `at` as counts see it: an end that was not
    /// heard of is made now. It is heard of now.
    pub(super) fn found(&mut self, name: CounterKey, then: Then, before: Before, at: Timestamp) -> Before {
        if !is_end(then) || before == Before::Unknown {
            return before;
        }
        self.counted.add((name.id, then), at);
        let was_lost = self.lost.remove(name.id, at);
        if was_lost && before == Before::Settled { Before::Held } else { before }
    }
}

const fn is_end(then: Then) -> bool {
    matches!(then, Then::Done | Then::Released)
}

/// What was added lately, in two lots: the older one is forgotten as a whole.
#[derive(Debug)]
struct Recent<T> {
    newer: HashSet<T>,
    older: HashSet<T>,
    /// Since when it is added to the newer ones.
    since: Timestamp,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { newer: HashSet::new(), older: HashSet::new(), since: Timestamp::default() }
    }
}

impl<T: Eq + Hash> Recent<T> {
    fn add(&mut self, one: T, at: Timestamp) {
        self.forget(at);
        if self.newer.len() == MOST {
            self.turn(at);
        }
        self.newer.insert(one);
    }

    fn has(&mut self, one: T, at: Timestamp) -> bool {
        self.forget(at);
        self.newer.contains(&one) || self.older.contains(&one)
    }

    /// Whether it was there.
    fn remove(&mut self, one: T, at: Timestamp) -> bool {
        self.forget(at);
        self.newer.remove(&one) | self.older.remove(&one)
    }

    fn forget(&mut self, at: Timestamp) {
        for _ in 0..(at.since(self.since).0 / SPAN.0).min(2) {
            self.turn(at);
        }
    }

    fn turn(&mut self, at: Timestamp) {
        mem::swap(&mut self.newer, &mut self.older);
        self.newer.clear();
        self.since = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000_000);

    fn name(id: u128) -> CounterKey {
        CounterKey { tag: 0, id }
    }

    fn later(spans: u64) -> Timestamp {
        NOW.plus(Micros(spans * SPAN.0))
    }

    /// How counts see what is found to be settled.
    fn settled(heard: &mut Heard, id: u128, at: Timestamp) -> Before {
        heard.found(name(id), Then::Done, Before::Settled, at)
    }

    #[test]
    fn what_was_not_heard_of_is_found_once_and_another_end_is_another() {
        let mut heard = Heard::default();
        heard.lose(name(1), Then::Done, NOW);
        let found = [1, 1, 2].map(|id| settled(&mut heard, id, NOW));
        assert_eq!(found, [Before::Held, Before::Settled, Before::Settled]);
        heard.found(name(3), Then::Released, Before::Held, NOW);
        heard.lose(name(3), Then::Done, NOW);
        assert_eq!(settled(&mut heard, 3, NOW), Before::Held, "it was let go, and is charged since");
        heard.lose(name(3), Then::Released, NOW);
        assert_eq!(settled(&mut heard, 3, NOW), Before::Settled);
    }

    #[test]
    fn what_is_made_now_is_found_as_it_is_and_what_is_unknown_may_yet_come() {
        let mut heard = Heard::default();
        for before in [Before::Unknown, Before::Held, Before::Late, Before::Unheld] {
            heard.lose(name(1), Then::Done, NOW);
            assert_eq!(heard.found(name(1), Then::Done, before, NOW), before);
            let expected = if before == Before::Unknown { Before::Held } else { Before::Settled };
            assert_eq!(settled(&mut heard, 1, NOW), expected, "after {before:?}");
            heard = Heard::default();
        }
    }

    #[test]
    fn the_last_ones_are_known_for_a_time_and_no_others() {
        let most = MOST as u128;
        let mut heard = Heard::default();
        (0..3 * most).for_each(|id| heard.lose(name(id), Then::Done, NOW));
        assert_eq!(heard.lost.newer.len() + heard.lost.older.len(), 2 * MOST);
        assert_eq!(settled(&mut heard, most - 1, NOW), Before::Settled, "it is forgotten");
        assert_eq!(settled(&mut heard, 2 * most, later(1)), Before::Held);
        assert_eq!(settled(&mut heard, 2 * most + 1, later(2)), Before::Settled, "that is long ago");
        assert_eq!(heard.lost.newer.len() + heard.lost.older.len(), 0);
        let mut heard = Heard::default();
        (0..3 * most).for_each(|id| _ = settled(&mut heard, id, NOW));
        assert_eq!(heard.counted.newer.len() + heard.counted.older.len(), 2 * MOST);
        [most - 1, most].into_iter().for_each(|id| heard.lose(name(id), Then::Done, NOW));
        assert_eq!(settled(&mut heard, most, NOW), Before::Settled, "it was counted");
        assert_eq!(settled(&mut heard, most - 1, NOW), Before::Held, "that is forgotten");
    }
}
