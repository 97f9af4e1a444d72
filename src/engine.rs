//! Meaning: which limits a call touches, whether it may pass, and what its answer says.
//!
//! The engine reads one rule set, builds the charges of a call, hands them to the store in one step and turns
//! the outcomes into a [`Decision`]. It knows no wire, no file and no clock. Over limit is a value here, never
//! an error.

mod breaker;
mod decision;
mod draws;
mod failure;
mod hold;
mod insist;
mod inspect;
mod memo;
mod native;
mod odd;
mod operate;
mod recent;
mod reference;
mod request;
mod seen;
mod text;
mod top;
mod unclaimed;
mod unpriced;
mod usage;
mod watch;

pub use decision::{
    AddedHeaders, Code, CurrentLimit, Decision, DescriptorStatus, Header, HeaderValue, Statuses,
};
pub use hold::{
    Amount, Counts, Done, Ended, Granted, Handle, Hold, HoldEnd, HoldError, InvalidHold, InvalidUsage, Known,
    LimitStanding, Named, Partial, Progress, Ratios, Reason, ReleaseAnswer, ReleaseRequest, ReserveAnswer,
    ReserveRequest, Ruling, SettleAnswer, SettleRequest, Spending, SubjectOf, Timing, UsageOf,
};
pub use inspect::Inspect;
pub use odd::Odd;
pub use operate::{
    AssignedTier, AuditPage, AuditQuery, BreakerError, BreakerOf, BreakerSet, BreakerStatus, Caution, Change,
    ChangeTerms, Consumer, ExplainCall, Explanation, Foreseen, Import, ImportMode, ImportRow, Imported,
    InForce, LimitChanged, LimitUsage, LimitValue, Listing, MOST_ROWS, Mistake, Near, Operate, OperateError,
    OwnNumber, PastRefusal, PriceChanged, PricePlaced, Reach, RefusedBy, ResetSubject, RowImported,
    RuleTouched, SetBreaker, SetPrice, SetTier, Setting, Source, Stray, SubjectPart, SubjectReset,
    SubjectUsage, TierChanged, TierFrom, TopConsumers, TopOf, Tried, UpdateLimit, Who,
};
pub use request::{CheckRequest, Descriptor, Direction, InvalidRequest, Override};
pub use text::Text;
pub use unclaimed::Unclaimed;
pub use usage::{InvalidUsageQuery, UnreadUsage, UsagePage, UsageQuery};

use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::alerts::Alerts;
use crate::audit::Journal;
use crate::estimates::Estimates;
use crate::limits::{Domain, KeySecret, LimitsHandle};
use crate::store::{Lanes, Store};

use draws::Draws;
use hold::{Names, Settlements};
use insist::Insisted;
use odd::Oddities;
use recent::RecentRefusals;
use seen::SeenTiers;
use top::{Sampler, TopSketches};

/// What transports see of the engine.
pub trait Check: Clone + Send + Sync + 'static {
    /// Decides whether a call may pass, and charges it.
    ///
    /// # Errors
    ///
    /// Only for what an operator's Envoy configuration gets wrong; see [`InvalidRequest`].
    fn check(
        &self,
        request: CheckRequest<'_>,
    ) -> impl Future<Output = Result<Decision, InvalidRequest>> + Send;
}

/// How an engine decides, apart from the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineSettings {
    /// Whether anything is decided at all. Default: yes.
    pub switch: Switch,
    /// Whether refusals are carried out. Default: yes.
    pub enforcement: Enforcement,
    /// Which holds a call at its end may settle. Default: any that it knows.
    pub settling: Settling,
    /// How reference domains answer.
    pub reference: ReferenceSettings,
}

/// Whether anything is decided at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Switch {
    /// Every call is decided.
    #[default]
    On,
    /// Every call passes, nothing is counted (`RATE_LIMIT_ENABLED=false`).
    Off,
}

/// Whether refusals are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// They are.
    #[default]
    Enforced,
    /// Every call passes as a whole; statuses still say which limit would have refused (`SHADOW_MODE=true`).
    Shadow,
}

/// Which holds a call at its end may settle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Settling {
    /// Any that it knows.
    #[default]
    Any,
    /// Those of its own domain: callers of others are not trusted.
    OfOwnDomain,
}

