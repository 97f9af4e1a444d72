//! What was used, has no price, and was not held for: nobody can be charged for it, so people are told.
//!
//! A settle that is refused for it is written down beside the refusals; one that cannot be refused is written down as any
//! other. Both raise an alert: of one model once a minute, and of so many models that
//! callers who make names up fill no log.

use parking_lot::Mutex;

use crate::alerts::Alert;
use crate::clock::{Micros, Timestamp};
use crate::limits::{CounterKey, Limit, NativeDomain, RuleSet, identity};
use crate::store::Store;

use super::Engine;
use super::hold::{Reason, Usage, asked};
use super::usage::Object;

/// Of how many models it is told at most within one minute.
const MOST_MODELS: usize = 16;
const MINUTE: Micros = Micros::from_secs(60);

/// Which models were told of within this minute.
#[derive(Debug, Default)]
pub(super) struct News(Mutex<(u64, Vec<u128>)>);

impl News {
    /// Whether `model` in `domain` has yet to be told of at `at`. From here on it is told.
    fn is_new(&self, domain: &str, model: &[u8], at: Timestamp) -> bool {
        let (minute, which) = (at.0 / MINUTE.0, identity(&[domain.as_bytes(), &model.to_ascii_lowercase()]));
        let (told_in, told) = &mut *self.0.lock();
        if *told_in != minute {
            told.clear();
            *told_in = minute;
        }
        let is_new = told.len() < MOST_MODELS && !told.contains(&which);
        if is_new {
            told.push(which);
        }
        is_new
    }
}

/// Writes down and tells that what was `used` at `at` under `name` is not paid to the limits of these identities. `about`
/// says whose it is; if it says nothing, the limits tell the domain.
pub(super) fn write_down<S: Store>(
    engine: &Engine<S>,
    rules: &RuleSet,
    at: Timestamp,
    unpaid: &[u128],
    (about, name, used): (&[u8], CounterKey, &Usage<'_>),
) {
    let Some(domain) = unpaid.iter().find_map(|limit| rules.domain_of(*limit)) else { return };
    let limits: Vec<&Limit> = unpaid.iter().filter_map(|limit| domain.of_identity(*limit)).collect();
    let mut line = Object::new();
    line.hash("hold", name.id);
    line.objects("refused_by", limits.iter().map(|limit| refusal(limit)));
    asked(&mut line, used, &rules.prices, at);
    let about = if about.is_empty() { about_domain(domain) } else { about.to_vec() };
    engine.store.note_refusal(at, &about, &line.finish());
    raise(engine, rules, at, unpaid, used.model);
}

/// Tells that what was used of `model` is not paid to the limits of these identities.
pub(super) fn raise<S: Store>(
    engine: &Engine<S>,
    rules: &RuleSet,
    at: Timestamp,
    unpaid: &[u128],
    model: &[u8],
) {
    let of_identity = |limit: &u128| {
        let domain = rules.domain_of(*limit)?;
        Some((domain, domain.of_identity(*limit)?))
    };
    let Some((domain, limit)) = unpaid.iter().find_map(of_identity) else { return };
    if let Some(alerts) = &engine.alerts
        && engine.unpriced.is_new(&domain.name, model, at)
    {
        alerts.raise(Alert::unpriced(domain, limit, model, at));
    }
}

fn refusal(limit: &Limit) -> Object {
    let mut refusal = Object::new();
    refusal.text("limit", &limit.name);
    refusal.text("reason", Reason::UnpricedModel.name());
    refusal
}

fn about_domain(domain: &NativeDomain) -> Vec<u8> {
    let mut about = Object::new();
    about.text("domain", &domain.name);
    about.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_told_of_once_a_minute_and_few_models_are() {
        let news = News::default();
        let told = |model: &str, seconds| {
            u64::from(news.is_new("app", model.as_bytes(), Timestamp(Micros::from_secs(seconds).0)))
        };
        assert_eq!([told("m", 0), told("M", 59), told("m", 60)], [1, 0, 1]);
        let many: u64 = (0..100).map(|number| told(&format!("made up {number}"), 61)).sum();
        assert_eq!((many, told("m", 120)), (MOST_MODELS as u64 - 1, 1));
    }
}
