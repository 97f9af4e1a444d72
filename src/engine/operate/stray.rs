//! What is set over something that the files do not have, or have in another unit by now: it is not in force until they have
//! it again. It is listed, and can be taken back by the names that it was set by.

use serde_json::{Value as Json, json};

use crate::audit::{Action, Actor, Event, Set};
use crate::engine::Engine;
use crate::engine::native::KeptFor;
use crate::engine::request::Descriptor;
use crate::limits::{Entry, NativeDomain, Overlay, Placed, RuleSet, SubjectId, Target, Value};
use crate::store::Store;

use super::error::OperateError;
use super::number::{InForce, LimitValue, Source};
use super::record::{Deed, target_of};
use super::set_number::number_json;
use super::update::{Change, LimitChanged, Reach, UpdateLimit};
use super::who::{Who, domain, secret};

/// A number that is set, and not in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Stray {
    /// Whose, if it is one subject's.
    pub subject: Option<SubjectId>,
    /// The number, without window or subjects. The tier is empty if it is one subject's.
    pub value: LimitValue,
}

impl Stray {
    /// What is `placed` over `target`, if that is a number.
    pub(super) fn of(target: &Target, placed: &Placed) -> Option<Self> {
        let Value::Number(number, unit) = placed.value else { return None };
        let (domain, tier, limit, subject) = match target {
            Target::Number { domain, tier, limit } => (domain, tier.clone(), limit, None),
            Target::Own { domain, limit, subject } => (domain, Box::default(), limit, Some(subject.clone())),
            Target::Tier { .. } | Target::Price { .. } => return None,
        };
        let (version, until) = (placed.version, placed.until);
        let value = LimitValue {
            domain: domain.clone(),
            tier,
            limit: (**limit).into(),
            number: InForce { number, source: Source::Stray, version, until },
            unit,
            window: String::new(),
            per: String::new(),
        };
        Some(Self { subject, value })
    }
}

/// A number that is not in force, and is to be taken back.
pub(super) struct TakingBack<'o> {
    target: &'o Target,
    version: u64,
    stray: Stray,
}

impl<'o> TakingBack<'o> {
    /// The one that `request` names, if it takes one back.
    pub(super) fn of<S: Store>(
        engine: &Engine<S>,
        rules: &RuleSet,
        overlay: &'o Overlay,
        request: &UpdateLimit<'_>,
    ) -> Option<Self> {
        if request.to != Change::BackToFile {
            return None;
        }
        let here = domain(rules, request.domain).ok();
        let name = request.domain.or_else(|| here.map(|domain| domain.name.as_bytes()))?;
        let is_meant = |target: &Target| match (target, &request.of) {
            (Target::Number { tier, limit, .. }, Reach::Tier(named)) => {
                tier.as_bytes() == *named && limit.as_bytes() == request.limit
            }
            (Target::Own { limit, subject, .. }, Reach::Subject(entries)) => {
                let is_theirs = |domain| is_of(engine, domain, subject, entries);
                limit.as_bytes() == request.limit && here.is_some_and(is_theirs)
            }
            _ => false,
        };
        let is_here = |target: &Target| target.domain().map(str::as_bytes) == Some(name);
        let (target, placed) = overlay.iter().find(|(target, placed)| {
            is_here(target) && is_meant(target) && !rules.has(target, &placed.value)
        })?;
        Some(Self { target, version: placed.version, stray: Stray::of(target, placed)? })
    }

    /// What comes of it, and what is recorded; or why it is not to be.
    pub(super) fn judge(
        self,
        actor: &Actor,
        request: &UpdateLimit<'_>,
        overlay: &Overlay,
        head: u64,
    ) -> Result<(LimitChanged, Event), OperateError> {
        let (target, Stray { subject, value }) = (self.target, self.stray);
        request.terms.check_version(self.version, overlay.last_change(target), head)?;
        let limit = Json::from(&*value.limit);
        let (action, of) = match &subject {
            None => (Action::UpdateLimit, json!({"tier": &*value.tier, "limit": limit})),
            Some(subject) => {
                (Action::UpdateLimitOfSubject, target_of(std::slice::from_ref(subject), [("limit", limit)]))
            }
        };
        let (domain, reason) = (target.domain(), request.terms.reason);
        let event =
            Deed { actor, action, domain, target: of, reason }.event(number_json(&value.number), Json::Null);
        let set = Set::Remove { target: target.clone() };
        let changed = LimitChanged { before: value, after: None, reaches: Vec::new(), version: 0 };
        Ok((changed, Event { sets: vec![set], ..event }))
    }
}

/// Whether `entries` name `subject`, and nobody else.
fn is_of<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    subject: &SubjectId,
    entries: &[Entry<'_>],
) -> bool {
    let Ok(secret) = secret(engine) else { return false };
    let who = Who { domain: None, entries: entries.to_vec() };
    let descriptor = Descriptor { entries: who.read().collect(), ..Descriptor::default() };
    let is_whole = entries.len() == subject.key.split('+').count();
    is_whole && KeptFor::new(domain, &descriptor, secret).is(subject)
}
