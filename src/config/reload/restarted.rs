//! Limits that go on under their name but not with their counters, because what makes a counter changed.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits::{Domain, Number, ReferenceDomain, ReferenceLimit, RuleSet};

/// What makes the counters of each limit, by the limit's full name.
type Identities = BTreeMap<String, BTreeSet<(u128, String)>>;

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
    let mut add = |name: String, identity: (u128, String)| {
        identities.entry(name).or_default().insert(identity);
    };
    for domain in rules.domains.values() {
        match domain {
            Domain::Native(domain) => {
                for limit in &domain.limits {
                    let identity = (limit.identity, limit.subjects.to_string());
                    add(format!("{}.{}", domain.name, limit.name), identity);
                }
            }
            Domain::Reference(domain) => {
                for limit in counted(domain) {
                    add(limit.path.to_string(), (limit.identity, String::new()));
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

#[cfg(test)]
mod tests {
    use super::between;
    use crate::config::source::{SameDomain, Source, compile};
    use crate::limits::RuleSet;

    fn rules(text: &str) -> RuleSet {
        let source = Source { name: "limits.yaml".into(), text: text.to_owned() };
        compile(&[source], SameDomain::Refuse).unwrap_or_else(|found| panic!("{found}")).rules
    }

    fn reference(limits: &str) -> RuleSet {
        rules(&format!("domain: d\ndescriptors: [{{key: a, rate_limits: [{limits}]}}]"))
    }

    fn native(limit: &str) -> RuleSet {
        rules(&format!("domains: {{d: {{limits: {{a: {limit}}}, routes: {{'*': [a]}}}}}}"))
    }

    #[test]
    fn only_another_identity_starts_empty() {
        let hour = "{unit: hour, requests_per_unit: 1}";
        for (before, after, restarted) in [
            (reference(hour), reference("{unit: hour, requests_per_unit: 2, name: n}"), false),
            (reference(hour), reference("{unit: minute, requests_per_unit: 1, unit_multiplier: 60}"), false),
            (reference(hour), reference(&format!("{hour}, {{unit: day, requests_per_unit: 9}}")), false),
            (reference(hour), reference("{unlimited: true}"), false),
            (reference(hour), rules("domain: d\ndescriptors: []"), false),
            (reference(hour), reference("{unit: day, requests_per_unit: 1}"), true),
            (
                reference(hour),
                reference("{unit: hour, requests_per_unit: 1, algorithm: sliding_window}"),
                true,
            ),
            (native("5/1m per user"), native("9/1m per user"), false),
            (native("5/1m per user"), native("5/1h per user"), true),
            (native("5/1m per user"), native("5/1m fixed per user"), true),
            (native("5/1m per user"), native("5/1m per ip"), true),
            (native("5/1m per user"), native("5 tokens/1m per user"), true),
            (native("5 tokens/1m per user"), native("$5/1m per user"), true),
            (native("5 concurrent per user"), native("6 concurrent per user"), false),
            (
                native("{limit: 5 concurrent per user, max_age: 1m}"),
                native("{limit: 5 concurrent per user, max_age: 1h}"),
                true,
            ),
            (native("5 total per user"), native("{limit: 5 total per user, forget: 1h}"), false),
            (native("3/day per user"), native("{limit: 3/day per user, timezone: Europe/Berlin}"), true),
        ] {
            let expected: &[&str] = if restarted { &["d.a"] } else { &[] };
            assert_eq!(between(&before, &after), expected, "{before:?}\n{after:?}");
        }
    }
}
