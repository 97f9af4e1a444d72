//! What operators look at and change: limits, what subjects have used of them, breakers.
//!
//! Types without any wire. Whatever is changed is in the log, with the reason, before it is answered. Subjects are not:
//! they are the callers'.

mod ask;
mod breakers;
mod error;
mod explain;
mod import;
mod list;
mod number;
mod reset;
mod top;
mod update;
mod usage;
mod who;

pub use error::{Mistake, Near, OperateError};
pub use explain::{ExplainCall, Explanation, Foreseen, PastRefusal, RefusedBy, RuleTouched};
pub use import::{Import, ImportMode, ImportRow, Imported, MOST_ROWS, RowImported};
pub use list::Listing;
pub use number::{InForce, LimitValue, Source};
pub use reset::{ResetSubject, SubjectReset};
pub use top::{Consumer, SubjectPart, TopConsumers, TopOf};
pub use update::{
    Caution, Change, ChangeTerms, LimitChanged, PriceChanged, Reach, SetPrice, SetTier, TierChanged,
    UpdateLimit,
};
pub use usage::{LimitUsage, SubjectUsage, TierFrom};
pub use who::Who;

use std::sync::Arc;

use crate::audit::Actor;
use crate::limits::{BreakerStanding, Entry};
use crate::store::{Store, StoreError};

use super::hold::LimitStanding;
use super::{Engine, Inspect};

/// What operators look at and change.
pub trait Operate: Inspect {
    /// Opens or closes a breaker. How it was before, and where its limit stands now.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, and that the store did not answer: then it may or may not have been done.
    fn set_breaker(
        &self,
        request: SetBreaker<'_>,
    ) -> impl Future<Output = Result<BreakerStatus, BreakerError>> + Send;

    /// How a breaker is.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, and that the store did not answer.
    fn breaker(
        &self,
        which: BreakerOf<'_>,
    ) -> impl Future<Output = Result<BreakerStatus, BreakerError>> + Send;

    /// How the breakers are that are the same for all, of one domain or of every one, in their order.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, and that the store did not answer.
    fn breakers(
        &self,
        domain: Option<&[u8]>,
    ) -> impl Future<Output = Result<Vec<BreakerStatus>, BreakerError>> + Send;

    /// Where all limits of a subject stand.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, and that the store did not answer.
    fn usage_of(&self, who: Who<'_>) -> impl Future<Output = Result<SubjectUsage, OperateError>> + Send;

    /// Has the limits of a subject begin anew, all in one step.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, and that the store did not answer: then it may or may not have been done.
    fn reset(
        &self,
        actor: &Actor,
        request: ResetSubject<'_>,
    ) -> impl Future<Output = Result<SubjectReset, OperateError>> + Send;
}

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

/// Why a breaker is not set, or not told of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BreakerError {
    /// Nobody could tell why it was done.
    #[error("reason: must not be empty")]
    NoReason,
    /// Nobody would read it.
    #[error("reason: is {0} bytes long; write at most 1024")]
    LongReason(usize),
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
    /// The store did not say whether it was done.
    #[error("the store does not answer ({0}); ask again")]
    Unavailable(StoreError),
}

impl<S: Store> Operate for Arc<Engine<S>> {
    async fn set_breaker(&self, request: SetBreaker<'_>) -> Result<BreakerStatus, BreakerError> {
        breakers::set(self, request).await
    }

    async fn breaker(&self, which: BreakerOf<'_>) -> Result<BreakerStatus, BreakerError> {
        breakers::look(self, &which).await
    }

    async fn breakers(&self, domain: Option<&[u8]>) -> Result<Vec<BreakerStatus>, BreakerError> {
        breakers::look_at_all(self, domain).await
    }

    async fn usage_of(&self, who: Who<'_>) -> Result<SubjectUsage, OperateError> {
        usage::usage_of(self, &who).await
    }

    async fn reset(&self, actor: &Actor, request: ResetSubject<'_>) -> Result<SubjectReset, OperateError> {
        reset::reset(self, actor, &request).await
    }
}
