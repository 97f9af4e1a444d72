//! Breakers, looked at and set by hand: each in one step of the store, together with the limit that opens it.

use serde_json::json;

use crate::algorithm::{Op, Outcome};
use crate::audit::{Action, Actor};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::breaker::{Guarded, Looked, Looking};
use crate::engine::hold::LimitStanding;
use crate::engine::native::breaker_of;
use crate::engine::request::Descriptor;
use crate::limits::{BreakerStanding, Domain, Limit, NativeDomain, RuleSet, Subjects};
use crate::store::{Admission, Answer, Call, Charge, Store};

use super::ask::keep;
use super::error::{OperateError, check_reason};
use super::record::{Deed, record_and_do, target_of};
use super::who::{Who, natives, secret};
use super::{BreakerError, BreakerOf, BreakerSet, BreakerStatus, SetBreaker, Setting};

/// A breaker, and a look at the counter of its limit.
struct Found<'r> {
    domain: &'r NativeDomain,
    guarded: Guarded<'r>,
    own: Charge<'r>,
}

pub(super) async fn set<S: Store>(
    engine: &Engine<S>,
    actor: &Actor,
    request: SetBreaker<'_>,
) -> Result<BreakerSet, BreakerError> {
    if request.reason.trim().is_empty() {
        return Err(BreakerError::NoReason);
    }
    check_reason(request.reason)?;
    let rules = engine.limits.load();
    let found = find(engine, &rules, &request.which)?;
    let stood = found.look(engine).await?;
    let (domain, limit) = (&*found.domain.name, &*found.guarded.limit.name);
    let (to, reason) = (request.to.name(), request.reason);
    let subjects =
        Who { domain: None, entries: request.which.subject.clone() }.subjects(found.domain, secret(engine)?);
    let deed = Deed {
        actor,
        action: Action::SetBreaker,
        domain: Some(domain),
        target: target_of(&subjects, [("limit", limit.into())]),
        reason,
    };
    let event = deed.event(json!({"breaker": stood.breaker.state.name()}), json!({"breaker": to}));
    let setting = async { found.set(engine, request.to).await };
    let (version, before) = record_and_do(engine, event, setting).await?;
    let subject = found.guarded.subject();
    let was = before.breaker.state.name();
    tracing::warn!(domain, limit, subject, before = was, to, reason, "a breaker was set by hand");
    keep(engine).await?;
    Ok(BreakerSet { before, version })
}

pub(super) async fn look<S: Store>(
    engine: &Engine<S>,
    which: &BreakerOf<'_>,
) -> Result<BreakerStatus, BreakerError> {
    let rules = engine.limits.load();
    find(engine, &rules, which)?.look(engine).await
}

pub(super) async fn look_at_all<S: Store>(
    engine: &Engine<S>,
    domain: Option<&[u8]>,
) -> Result<Vec<BreakerStatus>, BreakerError> {
    let rules = engine.limits.load();
    let domains = match domain {
        Some(_) => vec![self::domain(&rules, domain)?],
        None => natives(&rules),
    };
    let found: Vec<Found<'_>> = domains.into_iter().flat_map(|domain| of_all(engine, domain)).collect();
    let charges: Vec<Charge<'_>> =
        found.iter().flat_map(|found| [found.guarded.look(Looking::Plain), found.own]).collect();
    if charges.is_empty() {
        return Ok(Vec::new());
    }
    let Answer { at, outcomes, .. } = ask(engine, &charges).await?;
    let told = found.iter().zip(outcomes.chunks(2));
    Ok(told.map(|(found, outcomes)| found.status(engine, at, &outcomes[0], &outcomes[1])).collect())
}

