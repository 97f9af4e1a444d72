//! Calls that Redis had no answer to: how many there were, and that answers were late, in the log.
//!
//! What becomes of such a call is decided elsewhere. Here nothing waits and nothing can fail, and calls may be many, so the
//! log is told once a minute at most.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Micros;
use crate::store::StoreError;

/// How often the log is told.
const TOLD_EVERY: Micros = Micros::from_secs(60);

/// The calls that had no answer.
#[derive(Debug, Default)]
pub(super) struct Unanswered {
    times: AtomicU64,
    /// From when on the log is told again, by the steady clock.
    quiet_until: AtomicU64,
}

impl Unanswered {
    /// One more at `now`, by the steady clock: `error` is why, and `patience` how long it was waited for.
    #[cold]
    pub(super) fn note(&self, error: &StoreError, patience: Duration, now: Micros) {
        let times = self.times.fetch_add(1, Ordering::Relaxed) + 1;
        // Whatever else there is to say of a Redis, its connections and the look at its configuration say.
        if *error == StoreError::Timeout && self.is_to_be_told(now) {
            tracing::warn!(
                times,
                "the store did not answer within {patience:?}: such calls go by on_error; \
                 TOLLGATE_STORE_TIMEOUT gives it longer"
            );
        }
    }

    /// How many there were.
    pub(super) fn times(&self) -> u64 {
        self.times.load(Ordering::Relaxed)
    }

    /// Whether answers were late within about a minute.
    pub(super) fn is_late(&self, now: Micros) -> bool {
        now.0 < self.quiet_until.load(Ordering::Relaxed)
    }

    /// Whether nobody has told the log within a minute; then whoever asks is to do it.
    fn is_to_be_told(&self, now: Micros) -> bool {
        let quiet_until = self.quiet_until.load(Ordering::Relaxed);
        let next = now.0.saturating_add(TOLD_EVERY.0);
        now.0 >= quiet_until
            && self
                .quiet_until
                .compare_exchange(quiet_until, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_answers_are_told_once_a_minute_and_all_are_counted() {
        let unanswered = Unanswered::default();
        let told =
            [0, 1, 59, 60, 61, 119, 120].map(|second| unanswered.is_to_be_told(Micros::from_secs(second)));
        assert_eq!(told, [true, false, false, true, false, false, true]);
        assert_eq!([179, 180].map(|second| unanswered.is_late(Micros::from_secs(second))), [true, false]);
        for error in [StoreError::Timeout, StoreError::Unavailable] {
            unanswered.note(&error, Duration::from_millis(10), Micros(0));
        }
        assert_eq!(unanswered.times(), 2);
    }
}
