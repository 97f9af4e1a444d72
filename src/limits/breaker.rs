//! Breakers: what stops all spending of a domain once a limit is reached, until somebody closes it or its time is over.
//!
//! One is kept beside the limit's own counter, for the same subject: a capacity in which the instant stands since when
//! it is open, and nothing while it is closed. Whoever finds the instant knows the rest. What is here is what such an
//! instant means; nothing here asks for the time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Micros, Timestamp};

use super::key::identity;
use super::number::Number;
use super::threshold::Percent;
use super::window::Window;
use super::{Domain, Limit, NativeDomain, RuleSet};

/// What a limit opens when its number is reached.
#[derive(Clone, Debug)]
pub struct Breaker {
    /// As [`Limit::identity`], of the breaker.
    pub identity: u128,
    /// Until when it stops all calls but probes: its instant is forgotten then.
    pub window: Window,
    /// How it closes by itself; `None` if somebody has to close it.
    pub reset: Option<Reset>,
    /// How often it was opened.
    pub tally: Arc<BreakerTally>,
}

/// How a breaker closes by itself: it is open for a while, and half-open for as long again. Then some calls pass as if
/// it was closed; if they reach the limit again it opens anew, and if they do not it closes.
#[derive(Clone, Debug)]
pub struct Reset {
    /// How long it is open.
    pub after: Micros,
    /// Which share of the calls are probes, that pass while it is half-open.
    pub probe: Percent,
    /// Until when it stops probes.
    pub window: Window,
}

/// Whether a breaker stops what spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Nothing.
    Closed,
    /// Everything.
    Open,
    /// Everything but probes.
    HalfOpen,
}

/// How a breaker is, and how it goes on if its limit is not reached again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerStanding {
    /// What it stops.
    pub state: BreakerState,
    /// Since when it is open; `None` if it is closed.
    pub since: Option<Timestamp>,
    /// From when on probes pass; `None` if it is closed, or only somebody's hand closes it.
    pub half_open_at: Option<Timestamp>,
    /// From when on all calls pass; `None` likewise.
    pub closes_at: Option<Timestamp>,
}

/// How often the breakers of one limit were opened by a charge, by whichever counts here.
#[derive(Debug, Default)]
pub struct BreakerTally {
    trips: AtomicU64,
    /// Of a limit that all share: until when it is open, as it was seen open and not closed since; 0 otherwise.
    open_until: AtomicU64,
}

/// How a breaker came to be closed that was open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Its time was over.
    ByItself,
    /// It was not: somebody closed it, here or beside another instance.
    ByHand,
}

impl Breaker {
    /// How much of it may be taken.
    pub const MOST: Number = Number::AtMost(1);

    /// Of the limit called so in that domain, open for so long if it closes by itself, with that share of probes.
    pub fn new(domain: &str, limit: &str, reset: Option<(Micros, Percent)>) -> Self {
        let reset =
            reset.map(|(after, probe)| Reset { after, probe, window: Window::Total { forget: Some(after) } });
        let forget = reset.as_ref().map(Reset::until_closed);
        Self {
            identity: identity(&[domain.as_bytes(), limit.as_bytes(), b"breaker"]),
            window: Window::Total { forget },
            reset,
            tally: Arc::default(),
        }
    }

    /// How it is at `now`, if it was opened at `since`.
    pub fn standing(&self, since: Option<Timestamp>, now: Timestamp) -> BreakerStanding {
        let Some(since) = since else { return BreakerStanding::CLOSED };
        let half_open_at = self.reset.as_ref().map(|reset| since.plus(reset.after));
        BreakerStanding {
            state: if half_open_at.is_some_and(|at| now >= at) {
                BreakerState::HalfOpen
            } else {
                BreakerState::Open
            },
            since: Some(since),
            half_open_at,
            closes_at: self.reset.as_ref().map(|reset| since.plus(reset.until_closed())),
        }
    }
}

impl Reset {
    /// How long it takes until it is closed.
    fn until_closed(&self) -> Micros {
        Micros(self.after.0.saturating_mul(2))
    }
}

impl BreakerStanding {
    /// Of one that was never opened, or has been closed.
    pub const CLOSED: Self =
        Self { state: BreakerState::Closed, since: None, half_open_at: None, closes_at: None };

    /// When more calls pass than now; `None` if all do, or time alone changes nothing.
    pub fn gives_way_at(&self) -> Option<Timestamp> {
        match self.state {
            BreakerState::Closed => None,
            BreakerState::Open => self.half_open_at,
            BreakerState::HalfOpen => self.closes_at,
        }
    }
}

impl BreakerState {
    /// As it is sent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl BreakerTally {
    /// Counts that one was opened by a charge.
    pub fn count(&self) {
        self.trips.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were.
    pub fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }

    /// Notes that the one that all share was seen open, and when it closes by itself, if ever.
    pub fn saw_open(&self, closes_at: Option<Timestamp>) {
        self.open_until.store(closes_at.map_or(u64::MAX, |at| at.0), Ordering::Relaxed);
    }

