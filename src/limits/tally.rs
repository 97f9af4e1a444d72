//! How often each limit was asked, and what came of it: counters that are resolved when limits are loaded, so that
//! counting is one addition and no look-up.
//!
//! They count up from the start of the process. A set of rules takes over the counts of the set that it replaces,
//! where domain, limit and tier have the same names. They decide nothing, and nothing here knows a request.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Domain, Node, ReferenceLimit, RuleSet};

/// What came of asking a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tallied {
    /// There was room.
    Admitted,
    /// There was none, and the call was refused.
    Refused,
    /// There was none, and the limit is one that lets pass: on trial, soft, or outvoted by other quotas.
    Over,
    /// Nobody knows: the store had no answer, and the call was refused by the limit's policy.
    Unchecked,
}

/// The counts of one limit on one tier. It has a cache line of its own: other threads count others.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Tally([AtomicU64; Tallied::ALL.len()]);

/// Whose counts a [`Tally`] holds, by configured names only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TallyLabels<'a> {
    /// The domain.
    pub domain: &'a str,
    /// The limit: its name, or its path in a reference domain.
    pub limit: &'a str,
    /// The tier; empty in a reference domain.
    pub tier: &'a str,
}

impl Tallied {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Admitted, Self::Refused, Self::Over, Self::Unchecked];

    /// As metrics write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Refused => "refused",
            Self::Over => "over",
            Self::Unchecked => "unchecked",
        }
    }

    const fn place(self) -> usize {
        match self {
            Self::Admitted => 0,
            Self::Refused => 1,
            Self::Over => 2,
            Self::Unchecked => 3,
        }
    }
}

impl Tally {
    /// Counts one more.
    pub fn count(&self, what: Tallied) {
        self.0[what.place()].fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub fn of(&self, what: Tallied) -> u64 {
        self.0[what.place()].load(Ordering::Relaxed)
    }
}

impl RuleSet {
    /// Every count by its labels; limits that go by the same labels are counted together.
    pub fn tallies(&self) -> BTreeMap<TallyLabels<'_>, Vec<&Tally>> {
        let mut found: BTreeMap<_, Vec<&Tally>> = BTreeMap::new();
        for domain in self.domains.values() {
            domain.each_tally(&mut |labels, tally| found.entry(labels).or_default().push(tally));
        }
        found
    }

    /// Goes on counting where `old` was.
    pub(super) fn go_on_from(&mut self, old: &Self) {
        let mut kept: HashMap<TallyLabels<'_>, &Arc<Tally>> = HashMap::new();
        for domain in old.domains.values() {
            domain.each_tally(&mut |labels, tally| _ = kept.entry(labels).or_insert(tally));
        }
        for domain in self.domains.values_mut() {
            domain.each_tally_mut(&mut |labels, tally| {
                if let Some(tally_before) = kept.remove(&labels) {
                    *tally = tally_before.clone();
                }
            });
        }
    }
}

impl Domain {
    fn each_tally<'a>(&'a self, see: &mut impl FnMut(TallyLabels<'a>, &'a Arc<Tally>)) {
        match self {
            Self::Native(native) => {
                for limit in &native.limits {
                    for (tier, tally) in native.tiers.names.iter().zip(&limit.tallies) {
                        see(TallyLabels { domain: &native.name, limit: &limit.name, tier }, tally);
                    }
                }
            }
            Self::Reference(reference) => {
                for limit in reference.limits() {
                    see(TallyLabels { domain: &reference.name, limit: &limit.path, tier: "" }, &limit.tally);
                }
            }
        }
    }

    fn each_tally_mut<'a>(&'a mut self, see: &mut impl FnMut(TallyLabels<'a>, &'a mut Arc<Tally>)) {
        match self {
            Self::Native(native) => {
                let native = Arc::make_mut(native);
                for limit in &mut native.limits {
                    for (tier, tally) in native.tiers.names.iter().zip(&mut limit.tallies) {
                        see(TallyLabels { domain: &native.name, limit: &limit.name, tier }, tally);
                    }
                }
            }
            Self::Reference(reference) => {
                let reference = Arc::make_mut(reference);
                for limit in reference.root.limits_mut() {
                    let ReferenceLimit { path, tally, .. } = limit;
                    see(TallyLabels { domain: &reference.name, limit: path, tier: "" }, tally);
                }
            }
        }
    }
}

impl Node {
    fn limits_mut(&mut self) -> Vec<&mut ReferenceLimit> {
        let exact = self.exact.values_mut().flat_map(|values| values.values_mut());
        let wildcards = self.wildcards.iter_mut().map(|wildcard| &mut wildcard.rule);
        let rules = exact.chain(wildcards).chain(self.by_key.values_mut());
        rules.flat_map(|rule| rule.limits.iter_mut().chain(rule.below.limits_mut())).collect()
    }
}
