//! What is answered when the store cannot: every charge by its own limit's policy.
//!
//! The stores that can fail are wrapped so that they answer by policy themselves; this is the last line, so
//! that no failure of a store ever becomes an error to a caller who asks whether to begin.

use crate::clock::Timestamp;
use crate::store::{Admission, Answer, Call, Charge, Hold, Reserve, Reserved, Store, StoreError};

/// The store's answer, or what stands in for it.
pub(super) async fn ask<S: Store>(store: &S, call: Call<'_>) -> Answer {
    match store.charge(call).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::debug!(%error, "answered by policy");
            by_policy(call.charges, error)
        }
    }
}

/// What the store holds, or what stands in for it.
pub(super) async fn reserve<S: Store>(store: &S, call: Reserve<'_>) -> Reserved {
    match store.reserve(call).await {
        Ok(reserved) => reserved,
        Err(error) => {
            tracing::debug!(%error, "answered by policy");
            let answer = by_policy(call.charges, error);
            let asked = Call { charges: call.charges, admission: Admission::AllOrNone, expenses: &[] };
            let hold = if asked.is_refused(&answer.outcomes) { Hold::Refused } else { Hold::Unheld };
            Reserved { answer, hold }
        }
    }
}

fn by_policy(charges: &[Charge<'_>], error: StoreError) -> Answer {
    let outcomes = charges.iter().map(Charge::stand_in).collect();
    Answer { at: Timestamp::default(), outcomes, degraded: Some(error) }
}
