//! The records of reservations as they are written down: the key is the name, the value the record. One that nobody may ask
//! for any more goes when it is read.
//!
//! What a record holds stands beside its counters; it is not written there, and held again once the record is read. A
//! part of all records is locked for a few of them at a time, and only while they are copied.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::algorithm::{HoldId, Holder, State, Unreadable};
use crate::clock::Timestamp;
use crate::store::durable::{Changes, Kept, Restored, Track};
use crate::store::memory::MemoryStore;
use crate::store::memory::marks;
use crate::store::memory::records::{Record, Records};
use crate::store::memory::rounds::Round;

use super::id_of;

/// How many records are copied at once; most have a few parts.
const AT_ONCE: usize = 16;
/// More than most take: what was copied is not to be moved under the lock.
const BYTES_EACH: usize = 1024;

/// The records in their parts.
pub(super) struct Reservations(pub(super) Arc<MemoryStore>);

impl Kept for Reservations {
    fn table(&self) -> &'static str {
        "reservations"
    }

    fn keep_track(&self) {
        self.0.records.iter().for_each(|records| records.lock().keep_track(self.0.rounds.now()));
    }

    /// As the counters do.
    fn draw_line(&self) {}

    fn take_changes(&self, changes: &mut Changes) {
        for records in &self.0.records {
            tell(records, self.0.rounds.now(), changes);
        }
    }

    fn put_back(&self, changes: &Changes) {
        if changes.track() == Track::Lost {
            self.0.records[0].lock().lose_track();
        }
        for name in changes.iter().filter_map(|(key, _)| id_of(key)) {
            self.0.records(name).note_changed(name);
        }
    }

    fn holds(&self, key: &[u8]) -> bool {
        id_of(key).is_some_and(|name| self.0.records(name).look(name).is_some())
    }

    fn restore(&self, key: &[u8], value: &[u8]) -> Restored {
        let (name, record) =
            match id_of(key).ok_or(Unreadable::Torn).and_then(|name| Ok((name, Record::read(value)?))) {
                Ok(found) => found,
                Err(error) => return Restored::Unreadable(error.to_string()),
            };
        let at = self.0.clock.now();
        if record.kept_until <= at {
            return Restored::Idle;
        }
        let mut records = self.0.records(name);
        let most = self.0.records_a_shard;
        let has_place = match record.is_over(at) {
            true => records.make_room_beside(most, at),
            false => records.make_room(most, at),
        };
        if !has_place {
            return Restored::NoPlace;
        }
        self.hold_on(name, &record, at);
        records.insert(name, record);
        Restored::Held
    }
}

impl Reservations {
    /// Holds what the record says is held. What was cleared since it was last renewed the record does not know of; where it is
    /// not known when that was, it is held: a call that goes on does not lose its room.
    fn hold_on(&self, name: u128, record: &Record, at: Timestamp) {
        if record.is_over(at) {
            return;
        }
        let renewed = renewed(record);
        for part in record.parts.iter().filter(|part| !part.is_closed(at)) {
            let Some(held) = part.held.get() else { continue };
            let holder = Holder { id: HoldId(name), until: record.until.min(part.ends) };
            let id = part.key.get().id;
            let cleared = self.0.marks.get(marks::of_holds(id));
            if cleared.zip(renewed).is_some_and(|(cleared, renewed)| cleared.at >= renewed) {
                continue;
            }
            let mut shard = self.0.shard_at(id).lock();
            let fresh = State::fresh(&part.window);
            shard.hold(id, fresh, (holder, held), at, &self.0.places);
        }
    }
}

/// When `record` was last renewed. `None` where its greatest age has cut that short: it may have been at any time since.
fn renewed(record: &Record) -> Option<Timestamp> {
    let Record { began, until, ends, ttl, .. } = *record;
    let is_cut = until == ends && began.plus(ttl) < ends;
    (!is_cut).then(|| began.max(Timestamp(until.0.saturating_sub(ttl.0))))
}

/// Adds what changed of `records` up to the round `round`.
fn tell(records: &Mutex<Records>, round: Round, changes: &mut Changes) {
    let names = {
        let mut records = records.lock();
        records.enter(round);
        records.untold()
    };
    for names in names.chunks(AT_ONCE) {
        changes.reserve(AT_ONCE, AT_ONCE * BYTES_EACH);
        records.lock().tell(names, changes);
    }
    let told = records.lock().end_telling();
    changes.append(&told);
}
