//! What operators ask of the store: in one step, and not answered by any limit's policy.

use crate::engine::Engine;
use crate::limits::CounterKey;
use crate::store::{Admission, Answer, Call, Charge, Marked, Store};

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
    ask_beside(engine, charges, None).await.map(|(answer, _)| answer)
}

/// The same, and what the mark of this key says.
///
/// # Errors
///
/// [`OperateError::Unavailable`].
pub(super) async fn ask_beside<S: Store>(
    engine: &Engine<S>,
    charges: &[Charge<'_>],
    mark: Option<CounterKey>,
) -> Result<(Answer, Option<Marked>), OperateError> {
    let call = Call { charges, admission: Admission::AllOrNone, expenses: &[] };
    engine.store.oversee(call, mark).await.map_err(OperateError::Unavailable)
}

/// Waits until all that is done outlives the process. To be asked last: whatever comes of it, it is done.
///
/// # Errors
///
/// [`OperateError::Unkept`].
pub(super) async fn keep<S: Store>(engine: &Engine<S>) -> Result<(), OperateError> {
    engine.store.flush().await.map_err(OperateError::Unkept)
}
