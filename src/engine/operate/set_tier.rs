//! Puts a subject on a tier, where its calls do not say one; and tells if they do.

use parking_lot::Mutex;
use serde_json::Value as Json;

use crate::audit::{Action, Actor, Event, Set};
use crate::calendar::in_utc;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::limits::{NativeDomain, Overlay, Placed, SubjectId, Target, Value};
use crate::store::Store;

use super::error::{Near, OperateError, check_reason};
use super::record::{Deed, record, target_of};
use super::set_number::head;
use super::tier::named_of_late;
use super::update::{ChangeTerms, SetTier, TierChanged};
use super::who::{domain, secret, subject_of};

pub(super) async fn set_tier<S: Store>(
    engine: &Engine<S>,
    actor: &Actor,
    request: &SetTier<'_>,
) -> Result<TierChanged, OperateError> {
    check_reason(request.terms.reason)?;
    let now = engine.store.now();
    ChangeTerms::check_end(request.tier, request.until, now)?;
    let head = head(engine, &request.terms).await?;
    let rules = engine.limits.load();
    let domain = domain(&rules, request.who.domain)?;
    let tier = request.tier.map(|name| named(domain, name)).transpose()?;
    let subject = whom(engine, domain, request)?;
    let named = if tier.is_some() { named_of_late(engine, domain, &request.who).await? } else { None };
    let assigning = Assigning { request, domain, subject, tier, now };
    let before = Mutex::new(None);
    let version = record(engine, |overlay: &Overlay| {
        let (was, event) = assigning.judge(actor, overlay, head)?;
        *before.lock() = was;
        Ok(event)
    });
    let version = version.await?;
    let named = named.map(|tier| domain.tiers.names[tier.0].clone());
    let (before, after) = (before.into_inner(), tier.map(Into::into));
    Ok(TierChanged { before, after, until: request.until, named, version })
}

/// A change of who is on which tier.
struct Assigning<'a> {
    request: &'a SetTier<'a>,
    domain: &'a NativeDomain,
    subject: SubjectId,
    /// `None` if what is set is to be taken back.
    tier: Option<&'a str>,
    now: Timestamp,
}

impl Assigning<'_> {
    /// On which tier the subject was, and what is recorded; or why it is not to be.
    fn judge(
        &self,
        actor: &Actor,
        overlay: &Overlay,
        head: u64,
    ) -> Result<(Option<Box<str>>, Event), OperateError> {
        let (terms, domain) = (&self.request.terms, self.domain.name.clone());
        let target = Target::Tier { domain, subject: self.subject.clone() };
        let placed = overlay.get(&target).filter(|placed| placed.holds_at(self.now));
        let version = placed.map_or(0, |placed| placed.version);
        terms.check_version(version, overlay.last_change(&target), head)?;
        if self.tier.is_some() && !overlay.has_room_for(&target, self.now) {
            return Err(OperateError::NoRoom(Overlay::MOST_OF_SUBJECTS));
        }
        let was = placed.and_then(name_of);
        let of = target_of(std::slice::from_ref(&self.subject), []);
        let (action, domain) = (Action::SetTier, Some(&*self.domain.name));
        let deed = Deed { actor, action, domain, target: of, reason: terms.reason };
        let after = tier_json(self.tier, self.request.until.map(in_utc));
        let event = deed.event(tier_json(was.as_deref(), None), after);
        let set = match self.tier {
            Some(tier) => Set::Place { target, value: Value::Tier(tier.into()), until: self.request.until },
            None => Set::Remove { target },
        };
        Ok((was, Event { sets: vec![set], ..event }))
    }
}

/// The tier called `name`, by its name in the file.
fn named<'r>(domain: &'r NativeDomain, name: &[u8]) -> Result<&'r str, OperateError> {
    let known = || domain.tiers.names.iter().map(|tier| &**tier).filter(|_| domain.has_tiers());
    let found = known().find(|tier| tier.as_bytes() == name);
    found.ok_or_else(|| OperateError::UnknownTier(Near::of(name, known())))
}

/// Whom it is about: one key and its value. What is taken back may be of a key that nothing reads any more.
fn whom<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    request: &SetTier<'_>,
) -> Result<SubjectId, OperateError> {
    let [entry] = request.who.entries.as_slice() else {
        return Err(request.who.descriptor(domain).err().unwrap_or(OperateError::SeveralSubjects));
    };
    if request.tier.is_some() {
        request.who.descriptor(domain)?;
    }
    subject_of(domain, *entry, secret(engine)?).ok_or(OperateError::SeveralSubjects)
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
