//! How many alerts each limit raised, and what became of them.
//!
//! As with [`Tally`](super::Tally), the counts begin with the process and go on across reloads, where domain and limit
//! have the same names.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Domain, Limit, NativeDomain, RuleSet};

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alerted {
    /// There is no webhook: it stands in the log and nowhere else.
    Logged,
    /// The webhook took it.
    Sent,
    /// The webhook did not take it, and it is tried no more.
    Failed,
    /// It was given up: too many were waiting, the webhook was taken out of the files, or the process ended.
    Dropped,
}

/// The counts of one limit.
#[derive(Debug, Default)]
pub struct AlertTally([AtomicU64; Alerted::ALL.len()]);

impl Alerted {
    /// Every fate.
    pub const ALL: [Self; 4] = [Self::Logged, Self::Sent, Self::Failed, Self::Dropped];

    /// As metrics write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logged => "logged",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }

    const fn place(self) -> usize {
        match self {
            Self::Logged => 0,
            Self::Sent => 1,
            Self::Failed => 2,
            Self::Dropped => 3,
        }
    }
}

impl AlertTally {
    /// Counts one more.
    pub fn count(&self, what: Alerted) {
        self.0[what.place()].fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn of(&self, what: Alerted) -> u64 {
        self.0[what.place()].load(Ordering::Relaxed)
    }
}

impl RuleSet {
    /// The counts of every limit that alerts, with the names of its domain and its own, in their order.
    pub fn alert_tallies(&self) -> Vec<(&str, &str, &AlertTally)> {
        let alerting = self.native().flat_map(|domain| {
            let limits = domain.limits.iter().filter(|limit| !limit.thresholds.is_empty());
            limits.map(|limit| (&*domain.name, &*limit.name, &*limit.alerts))
        });
        let mut found: Vec<_> = alerting.collect();
        found.sort_unstable_by_key(|(domain, limit, _)| (*domain, *limit));
        found
    }

    /// Goes on counting alerts where `old` was.
    pub(super) fn go_on_alerting_from(&mut self, old: &Self) {
        let mut kept: HashMap<(&str, &str), &Arc<AlertTally>> = HashMap::new();
        for domain in old.native() {
            kept.extend(domain.limits.iter().map(|limit| ((&*domain.name, &*limit.name), &limit.alerts)));
        }
        for domain in self.domains.values_mut() {
            let Domain::Native(domain) = domain else { continue };
            let NativeDomain { name: domain, limits, .. } = Arc::make_mut(domain);
            for Limit { name, alerts, .. } in limits {
                if let Some(before) = kept.remove(&(&**domain, &**name)) {
                    *alerts = before.clone();
                }
            }
        }
    }

    /// The domains that are written as limits, tiers and routes.
    pub(super) fn native(&self) -> impl Iterator<Item = &NativeDomain> {
        self.domains.values().filter_map(|domain| match domain {
            Domain::Native(domain) => Some(&**domain),
            Domain::Reference(_) => None,
        })
    }
}
