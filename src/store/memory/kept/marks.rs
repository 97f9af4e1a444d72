//! Marks as they are written down: the key is the mark's, the value when it was left and what it says.

use std::collections::HashSet;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::store::durable::{Changes, Kept, Restored, Track};
use crate::store::memory::MemoryStore;
use crate::store::memory::marks::{Changed, Left};

use super::id_of;

/// The marks: on which tiers subjects were seen, and when holds were cleared.
pub(super) struct Marked(pub(super) Arc<MemoryStore>);

impl Kept for Marked {
    fn table(&self) -> &'static str {
        "marks"
    }

    fn keep_track(&self) {
        self.0.marks.keep_track();
    }

    /// They belong to no step.
    fn draw_line(&self) {}

    fn take_changes(&self, changes: &mut Changes) {
        let Changed { left, track } = self.0.marks.take_changed();
        if track == Track::Lost {
            changes.lose_track();
        }
        for id in left {
            match self.0.marks.get(id) {
                Some(left) => changes.put(&id.to_be_bytes(), |bytes| write(left, bytes)),
                None => changes.remove(&id.to_be_bytes()),
            }
        }
    }

    fn put_back(&self, changes: &Changes) {
        let left = changes.iter().filter_map(|(key, _)| id_of(key)).collect::<HashSet<_>>();
        self.0.marks.put_back(Changed { left, track: changes.track() });
    }

    fn holds(&self, key: &[u8]) -> bool {
        id_of(key).is_some_and(|id| self.0.marks.get(id).is_some())
    }

    fn restore(&self, key: &[u8], value: &[u8]) -> Restored {
        let Some((id, left)) = id_of(key).zip(read(value)) else {
            return Restored::Unreadable("it is cut off, or of another version".to_owned());
        };
        // What there is no room for would be the first to be forgotten.
        if left.is_over(self.0.clock.now()) || !self.0.marks.restore(id, left) {
            return Restored::Idle;
        }
        Restored::Held
    }
}

fn write(left: Left, bytes: &mut Vec<u8>) {
    bytes.extend(left.at.0.to_be_bytes());
    bytes.extend(left.value.to_be_bytes());
}

fn read(bytes: &[u8]) -> Option<Left> {
    let (at, value) = bytes.split_at_checked(8)?;
    let at = Timestamp(u64::from_be_bytes(at.try_into().ok()?));
    Some(Left { at, value: u32::from_be_bytes(value.try_into().ok()?) })
}
