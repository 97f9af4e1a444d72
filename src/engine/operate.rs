//! What operators look at and change: limits, what subjects have used of them, breakers.
//!
//! Types without any wire. Whatever is changed is on the record, with the reason, before it is answered; subjects by their hashes.

mod ask;
mod attempt;
mod audit;
mod breakers;
mod change;
mod error;
mod explain;
mod import;
mod list;
mod number;
mod plain;
mod record;
mod reset;
mod set_breaker;
mod set_number;
mod set_price;
mod set_tier;
mod stray;
mod tier;
mod top;
mod update;
mod usage;
mod who;

pub use attempt::Tried;
pub(super) use attempt::attempt;
pub use audit::{AuditPage, AuditQuery};
pub use error::{Mistake, Near, OperateError};
pub use explain::{ExplainCall, Explanation, Foreseen, PastRefusal, RefusedBy, RuleTouched};
pub use import::{Import, ImportMode, ImportRow, Imported, MOST_ROWS, RowImported};
pub use list::{AssignedTier, Listing, OwnNumber, PricePlaced};
pub use number::{InForce, LimitValue, Source};
pub use reset::{ResetSubject, SubjectReset};
pub use set_breaker::{BreakerError, BreakerOf, BreakerSet, BreakerStatus, SetBreaker, Setting};
pub use stray::Stray;
pub use tier::TierFrom;
pub use top::{Consumer, SubjectPart, TopConsumers, TopOf};
pub use update::{
    Caution, Change, ChangeTerms, LimitChanged, PriceChanged, Reach, SetPrice, SetTier, TierChanged,
    UpdateLimit,
};
pub use usage::{LimitUsage, SubjectUsage};
pub use who::Who;
pub(super) use who::{natives, subject_keys};

use std::sync::Arc;

use crate::audit::Actor;
use crate::store::Store;

use super::{Engine, Inspect};

/// What operators look at and change.
pub trait Operate: Inspect {
    /// Opens or closes a breaker.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, that it could not be recorded, and that the store did not answer: then it may or may
    /// not have been done.
    fn set_breaker(
        &self,
        actor: &Actor,
        request: SetBreaker<'_>,
    ) -> impl Future<Output = Result<BreakerSet, BreakerError>> + Send;

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

    /// Every limit on every tier, and all else that is set over the files.
    ///
    /// # Errors
    ///
    /// What is wrong with the request.
    fn list(&self, domain: Option<&[u8]>) -> Result<Listing, OperateError>;

    /// Changes how much a limit allows.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, and that the change could not be recorded: then nothing is changed.
    fn update(
        &self,
        actor: &Actor,
        request: UpdateLimit<'_>,
    ) -> impl Future<Output = Result<LimitChanged, OperateError>> + Send;

    /// Puts a subject on a tier.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, and that the change could not be recorded: then nothing is changed.
    fn set_tier(
        &self,
        actor: &Actor,
        request: SetTier<'_>,
    ) -> impl Future<Output = Result<TierChanged, OperateError>> + Send;

    /// Sets what tokens cost.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, and that the change could not be recorded: then nothing is changed.
    fn set_price(
        &self,
        actor: &Actor,
        request: SetPrice<'_>,
    ) -> impl Future<Output = Result<PriceChanged, OperateError>> + Send;

    /// Which limits a call would touch, and what they would say. Nothing is charged.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, and that the store did not answer.
    fn explain(
        &self,
        request: ExplainCall<'_>,
    ) -> impl Future<Output = Result<Explanation, OperateError>> + Send;

    /// Sets what subjects have used elsewhere, or says what that would change.
    ///
    /// # Errors
    ///
    /// What is wrong with the request as a whole, and that the store did not answer: then some of it may have been done, and
    /// it is to be asked again.
    fn import(
        &self,
        actor: &Actor,
        request: Import<'_>,
    ) -> impl Future<Output = Result<Imported, OperateError>> + Send;

    /// What was done.
    ///
    /// # Errors
    ///
    /// What is wrong with the query, and that the records cannot be read.
    fn audit(&self, query: AuditQuery<'_>) -> impl Future<Output = Result<AuditPage, OperateError>> + Send;

    /// Why the call that brought this id as its entry `request_id` was refused; `None` if that is not known, or no longer.
    fn refusal(&self, request_id: &[u8]) -> Option<PastRefusal>;

    /// Who asks a limit the most.
    ///
    /// # Errors
    ///
    /// What is wrong with the request.
    fn top(&self, request: TopOf<'_>) -> Result<TopConsumers, OperateError>;
}

impl<S: Store> Operate for Arc<Engine<S>> {
    async fn set_breaker(&self, actor: &Actor, request: SetBreaker<'_>) -> Result<BreakerSet, BreakerError> {
        breakers::set(self, actor, request).await
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

    fn list(&self, domain: Option<&[u8]>) -> Result<Listing, OperateError> {
        list::list(self, domain)
    }

    async fn update(&self, actor: &Actor, request: UpdateLimit<'_>) -> Result<LimitChanged, OperateError> {
        set_number::update(self, actor, &request).await
    }

    async fn set_tier(&self, actor: &Actor, request: SetTier<'_>) -> Result<TierChanged, OperateError> {
        set_tier::set_tier(self, actor, &request).await
    }

    async fn set_price(&self, actor: &Actor, request: SetPrice<'_>) -> Result<PriceChanged, OperateError> {
        set_price::set_price(self, actor, &request).await
    }

    async fn explain(&self, request: ExplainCall<'_>) -> Result<Explanation, OperateError> {
        explain::explain(self, &request).await
    }

    async fn import(&self, actor: &Actor, request: Import<'_>) -> Result<Imported, OperateError> {
        import::import(self, actor, &request).await
    }

    async fn audit(&self, query: AuditQuery<'_>) -> Result<AuditPage, OperateError> {
        audit::audit(self, &query).await
    }

    fn refusal(&self, request_id: &[u8]) -> Option<PastRefusal> {
        self.recent.find(request_id)
    }

    fn top(&self, request: TopOf<'_>) -> Result<TopConsumers, OperateError> {
        top::top(self, request)
    }
}
