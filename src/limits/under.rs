//! The files with something set over them: the numbers, tiers and prices that are in force.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::prices::Version;

use super::basis::{Given, Origin, TierOrAll};
use super::limit::LimitId;
use super::native::{NativeDomain, TierId};
use super::number::Number;
use super::overlay::{Overlay, Placed, SubjectId, Target, Value};
use super::window::Unit;
use super::{Domain, RuleSet};

/// What is set over one domain.
type OverDomain<'o> = Vec<(&'o Target, &'o Placed)>;

impl RuleSet {
    /// The same with `over` set over it, as far as that holds at `now`. What is not changed by it is shared.
    #[must_use]
    pub fn under(self: &Arc<Self>, over: &Overlay, now: Timestamp) -> Arc<Self> {
        let mut by_domain: HashMap<&[u8], OverDomain<'_>> = HashMap::new();
        let mut prices = Vec::new();
        for (target, placed) in over.iter().filter(|(_, placed)| placed.holds_at(now)) {
            if let (Target::Price { model, from }, Value::Price(price)) = (target, &placed.value) {
                let (set_by, steps) = (Some(placed.version), Vec::new());
                prices.push((&**model, Version { set_by, from: *from, prices: *price, steps }));
            } else if let Some(domain) = target.domain() {
                by_domain.entry(domain.as_bytes()).or_default().push((target, placed));
            }
        }
        if by_domain.is_empty() && prices.is_empty() {
            return Arc::clone(self);
        }
        let under = |name: &[u8], domain: &Domain| match (domain, by_domain.get(name)) {
            (Domain::Native(domain), Some(over)) => Domain::Native(Arc::new(domain.under(over))),
            (domain, _) => domain.clone(),
        };
        let domains = self.domains.iter().map(|(name, domain)| (name.clone(), under(name, domain)));
        Arc::new(Self { domains: domains.collect(), prices: self.prices.with(prices) })
    }

    /// Whether there is what `target` names, and `value` can be set over it: else it is not in force.
    pub fn has(&self, target: &Target, value: &Value) -> bool {
        let Some(domain) = target.domain() else {
            // A model that is new.
            return matches!(value, Value::Price(_));
        };
        match self.domains.get(domain.as_bytes()) {
            Some(Domain::Native(domain)) => domain.effect(target, value).is_some(),
            Some(Domain::Reference(_)) | None => false,
        }
    }
}

/// What comes of something that is set.
enum Effect<'o> {
    /// The number that a limit is given.
    Number { limit: LimitId, by: TierOrAll, number: Number },
    /// The number that a limit allows one subject.
    Own { limit: LimitId, subject: u128, number: Number },
    /// The tier of a subject.
    Tier { subject: &'o SubjectId, tier: TierId },
}

impl NativeDomain {
    /// The same with `over` set over it.
    fn under(&self, over: &OverDomain<'_>) -> Self {
        let mut domain = self.clone();
        let mut renumbered = BTreeSet::new();
        for (target, placed) in over {
            let origin = Origin::Override { version: placed.version, until: placed.until };
            match self.effect(target, &placed.value) {
                None => {}
                Some(Effect::Number { limit, by, number }) => {
                    let basis = Arc::make_mut(&mut domain.limits[limit.0].basis);
                    *basis.by(by) = Some(Given { number, origin });
                    renumbered.insert(limit);
                }
                Some(Effect::Own { limit, subject, number }) => {
                    let own = domain.limits[limit.0].own.get_or_insert_default();
                    Arc::make_mut(own).give(subject, Given { number, origin });
                }
                Some(Effect::Tier { subject, tier }) => {
                    let assigned = domain.assigned.get_or_insert_default();
                    Arc::make_mut(assigned).assign(&subject.key, subject.hash, tier);
                }
            }
        }
        renumbered.into_iter().for_each(|limit| domain.renumber(limit));
        domain
    }

    /// What comes of setting `value` over `target`; `None` if there is no such thing, or it counts something else by now.
    fn effect<'o>(&self, target: &'o Target, value: &Value) -> Option<Effect<'o>> {
        match (target, value) {
            (Target::Number { tier, limit, .. }, Value::Number(number, unit)) => {
                let limit = self.limit_counting(*unit, limit)?;
                Some(Effect::Number { limit, by: self.tier_or_all(tier, limit)?, number: *number })
            }
            (Target::Own { limit, subject, .. }, Value::Number(number, unit)) => {
                let limit = self.limit_counting(*unit, limit)?;
                let is_named = self.limit(limit).subjects.are_named_by(&subject.key);
                is_named.then_some(Effect::Own { limit, subject: subject.hash, number: *number })
            }
            (Target::Tier { subject, .. }, Value::Tier(name)) => {
                Some(Effect::Tier { subject, tier: self.tiers.by_name(name.as_bytes())? })
            }
            _ => None,
        }
    }

    /// The limit called `name`, if `unit` is what it counts.
    fn limit_counting(&self, unit: Unit, name: &str) -> Option<LimitId> {
        self.limit_named(name).filter(|limit| self.limit(*limit).unit == unit)
    }
}
