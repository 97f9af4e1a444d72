//! Counters as they are written down: the key is the counter's, the value from when on it is idle and its state. One that
//! is idle by then is as good as none, and goes when it is read.
//!
//! A shard is locked for a few counters at a time, and only while they are copied.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::algorithm::Unreadable;
use crate::store::durable::{Changes, Kept, Restored, Track};
use crate::store::memory::MemoryStore;
use crate::store::memory::rounds::Round;
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
        self.0.shards.iter().for_each(|shard| shard.0.lock().keep_track(self.0.rounds.now()));
    }

    fn draw_line(&self) {
        self.0.rounds.end();
    }

    fn take_changes(&self, changes: &mut Changes) {
        for shard in &self.0.shards {
            tell(&shard.0, self.0.rounds.now(), changes);
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
        let read = id_of(key).ok_or_else(torn).and_then(|id| Ok((id, Slot::read(value)?)));
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

/// Adds what changed in `shard` up to the round `round`.
fn tell(shard: &Mutex<Shard>, round: Round, changes: &mut Changes) {
    shard.lock().enter(round);
    let mut told = Changes::default();
    loop {
        told.reserve(AT_ONCE, AT_ONCE * BYTES_EACH);
        if !shard.lock().tell(AT_ONCE, &mut told) {
            break;
        }
    }
    let ended = shard.lock().end_telling();
    if let Some(ended) = ended {
        ended.add_to(changes);
    }
    changes.append(&told);
}
