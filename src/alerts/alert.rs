//! One alert: what it says in the log and to a webhook.
//!
//! Its names come from the configuration, its subject is a keyed hash. Of what callers write it shows the name of a model
//! and nothing else, shortened. Money is written as decimal dollars.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::calendar;
use crate::clock::Timestamp;
use crate::limits::{AlertTally, Alerted, Limit, NativeDomain, Percent, TierId, Unit, Window, identity};
use crate::money::NanoUsd;

/// Something about a limit that people are to know.
#[derive(Clone, Debug)]
pub struct Alert {
    id: u128,
    domain: Box<str>,
    limit: Arc<str>,
    news: News,
    tally: Arc<AlertTally>,
}

/// What is to be known.
#[derive(Clone, Debug)]
enum News {
    /// Somebody has reached a share of its number.
    Reached(Reached),
    /// What was used has no price, and nothing was held for it.
    Unpriced { model: String, at: Timestamp },
}

/// That a share was reached.
#[derive(Clone, Debug)]
struct Reached {
    tier: Option<Box<str>>,
    unit: Unit,
    window: String,
    crossed: Crossed,
}

/// How many letters of a model's name are told: callers write it.
const MOST_LETTERS: usize = 64;

/// What a charge has crossed, and where it left the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// The share that was reached.
    pub threshold: Percent,
    /// The tier of whoever was charged; `None` where only what was reserved is known.
    pub tier: Option<TierId>,
    /// Spent, with the charge.
    pub used: u64,
    /// Reserved and not yet spent.
    pub held: u64,
    /// What the share is one of.
    pub most: u64,
    /// The keyed hash of whoever was charged: what the key of the counter has beside the identity of its limit.
    pub subject: u128,
    /// When it was crossed, by the store's time.
    pub at: Timestamp,
    /// When the counter is whole again; `None` if time alone never brings it there.
    pub resets_at: Option<Timestamp>,
}

impl Alert {
    /// That `limit` of `domain` has crossed a threshold.
    pub fn new(domain: &NativeDomain, limit: &Limit, crossed: Crossed) -> Self {
        Self {
            id: id_of(limit, crossed),
            domain: domain.name.clone(),
            limit: limit.name.clone(),
            news: News::Reached(Reached {
                tier: crossed.tier.map(|tier| domain.tiers.names[tier.0].clone()),
                unit: limit.unit,
                window: limit.window.in_words(),
                crossed,
            }),
            tally: limit.alerts.clone(),
        }
    }

    /// That `limit` of `domain` was not paid what was used of `model` at `at`, because that has no price.
    pub fn unpriced(domain: &NativeDomain, limit: &Limit, model: &[u8], at: Timestamp) -> Self {
        Self {
            id: identity(&[b"unpriced", &limit.identity.to_le_bytes(), model, &at.0.to_le_bytes()]),
            domain: domain.name.clone(),
            limit: limit.name.clone(),
            news: News::Unpriced {
                model: String::from_utf8_lossy(model).chars().take(MOST_LETTERS).collect(),
                at,
            },
            tally: limit.alerts.clone(),
        }
    }

    /// What tells it from every other, and is the same however often it is sent.
    pub(super) fn id(&self) -> u128 {
        self.id
    }

    /// The domain of the limit.
    pub(super) fn domain(&self) -> &str {
        &self.domain
    }

    /// The limit.
    pub(super) fn limit(&self) -> &str {
        &self.limit
    }

    /// Counts what became of it.
    pub(super) fn became(&self, what: Alerted) {
        self.tally.count(what);
    }

    /// Writes it into the log.
    pub(super) fn log(&self) {
        let (domain, limit, id) = (&*self.domain, &*self.limit, hex(self.id));
        match &self.news {
            News::Reached(reached) => reached.log(domain, limit, &id),
            News::Unpriced { model, .. } => {
                tracing::warn!(domain, limit, ?model, id, "what was used has no price and is not charged");
            }
        }
    }

    /// What a webhook is sent: one JSON object.
    pub(super) fn body(&self) -> String {
        let mut body = match &self.news {
            News::Reached(reached) => reached.body(),
            News::Unpriced { model, at } => {
                json!({"event": "unpriced_model", "model": model, "at": calendar::in_utc(*at)})
            }
        };
        body["id"] = hex(self.id).into();
        body["text"] = self.text().into();
        body["domain"] = (*self.domain).into();
        body["limit"] = (*self.limit).into();
        body.to_string()
    }

    /// One sentence, which chat programs show as it is.
    fn text(&self) -> String {
        let Self { domain, limit, news, .. } = self;
        match news {
            News::Reached(reached) => format!("{domain}: {limit} has reached {}", reached.text()),
            News::Unpriced { model, .. } => {
                format!(
                    "{domain}: {limit} is not paid for model {model:?}: not all that was used has a price"
                )
            }
        }
    }
}

