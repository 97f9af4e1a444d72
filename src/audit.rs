//! The audit: who did what to Tollgate, when and why, in a chain of records that nothing can be taken out of unseen.
//!
//! Whatever an admin does is a record before it is answered, and what is set over the files is the fold of the records:
//! nothing else is stored. A [`Ledger`](crate::store::Ledger) keeps their lines and knows nothing of them; the
//! [`Journal`] appends, reads what others have appended, and puts in force what comes of it. All but the journal is pure.
//! No value of a caller's subject may stand in a record, and no secret.

mod action;
mod actor;
mod chain;
mod event;
mod hash;
mod journal;
mod record;
mod set;
mod token_form;

pub use action::{Action, Outcome};
pub use actor::{Actor, Role};
pub use chain::{Break, Chain, Fault, Head, Step, Verification};
pub use event::{Attempt, Event, Set};
pub use hash::Hash;
pub use journal::{Appended, Asked, Journal, JournalError, JournalState, Page};
pub use record::{Record, SUBJECT_MEMBERS};
pub use set::subject_json;
pub use token_form::TokenForm;
