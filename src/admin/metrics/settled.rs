//! What came of holds, and what was used of models.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use crate::engine::{Counts, HoldEnd, Ratios};

/// Nano-USD in a dollar.
const NANOS: f64 = 1e9;

/// The counts of all settlements. What nobody has settled yet has no series.
#[derive(Debug)]
pub(super) struct Settled(pub(super) Counts);

impl Collector for Settled {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if !self.0.ended.is_empty() {
            self.ended(&mut encoder)?;
        }
        if !self.0.spending.is_empty() {
            self.tokens(&mut encoder)?;
            self.spend(&mut encoder)?;
        }
        if !self.0.ratios.is_empty() {
            self.ratios(&mut encoder)?;
        }
        Ok(())
    }
}

impl Settled {
    fn ended(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Holds of a limit whose end was told: settled, released, or settled after they had lapsed";
        let mut family = encoder.encode_descriptor("holds_ended", help, None, MetricType::Counter)?;
        for (domain, limits) in &self.0.ended {
            for (limit, ended) in limits {
                for end in HoldEnd::ALL {
                    let labels = [("domain", &**domain), ("limit", &**limit), ("end", end.name())];
                    ConstCounter::new(ended.of(end)).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn tokens(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Tokens that calls have used, counted when they end";
        let mut family = encoder.encode_descriptor("tokens", help, None, MetricType::Counter)?;
        for (domain, models) in &self.0.spending {
            for (model, spending) in models {
                for (class, count) in spending.tokens().filter(|(_, count)| *count > 0) {
                    let labels = [("domain", &**domain), ("model", &**model), ("class", class)];
                    ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn spend(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Dollars that calls have cost, counted when they end";
        let mut family = encoder.encode_descriptor("spend_usd", help, None, MetricType::Counter)?;
        for (domain, models) in &self.0.spending {
            for (model, spending) in models {
                let labels = [("domain", &**domain), ("model", &**model)];
                ConstCounter::new(spending.nanos as f64 / NANOS).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn ratios(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "What calls have used, divided by what was held for them";
        let mut family = encoder.encode_descriptor("estimate_ratio", help, None, MetricType::Histogram)?;
        for (model, Ratios { counts, sum }) in &self.0.ratios {
            let labels = [("model", &**model)];
            let bounds = Ratios::BOUNDS.into_iter().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(*counts).collect();
            let mut histogram = family.encode_family(&labels)?;
            histogram.encode_histogram::<NoLabelSet>(*sum, counts.iter().sum(), &buckets, None)?;
        }
        Ok(())
    }
}
