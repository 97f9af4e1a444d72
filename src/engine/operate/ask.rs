//! What operators ask of the store: in one step, and not answered by any limit's policy.

use crate::engine::Engine;
use crate::limits::CounterKey;
use crate::store::{Admission, Answer, Call, Charge, Store, StoreError};

use super::error::OperateError;

/// What the store says of `charges`, all done in one step, if it is the store that says it.
///
/// # Errors
///
/// [`OperateError::Unavailable`], and [`OperateError::Unkept`].
pub(super) async fn ask<S: Store>(
    engine: &Engine<S>,
    charges: &[Charge<'_>],
) -> Result<Answer, OperateError> {
    ask_beside(engine, charges, None).await.map(|(answer, _)| answer)
}

/// The same, and what the mark of this key says.
///
/// # Errors
///
/// [`OperateError::Unavailable`], and [`OperateError::Unkept`].
pub(super) async fn ask_beside<S: Store>(
    engine: &Engine<S>,
    charges: &[Charge<'_>],
    mark: Option<CounterKey>,
) -> Result<(Answer, Option<u32>), OperateError> {
    let call = Call { charges, admission: Admission::AllOrNone, expenses: &[] };
    engine.store.oversee(call, mark).await.map_err(of_store)
}

/// What whoever asked is told of `error`.
pub(super) fn of_store(error: StoreError) -> OperateError {
    match error {
        StoreError::Unkept(problem) => OperateError::Unkept(problem),
        error => OperateError::Unavailable(error),
    }
}
