//! Usage events: what was spent and what was refused, as operators read it.
//!
//! What is known when something is done is written down as JSON there and then; what the store adds comes in when it is
//! read. Nothing of a caller is in it but the name of a model: subjects are keyed hashes, and whoever asks for one brings
//! its value, which is hashed alike.

mod event;
mod object;
mod query;
mod sum;

use crate::limits::{KeySecret, Subject};

pub(in crate::engine) use object::Object;
pub use query::{InvalidUsageQuery, UnreadUsage, UsagePage, UsageQuery};

/// The keyed hash of the subject that has the `value` of `key`.
pub(in crate::engine) fn subject_hash(secret: KeySecret, key: &[u8], value: &[u8]) -> u128 {
    let parts = [Some((key, value))].into_iter().collect();
    Subject { parts }.hashed(secret).counter(0).id
}
