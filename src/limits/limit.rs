//! A limit of a native domain: a named counter that forgets.

use std::sync::Arc;

use crate::clock::Micros;

use super::alerted::AlertTally;
use super::basis::Basis;
use super::breaker::Breaker;
use super::key::CounterKey;
use super::native::TierId;
use super::number::Number;
use super::own::OwnNumbers;
use super::subject::Subjects;
use super::tally::Tally;
use super::threshold::Percent;
use super::window::{Unit, Window, WireWindow};

/// Which limit of its domain, in file order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitId(pub usize);

/// A compiled limit.
#[derive(Clone, Debug)]
pub struct Limit {
    /// As configured, as shown to callers.
    pub name: Arc<str>,
    /// What makes its counters others' counters: domain, name and window. Never the tier or the number.
    pub identity: u128,
    /// What it counts.
    pub unit: Unit,
    /// When it forgets.
    pub window: Window,
    /// The window as Envoy's wire writes it.
    pub wire: WireWindow,
    /// Months and years as calls may begin them, by day of the month less one; empty for other windows.
    pub anchored: Vec<Anchored>,
    /// How much it allows on each tier of its domain.
    pub numbers: Vec<Number>,
    /// How much it allows single subjects, whatever their tier; `None` where it allows nobody a number of their own.
    pub own: Option<Arc<OwnNumbers>>,
    /// What the numbers come of.
    pub basis: Arc<Basis>,
    /// Whose counters it keeps.
    pub subjects: Arc<Subjects>,
    /// What happens when the subject is not among the entries.
    pub on_missing: OnMissing,
    /// What happens when the store cannot tell.
    pub on_error: OnError,
    /// Whether it refuses.
    pub mode: Mode,
    /// Whether hits may be given back.
    pub refundable: bool,
    /// What is due of a hold that ends without anybody telling what was used.
    pub on_unknown: OnUnknown,
    /// How long answers are thought to be of calls that it holds for.
    pub estimate: Estimate,
    /// How long what is held of it is held without being renewed, where the caller says nothing, and at most.
    pub lease: Option<Micros>,
    /// The longest time that a caller may ask for to hold of it without renewing that.
    pub max_ttl: Option<Micros>,
    /// How long what is held of it is held however often it is renewed, at most. Of a concurrent limit, its window says.
    pub max_age: Option<Micros>,
    /// The shares of its number that raise an alert when they are reached, from the least; empty for none.
    pub thresholds: Box<[Percent]>,
    /// What it opens when its number is reached, if it opens anything.
    pub breaker: Option<Breaker>,
    /// What became of its alerts.
    pub alerts: Arc<AlertTally>,
    /// What came of asking it, on each tier of its domain.
    pub tallies: Vec<Arc<Tally>>,
}

/// The window of a limit for calls that say themselves on which day of the month it begins.
#[derive(Clone, Debug)]
pub struct Anchored {
    /// When it forgets.
    pub window: Window,
    /// As [`Limit::identity`], of this window.
    pub identity: u128,
}

/// Whether a limit refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Refuses what is over.
    Enforced,
    /// Counted and reported, never refuses: a rule on trial.
    Shadow,
    /// Counted and alerted on, never refuses: a rule that is meant to be passed.
    Soft,
}

/// What happens when the subject of a limit is not among the entries of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissing {
    /// All such calls share one counter.
    Share,
    /// The limit does not apply.
    Skip,
    /// The call is refused.
    Refuse,
}

/// How long an answer is thought to be where nobody says, in tokens; `None` leaves it to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Of a model that too few calls are known of.
    pub output: Option<u64>,
    /// At most, whatever calls have used.
    pub max_output: Option<u64>,
}

/// What is due of a hold that ends without anybody telling what was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknown {
    /// What was held.
    Estimate,
    /// Nothing.
    Zero,
}

/// What a limit does when its store cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnError {
    /// Let pass, uncounted.
    Allow,
    /// Refuse.
    Deny,
    /// Decide from this instance's own memory, with this instance's share.
    Local,
}

impl Estimate {
    /// What it says, and of what it does not, what `other` says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { output: self.output.or(other.output), max_output: self.max_output.or(other.max_output) }
    }

    /// What both say for one call: as long an answer as any of them thinks, and no longer than all of them let it be.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let least = self.max_output.into_iter().chain(other.max_output).min();
        Self { output: self.output.max(other.output), max_output: least }
    }
}

impl OnError {
    /// The default for a limit that counts `unit` over `window`: rates stay enforced locally, held room
    /// is given, money and tokens are kept.
    pub const fn default_for(unit: Unit, window: &Window) -> Self {
        match (unit, window) {
            (Unit::Money | Unit::Tokens, _) => Self::Deny,
            (Unit::Hits, Window::Concurrent { .. } | Window::Total { .. }) => Self::Allow,
            (Unit::Hits, _) => Self::Local,
        }
    }
}

impl Limit {
    /// How much the limit allows on `tier` to whoever has no number of their own.
    pub fn number(&self, tier: TierId) -> Number {
        self.numbers[tier.0]
    }

    /// How much it allows whose counter has `key`, for `identity`, if they have a number of their own.
    pub fn own_number(&self, key: CounterKey, identity: u128) -> Option<Number> {
        self.own.as_ref()?.of(key, identity).map(|given| given.number)
    }

    /// How much it allows on `tier` whose counter has `key`, for `identity`.
    pub fn number_of(&self, tier: TierId, key: CounterKey, identity: u128) -> Number {
        self.own_number(key, identity).unwrap_or_else(|| self.number(tier))
    }

    /// The largest of what it allows on any tier and `reserved`, what it allowed on one that is gone.
    pub fn largest_since(&self, reserved: Number) -> Number {
        let allowed = self.numbers.iter().copied().chain([reserved]);
        allowed.max_by_key(|number| number.left_after(0)).unwrap_or(reserved)
    }

    /// The window and the identity for a call whose periods begin on the day of the month that `anchor` finds. `None`,
    /// and a day that no month has, are as configured.
    pub fn window_on(&self, anchor: impl FnOnce() -> Option<u8>) -> (&Window, u128) {
        let chosen = || self.anchored.get(usize::from(anchor()?).checked_sub(1)?);
        match (self.anchored.as_slice(), chosen) {
            ([], _) => (&self.window, self.identity),
            (_, chosen) => chosen()
                .map_or((&self.window, self.identity), |anchored| (&anchored.window, anchored.identity)),
        }
    }

    /// Whether room of it can be held and settled later: hits are charged at once, but those that are concurrent.
    pub const fn is_reserved(&self) -> bool {
        !matches!(self.unit, Unit::Hits) || matches!(self.window, Window::Concurrent { .. })
    }

    /// How long what is held of it is held at most without being renewed, if it says.
    pub fn longest_ttl(&self) -> Option<Micros> {
        self.lease.into_iter().chain(self.max_ttl).min()
    }

    /// How long what is held of it is held at most.
    pub const fn longest_hold(&self) -> Option<Micros> {
        match self.window {
            Window::Concurrent { max_age } => Some(max_age),
            _ => self.max_age,
        }
    }

    /// Whether hits can be given back to it.
    pub const fn takes_back(&self) -> bool {
        self.refundable || self.window.is_held()
    }
}
