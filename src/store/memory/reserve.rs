//! Reserving in memory: a step, and a record of it.
//!
//! The record is locked first, then the shards of the counters, in every case: two calls under one name are done one
//! after the other, and no two calls wait for each other in a circle.

mod full;

use smallvec::SmallVec;

use crate::algorithm::{HoldId, Holder, Op, Share, Span};
use crate::clock::Timestamp;
use crate::limits::{MAX_AMOUNT, Unit};
use crate::store::usage::Totals;
use crate::store::{
    Admission, Answer, Call, Charge, FreedBy, Grant, Hold, Outcomes, Reserve, Reserved, StoreError,
};

use super::MemoryStore;
use super::records::{PackedKey, PackedNumber, Perhaps, Record, RecordedPart, Reservation, Wide};
use super::step::{FEW, Step};
pub(super) use full::full;

/// One each of the parts of a reservation.
pub(super) type Few<T> = SmallVec<[T; FEW]>;

impl MemoryStore {
    /// Does all that `call` asks, now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`], if no more reservations can be kept and something is to be given back or set: that is
    /// not done twice, so it is not done without a record. All else is asked as ever then, and spent at once.
    pub fn reserve_now(&self, call: Reserve<'_>) -> Result<Reserved, StoreError> {
        let at = self.clock.now();
        let mut records = self.records(call.name.id);
        if let Some((record, _)) = records.get(call.name.id, at) {
            return Ok(self.replay(call, record, at));
        }
        if !records.make_room(self.records_a_shard, at) {
            return self.spend(call, &mut records, at);
        }
        let until = at.plus(call.life.ttl.min(call.life.max_age));
        let holder = Holder { id: HoldId(call.name.id), until };
        let mut step = Step::new(self, all_or_none(call.charges), at, holder);
        step.sit_down();
        if call.accepts_less.is_some() {
            step.share = step.fitting(call.whole());
        }
        let outcomes = step.all_or_none();
        let (share, round, degraded) = (step.share, step.round, step.wants_places());
        records.enter(round);
        let is_refused = all_or_none(call.charges).is_refused(&outcomes);
        if !is_refused {
            self.trails.spend(at, round, call.expenses);
        }
        step.stand_up();
        let answer = Answer { at, outcomes, degraded };
        if is_refused {
            return Ok(Reserved { answer, hold: Hold::Refused });
        }
        let record = Record::of(call, share, at, until);
        let hold = Hold::Taken(record.grant());
        records.insert(call.name.id, record);
        Ok(Reserved { answer, hold })
    }

    fn replay(&self, call: Reserve<'_>, record: &Record, at: Timestamp) -> Reserved {
        if record.body != call.body {
            let answer = Answer { at, outcomes: Outcomes::new(), degraded: None };
            return Reserved { answer, hold: Hold::Conflict };
        }
        let hold = match record.state {
            Reservation::Unheld => Hold::Unheld,
            _ => Hold::Replayed(record.grant()),
        };
        Reserved { answer: Step::run(self, all_or_none(&call.looks()), at), hold }
    }
}

fn all_or_none<'a>(charges: &'a [Charge<'a>]) -> Call<'a> {
    Call { charges, admission: Admission::AllOrNone, expenses: &[] }
}

impl Record {
    fn of(call: Reserve<'_>, share: Share, at: Timestamp, until: Timestamp) -> Self {
        Self {
            body: call.body,
            state: Reservation::Open,
            began: at,
            until,
            ttl: call.life.ttl,
            ends: at.plus(call.life.max_age),
            units: if call.accepts_less.is_some() { share.granted } else { 1 },
            kept_until: at.plus(call.life.keep).max(until),
            about: call.about.into(),
            totals: Totals::default(),
            parts: RecordedPart::all_of(call.charges, share, at),
        }
    }

    fn grant(&self) -> Grant {
        Grant { units: self.units, began: self.began, until: self.until }
    }
}

impl RecordedPart {
    /// Of all `charges`, one a counter: what is spent is charged to each once.
    pub(super) fn all_of(charges: &[Charge<'_>], share: Share, at: Timestamp) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::with_capacity(charges.len());
        for part in charges.iter().filter_map(|charge| Self::of(charge, share, at)) {
            match parts.iter_mut().find(|known| known.key == part.key) {
                Some(known) => {
                    known.granted = (known.granted + part.granted).min(MAX_AMOUNT);
                    known.taken = (known.taken + part.taken).min(MAX_AMOUNT);
                    known.held = Perhaps::of(known.held.get().map(|_| known.granted));
                }
                None => parts.push(part),
            }
        }
        parts
    }

    /// Of what `charge` asks for; `None` if nobody has to come back to it.
    fn of(charge: &Charge<'_>, share: Share, at: Timestamp) -> Option<Self> {
        if charge.unit == Unit::Hits && charge.freed_by == FreedBy::Time {
            return None;
        }
        let (granted, taken) = match charge.op {
            Op::Hold { fixed, flexible } => {
                (fixed.saturating_add(share.part_of(flexible)).min(MAX_AMOUNT), 0)
            }
            Op::Take { charge: taken, .. } if charge.unit == Unit::Hits => (0, taken.min(MAX_AMOUNT)),
            Op::Take { .. } | Op::GiveBack { .. } | Op::Set { .. } | Op::Clear => (0, 0),
        };
        Some(Self {
            key: PackedKey::of(charge.key),
            limit: Wide::of(charge.overflow),
            memo: charge.memo,
            window: charge.rule.window.clone(),
            number: PackedNumber::of(charge.rule.number),
            unit: charge.unit,
            on_error: charge.on_error,
            freed_by: charge.freed_by,
            ends: Span::holding(charge.rule.window, at).end,
            granted,
            held: Perhaps::of(charge.has_holds().then_some(granted)),
            paid: 0,
            taken,
        })
    }
}
