//! Reservations in memory: a step, and a record of it.
//!
//! The record is locked first, then the shards of the counters, in every case: two calls under one name are done one
//! after the other, and no two calls wait for each other in a circle.

mod full;

use crate::algorithm::{HoldId, Holder, Op, Overrun, Share, Span};
use crate::clock::Timestamp;
use crate::limits::{MAX_AMOUNT, Unit};
use crate::store::usage::Totals;
use crate::store::{
    Admission, Answer, Before, Binding, Call, Charge, Expense, FreedBy, Grant, Hold, Outcomes, Part, Reserve,
    Reserved, Settle, Settled, StoreError, Then,
};

use super::MemoryStore;
use super::records::{Record, RecordedPart, Reservation};
use super::step::Step;
use full::full;

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
        if let Some(record) = records.get(call.name.id, at) {
            return Ok(self.replay(call, record, at));
        }
        if !records.make_room(self.records_a_shard, at) {
            drop(records);
            return self.spend(call, at);
        }
        let until = at.plus(call.life.ttl.min(call.life.max_age));
        let holder = Holder { id: HoldId(call.name.id), until };
        let mut step = Step::begin(self, all_or_none(call.charges), at, holder);
        if call.accepts_less.is_some() {
            step.share = step.fitting(call.whole());
        }
        let outcomes = step.all_or_none();
        let share = step.share;
        let is_refused = all_or_none(call.charges).is_refused(&outcomes);
        if !is_refused {
            self.write_down_expenses(call, at);
        }
        step.stand_up();
        let answer = Answer { at, outcomes, degraded: None };
        if is_refused {
            return Ok(Reserved { answer, hold: Hold::Refused });
        }
        let record = Record::of(call, share, at, until);
        let hold = Hold::Taken(record.grant());
        records.insert(call.name.id, record);
        Ok(Reserved { answer, hold })
    }

    fn replay(&self, call: Reserve<'_>, record: &Record, at: Timestamp) -> Reserved {
        let answer = |outcomes| Answer { at, outcomes, degraded: None };
        if record.body != call.body {
            return Reserved { answer: answer(Outcomes::new()), hold: Hold::Conflict };
        }
        let outcomes = Step::run(self, all_or_none(&call.looks()), at);
        Reserved { answer: answer(outcomes), hold: Hold::Replayed(record.grant()) }
    }

    /// Does all that `call` asks, now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`], if no more reservations can be kept, or there is no place for a counter that is to be
    /// charged and its limit does not let pass what nobody counts. Nothing is done then.
    pub fn settle_now(&self, call: Settle<'_>) -> Result<Settled, StoreError> {
        let at = self.clock.now();
        let mut records = self.records(call.name.id);
        let record = match records.get(call.name.id, at) {
            Some(record) => record,
            None if call.otherwise.is_empty() => return Ok(unknown(at)),
            None => {
                if !records.make_room(self.records_a_shard, at) {
                    return Err(full());
                }
                let mut record = Record::after_the_fact(call, at);
                let settled = self.settle(call, &mut record, at)?;
                record.kept_until = record.kept_until.max(record.until);
                records.insert(call.name.id, record);
                return Ok(settled);
            }
        };
        // Nothing is settled before it was reserved.
        let at = at.max(record.began);
        let settled = self.settle(call, record, at)?;
        if settled.before != Before::Settled && call.then != Then::Unchanged {
            let kept_until = at.plus(call.keep).max(record.until);
            records.keep(call.name.id, kept_until);
        }
        Ok(settled)
    }

    fn settle(&self, call: Settle<'_>, record: &mut Record, at: Timestamp) -> Result<Settled, StoreError> {
        let found = record.found(call.then, at);
        // What is only looked at is left as what is settled is.
        let before = if call.then == Then::Unchanged { Before::Settled } else { found };
        let then = if before == Before::Settled { Then::Done } else { call.then };
        let dues: Vec<u64> = record
            .parts
            .iter()
            .map(|part| match (before, then) {
                (Before::Settled, _) | (_, Then::Released) => part.paid,
                _ => call.spent.of(part.unit, part.granted).max(part.paid),
            })
            .collect();
        let until = match then {
            Then::More => Some(at.plus(record.ttl).min(record.ends)).filter(|until| *until > at),
            Then::Done | Then::Released | Then::Unchanged => None,
        };
        let charges: Vec<Charge<'_>> =
            record.parts.iter().zip(&dues).map(|(part, due)| part.charge(*due, before, then, at)).collect();
        let was = Holder { id: HoldId(call.name.id), until: record.until };
        let will = until.map(|until| Holder { until, ..was });
        let mut step = Step::begin(self, Call { charges: &charges, admission: Admission::Each }, at, was);
        if step.loses_charges() {
            step.stand_up();
            return Err(full());
        }
        self.write_down(call, &mut record.totals, (&record.about, &record.parts), before, at);
        let (mut parts, mut held) = (Vec::with_capacity(charges.len()), Vec::with_capacity(charges.len()));
        for (index, (part, due)) in record.parts.iter().zip(&dues).enumerate() {
            let (part, holds) = settle_part(&mut step, index, part, *due, (before, was, will));
            parts.push(part);
            held.push(holds);
        }
        step.stand_up();
        if before != Before::Settled {
            record.go_on(then, until, &dues, &held);
        }
        Ok(Settled { at, before: found, began: record.began, until, parts })
    }

    /// Writes down what `call` spends at once.
    fn write_down_expenses(&self, call: Reserve<'_>, at: Timestamp) {
        for expense in call.expenses {
            self.trails.write(at, Some(expense.spending()), expense.about, Expense::LINE);
        }
    }

    /// Writes down what is spent by `call`, before it is charged: whoever finds the charge finds the note of it.
    fn write_down(
        &self,
        call: Settle<'_>,
        totals: &mut Totals,
        (about, parts): (&[u8], &[RecordedPart]),
        before: Before,
        at: Timestamp,
    ) {
        let Some(report) = call.report.filter(|_| before != Before::Settled) else { return };
        let held =
            |unit| parts.iter().filter(|part| part.unit == unit).map(|part| part.granted).max().unwrap_or(0);
        let spending = totals.grow(before, call.spent, report, held);
        let counts = |part: &RecordedPart| part.unit != Unit::Hits;
        let ends = call.then == Then::Done && parts.iter().any(counts);
        if ends || !spending.is_nothing() {
            self.trails.write(at, Some(spending), about, report.line);
        }
    }
}

