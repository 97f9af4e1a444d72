//! Sets how much a limit allows, on a tier or for one subject, over the files.
//!
//! What is asked is judged against all that is set at the very place of its record, so nobody changes what they have not
//! seen.

use std::slice;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use crate::audit::{Action, Actor, Event, Set};
use crate::calendar::in_utc;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::native::KeptFor;
use crate::limits::{
    ALL_TIERS, Entry, LimitId, NativeDomain, Number, Overlay, Placed, RuleSet, SubjectId, Target, TierId,
    TierOrAll, Unit, Value, Whose,
};
use crate::store::Store;

use super::change::in_words;
use super::error::{Near, OperateError, check_reason, text};
use super::number::{InForce, LimitValue, Source};
use super::record::{Deed, journal, record, target_of};
use super::stray::TakingBack;
use super::tier::{self, given};
use super::update::{Caution, Change, ChangeTerms, LimitChanged, Reach, UpdateLimit};
use super::who::{Who, domain, limit_named, secret};

pub(super) async fn update<S: Store>(
    engine: &Engine<S>,
    actor: &Actor,
    request: &UpdateLimit<'_>,
) -> Result<LimitChanged, OperateError> {
    check_reason(request.terms.reason)?;
    let now = engine.store.now();
    let to = Some(request.to).filter(|to| *to != Change::BackToFile);
    ChangeTerms::check_end(to, request.until, now)?;
    let head = head(engine, &request.terms).await?;
    let seen = seen(engine, request).await?;
    let (files, told) = (engine.limits.files(), Mutex::new(None));
    let version = record(engine, |overlay| {
        let rules = engine.limits.under(overlay, now);
        let (changed, event) = match Place::of(engine, &rules, request, seen.as_deref()) {
            Ok(place) => {
                Changing { request, place, rules: &rules, overlay, now }.judge(actor, &files, head)?
            }
            Err(error) => match TakingBack::of(engine, &rules, overlay, request) {
                Some(stray) => stray.judge(actor, request, overlay, head)?,
                None => return Err(error),
            },
        };
        *told.lock() = Some(changed);
        Ok(event)
    });
    let version = version.await?;
    let mut changed = told.into_inner().expect("it was judged before it was recorded");
    if let Some(after) = &mut changed.after
        && after.number.version == changed.version
    {
        after.number.version = version;
    }
    changed.version = version;
    Ok(changed)
}

/// On which tier the calls of the subject of `request` are: by the number there it is judged how large a change is.
async fn seen<S: Store>(
    engine: &Engine<S>,
    request: &UpdateLimit<'_>,
) -> Result<Option<Box<str>>, OperateError> {
    let Reach::Subject(entries) = &request.of else { return Ok(None) };
    let rules = engine.limits.load();
    let who = Who { domain: None, entries: entries.to_vec() };
    // What the files do not have is told by whoever judges the change.
    let Ok(domain) = domain(&rules, request.domain) else { return Ok(None) };
    if who.descriptor(domain).is_err() {
        return Ok(None);
    }
    let seen = tier::seen(engine, domain, &who).await?;
    Ok(seen.map(|tier| domain.tiers.names[tier.0].clone()))
}

/// The number of the newest record, for whoever says which they know.
pub(super) async fn head<S: Store>(engine: &Engine<S>, terms: &ChangeTerms<'_>) -> Result<u64, OperateError> {
    let journal = journal(engine)?;
    if terms.if_version.is_some() {
        let caught_up = journal.catch_up().await;
        caught_up.map_err(|error| OperateError::Unrecorded(error.to_string()))?;
    }
    Ok(journal.head().number)
}

/// A number that may be set, found in one rule set.
struct Place {
    domain: Box<str>,
    limit: LimitId,
    whose: WhoseNumber,
}

/// Whose number it is.
enum WhoseNumber {
    Tier { name: Box<str>, by: TierOrAll },
    Subject { id: SubjectId, whose: Whose, tier: TierId },
}

/// A change at the place of its record.
struct Changing<'a> {
    request: &'a UpdateLimit<'a>,
    place: Place,
    rules: &'a RuleSet,
    overlay: &'a Overlay,
    now: Timestamp,
}

