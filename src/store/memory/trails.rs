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
pub(super) struct Ring {
    notes: VecDeque<Note>,
    /// Of the last note that was ever written.
    last: Place,
    track: Option<Track>,
}

/// What has changed since it was last asked.
#[derive(Debug)]
struct Track {
    /// Where the new ones begin.
    new: Place,
    gone: Vec<Place>,
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
        let first = ring.first_from(page.from);
        ring.notes.range(first..).take(page.most).cloned().collect()
    }

    pub(super) fn ring(&self, trail: Trail) -> &Mutex<Ring> {
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
            let gone = self.notes.pop_front().map(|note| note.place);
            if let Some(track) = &mut self.track {
                track.gone.extend(gone);
            }
        }
    }

    /// The index of the first note that stands at `place` or behind.
    fn first_from(&self, place: Place) -> usize {
        self.notes.partition_point(|note| note.place < place)
    }

    /// Whether there is a note at `place`.
    pub(super) fn has(&self, place: Place) -> bool {
        self.notes.get(self.first_from(place)).is_some_and(|note| note.place == place)
    }

    /// From here on, what changes is to be told.
    pub(super) fn keep_track(&mut self) {
        self.track.get_or_insert_with(|| Track { new: self.last.next(), gone: Vec::new() });
    }

    /// Those that have gone since this was last asked, with what is not to be kept any more at `now`.
    pub(super) fn take_gone(&mut self, retention: Retention, now: Timestamp) -> Vec<Place> {
        self.forget(retention, now);
        self.track.as_mut().map(|track| std::mem::take(&mut track.gone)).unwrap_or_default()
    }

    /// The first of those that are new since this was last asked, at most so many.
    pub(super) fn take_new(&mut self, most: usize) -> impl Iterator<Item = &Note> {
        let first = self.track.as_ref().map_or(self.notes.len(), |track| self.first_from(track.new));
        let end = self.notes.len().min(first.saturating_add(most));
        if let (Some(track), Some(last)) = (&mut self.track, self.notes.range(first..end).next_back()) {
            track.new = last.place.next();
        }
        self.notes.range(first..end)
    }

    /// The note at `place` is to be told again.
    pub(super) fn note_new(&mut self, place: Place) {
        if let Some(track) = &mut self.track {
            track.new = track.new.min(place);
        }
    }

    /// That the note at `place` has gone is to be told again.
    pub(super) fn note_gone(&mut self, place: Place) {
        if let Some(track) = &mut self.track {
            track.gone.push(place);
        }
    }

    /// Takes `note` in again, which stands behind all others.
    pub(super) fn restore(&mut self, note: Note) {
        self.last = note.place;
        self.notes.push_back(note);
    }
}
