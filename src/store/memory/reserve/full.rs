//! What is done when no more reservations can be kept.

use crate::clock::Timestamp;
use crate::store::memory::MemoryStore;
use crate::store::memory::step::{NOBODY, Step};
use crate::store::{Answer, Charge, Hold, Reserve, Reserved, StoreError};

use super::all_or_none;

pub(in crate::store::memory) fn full() -> StoreError {
    StoreError::Refused { code: "FULL".to_owned() }
}

impl MemoryStore {
    /// Spends what nobody can settle, since no record of it can be kept: it passes no limit that it would not pass.
    pub(super) fn spend(&self, call: Reserve<'_>, at: Timestamp) -> Result<Reserved, StoreError> {
        if call.charges.iter().any(|charge| charge.op.room().is_none()) {
            return Err(full());
        }
        let charges: Vec<Charge<'_>> =
            call.charges.iter().map(|charge| Charge { op: charge.op.spending(), ..*charge }).collect();
        let spent = all_or_none(&charges);
        let mut step = Step::begin(self, spent, at, NOBODY);
        let outcomes = step.all_or_none();
        let hold = if spent.is_refused(&outcomes) { Hold::Refused } else { Hold::Unheld };
        if hold == Hold::Unheld {
            self.write_down_expenses(call, at, step.round);
        }
        step.stand_up();
        Ok(Reserved { answer: Answer { at, outcomes, degraded: None }, hold })
    }
}
