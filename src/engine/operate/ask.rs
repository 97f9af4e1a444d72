//! What operators ask of the store: in one step, and not answered by any limit's policy.

use crate::engine::Engine;
use crate::store::{Admission, Answer, Call, Charge, Store};

use super::error::OperateError;

/// What the store says of `charges`, all done in one step, if it is the store that says it.
///
/// # Errors
///
/// [`OperateError::Unavailable`].
pub(super) async fn ask<S: Store>(
    engine: &Engine<S>,
    charges: &[Charge<'_>],
) -> Result<Answer, OperateError> {
    let call = Call { charges, admission: Admission::AllOrNone, expenses: &[] };
    let mut answer = engine.store.charge(call).await.map_err(OperateError::Unavailable)?;
    match answer.degraded.take() {
        Some(error) => Err(OperateError::Unavailable(error)),
        None => Ok(answer),
    }
}
