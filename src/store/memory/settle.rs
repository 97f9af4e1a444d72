//! Settling in memory: what is spent is charged, and the rest is held on or let go.

use crate::algorithm::{HoldId, Holder, Op, Outcome, Overrun, Share};
use crate::clock::Timestamp;
use crate::limits::Unit;
use crate::store::usage::Totals;
use crate::store::{
    Admission, Before, Binding, Call, Charge, Part, Settle, Settled, Spent, StoreError, Then,
};

use super::MemoryStore;
use super::records::{Perhaps, Record, RecordedPart, Reservation};
use super::reserve::{Few, full};
use super::rounds::Round;
use super::step::{NOTHING, Step};

/// How a settle goes.
#[derive(Clone, Copy)]
struct Settling {
    /// How the reservation is found, and how it is dealt with: what is only looked at is left as what is settled is.
    found: Before,
    before: Before,
    then: Then,
    /// Who holds it up to now, and from here on, if anything is still held.
    was: Holder,
    will: Option<Holder>,
}

impl MemoryStore {
    /// Does all that `call` asks, now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`], if no more reservations can be kept, or there is no place for a counter that is to be
    /// charged and its limit does not let pass what nobody counts. Nothing is done then.
    pub fn settle_now(&self, call: Settle<'_>) -> Result<Settled, StoreError> {
        let at = self.clock.now();
        let mut records = self.records(call.name.id);
        let (record, changed) = match records.get(call.name.id, at) {
            Some(found) => found,
            None if call.otherwise.is_empty() => return Ok(unknown(at)),
            None => {
                if !records.make_room_beside(self.records_a_shard, at) {
                    return Err(full());
                }
                let mut record = Record::after_the_fact(call, at);
                let settled = self.settle(call, &mut record, at, |round, _| records.enter(round))?;
                record.kept_until = record.kept_until.max(record.until);
                records.insert(call.name.id, record);
                return Ok(settled);
            }
        };
        // Nothing is settled before it was reserved.
        let at = at.max(record.began);
        let settled = self.settle(call, record, at, |round, record| {
            if let Some(changed) = changed {
                changed.enter(round);
                changed.tell_before(call.name.id, Some(record));
            }
        })?;
        if settled.before != Before::Settled && call.then != Then::Unchanged {
            let kept_until = at.plus(call.keep).max(record.until);
            records.keep(call.name.id, kept_until);
        }
        Ok(settled)
    }

    /// Settles `record`, which changes once `begin` was told of the round that it changes in.
    fn settle(
        &self,
        call: Settle<'_>,
        record: &mut Record,
        at: Timestamp,
        begin: impl FnOnce(Round, &Record),
    ) -> Result<Settled, StoreError> {
        let settling = Settling::of(call, record, at);
        let dues: Few<u64> = record.parts.iter().map(|part| settling.due(call.spent, part)).collect();
        let (parts, held) = self.settle_parts(call, record, (settling, at), &dues, begin)?;
        let Settling { found, before, then, will, .. } = settling;
        let until = will.map(|holder| holder.until);
        if before != Before::Settled {
            record.go_on(then, until, &dues, &held);
        }
        Ok(Settled { at, before: found, began: record.began, until, parts })
    }

    /// Settles each part of `record`, of which so much is due in all. Tells what came of it, and how much it holds now, or
    /// held to the end of its period.
    fn settle_parts(
        &self,
        call: Settle<'_>,
        record: &mut Record,
        (settling, at): (Settling, Timestamp),
        dues: &[u64],
        begin: impl FnOnce(Round, &Record),
    ) -> Result<(Vec<Part>, Few<Option<u64>>), StoreError> {
        let Settling { before, then, was, .. } = settling;
        // Filled where it stays: it is large.
        let mut charges: Few<Charge<'_>> = Few::new();
        let due = record.parts.iter().zip(dues);
        charges.extend(due.map(|(part, due)| part.charge(*due, before, then, (at, was.until))));
        let each = Call { charges: &charges, admission: Admission::Each, expenses: &[] };
        let mut step = Step::new(self, each, at, was);
        step.sit_down();
        if step.loses_charges() {
            step.stand_up();
            return Err(full());
        }
        begin(step.round, record);
        self.write_down(call, &mut record.totals, (&record.about, &record.parts), before, (at, step.round));
        let (mut parts, mut held) = (Vec::with_capacity(dues.len()), Few::new());
        for (index, (part, due)) in record.parts.iter().zip(dues).enumerate() {
            let (outcome, holds) = settling.settle(&mut step, index, part, *due);
            parts.push(part.settled(*due, &charges[index], outcome));
            held.push(holds);
        }
        step.stand_up();
        Ok((parts, held))
    }

