//! What Prometheus reads: what came of asking each limit, of its alerts and its breaker, and of what callers told of their
//! holds.
//!
//! Labels are names from the configuration and nothing else, so what callers send makes no series. The text is
//! OpenMetrics 1.0, which Prometheus reads as well.

mod settled;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::engine::{Inspect, Odd};
use crate::limits::{Alerted, RuleSet, Tallied, Tally};

use settled::Settled;

use super::{Count, Counting};

/// What the text is, for the header of the answer.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every metric, as it is now.
pub(super) fn text_of<'a>(
    inspect: &impl Inspect,
    counts: impl Iterator<Item = &'a Count>,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("tollgate");
    for count in counts {
        let now = (count.look)();
        match count.kind {
            Counting::Events => registry.register(count.name, count.help, ConstCounter::new(now)),
            Counting::Things => registry.register(count.name, count.help, ConstGauge::new(now)),
        }
    }
    let help =
        "Settles that nobody waits for and the store had no answer to: what they were to charge is lost";
    registry.register("settles_given_up", help, ConstCounter::new(inspect.settles_given_up()));
    registry.register_collector(Box::new(Decisions(inspect.rules())));
    registry.register_collector(Box::new(Alerts(inspect.rules())));
    registry.register_collector(Box::new(Breakers(inspect.rules())));
    registry.register_collector(Box::new(Oddities(Odd::ALL.map(|odd| (odd.name(), inspect.times(odd))))));
    registry.register_collector(Box::new(Settled(inspect.settlements())));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

/// The tallies of all limits.
#[derive(Debug)]
struct Decisions(Arc<RuleSet>);

impl Collector for Decisions {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "How often a descriptor came to a limit: admitted, refused, over it and let pass, or refused unchecked";
        let mut family = encoder.encode_descriptor("decisions", help, None, MetricType::Counter)?;
        for (labels, tallies) in self.0.tallies() {
            for outcome in Tallied::ALL {
                let count: u64 = tallies.iter().map(|tally| Tally::of(tally, outcome)).sum();
                let labels = [
                    ("domain", Cow::from(labels.domain)),
                    ("limit", Cow::from(labels.limit)),
                    ("tier", Cow::from(labels.tier)),
                    ("outcome", Cow::from(outcome.name())),
                ];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// The alerts of all limits that raise some.
#[derive(Debug)]
struct Alerts(Arc<RuleSet>);

impl Collector for Alerts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let tallies = self.0.alert_tallies();
        if tallies.is_empty() {
            return Ok(());
        }
        let help =
            "Alerts of a limit: sent, failed or dropped on the way to the webhook, or logged without one";
        let mut family = encoder.encode_descriptor("alerts", help, None, MetricType::Counter)?;
        for (domain, limit, tally) in tallies {
            for outcome in Alerted::ALL {
                let labels = [("domain", domain), ("limit", limit), ("outcome", outcome.name())];
                ConstCounter::new(tally.of(outcome)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// How often breakers were opened.
#[derive(Debug)]
struct Breakers(Arc<RuleSet>);

impl Collector for Breakers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let tallies = self.0.breaker_tallies();
        if tallies.is_empty() {
            return Ok(());
        }
        let help = "How often a limit that was reached opened its breaker, by whichever instance opened it";
        let mut family = encoder.encode_descriptor("breaker_trips", help, None, MetricType::Counter)?;
        for (domain, limit, tally) in tallies {
            let labels = [("domain", domain), ("limit", limit)];
            ConstCounter::new(tally.trips()).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// What was odd about holds, and how often.
#[derive(Debug)]
struct Oddities([(&'static str, u64); Odd::ALL.len()]);

impl Collector for Oddities {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "How often an entry that tells of a hold could not be taken as it was told";
        let mut family = encoder.encode_descriptor("odd_holds", help, None, MetricType::Counter)?;
        for (entry, times) in self.0 {
            ConstCounter::new(times).encode(family.encode_family(&[("entry", entry)])?)?;
        }
        Ok(())
    }
}
