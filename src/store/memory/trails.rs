//! The trails of usage in memory: rings, of which the oldest notes go first.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::clock::{Micros, Timestamp};
use crate::store::durable::Track;
use crate::store::{Expense, Note, Page, Place, Retention, Spending, Trail};

use super::rounds::Round;

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
    round: Round,
    /// Where notes of this round stand, and of the rounds before.
    new: Vec<Place>,
    untold: Vec<Place>,
    gone: Vec<Place>,
    /// Of those that have gone.
    track: Track,
}

impl Changed {
    fn from(round: Round) -> Self {
        Self { round, new: Vec::new(), untold: Vec::new(), gone: Vec::new(), track: Track::Kept }
    }

    /// There is a new note of `round` at `place`. A step of the round that has ended may come after one of the next.
    fn note_new(&mut self, place: Place, round: Round) {
        self.enter(round);
        if round == self.round { self.new.push(place) } else { self.untold.push(place) }
    }

    fn enter(&mut self, round: Round) {
        if round > self.round {
            self.round = round;
            self.untold.append(&mut self.new);
        }
    }

    fn note_gone(&mut self, place: Place) {
        if self.gone.len() < MOST_GONE {
            self.gone.push(place);
        } else {
            self.track = Track::Lost;
        }
    }
}

impl Trails {
    /// Writes a note of `at` and of `round`, whichever trail it belongs to.
    pub(super) fn write(
        &self,
        at: Timestamp,
        round: Round,
        spending: Option<Spending>,
        about: &[u8],
        line: &[u8],
    ) {
        let trail = if spending.is_some() { Trail::Spent } else { Trail::Refused };
        let (about, line) = (about.into(), line.into());
        let mut ring = self.ring(trail).lock();
        ring.last = Place::of(at).max(ring.last.next());
        let place = ring.last;
        ring.notes.push_back(Note { place, at, spending, about, line });
        if let Some(changed) = &mut ring.changed {
            changed.note_new(place, round);
        }
        ring.forget(self.retention, at);
    }

    /// Writes a note of each of `expenses`, made at `at` and of `round`.
    pub(super) fn spend(&self, at: Timestamp, round: Round, expenses: &[Expense<'_>]) {
        for expense in expenses {
            self.write(at, round, Some(expense.spending()), expense.about, Expense::LINE);
        }
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

    /// From here on, what changes is to be told; it is in `round`.
    pub(super) fn keep_track(&mut self, round: Round) {
        self.changed.get_or_insert_with(|| Changed::from(round));
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

    /// Where those stand that are new since this was last asked, up to the round `round`.
    pub(super) fn take_new(&mut self, round: Round) -> Vec<Place> {
        let Some(changed) = &mut self.changed else { return Vec::new() };
        changed.enter(round);
        std::mem::take(&mut changed.untold)
    }

    /// The note at `place`, if it is still there.
    pub(super) fn get(&self, place: Place) -> Option<&Note> {
        self.notes.get(self.first_from(place)).filter(|note| note.place == place)
    }

    /// The note at `place` is to be told again.
    pub(super) fn note_new(&mut self, place: Place) {
        if let Some(changed) = &mut self.changed {
            changed.new.push(place);
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
        ring().keep_track(Round::default());
        let write = |notes| {
            (0..notes).for_each(|_| trails.write(Timestamp(1), Round::default(), None, &[], &[]));
            let (gone, track) = ring().take_gone(retention, Timestamp(1));
            (gone.len(), track)
        };
        assert_eq!(write(MOST_GONE + 1), (MOST_GONE, Track::Kept));
        assert_eq!(write(MOST_GONE + 1), (MOST_GONE, Track::Lost));
        assert_eq!(write(1), (1, Track::Kept));
    }
}