impl Changing<'_> {
    /// What comes of it over `files`, and what is recorded; or why it is not to be.
    fn judge(
        &self,
        actor: &Actor,
        files: &Arc<RuleSet>,
        head: u64,
    ) -> Result<(LimitChanged, Event), OperateError> {
        let (request, target) = (self.request, self.place.target(self.rules));
        let before = self.place.value(self.rules);
        let changed = self.place.last_change(self.rules, self.overlay);
        request.terms.check_version(before.number.version, changed, head)?;
        let number = request.to.number(before.unit)?;
        number.map_or(Ok(()), |_| self.check_stray(&target, before.unit))?;
        let until = request.until;
        let (mut over, version) = (self.overlay.clone(), self.overlay.version() + 1);
        match number {
            Some(_) if !over.has_room_for(&target, self.now) => {
                return Err(OperateError::NoRoom(Overlay::MOST_OF_SUBJECTS));
            }
            Some(number) => over
                .place(target.clone(), Placed { value: Value::Number(number, before.unit), until, version }),
            None => over.remove(&target, version),
        }
        // All that bears on it: what is set of a hundred thousand others does not.
        let after = self.place.value(&files.under(&over.about(&self.place.halves()), self.now));
        request.terms.check_size(before.unit, before.number.number, after.number.number)?;
        let set = match number {
            Some(number) => Set::Place { target, value: Value::Number(number, before.unit), until },
            None => Set::Remove { target },
        };
        let deed = self.deed(actor, &before);
        let event = deed.event(number_json(&before.number), number_json(&after.number));
        let reaches = self.place.reaches(self.rules);
        Ok((
            LimitChanged { before, after: Some(after), reaches, version },
            Event { sets: vec![set], ..event },
        ))
    }

    /// Whether something goes that was set over `target` when its limit counted something else than `unit`, without somebody
    /// having thought twice.
    fn check_stray(&self, target: &Target, unit: Unit) -> Result<(), OperateError> {
        let placed = self.overlay.get(target).filter(|placed| placed.holds_at(self.now));
        match (self.request.terms.caution, placed.map(|placed| &placed.value)) {
            (Caution::Kept, Some(Value::Number(number, counted))) if *counted != unit => {
                Err(OperateError::DropsStray { number: in_words(*counted, *number), unit: unit.name() })
            }
            _ => Ok(()),
        }
    }

    fn deed<'d>(&'d self, actor: &'d Actor, before: &LimitValue) -> Deed<'d> {
        let limit = Json::from(&*before.limit);
        let (action, target) = match &self.place.whose {
            WhoseNumber::Tier { name, .. } => (Action::UpdateLimit, json!({"tier": name, "limit": limit})),
            WhoseNumber::Subject { id, .. } => {
                (Action::UpdateLimitOfSubject, target_of(slice::from_ref(id), [("limit", limit)]))
            }
        };
        let (domain, reason) = (Some(&*self.place.domain), self.request.terms.reason);
        Deed { actor, action, domain, target, reason }
    }
}

impl Place {
    /// The number that `request` means by `rules`.
    fn of<S: Store>(
        engine: &Engine<S>,
        rules: &RuleSet,
        request: &UpdateLimit<'_>,
        seen: Option<&str>,
    ) -> Result<Self, OperateError> {
        let domain = domain(rules, request.domain)?;
        let limit = limit_named(domain, request.limit)?;
        let whose = match &request.of {
            Reach::Tier(name) => by_tier(domain, limit, name)?,
            Reach::Subject(entries) => of_subject(engine, domain, limit, (entries, seen))?,
        };
        Ok(Self { domain: domain.name.clone(), limit, whose })
    }

    /// By which subjects are known whose own numbers bear on it.
    fn halves(&self) -> Vec<u64> {
        match &self.whose {
            WhoseNumber::Tier { .. } => Vec::new(),
            WhoseNumber::Subject { whose, .. } => whose.halves().collect(),
        }
    }

