//! The token bucket, as the generic cell rate algorithm keeps it: one level that leaks.
//!
//! GCRA (ITU-T I.371, as a virtual scheduling or leaky bucket algorithm) with burst B, refilled with N every
//! W. The level starts at 0, a charge raises it, time lowers it by N/W; a charge fits while the level stays
//! within B.
//!
//! **Bound.** Any interval of length t admits at most B + N·t/W. The level is an integer of grains (2^20 a
//! hit or token, 1 a nano-USD), and what has leaked is rounded down, with the rate itself rounded towards 0
//! by a factor 1 − 2^−50. So rounding only ever refuses: each charge gives away less than one grain, a
//! millionth of a hit.
//!
//! Rust and Lua do the same operations on the same doubles in the same order and so agree exactly.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "levels and spans are whole, positive and below 2^53"
)]

use crate::clock::{Micros, Timestamp};
use crate::limits::{MAX_AMOUNT, Number, Window};

use super::Retry;

/// A level, as of an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bucket {
    /// In grains, a whole number.
    level: f64,
    /// In microseconds since the epoch.
    at: u64,
}

/// How a bucket leaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refill {
    /// Grains a microsecond; infinite where the limit is unlimited.
    pub rate: f64,
    /// Grains a unit.
    pub grain: f64,
}

/// Just below 1, by more than the rounding of the two operations that make a rate and the one that uses it.
const DOWNWARDS: f64 = 1.0 - 1.0 / (1_u64 << 50) as f64;

impl Refill {
    /// How a bucket of `window` leaks when its limit allows `number`.
    pub fn of(window: &Window, number: Number) -> Self {
        let Window::TokenBucket { length, grain, .. } = window else {
            return Self { rate: 0.0, grain: 1.0 };
        };
        let grain = *grain as f64;
        let rate = match number {
            Number::Unlimited => f64::INFINITY,
            Number::AtMost(most) => most as f64 * grain / length.0 as f64 * DOWNWARDS,
        };
        Self { rate, grain }
    }
}

impl Bucket {
    /// Lets leak what leaks until `now`.
    pub fn advance(&mut self, refill: &Refill, now: Timestamp) {
        if now.0 <= self.at {
            return;
        }
        let leaked = ((now.0 - self.at) as f64 * refill.rate).floor();
        self.level = if leaked >= self.level { 0.0 } else { self.level - leaked };
        self.at = now.0;
    }

    /// What is in the bucket, in units, rounded up.
    pub fn used(&self, refill: &Refill) -> u64 {
        (self.level / refill.grain).ceil() as u64
    }

    /// Raises the level by `charge` units.
    pub fn add(&mut self, refill: &Refill, charge: u64) {
        self.level = (self.level + charge as f64 * refill.grain).min(MAX_AMOUNT as f64);
    }

    /// Lowers the level by `units`, to 0 at most.
    pub fn give_back(&mut self, refill: &Refill, units: u64) {
        self.level = (self.level - units as f64 * refill.grain).max(0.0);
    }

    /// Until `excess` units of those in the bucket, rounded up, have leaked.
    pub fn freed_after(&self, refill: &Refill, excess: u64) -> Retry {
        let kept = (self.used(refill) - excess) as f64 * refill.grain;
        leaks_in(refill, self.level - kept).map_or(Retry::Never, Retry::After)
    }

    /// The instant at which the bucket is empty.
    pub fn idle_from(&self, refill: &Refill) -> Option<Timestamp> {
        leaks_in(refill, self.level).map(|span| Timestamp(self.at).plus(span))
    }
}

/// The shortest span in which `grains` leak; `None` if they never do.
fn leaks_in(refill: &Refill, grains: f64) -> Option<Micros> {
    if grains <= 0.0 {
        return Some(Micros(0));
    }
    if refill.rate <= 0.0 {
        return None;
    }
    let mut micros = (grains / refill.rate).ceil();
    while (micros * refill.rate).floor() < grains {
        micros += 1.0;
    }
    Some(Micros(micros as u64))
}
