//! Marks: what is known of a subject beside its counters, for people who look at those. No decision goes by one.
//!
//! A mark is small, and forgotten once nobody has left it anew for [`KEPT`]. In memory there is room for so many, and the oldest
//! are forgotten sooner; in Redis they are as many as were left within that time, so whoever leaves them leaves few at a time.

use crate::clock::Micros;
use crate::limits::CounterKey;

/// How long a mark is known: longer than what is counted by the month.
pub const KEPT: Micros = Micros::from_secs(35 * 24 * 3600);

/// For how long a mark is recent: whoever leaves marks leaves each anew within that time, and often, while what it says is so.
pub const RECENT: Micros = Micros::from_secs(3600);

/// What is known of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Of whom: grouped as the counters of that subject are, and the name of none of them.
    pub key: CounterKey,
    /// What: below 2^31.
    pub value: u32,
}

/// What a mark was found to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// As [`Mark::value`].
    pub value: u32,
    /// How old it is.
    pub age: MarkAge,
}

/// How old a mark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkAge {
    /// It was left within [`RECENT`].
    Recent,
    /// It was left before, and may not be so any more.
    Old,
}
