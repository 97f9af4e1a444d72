//! Fixed and calendar windows: one count that starts anew at every boundary.
//!
//! **Bound.** At most N between two boundaries, so at most 2·N in an interval of a period's length that
//! crosses one. What is charged beyond N is forgotten with its period; where it is carried, see [`super::debt`]. Fixed windows are aligned to the Unix epoch, as the reference service's are; the boundaries
//! of calendar windows come from [`crate::calendar`].
//!
//! **Source.** The fixed window counter as the reference service, envoyproxy/ratelimit, keeps it in Redis: one
//! key for each start of a window. Here one state says at which end it stops counting.

use crate::clock::Timestamp;
use crate::limits::{MAX_AMOUNT, Window};

use super::Retry;
use super::counter::Counter;

/// The count of one period: of the one that ends at `end`. Time before that is taken to be in it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PeriodCount {
    pub(super) end: Timestamp,
    pub(super) used: u64,
}

/// A period: from its first instant to the first instant after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant of the next period.
    pub end: Timestamp,
}

impl Span {
    /// The period of `window` that holds `at`; all of time for windows without periods.
    pub fn holding(window: &Window, at: Timestamp) -> Self {
        match window {
            Window::Fixed { length, .. } => {
                let start = Timestamp(at.0 - at.0 % length.0);
                Self { start, end: start.plus(*length) }
            }
            Window::Calendar(calendar, _) => {
                let [start, end] = calendar.period_of(at);
                Self { start, end }
            }
            _ => Self { start: Timestamp(0), end: Timestamp(u64::MAX) },
        }
    }
}

impl PeriodCount {
    /// The instant from which the count is as good as fresh.
    pub fn idle_from(&self) -> Timestamp {
        self.end
    }

    fn keep(&mut self, seen: Self) -> Self {
        *self = seen;
        seen
    }
}

impl Counter<&Window> for PeriodCount {
    type Seen = Self;

    /// Starts anew in a later period. Boundaries are worked out only then: they cost more than all the rest.
    fn seen(&self, window: &Window, now: Timestamp) -> Self {
        if now < self.end { *self } else { Self { end: Span::holding(window, now).end, used: 0 } }
    }

    fn spent(&self, seen: Self) -> u64 {
        seen.used
    }

    fn freed_after(&self, _: &Window, seen: Self, _: u64, now: Timestamp) -> Retry {
        Retry::After(seen.end.since(now))
    }

    fn whole_at(&self, _: &Window, seen: Self) -> Option<Timestamp> {
        Some(seen.end)
    }

    fn add(&mut self, _: &Window, seen: Self, charge: u64, _: Timestamp) -> Self {
        self.keep(Self { used: seen.used.saturating_add(charge).min(MAX_AMOUNT), ..seen })
    }

    fn give_back(&mut self, _: &Window, seen: Self, units: u64, _: Timestamp) -> Self {
        self.keep(Self { used: seen.used.saturating_sub(units), ..seen })
    }
}
