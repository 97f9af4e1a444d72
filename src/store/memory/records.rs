//! The records of reservations: what each charged and holds where, and what was paid of it.
//!
//! Bounded as counters are. A record is forgotten when nobody may ask for it any more; when there are too many, one of
//! those that hold nothing any more goes early, first the one that would be forgotten first, and that is counted. One that
//! holds something never goes. If all do there is no place for another, but for those that hold nothing from the start.

mod bytes;
mod changed;
mod lines;
mod packed;

use std::cmp::Reverse;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::algorithm::Rule;
use crate::clock::{Micros, Timestamp};
use crate::limits::{OnError, Unit, Window};
use crate::store::FreedBy;
use crate::store::durable::{Changes, Track};
use crate::store::usage::Totals;

use super::rounds::Round;
use super::{LET_GO_AT_ONCE, long_before};
pub(super) use changed::Changed;
use lines::{Line, Lines, take_first_by};
pub(super) use packed::{PackedKey, PackedNumber, Perhaps, Wide};

/// One place more in so many is for those that hold nothing.
const BESIDE: usize = 8;

/// Records by name.
#[derive(Debug, Default)]
pub(super) struct Records {
    by_name: HashMap<u128, Box<Lined>, RandomState>,
    lines: Lines,
    /// How many went before their time.
    forgotten: u64,
    /// Which have changed, where somebody keeps track of it.
    changed: Option<Changed>,
}

/// A record, and where it stands in line.
#[derive(Debug)]
struct Lined {
    record: Record,
    line: Line,
}

/// What is known of a reservation.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// What was asked.
    pub(super) body: u64,
    pub(super) state: Reservation,
    pub(super) began: Timestamp,
    /// When it lapses, for how long it is renewed, and when it lapses however often it is.
    pub(super) until: Timestamp,
    pub(super) ttl: Micros,
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
    /// Nothing was ever held: it is charged after the fact, or what it would have held was spent at once.
    Unheld,
}

/// What a reservation does to one counter. Two cache lines.
#[derive(Clone, Debug)]
pub(super) struct RecordedPart {
    pub(super) key: PackedKey,
    /// The identity of the limit.
    pub(super) limit: Wide,
    pub(super) memo: u64,
    pub(super) window: Window,
    pub(super) number: PackedNumber,
    pub(super) unit: Unit,
    pub(super) on_error: OnError,
    pub(super) freed_by: FreedBy,
    /// The end of the period that it belongs to.
    pub(super) ends: Timestamp,
    /// What was held at first.
    pub(super) granted: u64,
    /// What is held until the reservation lapses or its period ends, and stays written down once that has ended; none if
    /// nothing is, not even a hold of nothing.
    pub(super) held: Perhaps,
    /// What was paid so far.
    pub(super) paid: u64,
    /// Hits that were charged and can be given back.
    pub(super) taken: u64,
}

impl Records {
    /// The record under `name`, if it is to be kept at `now`, and where it is to be told how it was before it changes.
    pub(super) fn get(&mut self, name: u128, now: Timestamp) -> Option<(&mut Record, &mut Option<Changed>)> {
        self.forget(long_before(now));
        let record = self.by_name.get_mut(&name).map(|lined| &mut lined.record);
        record.filter(|record| now < record.kept_until).map(|record| (record, &mut self.changed))
    }

    /// Whether there is a place for one more that holds something, of at most so many, at `now`. One that holds nothing may
    /// be forgotten for it.
    pub(super) fn make_room(&mut self, most: usize, now: Timestamp) -> bool {
        if self.by_name.len() < most {
            return true;
        }
        self.let_lapse(now);
        self.lines.open.len() < most && self.forget_first(now)
    }

    /// Whether there is a place for one more that holds nothing, where there are at most so many that hold something, at
    /// `now`. They have some places to themselves.
    pub(super) fn make_room_beside(&mut self, most: usize, now: Timestamp) -> bool {
        if self.by_name.len() <= most + most / BESIDE {
            return true;
        }
        self.let_lapse(now);
        self.forget_first(now)
    }

