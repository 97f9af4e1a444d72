//! Time: the only caller of the system clock.
//!
//! Everything else is told the time. Whoever owns a state owns its time: the memory store asks its
//! [`Clock`], the Redis script asks Redis. Nothing here sleeps or schedules.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A span of time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

/// An instant, in microseconds since the Unix epoch.
///
/// Fits a double exactly until the year 2255, which is what lets the Lua twin of an algorithm
/// agree with it to the microsecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Micros {
    /// A span of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// `span`, without what is shorter than a microsecond.
    pub fn of(span: Duration) -> Self {
        Self(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    }

    /// Whole seconds, rounded up: what a caller may wait for without coming back too early.
    pub const fn ceil_secs(self) -> u64 {
        self.0.div_ceil(1_000_000)
    }

    /// In the largest unit that divides it, as files write it: `15m`.
    pub fn in_short(self) -> String {
        let seconds = self.ceil_secs();
        let (unit, letter) = [(86_400, "d"), (3_600, "h"), (60, "m")]
            .into_iter()
            .find(|(unit, _)| seconds.is_multiple_of(*unit))
            .unwrap_or((1, "s"));
        format!("{}{letter}", seconds / unit)
    }
}

impl From<Micros> for Duration {
    fn from(span: Micros) -> Self {
        Self::from_micros(span.0)
    }
}

impl Timestamp {
    /// The instant `span` later.
    pub const fn plus(self, span: Micros) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The span since `earlier`, 0 if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Micros {
        Micros(self.0.saturating_sub(earlier.0))
    }
}

/// A source of time: the system's, or one that a test sets by hand.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's wall clock.
    System,
    /// Stands still until it is moved.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that stands at `start` until [`Clock::advance`] or [`Clock::set`] moves it.
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicU64::new(start.0)))
    }

    /// The time now.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
            }
            Self::Manual(micros) => Timestamp(micros.load(Ordering::Relaxed)),
        }
    }

    /// How long this process has had a steady clock: for spans within it, whatever becomes of the wall clock.
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    pub fn steady(&self) -> Micros {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        match self {
            Self::System => {
                let origin = *ORIGIN;
                Micros::of(Instant::now().saturating_duration_since(origin))
            }
            Self::Manual(micros) => Micros(micros.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock forward; the system clock is left alone.
    pub fn advance(&self, span: Micros) {
        if let Self::Manual(micros) = self {
            micros.fetch_add(span.0, Ordering::Relaxed);
        }
    }

    /// Sets a manual clock, backwards too; the system clock is left alone.
    pub fn set(&self, at: Timestamp) {
        if let Self::Manual(micros) = self {
            micros.store(at.0, Ordering::Relaxed);
        }
    }
}