    /// Writes down what is spent by `call`, before it is charged: whoever finds the charge finds the note of it.
    fn write_down(
        &self,
        call: Settle<'_>,
        totals: &mut Totals,
        (about, parts): (&[u8], &[RecordedPart]),
        before: Before,
        (at, round): (Timestamp, Round),
    ) {
        let Some(report) = call.report.filter(|_| before != Before::Settled) else { return };
        let held =
            |unit| parts.iter().filter(|part| part.unit == unit).map(|part| part.granted).max().unwrap_or(0);
        let spending = totals.grow(before, call.spent, report, held);
        let counts = |part: &RecordedPart| part.unit != Unit::Hits;
        let ends = call.then == Then::Done && parts.iter().any(counts);
        if ends || !spending.is_nothing() {
            self.trails.write(at, round, Some(spending), about, report.line);
        }
    }
}

impl Settling {
    fn of(call: Settle<'_>, record: &Record, at: Timestamp) -> Self {
        let found = record.found(call.then, at);
        let before = if call.then == Then::Unchanged { Before::Settled } else { found };
        let then = if before == Before::Settled { Then::Done } else { call.then };
        let until = match then {
            Then::More => Some(at.plus(record.ttl).min(record.ends)).filter(|until| *until > at),
            Then::Done | Then::Released | Then::Unchanged => None,
        };
        let was = Holder { id: HoldId(call.name.id), until: record.until };
        Self { found, before, then, was, will: until.map(|until| Holder { until, ..was }) }
    }

    /// What is due of `part` in all, if so much is `spent`.
    fn due(&self, spent: Spent, part: &RecordedPart) -> u64 {
        match (self.before, self.then) {
            (Before::Settled, _) | (_, Then::Released) => part.paid,
            _ => spent.of(part.unit, part.granted).max(part.paid),
        }
    }

    /// Settles `part` by the charge at `index`: ends its hold, charges what is due, and holds the rest on if it goes on. Tells
    /// where the counter is, and how much the part holds, or held to the end of its period.
    fn settle(
        self,
        step: &mut Step<'_, '_>,
        index: usize,
        part: &RecordedPart,
        due: u64,
    ) -> (Outcome, Option<u64>) {
        let charge = &step.call.charges[index];
        let holds = charge.has_holds() && self.before != Before::Settled;
        let (was_open, charged) = self.end_and_charge(step, index, part.ends, holds);
        let (is_closed, rest) = (part.is_closed(step.at), part.granted.saturating_sub(due));
        let goes_on = self.will.filter(|_| holds && !is_closed);
        // Room that was let go may be another's by now.
        let overrun = if was_open { Overrun::Count } else { Overrun::Refuse };
        let outcome = match goes_on {
            Some(holder) => step.ask(index, Op::Hold { fixed: rest, flexible: 0 }, overrun, holder),
            None => charged
                .and_then(|outcome| outcome.looked_at(charge.rule))
                .unwrap_or_else(|| step.ask(index, NOTHING, Overrun::Refuse, self.was)),
        };
        let held = if is_closed {
            part.held.get().filter(|_| part.is_covered(self.was.until))
        } else {
            goes_on.filter(|_| was_open || outcome.is_admitted()).map(|_| rest)
        };
        (outcome, held)
    }

