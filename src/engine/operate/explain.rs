//! Why: which rules a call would touch, and why a past one was refused. Nothing is charged by asking.

use crate::clock::{Micros, Timestamp};
use crate::engine::hold::{LimitStanding, Reason};
use crate::limits::Number;

use super::number::InForce;
use super::usage::TierFrom;
use super::who::Who;

/// Which rules would this call touch?
#[derive(Clone, Debug, Default)]
pub struct ExplainCall<'a> {
    /// The entries of its descriptor, and in which domain.
    pub who: Who<'a>,
    /// Its weight; `None` means 1.
    pub hits: Option<u64>,
}

/// What would come of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The domain.
    pub domain: Box<str>,
    /// The route that it takes, as written; `None` if it names its limit, or takes none.
    pub route: Option<Box<str>>,
    /// By whose numbers.
    pub tier: Box<str>,
    /// How that is known.
    pub tier_from: TierFrom,
    /// Whether it would pass.
    pub verdict: Foreseen,
    /// Every limit that it would touch, in the order of its descriptor.
    pub limits: Vec<RuleTouched>,
}

/// Whether a call would pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreseen {
    /// It would.
    Passes,
    /// It would not.
    Refused,
}

/// A limit that a call would touch.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleTouched {
    /// Where it stands before the call, and what it says of the call.
    pub standing: LimitStanding,
    /// How much it allows, and who says so.
    pub number: InForce,
    /// What the call asks of it: units.
    pub asks: u64,
}

/// A call that was refused, as far as it is remembered: nothing of its caller but what was asked by.
#[derive(Clone, Debug, PartialEq)]
pub struct PastRefusal {
    /// When.
    pub at: Timestamp,
    /// In which domain.
    pub domain: Box<str>,
    /// On which tier.
    pub tier: Box<str>,
    /// Every limit that refused it.
    pub limits: Vec<RefusedBy>,
}

/// A limit that refused a call.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedBy {
    /// Its name.
    pub limit: std::sync::Arc<str>,
    /// Why.
    pub reason: Reason,
    /// How much it allowed.
    pub number: Number,
    /// How much was used.
    pub used: u64,
    /// How much was held.
    pub held: u64,
    /// When to come back, from then on; `None` if waiting did not help.
    pub retry_after: Option<Micros>,
}
