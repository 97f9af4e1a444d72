//! What somebody would do who may not: as a record would say it that it is done, as far as they have told.
//!
//! Names of what there is stand there as they are, and all others are one: whoever may not could write down any value by them.

use serde_json::Value as Json;

use crate::audit::Attempt;
use crate::engine::Engine;
use crate::limits::{Entry, NativeDomain, RuleSet};
use crate::store::Store;

use super::record::target_of;
use super::who::{Who, domain, subject_keys};

/// What stands for a name that nothing has.
const NOTHING: &str = "(unknown)";
/// How many limits are named.
const MOST_LIMITS: usize = 24;

/// What somebody would do, as far as they have told.
#[derive(Clone, Debug, Default)]
pub struct Tried<'a> {
    /// In which domain, and to whom.
    pub who: Who<'a>,
    /// On which tier.
    pub tier: Option<&'a [u8]>,
    /// To which limit.
    pub limit: Option<&'a [u8]>,
    /// To which of a subject's limits.
    pub limits: Vec<&'a [u8]>,
    /// To which model, which is in no domain.
    pub model: Option<&'a [u8]>,
    /// To how many rows.
    pub rows: Option<usize>,
}

/// As a record says it.
pub(in crate::engine) fn attempt<S: Store>(engine: &Engine<S>, tried: &Tried<'_>) -> Attempt {
    let rules = engine.limits.load();
    let model = tried.model.map(|name| model(&rules, name));
    let beside = [("model", model.unwrap_or_default()), ("rows", tried.rows.into())];
    if tried.model.is_some() {
        return Attempt { domain: None, target: something(target_of(&[], beside)) };
    }
    let Ok(domain) = domain(&rules, tried.who.domain) else {
        return Attempt { domain: None, target: something(target_of(&[], beside)) };
    };
    let limit = |name: &&[u8]| known(domain.by_name.contains_key(*name), name);
    let limits: Vec<Json> = tried.limits.iter().take(MOST_LIMITS).map(limit).collect();
    let tier = tried.tier.map(|name| known(name == b"all" || domain.tiers.by_name(name).is_some(), name));
    let more = [
        ("tier", tier.unwrap_or_default()),
        ("limit", tried.limit.as_ref().map(limit).unwrap_or_default()),
        ("limits", if limits.is_empty() { Json::Null } else { limits.into() }),
    ];
    // Under a secret that is not the store's own nobody would find whom it was about.
    let secret = engine.store.agreed_secret();
    let subjects = secret.map(|secret| whom(domain, &tried.who).subjects(domain, secret)).unwrap_or_default();
    let target = something(target_of(&subjects, more.into_iter().chain(beside)));
    Attempt { domain: Some(domain.name.clone()), target }
}

/// Whom limits of `domain` are kept for among those who are named.
fn whom<'a>(domain: &NativeDomain, who: &Who<'a>) -> Who<'a> {
    let keys = subject_keys(domain);
    let is_key = |entry: &Entry<'_>| keys.iter().any(|key| key.as_bytes() == entry.key);
    Who { domain: who.domain, entries: who.read().filter(is_key).collect() }
}

fn model(rules: &RuleSet, name: &[u8]) -> Json {
    rules.prices.model(name).map_or(NOTHING.into(), |model| (*model.name).into())
}

fn known(is_known: bool, name: &[u8]) -> Json {
    if is_known { String::from_utf8_lossy(name).into() } else { NOTHING.into() }
}

/// What says nothing is left out.
fn something(target: Json) -> Json {
    if target.as_object().is_some_and(serde_json::Map::is_empty) { Json::Null } else { target }
}
