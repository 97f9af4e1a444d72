//! What operators ask, by messages: the same for gRPC and for the JSON of HTTP.
//!
//! Each call says what it needs to be allowed before it looks at anything.

use crate::audit::{Action, Actor};
use crate::auth::{Gate, Refusal};
use crate::engine::{
    AuditQuery, BreakerOf, ExplainCall, Import, ImportMode, Operate, OperateError, Reach, ResetSubject,
    SetBreaker, SetPrice, SetTier, TopOf, Tried, UpdateLimit, Who,
};
use crate::transport::problem::Problem;

use super::super::proto::tollgate::v1 as wire;
use super::read::{self, entries, optional, terms, time_of};
use super::write;

/// What an answer is, or why there is none.
type Answer<A> = Result<A, Problem>;

/// What operators ask of `operate`, as far as `gate` lets them.
#[derive(Clone, Debug)]
pub(crate) struct AdminCalls<I> {
    pub(crate) operate: I,
    pub(crate) gate: Gate,
}

impl<I: Operate> AdminCalls<I> {
    /// Whether `actor` may do `action`; if not, what they tried is recorded.
    fn permit<'a>(
        &self,
        actor: &Actor,
        action: Action,
        tried: impl FnOnce() -> Tried<'a>,
    ) -> Result<(), Refusal> {
        self.gate.permit_to(actor, action, || self.operate.attempt(&tried()))
    }

    pub(super) async fn list_limits(
        &self,
        actor: Actor,
        message: wire::ListLimitsRequest,
    ) -> Answer<wire::ListLimitsResponse> {
        self.gate.permit(&actor, Action::ListLimits)?;
        let listing = self.operate.list(optional(&message.domain))?;
        Ok(write::listing(&listing))
    }

    pub(super) async fn update_limit(
        &self,
        actor: Actor,
        message: wire::UpdateLimitRequest,
    ) -> Answer<wire::UpdateLimitResponse> {
        let of = read::reach(&message)?;
        let action = match of {
            Reach::Tier(_) => Action::UpdateLimit,
            Reach::Subject(_) => Action::UpdateLimitOfSubject,
        };
        self.permit(&actor, action, || read::tried_update(&message))?;
        let changed = self.operate.update(
            &actor,
            UpdateLimit {
                domain: optional(&message.domain),
                limit: message.limit.as_bytes(),
                of,
                to: read::change(&message)?,
                until: time_of("until", message.until.as_ref())?,
                terms: terms(message.if_version, message.force, &message.reason),
            },
        );
        let changed = changed.await.map_err(in_a_map)?;
        Ok(write::limit_changed(&changed))
    }

    pub(super) async fn get_usage(
        &self,
        actor: Actor,
        message: wire::GetUsageRequest,
    ) -> Answer<wire::GetUsageResponse> {
        self.gate.permit(&actor, Action::GetUsage)?;
        let usage = self.operate.usage_of(read::who(message.subject.as_ref())).await?;
        Ok(write::usage(&usage))
    }

    pub(super) async fn reset_user(
        &self,
        actor: Actor,
        message: wire::ResetUserRequest,
    ) -> Answer<wire::ResetUserResponse> {
        let who = read::who(message.subject.as_ref());
        let action = if who.is_all() { Action::ResetAll } else { Action::ResetUser };
        self.permit(&actor, action, || Tried {
            who: who.clone(),
            limits: message.limits.iter().map(String::as_bytes).collect(),
            ..Tried::default()
        })?;
        let reset = self.operate.reset(
            &actor,
            ResetSubject {
                who,
                limits: message.limits.iter().map(String::as_bytes).collect(),
                reason: &message.reason,
            },
        );
        Ok(write::reset(&reset.await?))
    }

    pub(super) async fn set_tier(
        &self,
        actor: Actor,
        message: wire::SetTierRequest,
    ) -> Answer<wire::SetTierResponse> {
        let who = || Who { domain: optional(&message.domain), entries: entries(&message.subject) };
        self.permit(&actor, Action::SetTier, || Tried { who: who(), ..Tried::default() })?;
        let request = SetTier {
            who: who(),
            tier: read::tier(&message)?,
            until: time_of("until", message.until.as_ref())?,
            terms: terms(message.if_version, false, &message.reason),
        };
        let changed = self.operate.set_tier(&actor, request).await.map_err(in_a_map)?;
        Ok(write::tier_changed(&changed))
    }

    pub(super) async fn set_price(
        &self,
        actor: Actor,
        message: wire::SetPriceRequest,
    ) -> Answer<wire::SetPriceResponse> {
        let model = optional(&message.model);
        self.permit(&actor, Action::SetPrice, || Tried { model, ..Tried::default() })?;
        let request = SetPrice {
            model: message.model.as_bytes(),
            usd: read::prices(&message)?,
            from: time_of("effective_from", message.effective_from.as_ref())?,
            terms: terms(message.if_version, message.force, &message.reason),
        };
        Ok(write::price_changed(&self.operate.set_price(&actor, request).await?))
    }

    pub(super) async fn set_breaker(
        &self,
        actor: Actor,
        message: wire::SetBreakerRequest,
    ) -> Answer<wire::SetBreakerResponse> {
        self.permit(&actor, Action::SetBreaker, || Tried {
            who: Who { domain: optional(&message.domain), entries: entries(&message.subject) },
            limit: optional(&message.limit),
            ..Tried::default()
        })?;
        let to = read::setting(&message)?;
        let which = BreakerOf {
            domain: optional(&message.domain),
            limit: message.limit.as_bytes(),
            subject: entries(&message.subject),
        };
        let request = SetBreaker { which, to, reason: &message.reason };
        Ok(write::breaker_set(&self.operate.set_breaker(&actor, request).await?, to))
    }

    pub(super) async fn explain(
        &self,
        actor: Actor,
        message: wire::ExplainRequest,
    ) -> Answer<wire::ExplainResponse> {
        self.gate.permit(&actor, Action::Explain)?;
        if message.request_id.is_empty() {
            let hits = (message.hits > 0).then_some(message.hits);
            let call = ExplainCall { who: read::who(message.subject.as_ref()), hits };
            return Ok(write::explanation(&self.operate.explain(call).await?));
        }
        if message.subject.is_some() || message.hits > 0 {
            return Err(Problem::invalid("request_id: write it, or subject and hits, not both"));
        }
        let past = self.operate.refusal(message.request_id.as_bytes());
        past.as_ref().map(write::past).ok_or_else(|| {
            Problem::unknown("request_id: no refusal of this call is remembered; few are, and not for long")
        })
    }

    pub(super) async fn top_consumers(
        &self,
        actor: Actor,
        message: wire::TopConsumersRequest,
    ) -> Answer<wire::TopConsumersResponse> {
        self.gate.permit(&actor, Action::TopConsumers)?;
        if message.limit.is_empty() {
            return Err(Problem::invalid("limit: must be given"));
        }
        let of = TopOf {
            domain: optional(&message.domain),
            limit: message.limit.as_bytes(),
            most: read::count(message.most),
        };
        Ok(write::top(&self.operate.top(of)?))
    }

    pub(super) async fn import_usage(
        &self,
        actor: Actor,
        message: wire::ImportUsageRequest,
    ) -> Answer<wire::ImportUsageResponse> {
        self.permit(&actor, Action::ImportUsage, || Tried {
            who: Who { domain: optional(&message.domain), entries: Vec::new() },
            rows: Some(message.rows.len()),
            ..Tried::default()
        })?;
        if message.rows.is_empty() {
            return Err(Problem::invalid("rows: must not be empty"));
        }
        let request = Import {
            domain: optional(&message.domain),
            rows: message.rows.iter().map(read::row).collect(),
            mode: if message.dry_run { ImportMode::Rehearsed } else { ImportMode::Done },
            reason: &message.reason,
        };
        Ok(write::imported(&self.operate.import(&actor, request).await?))
    }

    pub(super) async fn list_audit(
        &self,
        actor: Actor,
        message: wire::ListAuditRequest,
    ) -> Answer<wire::ListAuditResponse> {
        self.gate.permit(&actor, Action::ListAudit)?;
        let from = time_of("from", message.from.as_ref())?;
        let to = time_of("to", message.to.as_ref())?;
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            return Err(Problem::invalid("from: is behind to; write the earlier one as from"));
        }
        let query = AuditQuery {
            domain: optional(&message.domain),
            subjects: read::subjects(&message.subject),
            from,
            to,
            page: message.page.as_bytes(),
            most: read::count(message.page_size),
        };
        Ok(write::audit(&self.operate.audit(query).await.map_err(in_a_map)?))
    }
}

/// What is wrong with a subject that is no message of its own, but a map of the request.
fn in_a_map(error: OperateError) -> Problem {
    Problem::from(error).renamed("subject.entries", "subject")
}
