//! What came of asking each limit is counted under the names of the file, and goes on across reloads.

use tollgate::engine::{Enforcement, EngineSettings};

use crate::support::embedded::{Ask, Embedded};

const SHOP: &str = "
domains:
  shop:
    per: user
    tier: {from: tier, default: free}
    limits:
      api: 1m
      trial: {limit: 1m, shadow: true}
      named: {limit: 3/1m, per: email, on_missing: refuse}
    tiers:
      free: {api: 2, trial: 1}
      pro: {api: 100, trial: 100}
    routes:
      /x: [api, trial]
      /y: named
";

fn call(path: &str, tier: &str) -> Ask {
    Ask::new("shop", &format!("path={path} user=u tier={tier}"))
}

#[test]
fn outcomes_are_counted_by_limit_and_tier() {
    let shop = Embedded::new(SHOP);
    shop.passes(&call("/x", "free"), 5);
    shop.passes(&call("/x", "pro"), 1);
    shop.passes(&call("/y", "free"), 2);
    assert_eq!(shop.tallied("shop", "api", "free"), [2, 3, 0, 0]);
    assert_eq!(shop.tallied("shop", "trial", "free"), [1, 0, 4, 0]);
    assert_eq!(shop.tallied("shop", "api", "pro"), [1, 0, 0, 0]);
    assert_eq!(shop.tallied("shop", "named", "free"), [0, 2, 0, 0], "refused for want of a subject");
}

#[test]
fn where_nothing_is_enforced_nothing_is_refused() {
    let settings = EngineSettings { enforcement: Enforcement::Shadow, ..EngineSettings::default() };
    let shop = Embedded::with(SHOP, settings);
    shop.passes(&call("/x", "free"), 5);
    assert_eq!(shop.tallied("shop", "api", "free"), [2, 0, 3, 0]);
}

const LEGACY: &str = "
domain: legacy
descriptors:
  - key: user
    rate_limit: {unit: hour, requests_per_unit: 2}
  - key: trial
    shadow_mode: true
    rate_limit: {unit: hour, requests_per_unit: 1}
";

#[test]
fn a_limit_of_a_reference_domain_goes_by_its_path() {
    let legacy = Embedded::new(LEGACY);
    legacy.passes(&Ask::new("legacy", "user=a"), 3);
    legacy.passes(&Ask::new("legacy", "trial=a"), 3);
    legacy.passes(&Ask::new("legacy", "other=a"), 3);
    assert_eq!(legacy.tallied("legacy", "legacy.user", ""), [2, 1, 0, 0]);
    assert_eq!(legacy.tallied("legacy", "legacy.trial", ""), [1, 0, 2, 0]);
}

#[test]
fn a_reload_counts_on_where_the_names_are_the_same() {
    let shop = Embedded::new(SHOP);
    shop.passes(&call("/x", "free"), 3);
    shop.reload(&SHOP.replace("free: {api: 2", "free: {api: 50").replace("pro:", "gold:"));
    shop.passes(&call("/x", "free"), 1);
    assert_eq!(shop.tallied("shop", "api", "free"), [3, 1, 0, 0]);
    assert_eq!(shop.tallied("shop", "api", "gold"), [0, 0, 0, 0]);

    let legacy = Embedded::new(LEGACY);
    legacy.passes(&Ask::new("legacy", "user=a"), 1);
    legacy.reload(LEGACY);
    legacy.passes(&Ask::new("legacy", "user=a"), 1);
    assert_eq!(legacy.tallied("legacy", "legacy.user", ""), [2, 0, 0, 0]);
}