impl Found<'_> {
    async fn look<S: Store>(&self, engine: &Engine<S>) -> Result<BreakerStatus, BreakerError> {
        let Answer { at, outcomes, .. } = ask(engine, &[self.guarded.look(Looking::Plain), self.own]).await?;
        Ok(self.status(engine, at, &outcomes[0], &outcomes[1]))
    }

    async fn set<S: Store>(&self, engine: &Engine<S>, to: Setting) -> Result<BreakerStatus, BreakerError> {
        let (guarded, own) = (self.guarded, self.own);
        let set = match to {
            Setting::Open => guarded.open_by_hand(engine.store.now()),
            Setting::Closed | Setting::Cleared => guarded.close(),
        };
        // Where nothing is forgotten, the look stands twice.
        let forget = if to == Setting::Cleared { Charge { op: Op::Set { units: 0 }, ..own } } else { own };
        let charges = [guarded.look(Looking::Plain), set, forget, own];
        let Answer { at, outcomes, .. } = ask(engine, &charges).await?;
        let after = if to == Setting::Open {
            guarded.breaker.standing(Some(at), at)
        } else {
            BreakerStanding::CLOSED
        };
        guarded.see(after, at);
        Ok(self.status(engine, at, &outcomes[0], &outcomes[3]))
    }

    /// What is known of it by what the store said at `at`.
    fn status<S: Store>(
        &self,
        engine: &Engine<S>,
        at: Timestamp,
        look: &Outcome,
        own: &Outcome,
    ) -> BreakerStatus {
        let breaker = match self.guarded.looked(look, at) {
            Looked::Stopped(standing) => standing,
            Looked::Passed | Looked::Unknown => BreakerStanding::CLOSED,
        };
        let (limit, number) = (self.guarded.limit, self.own.rule.number);
        let standing = LimitStanding::new(limit, number, own, at, engine.settings.enforcement);
        BreakerStatus { domain: self.domain.name.clone(), breaker, standing }
    }
}

/// What the store says of `charges`, if it is the store that says it.
async fn ask<S: Store>(engine: &Engine<S>, charges: &[Charge<'_>]) -> Result<Answer, BreakerError> {
    let call = Call { charges, admission: Admission::Each, expenses: &[] };
    let answered = engine.store.oversee(call, None).await;
    Ok(answered.map_err(OperateError::Unavailable)?.0)
}

fn find<'r, S: Store>(
    engine: &Engine<S>,
    rules: &'r RuleSet,
    which: &BreakerOf<'_>,
) -> Result<Found<'r>, BreakerError> {
    let domain = domain(rules, which.domain)?;
    let id = domain.by_name.get(which.limit);
    let limit = domain.limit(*id.ok_or_else(|| BreakerError::UnknownLimit(text(which.limit)))?);
    if limit.breaker.is_none() {
        return Err(BreakerError::NoBreaker(limit.name.clone()));
    }
    let is_anchored = !limit.anchored.is_empty();
    let is_unread = |key: &[u8]| {
        let is_subject = limit.subjects.parts.iter().flatten().any(|part| **part == *key);
        !(is_subject || is_anchored && key == b"anchor")
    };
    if let Some(entry) = which.subject.iter().find(|entry| is_unread(entry.key)) {
        let subjects = limit.subjects.to_string();
        return Err(BreakerError::NotASubject { key: text(entry.key), subjects });
    }
    let entries = which.subject.iter().copied().collect();
    let descriptor = Descriptor { entries, ..Descriptor::default() };
    let found = found(engine, domain, limit, &descriptor);
    found.ok_or_else(|| BreakerError::NoSubject(limit.subjects.to_string()))
}

fn found<'r, S: Store>(
    engine: &Engine<S>,
    domain: &'r NativeDomain,
    limit: &'r Limit,
    descriptor: &Descriptor<'_>,
) -> Option<Found<'r>> {
    let (guarded, own) = breaker_of(domain, limit, descriptor, engine.store.key_secret())?;
    Some(Found { domain, guarded, own })
}

/// The breakers of `domain` that are the same for all.
fn of_all<'r, S: Store>(engine: &Engine<S>, domain: &'r NativeDomain) -> Vec<Found<'r>> {
    let limits = domain.breakers.iter().map(|id| domain.limit(*id));
    let of_all = limits.filter(|limit| *limit.subjects == Subjects::ALL);
    of_all.filter_map(|limit| found(engine, domain, limit, &Descriptor::default())).collect()
}

/// The domain that is called `name`, or the only one.
fn domain<'r>(rules: &'r RuleSet, name: Option<&[u8]>) -> Result<&'r NativeDomain, BreakerError> {
    let found = match name {
        Some(name) => rules.domains.get(name),
        None if rules.domains.len() == 1 => rules.domains.values().next(),
        None => return Err(BreakerError::NoDomain),
    };
    match found {
        Some(Domain::Native(domain)) => Ok(domain),
        _ => Err(BreakerError::UnknownDomain(text(name.unwrap_or_default()))),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