    /// Ends what is held by the charge at `index` up to `ends`, if it holds anything, and charges what is due. Tells whether
    /// the hold was open, and what the charge came to if it is one.
    fn end_and_charge(
        self,
        step: &mut Step<'_, '_>,
        index: usize,
        ends: Timestamp,
        holds: bool,
    ) -> (bool, Option<Outcome>) {
        let charge = &step.call.charges[index];
        let Some(mut counter) = step.counter(index) else {
            return (false, charge.op.changes().then(|| charge.stand_in()));
        };
        let holder = Holder { until: self.was.until.min(ends), ..self.was };
        let was_open = holds && counter.end_hold(holder);
        let charged = charge.op.changes().then(|| counter.ask(charge.op, Overrun::Count, self.was));
        (was_open, charged)
    }
}

fn unknown(at: Timestamp) -> Settled {
    Settled { at, before: Before::Unknown, began: at, until: None, parts: Vec::new() }
}

impl Record {
    /// Of what nobody reserved. All of it is still to be paid.
    fn after_the_fact(call: Settle<'_>, at: Timestamp) -> Self {
        let charges: Vec<Charge<'_>> =
            call.otherwise.iter().map(|charge| Charge { op: NOTHING, ..*charge }).collect();
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
            (part.paid, part.held) = (*due, Perhaps::of(*held));
            if then == Then::Released {
                (part.held, part.taken) = (Perhaps::NONE, 0);
            }
        }
    }
}

impl RecordedPart {
    /// What was settled of it: so much is paid in all, now that `charge` has come to `outcome`.
    fn settled(&self, paid: u64, charge: &Charge<'_>, outcome: Outcome) -> Part {
        let charged = match charge.op {
            Op::Take { charge, .. } => charge,
            Op::GiveBack { .. } | Op::Set { .. } | Op::Clear | Op::Hold { .. } => 0,
        };
        Part {
            key: charge.key,
            limit: charge.overflow,
            memo: self.memo,
            unit: self.unit,
            number: charge.rule.number,
            granted: self.granted,
            paid,
            charged,
            outcome,
        }
    }

    /// Whether its period, which is over, covers all that was granted, of a reservation that lapsed at `until` or will. It
    /// does if nobody else could have had that room by then. By what was last done to the reservation:
    ///
    /// | last | covered of what is due |
    /// |------|------------------------|
    /// | it was reserved or went on, and was held to the end of the period, whenever it lapsed since | what was granted |
    /// | the same, and it went on since | what was granted, still |
    /// | it lapsed before the end | what was paid by then: others could have had the rest |
    /// | the same, and it went on since | the same: what it holds since is room of no earlier period |
    /// | it went on after it had lapsed, and found no room before the end | what was paid by then |
    /// | it was released, before the end or after | what was paid by then: it had let go of the rest |
    /// | nothing was held | what was paid, if that was spent at once |
    /// | it was settled | nothing more is due |
    fn is_covered(&self, until: Timestamp) -> bool {
        self.held != Perhaps::NONE && until >= self.ends
    }

    /// What is charged now, when `due` is due in all: all that is not paid. Once its period is over and covers what was
    /// granted, only what is beyond that.
    fn due_now(&self, due: u64, (at, until): (Timestamp, Timestamp)) -> u64 {
        let is_covered = self.is_closed(at) && self.is_covered(until);
        due.saturating_sub(if is_covered { self.paid.max(self.granted) } else { self.paid })
    }

    /// What is done to its counter at `at` when `due` is due in all, of a reservation that lapsed at `until` or will.
    fn charge(
        &self,
        due: u64,
        before: Before,
        then: Then,
        (at, until): (Timestamp, Timestamp),
    ) -> Charge<'_> {
        let gives_back = then == Then::Released && matches!(before, Before::Held | Before::Late);
        let op = if gives_back && !self.is_closed(at) {
            Op::GiveBack { units: self.taken }
        } else {
            Op::Take { room: 0, charge: self.due_now(due, (at, until)) }
        };
        Charge {
            key: self.key.get(),
            overflow: self.limit.get(),
            rule: self.rule(),
            op,
            binding: Binding::Counted,
            on_error: self.on_error,
            freed_by: self.freed_by,
            unit: self.unit,
            memo: self.memo,
        }
    }
}
