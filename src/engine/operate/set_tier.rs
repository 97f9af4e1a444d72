//! Puts a subject on a tier, where its calls do not say one.

use parking_lot::Mutex;
use serde_json::Value as Json;

use crate::audit::{Action, Actor, Event, Set};
use crate::calendar::in_utc;
use crate::engine::Engine;
use crate::engine::native::subject_in;
use crate::limits::{NativeDomain, Overlay, Placed, SubjectId, Target, Value};
use crate::store::Store;

use super::error::{Near, OperateError, check_reason};
use super::record::{Deed, record, target_of};
use super::set_number::head;
use super::update::{ChangeTerms, SetTier, TierChanged};
use super::who::{domain, secret};

pub(super) async fn set_tier<S: Store>(
    engine: &Engine<S>,
    actor: &Actor,
    request: &SetTier<'_>,
) -> Result<TierChanged, OperateError> {
    check_reason(request.terms.reason)?;
    let now = engine.store.now();
    ChangeTerms::check_end(request.until, now)?;
    let head = head(engine, &request.terms).await?;
    let rules = engine.limits.load();
    let domain = domain(&rules, request.who.domain)?;
    let tier = request.tier.map(|name| named(domain, name)).transpose()?;
    let subject = whom(engine, domain, request)?;
    let until = request.until.filter(|_| tier.is_some());
    let target = Target::Tier { domain: domain.name.clone(), subject: subject.clone() };
    let deed = Deed {
        actor,
        action: Action::SetTier,
        domain: Some(&domain.name),
        target: target_of(std::slice::from_ref(&subject), []),
        reason: request.terms.reason,
    };
    let before = Mutex::new(None);
    let version = record(engine, |overlay: &Overlay| {
        let placed = overlay.get(&target).filter(|placed| placed.holds_at(now));
        let version = placed.map_or(0, |placed| placed.version);
        request.terms.check_version(version, overlay.last_change(&target), head)?;
        if tier.is_some() && !overlay.has_room_for(&target, now) {
            return Err(OperateError::NoRoom(Overlay::MOST_OF_SUBJECTS));
        }
        let was = placed.and_then(name_of);
        let event = deed.event(tier_json(was.as_deref(), None), tier_json(tier, until.map(in_utc)));
        *before.lock() = was;
        let target = target.clone();
        let set = match tier {
            Some(tier) => Set::Place { target, value: Value::Tier(tier.into()), until },
            None => Set::Remove { target },
        };
        Ok(Event { sets: vec![set], ..event })
    });
    let version = version.await?;
    Ok(TierChanged { before: before.into_inner(), after: tier.map(Into::into), until, version })
}

/// The tier called `name`, by its name in the file.
fn named<'r>(domain: &'r NativeDomain, name: &[u8]) -> Result<&'r str, OperateError> {
    let known = || domain.tiers.names.iter().map(|tier| &**tier).filter(|_| domain.has_tiers());
    let found = known().find(|tier| tier.as_bytes() == name);
    found.ok_or_else(|| OperateError::UnknownTier(Near::of(name, known())))
}

/// Whom it is about: one key and its value.
fn whom<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    request: &SetTier<'_>,
) -> Result<SubjectId, OperateError> {
    request.who.descriptor(domain)?;
    let [entry] = request.who.entries.as_slice() else { return Err(OperateError::SeveralSubjects) };
    let hash = subject_in(domain, entry.key, entry.value, secret(engine)?);
    let key = String::from_utf8_lossy(entry.key).into();
    hash.map(|hash| SubjectId { key, hash }).ok_or(OperateError::SeveralSubjects)
}

fn name_of(placed: &Placed) -> Option<Box<str>> {
    match &placed.value {
        Value::Tier(name) => Some(name.clone()),
        Value::Number(..) | Value::Price(_) => None,
    }
}

fn tier_json(tier: Option<&str>, until: Option<String>) -> Json {
    let Some(tier) = tier else { return Json::Null };
    let members = [("tier", Some(tier.to_owned())), ("until", until)];
    let members = members.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
    Json::Object(members.collect())
}