    /// Notes that it was seen closed at `at`. How that is news, if it is.
    pub fn saw_closed(&self, at: Timestamp) -> Option<Closing> {
        if self.open_until.load(Ordering::Relaxed) == 0 {
            return None;
        }
        match self.open_until.swap(0, Ordering::Relaxed) {
            0 => None,
            until if until <= at.0 => Some(Closing::ByItself),
            _ => Some(Closing::ByHand),
        }
    }

    /// Notes that a probe passed at `at`, as it does while it is half-open. Whether that tells news of its end.
    pub fn passed_probe(&self, at: Timestamp) -> Option<Closing> {
        let until = self.open_until.load(Ordering::Relaxed);
        if until <= at.0 { self.saw_closed(at) } else { None }
    }
}

impl RuleSet {
    /// The counts of every limit that opens breakers, with the names of its domain and its own, in their order.
    pub fn breaker_tallies(&self) -> Vec<(&str, &str, &BreakerTally)> {
        let tripping = self.native().flat_map(|domain| {
            let breakers = domain.limits.iter().filter_map(|limit| Some((limit, limit.breaker.as_ref()?)));
            breakers.map(|(limit, breaker)| (&*domain.name, &*limit.name, &*breaker.tally))
        });
        let mut found: Vec<_> = tripping.collect();
        found.sort_unstable_by_key(|(domain, limit, _)| (*domain, *limit));
        found
    }

    /// Goes on counting what was opened where `old` was.
    pub(super) fn go_on_tripping_from(&mut self, old: &Self) {
        let breakers =
            old.native().flat_map(|domain| &domain.limits).filter_map(|limit| limit.breaker.as_ref());
        let mut kept: HashMap<u128, &Arc<BreakerTally>> =
            breakers.map(|breaker| (breaker.identity, &breaker.tally)).collect();
        for domain in self.domains.values_mut() {
            let Domain::Native(domain) = domain else { continue };
            let NativeDomain { limits, .. } = Arc::make_mut(domain);
            for Limit { breaker, .. } in limits {
                if let Some(breaker) = breaker
                    && let Some(before) = kept.remove(&breaker.identity)
                {
                    breaker.tally = before.clone();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: Timestamp = Timestamp(1_795_262_400_000_000);
    const DELAY: Micros = Micros::from_secs(900);

    #[test]
    fn one_that_closes_by_itself_is_half_open_for_as_long_as_it_is_open() {
        let breaker = Breaker::new("shop", "stop", Some((DELAY, Percent(10))));
        let (half_open_at, closes_at) = (SINCE.plus(DELAY), SINCE.plus(DELAY).plus(DELAY));
        for (now, state, gives_way_at) in [
            (SINCE, BreakerState::Open, half_open_at),
            (Timestamp(half_open_at.0 - 1), BreakerState::Open, half_open_at),
            (half_open_at, BreakerState::HalfOpen, closes_at),
            (Timestamp(closes_at.0 - 1), BreakerState::HalfOpen, closes_at),
        ] {
            let standing = breaker.standing(Some(SINCE), now);
            assert_eq!((standing.state, standing.gives_way_at()), (state, Some(gives_way_at)));
            assert_eq!((standing.since, standing.closes_at), (Some(SINCE), Some(closes_at)));
        }
        assert_eq!(breaker.standing(None, SINCE), BreakerStanding::CLOSED);
    }

    #[test]
    fn one_that_waits_for_a_hand_never_gives_way() {
        let breaker = Breaker::new("shop", "stop", None);
        let standing = breaker.standing(Some(SINCE), Timestamp(u64::MAX));
        assert_eq!((standing.state, standing.gives_way_at()), (BreakerState::Open, None));
        assert_eq!(standing.closes_at, None);
    }

    #[test]
    fn what_is_seen_to_be_closed_is_news_once() {
        let (tally, early) = (BreakerTally::default(), Timestamp(SINCE.0 - 1));
        assert_eq!(tally.saw_closed(SINCE), None, "it never was open");
        for (closes_at, at, how) in [
            (Some(SINCE), SINCE, Closing::ByItself),
            (Some(SINCE), early, Closing::ByHand),
            (None, SINCE, Closing::ByHand),
        ] {
            tally.saw_open(closes_at);
            assert_eq!([tally.saw_closed(at), tally.saw_closed(at)], [Some(how), None]);
        }
    }

    #[test]
    fn a_probe_that_passes_tells_of_the_end_once_its_time_is_over() {
        let tally = BreakerTally::default();
        assert_eq!(tally.passed_probe(SINCE), None, "it never was open");
        tally.saw_open(Some(SINCE));
        let told = [SINCE.0 - 1, SINCE.0, SINCE.0 + 1].map(|at| tally.passed_probe(Timestamp(at)));
        assert_eq!(told, [None, Some(Closing::ByItself), None]);
        tally.saw_open(None);
        assert_eq!(tally.passed_probe(SINCE), None, "nothing but a hand closes it");
    }
}
