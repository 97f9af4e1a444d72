//! The records of reservations: what each charged and holds where, and what was paid of it.
//!
//! Bounded as counters are. A record is forgotten when nobody may ask for it any more; when there are too many, one of
//! those that would be forgotten first goes early, unless all of these still hold something: then there is no place for
//! another.

mod bytes;
mod changed;

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;

use crate::algorithm::Rule;
use crate::clock::Timestamp;
use crate::limits::{CounterKey, Number, OnError, Unit, Window};
use crate::store::FreedBy;
use crate::store::durable::Track;
use crate::store::usage::Totals;

use super::long_before;
use changed::Changed;

/// How many records are looked at to find one that may go early.
const LOOKED_AT: usize = 16;

/// Records by name.
#[derive(Debug, Default)]
pub(super) struct Records {
    by_name: HashMap<u128, Record, RandomState>,
    /// In the order in which they are forgotten.
    forgotten: BTreeSet<(Timestamp, u128)>,
    /// Which have changed, where somebody keeps track of it.
    changed: Option<Changed>,
}

/// What is known of a reservation.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// What was asked.
    pub(super) body: u64,
    pub(super) state: Reservation,
    pub(super) began: Timestamp,
    /// When it lapses, and when it does so however often it is renewed.
    pub(super) until: Timestamp,
    pub(super) ends: Timestamp,
    /// How many flexible units were granted.
    pub(super) units: u64,
    /// Kept until then.
    pub(super) kept_until: Timestamp,
    /// Whose it is, as it is written down.
    pub(super) about: Box<[u8]>,
    /// What it was told to have used so far.
    pub(super) totals: Totals,
    pub(super) parts: Vec<RecordedPart>,
}

/// Where a reservation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reservation {
    /// Held, or lapsed.
    Open,
    /// Settled.
    Settled,
    /// Released.
    Released,
    /// Not reserved at all: it is charged after the fact.
    Unheld,
}

/// What a reservation does to one counter.
#[derive(Clone, Debug)]
pub(super) struct RecordedPart {
    pub(super) key: CounterKey,
    /// The identity of the limit.
    pub(super) limit: u128,
    pub(super) window: Window,
    pub(super) number: Number,
    pub(super) unit: Unit,
    pub(super) on_error: OnError,
    pub(super) freed_by: FreedBy,
    /// The end of the period that it belongs to.
    pub(super) ends: Timestamp,
    /// What was held at first.
    pub(super) granted: u64,
    /// What is held until the reservation lapses or its period ends; `None` if nothing is, not even a hold of nothing.
    pub(super) held: Option<u64>,
    /// What was paid so far.
    pub(super) paid: u64,
    /// Hits that were charged and can be given back.
    pub(super) taken: u64,
}

impl Records {
    /// The record under `name`, if it is to be kept at `now`.
    pub(super) fn get(&mut self, name: u128, now: Timestamp) -> Option<&mut Record> {
        self.forget(long_before(now));
        self.by_name.get_mut(&name).filter(|record| now < record.kept_until)
    }

    /// Whether there is a place for one more, of at most so many, at `now`. One may be forgotten for it.
    pub(super) fn make_room(&mut self, most: usize, now: Timestamp) -> bool {
        if self.by_name.len() < most {
            return true;
        }
        let is_over = |name: &u128| self.by_name.get(name).is_some_and(|record| record.is_over(now));
        let mut first = self.forgotten.iter().take(LOOKED_AT);
        let Some(over) = first.find(|(_, name)| is_over(name)).copied() else {
            return false;
        };
        self.remove(over);
        true
    }

    /// Keeps `record` under `name`, in place of any other.
    pub(super) fn insert(&mut self, name: u128, record: Record) -> &mut Record {
        if let Some(before) = self.by_name.get(&name) {
            self.forgotten.remove(&(before.kept_until, name));
        }
        self.forgotten.insert((record.kept_until, name));
        self.note_changed(name);
        self.by_name.entry(name).insert_entry(record).into_mut()
    }

    /// Keeps the record under `name`, which may have changed, until then.
    pub(super) fn keep(&mut self, name: u128, until: Timestamp) {
        if let Some(record) = self.by_name.get_mut(&name) {
            self.forgotten.remove(&(record.kept_until, name));
            record.kept_until = until;
            self.forgotten.insert((until, name));
        }
        self.note_changed(name);
    }

    fn forget(&mut self, then: Timestamp) {
        while let Some(first) = self.forgotten.first().copied().filter(|(until, _)| *until <= then) {
            self.remove(first);
        }
    }

    fn remove(&mut self, (until, name): (Timestamp, u128)) {
        self.forgotten.remove(&(until, name));
        self.by_name.remove(&name);
        self.note_changed(name);
    }

    /// The record under `name`, if there is one, whoever may still ask for it.
    pub(super) fn look(&self, name: u128) -> Option<&Record> {
        self.by_name.get(&name)
    }

    /// Keeps track of what changes, from here on.
    pub(super) fn keep_track(&mut self) {
        self.changed = Some(Changed::default());
    }

    /// What has changed since this was last asked.
    pub(super) fn take_changed(&mut self) -> Changed {
        self.changed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Notes that the record under `name` is another than it was, where somebody keeps track of it.
    pub(super) fn note_changed(&mut self, name: u128) {
        let Self { changed, by_name, .. } = self;
        if let Some(changed) = changed {
            changed.note(name, by_name.len(), |name| by_name.contains_key(name));
        }
    }

    /// Notes that not all that were removed are known.
    pub(super) fn lose_track(&mut self) {
        if let Some(changed) = &mut self.changed {
            changed.track = Track::Lost;
        }
    }
}

impl Record {
    /// Whether nothing is held any more at `now`.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.state != Reservation::Open || now >= self.until
    }
}

impl RecordedPart {
    /// The rule that it was reserved by.
    pub(super) fn rule(&self) -> Rule<'_> {
        Rule { window: &self.window, number: self.number }
    }

    /// Whether its period is over at `now`: what it charges belongs to that one, and no later one knows of it.
    pub(super) fn is_closed(&self, now: Timestamp) -> bool {
        now >= self.ends
    }
}
