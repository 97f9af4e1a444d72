//! Calls of those who learn the cost later: reserve, settle, release.
//!
//! A subject is read as one descriptor: it selects its limits as in a check, and they are charged in one step or not at
//! all. What cannot be known yet is held. The store keeps a record of what is held, so whoever settles brings a
//! [`Handle`] or the idempotency key. A refusal is an answer; errors are what a caller got wrong, and stores that do not
//! tell whether something was settled.

mod amounts;
mod answer;
mod estimate;
mod handle;
mod heard;
mod life;
mod name;
mod release;
mod request;
mod reserve;
mod settle;
mod settled;
mod settlements;
mod told;
mod unknown;

pub use amounts::Granted;
pub use answer::{
    Done, Known, LimitStanding, Reason, ReleaseAnswer, ReserveAnswer, Ruling, SettleAnswer, Timing,
};
pub use handle::Handle;
pub use request::{
    Amount, InvalidHold, InvalidUsage, Named, Partial, Progress, ReleaseRequest, ReserveRequest,
    SettleRequest, SubjectOf, UsageOf,
};
pub use settlements::{Counts, Ended, HoldEnd, Ratios, Spending};

use std::future::Future;
use std::sync::Arc;

use crate::limits::{Domain, NativeDomain, RuleSet};
use crate::prices::CostError;
use crate::store::{Store, StoreError};

use super::native::{Misnamed, Plan, misnamed};
use super::request::Descriptor;
use super::{Engine, Switch};

pub(super) use amounts::Amounts;
pub(super) use estimate::teach;
pub(super) use handle::{Kept, Seal};
pub(super) use life::{KEPT_SETTLED, keep, keep_after_the_fact};
pub(super) use name::{Names, of_usage};
pub(super) use request::Usage;
pub(super) use reserve::{Terms, take};
pub(super) use settle::standings;
pub(super) use settled::tell;
pub(super) use settlements::{Settlements, count, make};
pub(super) use told::{Told, asked};
pub(super) use unknown::Unknown;

/// The field of a request that says what is expected to be used.
const ESTIMATE: &str = "estimate";

/// What transports see of the engine, beside [`Check`](super::Check).
pub trait Hold: Clone + Send + Sync + 'static {
    /// Charges a call and holds what it will cost, all of it or nothing.
    ///
    /// # Errors
    ///
    /// What the caller got wrong. Nothing is charged then.
    fn reserve(
        &self,
        request: ReserveRequest<'_>,
    ) -> impl Future<Output = Result<ReserveAnswer, HoldError>> + Send;

    /// Charges what was used.
    ///
    /// # Errors
    ///
    /// What the caller got wrong, and that the store did not answer: then it is to be told again.
    fn settle(
        &self,
        request: SettleRequest<'_>,
    ) -> impl Future<Output = Result<SettleAnswer, HoldError>> + Send;

    /// Gives room back.
    ///
    /// # Errors
    ///
    /// What the caller got wrong, and that the store did not answer: then it is to be told again, unless it has no name.
    fn release(
        &self,
        request: ReleaseRequest<'_>,
    ) -> impl Future<Output = Result<ReleaseAnswer, HoldError>> + Send;

    /// Whether what was written as `handle` holds nothing of any domain but `domain`: what is no handle holds nothing.
    fn is_of(&self, handle: &[u8], domain: &[u8]) -> bool;
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// A field makes no sense.
    #[error(transparent)]
    Invalid(#[from] InvalidHold),
    /// The domain is not configured.
    #[error("subject.domain: there is no domain '{0}'")]
    UnknownDomain(String),
    /// The domain has no such limit.
    #[error("{field}: the domain has no limit '{name}'; write the name of one of its limits")]
    UnknownLimit {
        /// The field that names it.
        field: &'static str,
        /// What it names.
        name: String,
    },
    /// The domain has no such route.
    #[error(
        "subject.entries.route: the domain has no route '{0}'; write one as its file does, or send method and path"
    )]
    UnknownRoute(String),
    /// Nothing is known of the reservation.
    #[error(
        "reservation: nothing is known of it, or no longer; settle by subject and idempotency_key instead"
    )]
    UnknownReservation,
    /// The idempotency key stands for another call.
    #[error("idempotency_key: another call was made with it; use a fresh one for each call")]
    Conflict,
    /// The domain is one of the reference service's language.
    #[error(
        "subject.domain: '{0}' is written for the reference service; write it as a Tollgate file to hold anything"
    )]
    NotNative(String),
    /// What was used has no price, and nothing was held for it.
    #[error("used.model: {0}")]
    Unpriced(CostError),
    /// The limit takes nothing back.
    #[error("limit: '{0}' takes nothing back; write 'refundable: true' into it")]
    NotRefundable(String),
    /// The store did not say whether it was done.
    #[error("the store does not answer ({0}); ask again: what was done is not done twice")]
    Unavailable(StoreError),
    /// The store did not say whether it was done, and it has no name.
    #[error(
        "the store does not answer ({0}): it may have been done, and would be done twice; send an idempotency_key to ask again"
    )]
    Unsure(StoreError),
}

