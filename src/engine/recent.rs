//! Calls that were refused of late, for whoever asks later why: only those that bring an id to ask by.
//!
//! Bounded: a newer one takes the place of the oldest. Nothing of a caller is kept but that id. Whoever decides waits for
//! nobody who looks: what is refused just then may not be remembered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

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
pub(super) struct RecentRefusals(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    /// How many were noted so far: the number of the next.
    noted: u64,
    /// The oldest first, with its number.
    ids: VecDeque<(u64, Arc<[u8]>)>,
    /// By id the last one, with its number.
    refusals: HashMap<Arc<[u8]>, (u64, PastRefusal)>,
}

impl RecentRefusals {
    /// Remembers why the call with the id `id` was refused.
    pub(super) fn note(&self, id: &[u8], refusal: PastRefusal) {
        if id.is_empty() || id.len() > MOST_ID_BYTES {
            return;
        }
        if let Some(mut recent) = self.0.try_lock() {
            recent.note(id.into(), refusal);
        }
    }

    /// Why the call with the id `id` was refused; the last one, if there were several.
    pub(super) fn find(&self, id: &[u8]) -> Option<PastRefusal> {
        self.0.lock().refusals.get(id).map(|(_, refusal)| refusal.clone())
    }
}

impl Recent {
    fn note(&mut self, id: Arc<[u8]>, refusal: PastRefusal) {
        if self.ids.len() == PLACES
            && let Some((number, oldest)) = self.ids.pop_front()
            && self.refusals.get(&oldest).is_some_and(|(last, _)| *last == number)
        {
            self.refusals.remove(&oldest);
        }
        self.ids.push_back((self.noted, id.clone()));
        self.refusals.insert(id, (self.noted, refusal));
        self.noted += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn refusal(at: u64) -> PastRefusal {
        PastRefusal { at: Timestamp(at), domain: "shop".into(), tier: "all".into(), limits: Vec::new() }
    }

    #[test]
    fn the_last_of_an_id_is_known_until_as_many_were_refused_since() {
        let recent = RecentRefusals::default();
        let at = |id: &str| recent.find(id.as_bytes()).map(|found| found.at.0);
        recent.note(b"a", refusal(1));
        recent.note(b"a", refusal(2));
        for other in 0..PLACES as u64 - 1 {
            recent.note(other.to_string().as_bytes(), refusal(other));
        }
        assert_eq!(at("a"), Some(2), "the place of the first is another's, and it is still there");
        recent.note(b"b", refusal(3));
        assert_eq!((at("a"), at("b")), (None, Some(3)));
        assert_eq!(recent.0.lock().refusals.len(), PLACES);
    }

    #[test]
    fn who_decides_does_not_wait_for_who_looks() {
        let recent = RecentRefusals::default();
        let looking = recent.0.lock();
        recent.note(b"a", refusal(1));
        drop(looking);
        assert_eq!(recent.find(b"a"), None);
    }
}
