//! A capacity: a count that only comes down when something is given back.
//!
//! **Bound.** At most N at any time. A counter that is told to `forget` starts anew once nothing was charged
//! to it or given back for that long.
//!
//! **Source.** The counting semaphore (Dijkstra, EWD 123, 1965), whose waiters are turned away instead of queued.

use crate::clock::{Micros, Timestamp};
use crate::limits::MAX_AMOUNT;

use super::Retry;
use super::counter::Counter;

/// What is taken of a capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Capacity {
    pub(super) used: u64,
    pub(super) touched: Timestamp,
}

impl Capacity {
    /// The instant from which the counter is as good as fresh; `None` if it never is by itself.
    pub fn idle_from(&self, forget: Option<Micros>) -> Option<Timestamp> {
        if self.used == 0 { Some(Timestamp(0)) } else { forget.map(|span| self.touched.plus(span)) }
    }

    /// With another amount, touched at `now`. Nothing is left of the past of what holds nothing.
    fn keep(&mut self, seen: Self, used: u64, now: Timestamp) -> Self {
        *self = if used == 0 { Self::default() } else { Self { used, touched: seen.touched.max(now) } };
        *self
    }
}

impl Counter<Option<Micros>> for Capacity {
    type Seen = Self;

    /// Starts anew if nobody touched it for as long as `forget` says.
    fn seen(&self, forget: Option<Micros>, now: Timestamp) -> Self {
        if self.idle_from(forget).is_some_and(|idle| now >= idle) { Self::default() } else { *self }
    }

    fn spent(&self, seen: Self) -> u64 {
        seen.used
    }

    fn freed_after(&self, _: Option<Micros>, _: Self, _: u64, _: Timestamp) -> Retry {
        Retry::Never
    }

    fn whole_at(&self, _: Option<Micros>, _: Self) -> Option<Timestamp> {
        None
    }

    fn add(&mut self, _: Option<Micros>, seen: Self, charge: u64, now: Timestamp) -> Self {
        self.keep(seen, seen.used.saturating_add(charge).min(MAX_AMOUNT), now)
    }

    fn give_back(&mut self, _: Option<Micros>, seen: Self, units: u64, now: Timestamp) -> Self {
        self.keep(seen, seen.used.saturating_sub(units), now)
    }
}