impl<S: Store> Hold for Arc<Engine<S>> {
    async fn reserve(&self, request: ReserveRequest<'_>) -> Result<ReserveAnswer, HoldError> {
        match self.settings.switch {
            Switch::On => reserve::reserve(self, &request).await,
            Switch::Off => Ok(ReserveAnswer::untouched(&request)),
        }
    }

    async fn settle(&self, request: SettleRequest<'_>) -> Result<SettleAnswer, HoldError> {
        match self.settings.switch {
            Switch::On => settle::settle(self, &request).await,
            Switch::Off => Ok(SettleAnswer::untouched()),
        }
    }

    async fn release(&self, request: ReleaseRequest<'_>) -> Result<ReleaseAnswer, HoldError> {
        match self.settings.switch {
            Switch::On => release::release(self, &request).await,
            Switch::Off => Ok(ReleaseAnswer::untouched()),
        }
    }

    fn is_of(&self, handle: &[u8], domain: &[u8]) -> bool {
        Handle::parse(handle).is_none_or(|handle| handle.is_of(self.store.key_secret(), domain))
    }
}

/// The domain called `name`.
fn native<'r>(rules: &'r RuleSet, name: &[u8]) -> Result<&'r NativeDomain, HoldError> {
    match rules.domains.get(name) {
        Some(Domain::Native(domain)) => Ok(domain),
        Some(Domain::Reference(_)) => Err(HoldError::NotNative(request::repeated(name))),
        None => Err(HoldError::UnknownDomain(request::repeated(name))),
    }
}

/// Refuses calls that name what `domain` does not have: they would pass without any limit.
fn refuse_misnamed(domain: &NativeDomain, descriptor: &Descriptor<'_>) -> Result<(), HoldError> {
    match misnamed(domain, descriptor) {
        Some(Misnamed::Limit(name)) => {
            Err(HoldError::UnknownLimit { field: "subject.entries.limit", name: request::repeated(name) })
        }
        Some(Misnamed::Route(name)) => Err(HoldError::UnknownRoute(request::repeated(name))),
        None => Ok(()),
    }
}

/// Refuses calls without the subject of a limit that must have one: what they charge would be charged to nobody.
fn refuse_unnamed(plan: &Plan<'_>) -> Result<(), InvalidHold> {
    match plan.unnamed() {
        Some(limit) => Err(InvalidHold::NoSubject(limit.needs())),
        None => Ok(()),
    }
}

/// The handle that was written as `text`.
fn handle(text: &[u8]) -> Result<Handle, HoldError> {
    Handle::parse(text).ok_or(HoldError::Invalid(InvalidHold::Reservation))
}