/// How reference domains answer, by the reference's own settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferenceSettings {
    /// `QUOTA_MODE`: every rule is a quota rule.
    pub all_quota: bool,
    /// `STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT`: once a limit is over, only those that are over are counted.
    pub stop_when_over: bool,
    /// `RESPONSE_DYNAMIC_METADATA`: answers carry the request and the metadata of the rules that passed.
    pub dynamic_metadata: bool,
    /// `LIMIT_RESPONSE_HEADERS_ENABLED` and the three names; `None` sends no headers.
    pub headers: Option<HeaderNames>,
}

/// The names of the three headers of reference domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderNames {
    /// `LIMIT_LIMIT_HEADER`.
    pub limit: Text,
    /// `LIMIT_REMAINING_HEADER`.
    pub remaining: Text,
    /// `LIMIT_RESET_HEADER`.
    pub reset: Text,
}

impl Default for HeaderNames {
    fn default() -> Self {
        Self {
            limit: "RateLimit-Limit".into(),
            remaining: "RateLimit-Remaining".into(),
            reset: "RateLimit-Reset".into(),
        }
    }
}

/// Decides calls by the rules in force, over one store.
#[derive(Debug)]
pub struct Engine<S> {
    limits: LimitsHandle,
    store: S,
    settings: EngineSettings,
    names: Names,
    draws: Draws,
    alerts: Option<Alerts>,
    journal: Option<Journal>,
    estimates: Arc<Mutex<Estimates>>,
    oddities: Arc<Oddities>,
    unpriced: Arc<unpriced::News>,
    settlements: Arc<Settlements>,
    insisted: Arc<Insisted>,
    seen: Arc<SeenTiers>,
    recent: Arc<RecentRefusals>,
    sampler: Sampler,
    top: Arc<TopSketches>,
}

impl<S: Store> Engine<S> {
    /// An engine that decides by the rules `limits` holds, over `store`.
    pub fn new(limits: LimitsHandle, store: S, settings: EngineSettings) -> Self {
        let (names, draws) = (Names::new(KeySecret::random()), Draws::new(KeySecret::random()));
        let (estimates, oddities, unpriced) = (Arc::default(), Arc::default(), Arc::default());
        Self {
            limits,
            store,
            settings,
            names,
            draws,
            alerts: None,
            journal: None,
            estimates,
            oddities,
            unpriced,
            settlements: Arc::default(),
            insisted: Arc::default(),
            seen: Arc::default(),
            recent: Arc::default(),
            sampler: Sampler::default(),
            top: Arc::default(),
        }
    }

    /// The same, with somebody to tell when limits come near their numbers.
    pub fn telling(self, alerts: Alerts) -> Self {
        Self { alerts: Some(alerts), ..self }
    }

    /// The same, drawing by `secret` which calls are probes: with the same secret the same ones.
    pub fn drawing(self, secret: KeySecret) -> Self {
        Self { draws: Draws::new(secret), ..self }
    }

    /// The same, with somewhere to record what operators do. Without it they can change nothing that is recorded.
    pub fn recording(self, journal: Journal) -> Self {
        Self { journal: Some(journal), ..self }
    }

    /// Where it is recorded what operators do.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// The store, for those who ask whether it is ready.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The rules in force.
    pub fn limits(&self) -> &LimitsHandle {
        &self.limits
    }
}

impl<S: Lanes> Engine<S> {
    /// An engine for another thread: the same rules and counters, which it reaches in its own way; see
    /// [`Lanes::lane`].
    pub fn lane(&self) -> Self {
        Self {
            alerts: self.alerts.clone(),
            estimates: self.estimates.clone(),
            oddities: self.oddities.clone(),
            unpriced: self.unpriced.clone(),
            settlements: self.settlements.clone(),
            insisted: self.insisted.clone(),
            seen: self.seen.clone(),
            recent: self.recent.clone(),
            top: self.top.clone(),
            ..Self::new(self.limits.clone(), self.store.lane(), self.settings.clone())
        }
    }
}

impl<S: Store> Check for Arc<Engine<S>> {
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn keeps its arguments twice while it waits, a block once"
    )]
    fn check(
        &self,
        request: CheckRequest<'_>,
    ) -> impl Future<Output = Result<Decision, InvalidRequest>> + Send {
        async move {
            if self.settings.switch == Switch::Off {
                return Ok(Decision::pass(request.descriptors.len()));
            }
            request.validate()?;
            let rules = self.limits.in_force();
            match rules.domains.get(request.domain) {
                None => Ok(Decision::pass(request.descriptors.len())),
                Some(Domain::Native(domain)) => native::check(self, &rules, domain, &request).await,
                Some(Domain::Reference(domain)) => Ok(reference::check(self, domain, &request).await),
            }
        }
    }
}
