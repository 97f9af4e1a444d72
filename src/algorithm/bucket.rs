//! The token bucket, as the generic cell rate algorithm keeps it: one level that leaks.
//!
//! GCRA with burst B, refilled with N every W. The level starts at 0, a charge raises it, time lowers it by N/W,
//! and a charge fits while the level stays within B.
//!
//! **Source.** ITU-T I.371, the generic cell rate algorithm in its form as a continuous-state leaky bucket.
//!
//! **Bound.** Any interval of length t admits at most B + N·t/W. The level is a whole number of units as of an
//! instant `at`. When a charge is made after k units have leaked, `at` moves on by k·W/N rounded up to a
//! microsecond, so time that is not yet worth a unit is kept and none is counted twice: the whole level is never
//! below that of the ideal bucket, and what the ideal bucket refuses is refused. A charge that is not made moves
//! nothing, so what it is told to wait is exact.
//!
//! Rust and Lua do the same operations on the same doubles and so agree exactly. Products below 2^53 are
//! exact and so are their quotients, rounded; beyond, both are shaded by 2^−50 towards refusing.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "amounts and spans are whole, positive and at most 2^53 when they are cast"
)]

use crate::clock::{Micros, Timestamp};
use crate::limits::{MAX_AMOUNT, Number, Window};

use super::Retry;
use super::counter::Counter;

/// A level, as of an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bucket {
    pub(super) level: u64,
    pub(super) at: Timestamp,
}

/// How a bucket leaks: `units` every `length` microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refill {
    /// A whole number.
    pub units: f64,
    /// In microseconds, a whole number.
    pub length: f64,
}

/// Products below this are exact.
const EXACT: f64 = (1_u64 << 53) as f64;
/// More than the rounding of a product and a quotient together.
const SHADE: f64 = 1.0 / (1_u64 << 50) as f64;
/// Longer than any span that is told: 142 years. Instants so far ahead are still exact doubles.
const ENDLESS: f64 = (1_u64 << 52) as f64;

impl Refill {
    /// How a bucket of `window` leaks when its limit allows `number`; at once when that is unlimited.
    pub fn of(window: &Window, number: Number) -> Self {
        let length = match window {
            Window::TokenBucket { length, .. } => length.0 as f64,
            _ => 1.0,
        };
        match number {
            Number::Unlimited => Self { units: MAX_AMOUNT as f64, length: 1.0 },
            Number::AtMost(most) => Self { units: most as f64, length },
        }
    }

    /// How many units leak in `span`, rounded down.
    fn leaked(&self, span: u64) -> f64 {
        let product = span as f64 * self.units;
        let shade = if product < EXACT { 1.0 } else { 1.0 - SHADE };
        (product / self.length * shade).floor()
    }

    /// How long `units` take to leak, in microseconds rounded up; infinite if nothing leaks.
    fn span(&self, units: u64) -> f64 {
        let product = units as f64 * self.length;
        let shade = if product < EXACT { 1.0 } else { 1.0 + SHADE };
        (product / self.units * shade).ceil()
    }
}

impl Bucket {
    /// The instant at which the bucket is empty; `None` if it never is.
    pub fn idle_from(&self, refill: Refill) -> Option<Timestamp> {
        self.leaked_at(refill, self.level)
    }

    /// Makes the level that of the instant by which it had leaked to it; nothing is left of an empty bucket's past.
    fn settle(&mut self, refill: Refill, leaked: u64, now: Timestamp) {
        if leaked == self.level {
            self.at = self.at.max(now);
        } else if leaked > 0 {
            self.at = self.at.plus(Micros(refill.span(leaked) as u64)).min(now);
        }
        self.level -= leaked;
    }

    /// The first instant by which `units` have leaked; `None` if they never do, or not in a lifetime.
    fn leaked_at(&self, refill: Refill, units: u64) -> Option<Timestamp> {
        if units == 0 {
            return Some(self.at);
        }
        let mut span = refill.span(units);
        if span >= ENDLESS {
            return None;
        }
        // Where products are inexact the two directions may differ by a little; a step is at least their shade.
        while refill.leaked(span as u64) < units as f64 {
            span += (span * SHADE * 2.0).floor().max(1.0);
        }
        Some(self.at.plus(Micros(span as u64)))
    }
}

/// Seen at an instant is what has leaked since the level was settled.
impl Counter<Refill> for Bucket {
    type Seen = u64;

    fn seen(&self, refill: Refill, now: Timestamp) -> u64 {
        if self.level == 0 {
            return 0;
        }
        let leaked = refill.leaked(now.since(self.at).0);
        if leaked >= self.level as f64 { self.level } else { leaked as u64 }
    }

    fn spent(&self, leaked: u64) -> u64 {
        self.level - leaked
    }

    fn freed_after(&self, refill: Refill, leaked: u64, excess: u64, now: Timestamp) -> Retry {
        self.leaked_at(refill, leaked + excess).map_or(Retry::Never, |at| Retry::After(at.since(now)))
    }

    fn whole_at(&self, refill: Refill, _: u64) -> Option<Timestamp> {
        self.idle_from(refill)
    }

    fn add(&mut self, refill: Refill, leaked: u64, charge: u64, now: Timestamp) -> u64 {
        self.settle(refill, leaked, now);
        self.level = self.level.saturating_add(charge).min(MAX_AMOUNT);
        0
    }

    fn give_back(&mut self, refill: Refill, leaked: u64, units: u64, now: Timestamp) -> u64 {
        self.settle(refill, leaked, now);
        self.level = self.level.saturating_sub(units);
        0
    }
}
