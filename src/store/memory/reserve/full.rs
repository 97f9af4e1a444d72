//! What is done when no more reservations can be kept.

use crate::algorithm::{Op, Share};
use crate::clock::Timestamp;
use crate::limits::Unit;
use crate::store::memory::records::{Perhaps, Record, RecordedPart, Records, Reservation};
use crate::store::memory::step::{NOBODY, Step};
use crate::store::memory::{MemoryStore, reserve::Few};
use crate::store::usage::Totals;
use crate::store::{Answer, Charge, Expense, Hold, Reserve, Reserved, StoreError};

use super::all_or_none;

pub(in crate::store::memory) fn full() -> StoreError {
    StoreError::Refused { code: "FULL".to_owned() }
}

impl MemoryStore {
    /// Spends at once what would be held: it passes no limit that it would not pass. A record of that is kept among
    /// `records` as long as there is a place, so that it is spent once however often it is asked, and a settle pays only
    /// what is beyond.
    pub(super) fn spend(
        &self,
        call: Reserve<'_>,
        records: &mut Records,
        at: Timestamp,
    ) -> Result<Reserved, StoreError> {
        if call.charges.iter().any(|charge| charge.op.room().is_none()) {
            return Err(full());
        }
        let charges: Few<Charge<'_>> =
            call.charges.iter().map(|charge| Charge { op: charge.op.spending(), ..*charge }).collect();
        let spent = all_or_none(&charges);
        let mut step = Step::new(self, spent, at, NOBODY);
        step.sit_down();
        let outcomes = step.all_or_none();
        let hold = if spent.is_refused(&outcomes) { Hold::Refused } else { Hold::Unheld };
        let degraded = step.wants_places();
        records.enter(step.round);
        if hold == Hold::Unheld {
            self.trails.spend(at, step.round, call.expenses);
            let expense = spent_at_once(call);
            if !expense.spending().is_nothing() {
                self.trails.spend(at, step.round, &[expense]);
            }
        }
        step.stand_up();
        if hold == Hold::Unheld && records.make_room_beside(self.records_a_shard, at) {
            records.insert(call.name.id, Record::spent(call, at));
        }
        Ok(Reserved { answer: Answer { at, outcomes, degraded }, hold })
    }
}

/// What `call` spends that it would have held. Several limits of one unit count the same usage.
fn spent_at_once(call: Reserve<'_>) -> Expense<'_> {
    let most = |unit| {
        let holds = call.charges.iter().filter(|charge| charge.unit == unit);
        let held = holds.filter(|charge| matches!(charge.op, Op::Hold { .. }));
        held.filter_map(|charge| charge.op.room()).max().unwrap_or(0)
    };
    Expense { about: call.about, tokens: most(Unit::Tokens), money: most(Unit::Money) }
}

impl Record {
    /// Of what was spent at once: all that would be held is paid.
    fn spent(call: Reserve<'_>, at: Timestamp) -> Self {
        let parts = RecordedPart::all_of(call.charges, Share::WHOLE, at);
        let Expense { tokens, money, .. } = spent_at_once(call);
        let paid = |part: RecordedPart| RecordedPart { held: Perhaps::NONE, paid: part.granted, ..part };
        Self {
            body: call.body,
            state: Reservation::Unheld,
            began: at,
            until: at,
            ttl: call.life.ttl,
            ends: Timestamp(u64::MAX),
            units: 0,
            kept_until: at.plus(call.life.keep),
            about: call.about.into(),
            totals: Totals::of(tokens, money, Vec::new()),
            parts: parts.into_iter().map(paid).collect(),
        }
    }
}
