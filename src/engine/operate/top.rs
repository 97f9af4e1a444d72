//! Who asks a limit the most.

use crate::clock::Timestamp;

/// Who asks this limit the most?
#[derive(Clone, Copy, Debug)]
pub struct TopOf<'a> {
    /// Of which domain; may be `None` where there is one.
    pub domain: Option<&'a [u8]>,
    /// The limit.
    pub limit: &'a [u8],
    /// How many at most; `None` for ten.
    pub most: Option<usize>,
}

/// Who asks a limit the most, as one instance has sampled it.
#[derive(Clone, Debug, PartialEq)]
pub struct TopConsumers {
    /// The domain.
    pub domain: Box<str>,
    /// The limit.
    pub limit: Box<str>,
    /// Since when it is counted.
    pub since: Timestamp,
    /// One in so many calls is looked at.
    pub one_in: u64,
    /// The most busy first.
    pub consumers: Vec<Consumer>,
}

/// A key and a value of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPart {
    /// Such as `user`.
    pub key: Box<[u8]>,
    /// Any bytes.
    pub value: Box<[u8]>,
}

/// A subject that asks much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Who it is, as calls bring it.
    pub subject: Vec<SubjectPart>,
    /// How many calls that is, about.
    pub calls: u64,
    /// By how many that may be too many, beside what sampling misses.
    pub over_by: u64,
}
