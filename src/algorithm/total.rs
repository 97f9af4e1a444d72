//! A capacity: a count that only comes down when something is given back.
//!
//! **Bound.** At most N at any time. A counter that is told to `forget` starts anew once nothing was charged
//! to it or given back for that long.
//!
//! **Source.** The counting semaphore (Dijkstra, EWD 123, 1965), whose waiters are turned away instead of queued.

use crate::clock::{Micros, Timestamp};
use crate::limits::MAX_AMOUNT;

/// What is taken of a capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Capacity {
    used: u64,
    touched: Timestamp,
}

impl Capacity {
    /// What is taken.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// Starts anew if nobody touched it for as long as `forget` says.
    pub fn advance(&mut self, forget: Option<Micros>, now: Timestamp) {
        if self.idle_from(forget).is_some_and(|idle| now >= idle) {
            *self = Self::default();
        }
    }

    /// Takes `charge` more.
    pub fn add(&mut self, charge: u64, now: Timestamp) {
        if charge > 0 {
            self.used = self.used.saturating_add(charge).min(MAX_AMOUNT);
            self.touched = self.touched.max(now);
        }
    }

    /// Gives `units` back, down to 0.
    pub fn give_back(&mut self, units: u64, now: Timestamp) {
        if units > 0 {
            self.used = self.used.saturating_sub(units);
            self.touched = self.touched.max(now);
        }
        if self.used == 0 {
            *self = Self::default();
        }
    }

    /// The instant from which the counter is as good as fresh; `None` if it never is by itself.
    pub fn idle_from(&self, forget: Option<Micros>) -> Option<Timestamp> {
        if self.used == 0 { Some(Timestamp(0)) } else { forget.map(|span| self.touched.plus(span)) }
    }
}
