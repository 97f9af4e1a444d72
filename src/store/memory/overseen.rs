//! What operators ask of the embedded store: all of it is done, or nothing. No policy answers for a counter that has no place,
//! and what newcomers share is not theirs to set.

use crate::algorithm::Op;
use crate::limits::{CounterKey, OnError};
use crate::store::{Answer, Call, Charge, Mark, Marked, StoreError};

use super::step::Step;
use super::{MemoryStore, marks};

impl MemoryStore {
    /// Does all that `call` asks, now, and tells what the mark of this key says.
    ///
    /// # Errors
    ///
    /// [`StoreError::Refused`], if there is no place for a counter that is to be set. Nothing is done then.
    pub(super) fn oversee_now(
        &self,
        call: Call<'_>,
        mark: Option<CounterKey>,
    ) -> Result<(Answer, Option<Marked>), StoreError> {
        let own = call.charges.iter().map(|charge| Charge { on_error: OnError::Deny, ..*charge });
        let charges: Vec<Charge<'_>> = own.collect();
        let answer = Step::run_whole(self, Call { charges: &charges, ..call }, self.clock.now())?;
        let clearing = call.charges.iter().filter(|charge| charge.op == Op::Clear);
        let holds = clearing.map(|charge| CounterKey { id: marks::of_holds(charge.key.id), ..charge.key });
        let cleared: Vec<Mark> = holds.map(|key| Mark { key, value: 0 }).collect();
        self.marks.leave(&cleared, answer.at);
        let known = mark.and_then(|mark| self.marks.of(mark.id, answer.at));
        Ok((answer, known))
    }
}