/// Settles one part: ends its hold, charges what is due, and holds the rest on if it goes on. Tells how much it holds.
fn settle_part(
    step: &mut Step<'_, '_>,
    index: usize,
    part: &RecordedPart,
    due: u64,
    (before, was, will): (Before, Holder, Option<Holder>),
) -> (Part, Option<u64>) {
    let charge = step.call.charges[index];
    let holds = charge.has_holds() && before != Before::Settled;
    let was_open = holds && step.end_hold(index, Holder { until: was.until.min(part.ends), ..was });
    step.ask(index, charge.op, Overrun::Count, was);
    let rest = part.granted.saturating_sub(due);
    let goes_on = will.filter(|_| holds && !part.is_closed(step.at));
    // Room that was let go may be another's by now.
    let overrun = if was_open { Overrun::Count } else { Overrun::Refuse };
    let outcome = match goes_on {
        Some(holder) => step.ask(index, Op::Hold { fixed: rest, flexible: 0 }, overrun, holder),
        None => step.ask(index, Op::Take { room: 0, charge: 0 }, Overrun::Refuse, was),
    };
    let is_held = goes_on.is_some() && (was_open || outcome.is_admitted());
    let charged = match charge.op {
        Op::Take { charge, .. } => charge,
        _ => 0,
    };
    let part = Part {
        key: part.key,
        limit: part.limit,
        unit: part.unit,
        number: part.number,
        granted: part.granted,
        paid: due,
        charged,
        outcome,
    };
    (part, is_held.then_some(rest))
}

