//! The rule set in force: what is limited, for whom, by how much. Compiled once, then immutable but for the tallies
//! of what came of each limit.
//!
//! A value and nothing else: it knows no files, no wire, no store and no time of day. One request
//! reads one [`RuleSet`] from start to end; a reload swaps the whole set.

mod alerted;
mod basis;
mod breaker;
mod by_name;
mod describe;
mod entry;
mod handle;
mod key;
mod limit;
mod native;
mod number;
mod overlay;
mod own;
mod reference;
mod refusal;
mod route;
mod subject;
mod tally;
mod threshold;
mod under;
mod webhook;
mod window;
mod words;

use std::sync::Arc;

use crate::prices::PriceTable;

pub use alerted::{AlertTally, Alerted};
pub use basis::{Basis, Given, Lineage, Origin, TierOrAll};
pub use breaker::{Breaker, BreakerStanding, BreakerState, BreakerTally, Closing, Reset};
pub use by_name::ByName;
pub use describe::describe;
pub use entry::{Entries, Entry, subject_parts};
pub use handle::LimitsHandle;
pub use key::{CounterKey, KeyHasher, KeySecret, Whose, identity};
pub use limit::{Anchored, Estimate, Limit, LimitId, Mode, OnError, OnMissing, OnUnknown};
pub use native::{Headers, NativeDomain, OnTier, ResetForm, SendHeaders, TierId, Tiers};
pub use number::{MOST_LIMITS, Number};
pub use overlay::{ALL_TIERS, Overlay, Placed, SubjectId, Target, Value};
pub use own::{Assigned, OwnNumbers};
pub use reference::{
    Metadata, Node, PathValues, ReferenceDomain, ReferenceLimit, Rule, RulesByValue, Wildcard, WireUnit,
};
pub use refusal::{Refusal, Refusals};
pub use route::{Captures, InvalidPattern, Pattern, RouteId, Routes, Segment};
pub use subject::{Part, Subject, Subjects};
pub use tally::{Tallied, Tally, TallyLabels};
pub use threshold::{Percent, crossed};
pub use webhook::{InvalidWebhook, Scheme, Webhook};
pub use window::{Debt, Unit, Window, WireWindow};

pub use crate::money::MAX_AMOUNT;

/// Every domain that is configured, and the prices.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// By the name that requests carry.
    pub domains: ByName<Domain>,
    /// What tokens cost, in every domain.
    pub prices: PriceTable,
}

impl RuleSet {
    /// Whether any limit counts tokens or money.
    pub fn counts_usage(&self) -> bool {
        self.native().any(|domain| domain.limits.iter().any(|limit| limit.unit != Unit::Hits))
    }
}

/// The limits of one domain, in one of the two languages a file can be written in.
#[derive(Clone, Debug)]
pub enum Domain {
    /// Written as limits, tiers and routes.
    Native(Arc<NativeDomain>),
    /// Written for the reference service, matched and counted as it does.
    Reference(Arc<ReferenceDomain>),
}

impl RuleSet {
    /// The native domain that has a limit whose counters have this identity.
    pub fn domain_of(&self, identity: u128) -> Option<&NativeDomain> {
        self.domains.values().find_map(|domain| match domain {
            Domain::Native(domain) => domain.of_identity(identity).map(|_| &**domain),
            Domain::Reference(_) => None,
        })
    }
}
