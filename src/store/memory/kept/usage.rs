//! The trails of usage as they are written down: the key is the trail and the place in it, the value the note.
//!
//! A note is told with the charge that it is of. A trail is locked for a few notes at a time, and only while they are
//! copied.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::store::durable::{Changes, Kept, Restored, Track};
use crate::store::memory::MemoryStore;
use crate::store::memory::trails::Ring;
use crate::store::{Note, Place, Trail};

/// How many notes are copied at once.
const AT_ONCE: usize = 64;
/// As many bytes as most notes take.
const BYTES_EACH: usize = 512;

/// The trails.
pub(super) struct Usage(pub(super) Arc<MemoryStore>);

const TRAILS: [Trail; 2] = [Trail::Spent, Trail::Refused];

impl Usage {
    fn each(&self, change: impl Fn(&mut Ring)) {
        TRAILS.into_iter().for_each(|trail| change(&mut self.0.trails.ring(trail).lock()));
    }
}

impl Kept for Usage {
    fn table(&self) -> &'static str {
        "usage"
    }

    fn keep_track(&self) {
        self.each(|ring| ring.keep_track(self.0.rounds.now()));
    }

    /// As the counters do.
    fn draw_line(&self) {}

    fn take_changes(&self, changes: &mut Changes) {
        for trail in TRAILS {
            let ring = self.0.trails.ring(trail);
            let (gone, track) = ring.lock().take_gone(self.0.trails.retention, self.0.clock.now());
            if track == Track::Lost {
                changes.lose_track();
            }
            gone.iter().for_each(|place| changes.remove(&key_of(trail, *place)));
            let new = ring.lock().take_new(self.0.rounds.now());
            for places in new.chunks(AT_ONCE) {
                changes.reserve(AT_ONCE, AT_ONCE * BYTES_EACH);
                let ring = ring.lock();
                for note in places.iter().filter_map(|place| ring.get(*place)) {
                    changes.put(&key_of(trail, note.place), |bytes| bytes.extend(note.to_bytes()));
                }
            }
        }
    }

    fn put_back(&self, changes: &Changes) {
        if changes.track() == Track::Lost {
            self.each(Ring::lose_track);
        }
        for (key, value) in changes.iter() {
            let Some((trail, place)) = place_of(key) else { continue };
            let mut ring = self.0.trails.ring(trail).lock();
            match value {
                Some(_) => ring.note_new(place),
                None => ring.note_gone(place),
            }
        }
    }

    fn holds(&self, key: &[u8]) -> bool {
        place_of(key).is_some_and(|(trail, place)| self.0.trails.ring(trail).lock().get(place).is_some())
    }

    fn restore(&self, key: &[u8], value: &[u8]) -> Restored {
        let read = place_of(key).and_then(|(trail, place)| Some((trail, Note::of_bytes(place, value)?)));
        let Some((trail, note)) = read else {
            return Restored::Unreadable("it is cut off, or of another version".to_owned());
        };
        let Timestamp(now) = self.0.clock.now();
        let retention = self.0.trails.retention;
        if note.place < Place::of(Timestamp(now.saturating_sub(retention.age.0))) {
            return Restored::Idle;
        }
        self.0.trails.ring(trail).lock().restore(note);
        Restored::Held
    }
}

fn key_of(trail: Trail, place: Place) -> [u8; 17] {
    let mut key = [0; 17];
    key[0] = match trail {
        Trail::Spent => 0,
        Trail::Refused => 1,
    };
    key[1..9].copy_from_slice(&place.millis.to_be_bytes());
    key[9..].copy_from_slice(&place.number.to_be_bytes());
    key
}

fn place_of(key: &[u8]) -> Option<(Trail, Place)> {
    let (trail, place) = key.split_first()?;
    let (millis, number) = place.split_at_checked(8)?;
    let place = Place {
        millis: u64::from_be_bytes(millis.try_into().ok()?),
        number: u64::from_be_bytes(number.try_into().ok()?),
    };
    Some((*TRAILS.get(usize::from(*trail))?, place))
}
