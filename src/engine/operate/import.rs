//! Takes over what was used elsewhere: sets what is used now, so that nobody gets a second quota in the middle of a month.

use std::sync::Arc;

use crate::limits::Entry;

use super::error::OperateError;

/// The most rows of an [`Import`].
pub const MOST_ROWS: usize = 1000;

/// Set what is used.
#[derive(Clone, Debug)]
pub struct Import<'a> {
    /// Of which domain; may be `None` where there is one.
    pub domain: Option<&'a [u8]>,
    /// Whose, of which limits, up to [`MOST_ROWS`].
    pub rows: Vec<ImportRow<'a>>,
    /// Whether it is done.
    pub mode: ImportMode,
    /// Why; may be empty.
    pub reason: &'a str,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMode {
    /// It is said what would be.
    Rehearsed,
    /// It is done, if no row is wrong.
    Done,
}

/// What one subject has used of one limit.
#[derive(Clone, Debug)]
pub struct ImportRow<'a> {
    /// Whose, by the keys that the limit is kept by.
    pub subject: Vec<Entry<'a>>,
    /// The limit.
    pub limit: &'a [u8],
    /// How much is used now: a whole number, or of money dollars as in `4.20`.
    pub used: &'a [u8],
}

/// What became of an [`Import`].
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// One a row, in their order. If any is wrong, nothing was done.
    pub rows: Vec<Result<RowImported, OperateError>>,
    /// The number of the record that says so; `None` if nothing was done.
    pub version: Option<u64>,
}

/// What became of a row, or would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowImported {
    /// The limit.
    pub limit: Arc<str>,
    /// What was used before.
    pub before: u64,
    /// What is used, or would be.
    pub after: u64,
}