    fn domain<'r>(&self, rules: &'r RuleSet) -> &'r NativeDomain {
        domain(rules, Some(self.domain.as_bytes())).expect("it was found there, or in what this is made of")
    }

    fn target(&self, rules: &RuleSet) -> Target {
        let (domain, limit) = (self.domain.clone(), &*self.domain(rules).limit(self.limit).name);
        match &self.whose {
            WhoseNumber::Tier { name, .. } => {
                Target::Number { domain, tier: name.clone(), limit: limit.into() }
            }
            WhoseNumber::Subject { id, .. } => {
                Target::Own { domain, limit: limit.into(), subject: id.clone() }
            }
        }
    }

    /// What it is by `rules`.
    fn value(&self, rules: &RuleSet) -> LimitValue {
        let domain = self.domain(rules);
        let limit = domain.limit(self.limit);
        let (tier, number) = match &self.whose {
            WhoseNumber::Tier { name, by: TierOrAll::Tier(tier) } => {
                (name.clone(), InForce::given(domain.given(*tier, self.limit)))
            }
            WhoseNumber::Tier { name, by: TierOrAll::All } => {
                let given = limit.basis.for_all.expect("whoever has none is not called by that name");
                (name.clone(), InForce::given(given))
            }
            WhoseNumber::Subject { whose, tier, .. } => {
                let key = whose.counter(limit.identity);
                let number = InForce::of(domain, self.limit, *tier, (key, limit.identity));
                (domain.tiers.names[tier.0].clone(), number)
            }
        };
        LimitValue::new(domain, limit, tier, number)
    }

    /// The newest record that has changed it: what was taken back counts as well, but not what lies behind a number that
    /// comes before.
    fn last_change(&self, rules: &RuleSet, overlay: &Overlay) -> u64 {
        let domain = self.domain(rules);
        let limit = domain.limit(self.limit);
        let of_tier = |tier: &str| {
            let (domain, limit) = (domain.name.clone(), (*limit.name).into());
            overlay.last_change(&Target::Number { domain, tier: tier.into(), limit })
        };
        let (own, tier) = match &self.whose {
            WhoseNumber::Tier { by: TierOrAll::All, .. } => return of_tier(ALL_TIERS),
            WhoseNumber::Tier { by: TierOrAll::Tier(tier), .. } => (0, tier),
            WhoseNumber::Subject { tier, .. } => (overlay.last_change(&self.target(rules)), tier),
        };
        let line = &domain.tiers.lineage.lines[tier.0];
        let nearest = line.iter().position(|tier| limit.basis.by_tier[tier.0].is_some());
        let asked = &line[..nearest.map_or(line.len(), |nearest| nearest + 1)];
        let of_all = nearest.is_none().then(|| of_tier(ALL_TIERS));
        let changes = asked.iter().map(|tier| of_tier(&domain.tiers.names[tier.0])).chain(of_all);
        changes.fold(own, u64::max)
    }

    /// The tiers that go by it.
    fn reaches(&self, rules: &RuleSet) -> Vec<Box<str>> {
        let domain = self.domain(rules);
        match &self.whose {
            WhoseNumber::Tier { by, .. } => {
                let tiers = domain.reaches(*by, self.limit).into_iter();
                tiers.map(|tier| domain.tiers.names[tier.0].clone()).collect()
            }
            WhoseNumber::Subject { .. } => Vec::new(),
        }
    }
}

fn by_tier(domain: &NativeDomain, limit: LimitId, name: &[u8]) -> Result<WhoseNumber, OperateError> {
    let known = domain.tiers.names.iter().map(|name| &**name);
    let found =
        std::str::from_utf8(name).ok().and_then(|name| Some((name, domain.tier_or_all(name, limit)?)));
    match found {
        Some((name, by)) => Ok(WhoseNumber::Tier { name: name.into(), by }),
        None if name == ALL_TIERS.as_bytes() => {
            let tiers = known.collect::<Vec<_>>().join(", ");
            Err(OperateError::NoNumberForAll { limit: domain.limit(limit).name.to_string(), tiers })
        }
        None => Err(OperateError::UnknownTier(Near::of(name, known))),
    }
}

fn of_subject<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    id: LimitId,
    (entries, seen): (&[Entry<'_>], Option<&str>),
) -> Result<WhoseNumber, OperateError> {
    let who = Who { domain: None, entries: entries.to_vec() };
    let descriptor = who.descriptor(domain)?;
    let kept_for = KeptFor::new(domain, &descriptor, secret(engine)?);
    let limit = domain.limit(id);
    let other =
        || OperateError::OtherSubject { limit: limit.name.to_string(), subjects: limit.subjects.to_string() };
    let (key, whose) = kept_for.owner(limit).ok_or_else(other)?;
    if let Some(more) = who.named(domain).find(|entry| !is_part(&key, entry.key)) {
        return Err(OperateError::MoreThanOwner {
            limit: limit.name.to_string(),
            subjects: limit.subjects.to_string(),
            owner: key,
            key: text(more.key),
        });
    }
    let id = SubjectId { key: key.into(), hash: whose.counter(0).id };
    let seen = || seen.and_then(|name| domain.tiers.by_name(name.as_bytes()));
    let tier = match given(domain, &kept_for)? {
        Some(tier) => tier,
        None => seen().unwrap_or_else(|| kept_for.tier()),
    };
    Ok(WhoseNumber::Subject { id, whose, tier })
}

/// Whether `key` is one of those of `owner`, which have `+` between them.
fn is_part(owner: &str, key: &[u8]) -> bool {
    owner.split('+').any(|part| part.as_bytes() == key)
}

/// A number, as records tell it.
pub(super) fn number_json(number: &InForce) -> Json {
    let max = match number.number {
        Number::Unlimited => Json::from(-1),
        Number::AtMost(most) => most.into(),
    };
    let until = number.until.map(in_utc);
    match (number.source, until) {
        (Source::File, _) => json!({"max": max, "source": "file"}),
        (_, Some(until)) => json!({"max": max, "until": until}),
        (_, None) => json!({"max": max}),
    }
}
