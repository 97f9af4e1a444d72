//! Marks: what is known of a subject beside its counters, for people who look at those. No decision goes by one.
//!
//! A mark is small, and bounded in number as the store is: it is forgotten once nobody has left it anew for [`KEPT`], and
//! where there is no room it may be forgotten sooner.

use crate::clock::Micros;
use crate::limits::CounterKey;

/// How long a mark is known.
pub const KEPT: Micros = Micros::from_secs(400 * 24 * 3600);

/// What is known of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Of whom: grouped as the counters of that subject are, and the name of none of them.
    pub key: CounterKey,
    /// What: below 2^31.
    pub value: u32,
}