fn unknown(at: Timestamp) -> Settled {
    Settled { at, before: Before::Unknown, began: at, until: None, parts: Vec::new() }
}

fn all_or_none<'a>(charges: &'a [Charge<'a>]) -> Call<'a> {
    Call { charges, admission: Admission::AllOrNone }
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

    /// Of what nobody reserved. All of it is still to be paid.
    fn after_the_fact(call: Settle<'_>, at: Timestamp) -> Self {
        let nothing = Op::Take { room: 0, charge: 0 };
        let charges: Vec<Charge<'_>> =
            call.otherwise.iter().map(|charge| Charge { op: nothing, ..*charge }).collect();
        Self {
            body: 0,
            state: Reservation::Unheld,
            began: at,
            until: at,
            ttl: call.keep,
            ends: Timestamp(u64::MAX),
            units: 0,
            kept_until: at.plus(call.keep),
            about: call.report.map_or(&[][..], |report| report.about).into(),
            totals: Totals::default(),
            parts: RecordedPart::all_of(&charges, Share::WHOLE, at),
        }
    }

    fn grant(&self) -> Grant {
        Grant { units: self.units, began: self.began, until: self.until }
    }

    /// How it is found at `at` by who wants it to go on like that.
    fn found(&self, then: Then, at: Timestamp) -> Before {
        match (self.state, then) {
            (Reservation::Unheld, _) => Before::Unheld,
            (Reservation::Settled, _) | (Reservation::Released, Then::Released) => Before::Settled,
            (Reservation::Released, _) => Before::Late,
            (Reservation::Open, _) if self.is_over(at) => Before::Late,
            (Reservation::Open, _) => Before::Held,
        }
    }

    fn go_on(&mut self, then: Then, until: Option<Timestamp>, dues: &[u64], held: &[Option<u64>]) {
        self.state = match then {
            Then::More => Reservation::Open,
            Then::Done => Reservation::Settled,
            Then::Released => Reservation::Released,
            Then::Unchanged => self.state,
        };
        self.until = until.unwrap_or(self.until);
        for (part, (due, held)) in self.parts.iter_mut().zip(dues.iter().zip(held)) {
            (part.paid, part.held) = (*due, *held);
            part.taken = if then == Then::Released { 0 } else { part.taken };
        }
    }
}

impl RecordedPart {
    /// Of all `charges`, one a counter: what is spent is charged to each once.
    fn all_of(charges: &[Charge<'_>], share: Share, at: Timestamp) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::with_capacity(charges.len());
        for part in charges.iter().filter_map(|charge| Self::of(charge, share, at)) {
            match parts.iter_mut().find(|known| known.key == part.key) {
                Some(known) => {
                    known.granted = (known.granted + part.granted).min(MAX_AMOUNT);
                    known.taken = (known.taken + part.taken).min(MAX_AMOUNT);
                    known.held = known.held.map(|_| known.granted);
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
            Op::Take { .. } | Op::GiveBack { .. } | Op::Set { .. } => (0, 0),
        };
        Some(Self {
            key: charge.key,
            limit: charge.overflow,
            window: charge.rule.window.clone(),
            number: charge.rule.number,
            unit: charge.unit,
            on_error: charge.on_error,
            freed_by: charge.freed_by,
            ends: Span::holding(charge.rule.window, at).end,
            granted,
            held: charge.has_holds().then_some(granted),
            paid: 0,
            taken,
        })
    }

    /// What is done to its counter when `due` is due in all.
    fn charge(&self, due: u64, before: Before, then: Then, at: Timestamp) -> Charge<'_> {
        let op = match then {
            _ if self.is_closed(at) => Op::Take { room: 0, charge: 0 },
            Then::Released if matches!(before, Before::Held | Before::Late) => {
                Op::GiveBack { units: self.taken }
            }
            _ => Op::Take { room: 0, charge: due - self.paid },
        };
        Charge {
            key: self.key,
            overflow: self.limit,
            rule: self.rule(),
            op,
            binding: Binding::Counted,
            on_error: self.on_error,
            freed_by: self.freed_by,
            unit: self.unit,
        }
    }
}
