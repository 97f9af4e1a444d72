//! Limits that go by their policy, since the store has no answer: nobody knows how they stand, so nothing is said of it.

use crate::engine::hold::{Known, Reason};
use crate::limits::Window;
use crate::store::Answer;

use super::Settled;

impl Settled<'_> {
    /// What `answer` knows of its counter, which was asked for so much `room`.
    #[inline]
    pub(in crate::engine) fn known(&self, room: impl FnOnce(&Self) -> Option<u64>, answer: &Answer) -> Known {
        if answer.degraded.is_some() && self.is_unchecked(room(self), answer) {
            return Known::Nothing;
        }
        Known::Amounts
    }

    /// Whether it refused or passed by its policy. The size of a call needs no store.
    #[cold]
    fn is_unchecked(&self, room: Option<u64>, answer: &Answer) -> bool {
        let limit = self.touch.limit;
        match self.refusal() {
            Some(_) => Reason::of(self, room, answer) == Reason::StoreUnavailable,
            None => {
                self.touch.is_asked()
                    && limit.window != Window::Request
                    && answer.is_policy_of(limit.on_error, self.outcome.standing)
            }
        }
    }
}
