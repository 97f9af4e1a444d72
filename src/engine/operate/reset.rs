//! Has the limits of one subject begin anew: all of them in one step of the store, so that nobody sees some cleared and
//! others not.

use std::sync::Arc;

use crate::engine::hold::LimitStanding;

use super::who::Who;

/// Have the limits of a subject begin anew.
#[derive(Clone, Debug, Default)]
pub struct ResetSubject<'a> {
    /// Whose.
    pub who: Who<'a>,
    /// Which; none means every rate, quota and budget. What was given out and is to be given back, and what is held, is
    /// cleared only of limits that are named.
    pub limits: Vec<&'a [u8]>,
    /// Why; may be empty.
    pub reason: &'a str,
}

/// What became of a [`ResetSubject`].
#[derive(Clone, Debug, PartialEq)]
pub struct SubjectReset {
    /// The domain.
    pub domain: Box<str>,
    /// How each limit stood that was cleared, in the order of the file.
    pub before: Vec<LimitStanding>,
    /// Limits of the subject that stay as they are since they are not named: what they count still exists.
    pub kept: Vec<Arc<str>>,
    /// The number of the record that says so.
    pub version: u64,
}
