//! Why a journal recorded nothing, in words for whoever wanted it recorded.

use crate::store::ledger::LedgerError;

/// Why nothing was recorded, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError<E> {
    /// It is not to be, after what is set already.
    #[error("{0}")]
    Refused(E),
    /// The ledger does not take it.
    #[error("the audit cannot be written, and nothing is done without it: {0}")]
    Unwritten(LedgerError),
    /// The ledger has not said whether it takes it: the record may come to be there, and what it sets in force.
    #[error(
        "the audit does not say whether this was recorded, so it may come to be in force; read it again: {0}"
    )]
    Unknown(LedgerError),
    /// It is not known yet what is set.
    #[error(
        "the audit is not read to its end yet, and nothing is done without it; ask again once /readyz says that it is"
    )]
    Unread,
    /// Others were first, time after time.
    #[error("the audit is written to by too many at once; ask again")]
    Contended,
}
