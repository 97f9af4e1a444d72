//! The trails of usage in memory: rings, of which the oldest notes go first.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::clock::{Micros, Timestamp};
use crate::store::{Note, Page, Place, Retention, Spending, Trail};

/// What is written down.
#[derive(Debug, Default)]
pub(super) struct Trails {
    pub(super) retention: Retention,
    spent: Mutex<Ring>,
    refused: Mutex<Ring>,
}

/// The notes of one trail, in their order.
#[derive(Debug, Default)]
struct Ring {
    notes: VecDeque<Note>,
    /// Of the last note that was ever written.
    last: Place,
}

impl Trails {
    /// Writes a note of `at`, whichever trail it belongs to.
    pub(super) fn write(&self, at: Timestamp, spending: Option<Spending>, about: &[u8], line: &[u8]) {
        let trail = if spending.is_some() { Trail::Spent } else { Trail::Refused };
        let (about, line) = (about.into(), line.into());
        let mut ring = self.ring(trail).lock();
        ring.last = Place::of(at).max(ring.last.next());
        let place = ring.last;
        ring.notes.push_back(Note { place, at, spending, about, line });
        ring.forget(self.retention, at);
    }

    /// The notes of `page`, as they are kept at `now`.
    pub(super) fn read(&self, page: Page, now: Timestamp) -> Vec<Note> {
        let mut ring = self.ring(page.trail).lock();
        ring.forget(self.retention, now);
        let first = ring.notes.partition_point(|note| note.place < page.from);
        ring.notes.range(first..).take(page.most).cloned().collect()
    }

    fn ring(&self, trail: Trail) -> &Mutex<Ring> {
        match trail {
            Trail::Spent => &self.spent,
            Trail::Refused => &self.refused,
        }
    }
}

impl Ring {
    /// Lets go of what is not to be kept any more at `now`.
    fn forget(&mut self, retention: Retention, now: Timestamp) {
        let Micros(age) = retention.age;
        let oldest = Place::of(Timestamp(now.0.saturating_sub(age)));
        while self.notes.len() > retention.most || self.notes.front().is_some_and(|note| note.place < oldest)
        {
            self.notes.pop_front();
        }
    }
}
