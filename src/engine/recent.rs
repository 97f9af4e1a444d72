//! Calls that were refused of late, for whoever asks later why: only those that bring an id to ask by.
//!
//! Bounded: a newer one takes the place of the oldest. Nothing of a caller is kept but that id.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::operate::PastRefusal;

/// How many are remembered.
const PLACES: usize = 4096;
/// The longest id, in bytes: longer ones are not remembered.
const MOST_ID_BYTES: usize = 128;

/// The key of the entry that brings an id.
pub(super) const REQUEST_ID: &[u8] = b"request_id";

/// The last refusals with an id.
#[derive(Debug, Default)]
pub(super) struct RecentRefusals(Mutex<VecDeque<(Box<[u8]>, PastRefusal)>>);

impl RecentRefusals {
    /// Remembers why the call with the id `id` was refused.
    pub(super) fn note(&self, id: &[u8], refusal: PastRefusal) {
        if id.is_empty() || id.len() > MOST_ID_BYTES {
            return;
        }
        let mut recent = self.0.lock();
        if recent.len() == PLACES {
            recent.pop_front();
        }
        recent.push_back((id.into(), refusal));
    }

    /// Why the call with the id `id` was refused; the last one, if there were several.
    pub(super) fn find(&self, id: &[u8]) -> Option<PastRefusal> {
        let recent = self.0.lock();
        recent.iter().rev().find(|(known, _)| **known == *id).map(|(_, refusal)| refusal.clone())
    }
}
