//! Fixed and calendar windows: one count that starts anew at every boundary.
//!
//! **Bound.** At most N between two boundaries, so at most 2·N in an interval of a period's length that
//! crosses one. Fixed windows are aligned to the Unix epoch, as the reference service's are; the boundaries
//! of calendar windows come from [`crate::calendar`].
//!
//! **Source.** The fixed window counter as the reference service, envoyproxy/ratelimit, keeps it in Redis: one
//! key for each start of a window. Here one state says which start it counts from.

use crate::clock::Timestamp;
use crate::limits::{MAX_AMOUNT, Window};

/// The count of one period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PeriodCount {
    start: Timestamp,
    used: u64,
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
            Window::Fixed { length } => {
                let start = Timestamp(at.0 - at.0 % length.0);
                Self { start, end: start.plus(*length) }
            }
            Window::Calendar(calendar) => {
                let [_, start, end, _] = calendar.boundaries(at);
                Self { start, end }
            }
            _ => Self { start: Timestamp(0), end: Timestamp(u64::MAX) },
        }
    }
}

impl PeriodCount {
    /// The first instant of the period that was last charged.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// What was charged in it.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Starts anew if `span` is a later period.
    pub fn advance(&mut self, span: Span) {
        if span.start > self.start {
            *self = Self { start: span.start, used: 0 };
        }
    }

    /// Counts `charge`.
    pub fn add(&mut self, charge: u64) {
        self.used = self.used.saturating_add(charge).min(MAX_AMOUNT);
    }

    /// Takes `units` off, down to 0.
    pub fn give_back(&mut self, units: u64) {
        self.used = self.used.saturating_sub(units);
    }
}
