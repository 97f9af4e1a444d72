//! Limits that go on under their name but not with their counters, because what makes a counter changed.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits::{Domain, Number, ReferenceDomain, ReferenceLimit, RuleSet};

/// What makes the counters of each limit, by the limit's full name.
type Identities = BTreeMap<String, BTreeSet<String>>;

/// The limits of `before` that `after` has too, with counters that are not the same ones.
pub(super) fn between(before: &RuleSet, after: &RuleSet) -> Vec<String> {
    let (before, mut after) = (identities(before), identities(after));
    before
        .into_iter()
        .filter(|(name, old)| {
            after.remove(name).is_some_and(|new| !new.is_superset(old) && !old.is_superset(&new))
        })
        .map(|(name, _)| name)
        .collect()
}

fn identities(rules: &RuleSet) -> Identities {
    let mut identities = Identities::new();
    let mut add = |name: String, identity: String| {
        identities.entry(name).or_default().insert(identity);
    };
    for domain in rules.domains.values() {
        match domain {
            Domain::Native(domain) => {
                for limit in &domain.limits {
                    let subjects = format!("{:?}", limit.subjects);
                    add(format!("{}.{}", domain.name, limit.name), format!("{} {subjects}", limit.identity));
                }
            }
            Domain::Reference(domain) => {
                for limit in counted(domain) {
                    add(limit.path.to_string(), limit.window.identity());
                }
            }
        }
    }
    identities
}

/// Unlimited ones keep no counters.
fn counted(domain: &ReferenceDomain) -> impl Iterator<Item = &ReferenceLimit> {
    domain.limits().into_iter().filter(|limit| limit.number != Number::Unlimited)
}