impl Reached {
    fn log(&self, domain: &str, limit: &str, id: &str) {
        let Crossed { threshold, used, held, most, subject, resets_at, .. } = self.crossed;
        tracing::warn!(
            domain,
            limit,
            tier = self.tier.as_deref(),
            threshold_percent = threshold.0,
            used = self.unit.in_words(used),
            held = self.unit.in_words(held),
            max = self.unit.in_words(most),
            window = self.window,
            subject = hex(subject),
            resets_at = resets_at.map(calendar::in_utc),
            id,
            "a limit has reached a share of its number"
        );
    }

    fn body(&self) -> Value {
        let Crossed { threshold, used, held, most, subject, at, resets_at, .. } = self.crossed;
        let amount = |amount| amount_in(self.unit, amount);
        json!({
            "tier": self.tier,
            "threshold_percent": threshold.0,
            "unit": self.unit.name(),
            "used": amount(used),
            "held": amount(held),
            "max": amount(most),
            "window": self.window,
            "subject": hex(subject),
            "at": calendar::in_utc(at),
            "resets_at": resets_at.map(calendar::in_utc),
        })
    }

    fn text(&self) -> String {
        let Crossed { threshold, used, most, .. } = self.crossed;
        let (used, most) = (self.unit.in_words(used), self.unit.in_words(most));
        let tier = self.tier.as_ref().map_or_else(String::new, |tier| format!(", tier {tier}"));
        format!("{threshold} of {most} (used {used}{tier})")
    }
}

/// In a window that ends for all at once, a share is one event however often it is found crossed there. Other windows
/// have no end, so there the moment tells events apart.
fn id_of(limit: &Limit, crossed: Crossed) -> u128 {
    let event = match limit.window {
        Window::Fixed { .. } | Window::Calendar(..) => crossed.resets_at.unwrap_or(crossed.at),
        _ => crossed.at,
    };
    identity(&[
        &limit.identity.to_le_bytes(),
        &crossed.subject.to_le_bytes(),
        &crossed.threshold.0.to_le_bytes(),
        &event.0.to_le_bytes(),
    ])
}

fn hex(hash: u128) -> String {
    format!("{hash:032x}")
}

fn amount_in(unit: Unit, amount: u64) -> Value {
    match unit {
        Unit::Hits | Unit::Tokens => amount.into(),
        Unit::Money => NanoUsd(amount).to_decimal().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::source::{SameDomain, Source, compile};
    use crate::limits::Domain;

    const NOON: Timestamp = Timestamp(1_795_262_400_000_000);
    const CROSSED: Crossed = Crossed {
        threshold: Percent(80),
        tier: Some(TierId(0)),
        used: 8,
        held: 0,
        most: 10,
        subject: 1,
        at: NOON,
        resets_at: Some(NOON),
    };

    /// That the limit `written` crossed a threshold.
    fn alert(written: &str, crossed: Crossed) -> Alert {
        let text = format!("domains: {{shop: {{per: user, limits: {{quota: {written}}}}}}}\n");
        let source = Source { name: "limits.yaml".into(), text };
        let rules = compile(&[source], SameDomain::Refuse).unwrap_or_else(|found| panic!("{found}")).rules;
        match &rules.domains[&b"shop"[..]] {
            Domain::Native(domain) => Alert::new(domain, &domain.limits[0], crossed),
            Domain::Reference(_) => unreachable!("it is written as limits"),
        }
    }

    #[test]
    fn an_event_keeps_its_id_and_shares_it_with_no_other() {
        let later = Timestamp(NOON.0 + 1);
        let of_day = |crossed| alert("10/day", crossed).id();
        assert_eq!(of_day(CROSSED), of_day(CROSSED));
        assert_eq!(of_day(CROSSED), of_day(Crossed { at: later, used: 9, ..CROSSED }), "once a day");
        let hourly = |crossed| alert("10/1h", crossed).id();
        let ids = [
            of_day(CROSSED),
            of_day(Crossed { threshold: Percent(100), ..CROSSED }),
            of_day(Crossed { subject: 2, ..CROSSED }),
            of_day(Crossed { resets_at: Some(later), ..CROSSED }),
            hourly(CROSSED),
            hourly(Crossed { at: later, ..CROSSED }),
        ];
        let different: std::collections::HashSet<u128> = ids.into();
        assert_eq!(different.len(), ids.len(), "{ids:?}");
    }

    #[test]
    fn amounts_are_written_in_what_the_limit_counts() {
        for (written, unit, used, max) in [
            ("10/day", "hits", json!(8), json!(10)),
            ("10 tokens/day", "tokens", json!(8), json!(10)),
            ("$5/day", "USD", json!("0.000000008"), json!("0.00000001")),
        ] {
            let body: Value = serde_json::from_str(&alert(written, CROSSED).body()).expect("JSON");
            assert_eq!((&body["unit"], &body["used"], &body["max"]), (&json!(unit), &used, &max), "{body}");
        }
    }

    #[test]
    fn what_is_not_known_is_null() {
        let body = alert("10 total", Crossed { tier: None, resets_at: None, ..CROSSED }).body();
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((&body["tier"], &body["resets_at"]), (&Value::Null, &Value::Null), "{body}");
        assert_eq!(body["text"], "shop: quota has reached 80% of 10 (used 8)");
    }
}
