//! What is asked of breakers, and what is answered.

use std::sync::Arc;

use crate::engine::hold::LimitStanding;
use crate::limits::{BreakerStanding, Entry};

use super::error::OperateError;

/// Which breaker.
#[derive(Clone, Debug)]
pub struct BreakerOf<'a> {
    /// Of which domain; may be `None` where there is one.
    pub domain: Option<&'a [u8]>,
    /// The name of its limit.
    pub limit: &'a [u8],
    /// For whom.
    pub subject: Vec<Entry<'a>>,
}

/// Open or close a breaker.
#[derive(Clone, Debug)]
pub struct SetBreaker<'a> {
    /// Which one.
    pub which: BreakerOf<'a>,
    /// What it is to be.
    pub to: Setting,
    /// Why.
    pub reason: &'a str,
}

/// What a breaker is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Open.
    Open,
    /// Closed.
    Closed,
    /// Closed, and what is used of its limit forgotten. What is held of it stays so.
    Cleared,
}

impl Setting {
    /// As the log writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Cleared => "cleared",
        }
    }
}

/// A breaker, and the limit that opens it.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerStatus {
    /// The domain.
    pub domain: Box<str>,
    /// How it is, or was.
    pub breaker: BreakerStanding,
    /// Where its limit stands: refused, if it has no room for one unit.
    pub standing: LimitStanding,
}

/// A breaker that was set.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerSet {
    /// How it was before, and where its limit stands now.
    pub before: BreakerStatus,
    /// The number of the record that says so.
    pub version: u64,
}

/// Why a breaker is not set, or not told of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BreakerError {
    /// Nobody could tell why it was done.
    #[error("reason: must not be empty")]
    NoReason,
    /// Several domains are configured.
    #[error("domain: must be given, there are several")]
    NoDomain,
    /// It is not configured, or has no breakers.
    #[error("domain: there is no domain '{0}' in a Tollgate file")]
    UnknownDomain(String),
    /// The domain has no such limit.
    #[error("limit: the domain has no limit '{0}'")]
    UnknownLimit(String),
    /// The limit opens none.
    #[error("limit: '{0}' has no breaker; write 'on_limit: trip' into it")]
    NoBreaker(Arc<str>),
    /// The limit is not kept for it.
    #[error("{key}: the limit is per {subjects}")]
    NotASubject {
        /// What was sent.
        key: String,
        /// What would be read.
        subjects: String,
    },
    /// It is for nobody.
    #[error("the limit is per {0}: say whose breaker it is")]
    NoSubject(String),
    /// What would be wrong with anything else that is asked.
    #[error(transparent)]
    Operate(#[from] OperateError),
}