    /// How many were forgotten while they might still have been asked for.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Forgets the first of those that hold nothing. Whether there was one.
    fn forget_first(&mut self, now: Timestamp) -> bool {
        let Some((Reverse((until, _)), name)) = self.lines.over.pop_last() else { return false };
        self.forgotten += u64::from(until > now);
        self.remove(name);
        true
    }

    /// Keeps `record` under `name`, in place of any other.
    pub(super) fn insert(&mut self, name: u128, record: Record) {
        self.tell_before(name);
        let line = self.lines.stand(name, &record);
        if let Some(before) = self.by_name.insert(name, Box::new(Lined { record, line })) {
            self.lines.leave(before.line);
        }
        self.note_changed(name);
    }

    /// Keeps the record under `name`, which has changed and was told before, until then.
    pub(super) fn keep(&mut self, name: u128, until: Timestamp) {
        if let Some(lined) = self.by_name.get_mut(&name) {
            lined.record.kept_until = until;
            self.lines.leave(lined.line);
            lined.line = self.lines.stand(name, &lined.record);
        }
        self.note_changed(name);
    }

    /// Forgets what nobody may have asked for any more by `then`; the rest of very many with later calls.
    fn forget(&mut self, then: Timestamp) {
        // Where the lines begin nobody was for long: most calls need not wait for that.
        if then < self.lines.earliest {
            return;
        }
        self.let_lapse(then);
        for _ in 0..LET_GO_AT_ONCE {
            let Some(name) = take_first_by(&mut self.lines.over, then) else { break };
            self.remove(name);
        }
        self.lines.look_ahead();
    }

    /// Has those that have lapsed by `now` stand with those that are over; the rest of very many with later calls.
    fn let_lapse(&mut self, now: Timestamp) {
        for _ in 0..LET_GO_AT_ONCE {
            let Some(name) = take_first_by(&mut self.lines.open, now) else { break };
            if let Some(lined) = self.by_name.get_mut(&name) {
                lined.line = self.lines.stand_over(name, lined.record.kept_until);
            }
        }
    }

    /// Removes the record under `name`, which stands in no line any more.
    fn remove(&mut self, name: u128) {
        self.tell_before(name);
        self.by_name.remove(&name);
        self.note_changed(name);
    }

    /// The record under `name`, if there is one, whoever may still ask for it.
    pub(super) fn look(&self, name: u128) -> Option<&Record> {
        self.by_name.get(&name).map(|lined| &lined.record)
    }

    /// Keeps track of what changes, from here on, which is in `round`.
    pub(super) fn keep_track(&mut self, round: Round) {
        self.changed = Some(Changed::from(round));
    }

    /// What changes from here on belongs to `round`.
    pub(super) fn enter(&mut self, round: Round) {
        if let Some(changed) = &mut self.changed {
            changed.enter(round);
        }
    }

    fn tell_before(&mut self, name: u128) {
        if let Some(changed) = &mut self.changed {
            changed.tell_before(name, self.by_name.get(&name).map(|lined| &lined.record));
        }
    }

    /// The names of what changed in the round that has ended.
    pub(super) fn untold(&self) -> Vec<u128> {
        self.changed.as_ref().map(Changed::untold).unwrap_or_default()
    }

    /// Adds those of `names` to `changes` that are still to be told.
    pub(super) fn tell(&mut self, names: &[u128], changes: &mut Changes) {
        let Self { changed: Some(changed), by_name, .. } = self else { return };
        for name in names.iter().copied().filter(|name| changed.take_untold(*name)) {
            changed::tell(name, by_name.get(&name).map(|lined| &lined.record), changes);
        }
    }

    /// How records were that changed before they were told.
    pub(super) fn end_telling(&mut self) -> Changes {
        self.changed.as_mut().map(Changed::end_telling).unwrap_or_default()
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
        Rule { window: &self.window, number: self.number.get() }
    }

    /// Whether its period is over at `now`: what was held belongs to that one, and no later one knows of it.
    pub(super) fn is_closed(&self, now: Timestamp) -> bool {
        now >= self.ends
    }
}

#[cfg(test)]
mod tests;
