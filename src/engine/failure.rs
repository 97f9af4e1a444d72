//! What is answered when the store cannot: every charge by its own limit's policy.
//!
//! The stores that can fail are wrapped so that they answer by policy themselves; this is the last line, so
//! that no failure of a store ever becomes an error to a caller who asks whether to begin.

use crate::clock::Timestamp;
use crate::store::{Admission, Answer, Call, Charge, Hold, Outcomes, Reserve, Reserved, Store, StoreError};

/// The store's outcomes, or those that stand in for them.
pub(super) async fn ask<S: Store>(store: &S, call: Call<'_>) -> (Timestamp, Outcomes) {
    match store.charge(call).await {
        Ok(answer) => (answer.at, answer.outcomes),
        Err(error) => {
            tracing::debug!(%error, "answered by policy");
            (Timestamp::default(), stand_ins(call.charges))
        }
    }
}

/// What the store holds, or what stands in for it.
pub(super) async fn reserve<S: Store>(store: &S, call: Reserve<'_>) -> Reserved {
    match store.reserve(call).await {
        Ok(reserved) => reserved,
        Err(error) => {
            tracing::debug!(%error, "answered by policy");
            by_policy(call.charges, error)
        }
    }
}

fn by_policy(charges: &[Charge<'_>], error: StoreError) -> Reserved {
    let outcomes = stand_ins(charges);
    let is_refused = Call { charges, admission: Admission::AllOrNone }.is_refused(&outcomes);
    let hold = if is_refused { Hold::Refused } else { Hold::Unheld };
    Reserved { answer: Answer { at: Timestamp::default(), outcomes, degraded: Some(error) }, hold }
}

fn stand_ins(charges: &[Charge<'_>]) -> Outcomes {
    charges.iter().map(Charge::stand_in).collect()
}
