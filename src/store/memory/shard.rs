//! One shard of the embedded store: a bounded map that reuses the places of idle counters.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::algorithm::State;
use crate::clock::Timestamp;
use crate::limits::CounterKey;

/// How many idle counters a newcomer to a full shard lets go at most.
const SWEEP: usize = 64;

/// The counters of one shard, and how many there may be.
#[derive(Debug)]
pub(super) struct Shard {
    counters: Counters,
    most: usize,
    /// Before this nothing in the shard is idle: when it is full, nobody has to look.
    live_until: Timestamp,
}

/// Counters by the id of their key.
pub(super) type Counters = HashMap<u128, Counter, BuildHasherDefault<AlreadyHashed>>;

/// A counter, and from when on it is as good as fresh; `None` if it never is by itself.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) state: State,
    pub(super) idle_from: Option<Timestamp>,
}

/// Keys are uniform already; hashing them again would be work for nothing.
#[derive(Default)]
pub(super) struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = (key >> 64) as u64;
    }
}

impl Shard {
    /// An empty shard for at most `most` counters.
    pub(super) fn new(most: usize) -> Self {
        Self { counters: Counters::default(), most, live_until: Timestamp(0) }
    }

    /// How many counters are kept, idle ones included.
    pub(super) fn len(&self) -> usize {
        self.counters.len()
    }

    /// The counter of `key`.
    pub(super) fn get(&self, key: CounterKey) -> Option<&Counter> {
        self.counters.get(&key.id)
    }

    /// Keeps `counter` in place of the one of `key`.
    pub(super) fn keep(&mut self, key: CounterKey, counter: Counter) {
        self.live_until = self.live_until.min(counter.idle_from.unwrap_or(self.live_until));
        self.counters.insert(key.id, counter);
    }

    /// Whether one more counter has a place, after a few idle ones have been let go.
    pub(super) fn make_room(&mut self, at: Timestamp) -> bool {
        if self.counters.len() >= self.most && at >= self.live_until {
            self.sweep(at);
        }
        self.counters.len() < self.most
    }

    fn sweep(&mut self, at: Timestamp) {
        let mut next = Timestamp(u64::MAX);
        let mut idle = Vec::new();
        for (key, counter) in &self.counters {
            match counter.idle_from {
                Some(from) if from <= at => idle.push(*key),
                Some(from) => next = next.min(from),
                None => {}
            }
            if idle.len() == SWEEP {
                next = at;
                break;
            }
        }
        self.live_until = next;
        for key in idle {
            self.counters.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counter, Shard};
    use crate::algorithm::State;
    use crate::clock::Timestamp;
    use crate::limits::CounterKey;

    #[test]
    fn a_full_shard_has_room_as_soon_as_a_counter_is_idle() {
        let mut shard = Shard::new(2);
        let mut keep = |id: u128, idle_from: Option<u64>, at: u64| {
            let has_room = shard.make_room(Timestamp(at));
            if has_room {
                let counter = Counter { state: State::Nothing, idle_from: idle_from.map(Timestamp) };
                shard.keep(CounterKey { tag: 0, id }, counter);
            }
            (has_room, shard.len())
        };
        for (id, idle_from, at, expected) in [
            (1, None, 0, (true, 1)),
            (2, Some(10), 0, (true, 2)),
            (3, Some(30), 9, (false, 2)),
            (3, Some(30), 10, (true, 2)),
            (4, Some(90), 29, (false, 2)),
            (4, Some(90), 8, (false, 2)),
            (4, Some(90), 30, (true, 2)),
        ] {
            assert_eq!(keep(id, idle_from, at), expected, "counter {id} at {at}");
        }
        // What is given back may be idle sooner than it was to be.
        let given_back = Counter { state: State::Nothing, idle_from: Some(Timestamp(40)) };
        shard.keep(CounterKey { tag: 0, id: 1 }, given_back);
        assert!(!shard.make_room(Timestamp(39)));
        assert!(shard.make_room(Timestamp(40)));
    }
}
