//! What is answered when the store cannot: every charge by its own limit's policy.
//!
//! The stores that can fail are wrapped so that they answer by policy themselves; this is the last line, so
//! that no failure of a store ever becomes an error to a caller.

use crate::clock::Timestamp;
use crate::store::{Call, Charge, Outcomes, Store};

/// The store's outcomes, or those that stand in for them.
pub(super) async fn ask<S: Store>(store: &S, call: Call<'_>) -> (Timestamp, Outcomes) {
    match store.charge(call).await {
        Ok(answer) => (answer.at, answer.outcomes),
        Err(error) => {
            tracing::debug!(%error, "answered by policy");
            (Timestamp::default(), call.charges.iter().map(Charge::stand_in).collect())
        }
    }
}
