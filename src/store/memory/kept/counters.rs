//! Counters as they are written down: the key is the counter's, the value from when on it is idle and its state.
//!
//! A shard is locked for a few counters at a time, and only while they are copied.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::algorithm::{State, Unreadable, read_number, write_number};
use crate::clock::Timestamp;
use crate::store::durable::{Changes, Kept, Restored, Track};
use crate::store::memory::MemoryStore;
use crate::store::memory::shard::Shard;
use crate::store::memory::table::Slot;

use super::id_of;

/// How many ranges of keys are copied at once; a range seldom has more than one counter.
const AT_ONCE: usize = 64;
/// More than a counter takes: what was copied is not to be moved under the lock.
const BYTES_EACH: usize = 1024;

/// The counters in the shards.
pub(super) struct Counters(pub(super) Arc<MemoryStore>);

impl Kept for Counters {
    fn table(&self) -> &'static str {
        "counters"
    }

    fn keep_track(&self) {
        self.0.shards.iter().for_each(|shard| shard.0.lock().keep_track());
    }

    fn take_changes(&self, changes: &mut Changes) {
        for shard in &self.0.shards {
            tell(&shard.0, self.0.clock.now(), changes);
        }
    }

    fn put_back(&self, changes: &Changes) {
        if changes.track() == Track::Lost {
            self.0.shards[0].0.lock().lose_track();
        }
        for (key, value) in changes.iter() {
            let Some(id) = id_of(key) else { continue };
            let mut shard = self.0.shard_at(id).lock();
            match value {
                Some(_) => shard.note_changed(id),
                None => shard.note_gone(id),
            }
        }
    }

    fn holds(&self, key: &[u8]) -> bool {
        id_of(key).is_some_and(|id| self.0.shard_at(id).lock().find(id).is_some())
    }

    fn restore(&self, key: &[u8], value: &[u8]) -> Restored {
        let torn = || Unreadable::Torn;
        let read = id_of(key).ok_or_else(torn).and_then(|id| Ok((id, read(value)?)));
        let (id, (idle_from, state)) = match read {
            Ok(counter) => counter,
            Err(error) => return Restored::Unreadable(error.to_string()),
        };
        let at = self.0.clock.now();
        if idle_from <= at {
            return Restored::Idle;
        }
        match self.0.shard_at(id).lock().insert(id, state, idle_from, at, &self.0.places) {
            Some(_) => Restored::Held,
            None => Restored::NoPlace,
        }
    }
}

/// Adds what has changed in `shard`.
fn tell(shard: &Mutex<Shard>, at: Timestamp, changes: &mut Changes) {
    let Some(marked) = shard.lock().take_changed() else { return };
    if marked.track == Track::Lost {
        changes.lose_track();
    }
    // Some may have come back: they are told after this.
    for id in &marked.gone {
        changes.remove(&id.to_be_bytes());
    }
    let mut ranges = marked.ranges().peekable();
    while ranges.peek().is_some() {
        changes.reserve(AT_ONCE, AT_ONCE * BYTES_EACH);
        let shard = shard.lock();
        for (first, last) in ranges.by_ref().take(AT_ONCE) {
            shard.between(first, last).for_each(|counter| write(counter, at, changes));
        }
    }
}

/// A counter that is idle is as good as none.
fn write(counter: &Slot, at: Timestamp, changes: &mut Changes) {
    let key = counter.id.to_be_bytes();
    if counter.idle_from <= at {
        return changes.remove(&key);
    }
    changes.put(&key, |bytes| {
        // 0 stands for never.
        write_number(bytes, counter.idle_from.0.wrapping_add(1));
        counter.state.write(bytes);
    });
}

fn read(mut value: &[u8]) -> Result<(Timestamp, State), Unreadable> {
    let idle_from = read_number(&mut value).ok_or(Unreadable::Torn)?.wrapping_sub(1);
    match State::read(value)? {
        // It would be taken for a free slot.
        State::Nothing => Err(Unreadable::Torn),
        state => Ok((Timestamp(idle_from), state)),
    }
}
