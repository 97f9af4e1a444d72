//! How a journal is, for operators.

use std::sync::Arc;

use crate::audit::{Break, Head};
use crate::limits::Overlay;

/// How a journal is.
#[derive(Clone, Debug, Default)]
pub struct JournalState {
    /// The last record.
    pub head: Head,
    /// What is set over the files.
    pub overlay: Arc<Overlay>,
    /// Whether it was read to its end since the start.
    pub is_read: bool,
    /// Why it cannot be read now, if it cannot.
    pub unread: Option<String>,
    /// Why the last record could not be written, if it could not, and since then nothing has shown that one can.
    pub unwritten: Option<String>,
    /// Where it is first broken.
    pub broken: Option<Break>,
    /// The last record that was there once and is no more.
    pub lost: Option<Head>,
}

impl JournalState {
    /// What is wrong with it; `None` if nothing is.
    pub fn problem(&self) -> Option<String> {
        if let Some(problem) = &self.unwritten {
            return Some(format!("cannot be written, so nothing can be changed: {problem}"));
        }
        match (&self.unread, self.lost, self.broken) {
            (Some(problem), ..) => {
                Some(format!("cannot be read, what others set is not in force: {problem}"))
            }
            (_, Some(lost), _) => {
                Some(format!("lost what was there up to record {} {}", lost.number, lost.hash))
            }
            (_, _, Some(broken)) => Some(format!("broken: {broken}; see 'tollgate audit verify'")),
            (None, None, None) if !self.is_read => {
                Some("not read to its end yet: what was set later is not in force".to_owned())
            }
            (None, None, None) => None,
        }
    }
}
