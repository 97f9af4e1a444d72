//! The trails of usage in memory: rings, of which the oldest notes go first.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::clock::{Micros, Timestamp};
use crate::store::durable::Track;
use crate::store::{Note, Page, Place, Retention, Spending, Trail};

/// How many places of notes that have gone are kept for whoever writes them down. Beyond, track is lost of them.
const MOST_GONE: usize = 65_536;

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
    changed: Option<Changed>,
}

/// What has changed since it was last asked.
#[derive(Debug)]
struct Changed {
    /// Where the new ones begin.
    new: Place,
    gone: Vec<Place>,
    /// Of those that have gone.
    track: Track,
}

impl Changed {
    fn note_gone(&mut self, place: Place) {
        if self.gone.len() < MOST_GONE {
            self.gone.push(place);
        } else {
            self.track = Track::Lost;
        }
    }
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
            let gone = self.notes.pop_front();
            if let (Some(changed), Some(note)) = (&mut self.changed, gone) {
                changed.note_gone(note.place);
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
        let nothing = || Changed { new: self.last.next(), gone: Vec::new(), track: Track::Kept };
        self.changed.get_or_insert_with(nothing);
    }

    /// Those that have gone since this was last asked, with what is not to be kept any more at `now`, and whether that
    /// is all of them.
    pub(super) fn take_gone(&mut self, retention: Retention, now: Timestamp) -> (Vec<Place>, Track) {
        self.forget(retention, now);
        match &mut self.changed {
            Some(Changed { gone, track, .. }) => {
                (std::mem::take(gone), std::mem::replace(track, Track::Kept))
            }
            None => (Vec::new(), Track::Kept),
        }
    }

    /// Notes that not all that have gone are known.
    pub(super) fn lose_track(&mut self) {
        if let Some(changed) = &mut self.changed {
            changed.track = Track::Lost;
        }
    }

    /// The first of those that are new since this was last asked, at most so many.
    pub(super) fn take_new(&mut self, most: usize) -> impl Iterator<Item = &Note> {
        let first = self.changed.as_ref().map_or(self.notes.len(), |changed| self.first_from(changed.new));
        let end = self.notes.len().min(first.saturating_add(most));
        if let (Some(changed), Some(last)) = (&mut self.changed, self.notes.range(first..end).next_back()) {
            changed.new = last.place.next();
        }
        self.notes.range(first..end)
    }

    /// The note at `place` is to be told again.
    pub(super) fn note_new(&mut self, place: Place) {
        if let Some(changed) = &mut self.changed {
            changed.new = changed.new.min(place);
        }
    }

    /// That the note at `place` has gone is to be told again.
    pub(super) fn note_gone(&mut self, place: Place) {
        if let Some(changed) = &mut self.changed {
            changed.note_gone(place);
        }
    }

    /// Takes `note` in again, which stands behind all others.
    pub(super) fn restore(&mut self, note: Note) {
        self.last = note.place;
        self.notes.push_back(note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_what_has_gone_are_not_kept_without_end() {
        let retention = Retention { most: 1, ..Retention::default() };
        let trails = Trails { retention, ..Trails::default() };
        let ring = || trails.ring(Trail::Refused).lock();
        ring().keep_track();
        let write = |notes| {
            (0..notes).for_each(|_| trails.write(Timestamp(1), None, &[], &[]));
            let (gone, track) = ring().take_gone(retention, Timestamp(1));
            (gone.len(), track)
        };
        assert_eq!(write(MOST_GONE + 1), (MOST_GONE, Track::Kept));
        assert_eq!(write(MOST_GONE + 1), (MOST_GONE, Track::Lost));
        assert_eq!(write(1), (1, Track::Kept));
    }
}
