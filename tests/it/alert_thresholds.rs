//! Which limits alert at which shares of their number, as files say it, and where to.

use tollgate::clock::Timestamp;
use tollgate::config::source::{Around, SameDomain, Source, compile_in};
use tollgate::config::table::table;
use tollgate::limits::{Domain, NativeDomain, RuleSet, Scheme};

const HOOK: &str = "https://hooks.example/swordfish";

/// The rules in `texts`, each a file of its own, and the warnings about them.
fn compiled(texts: &[&str]) -> (RuleSet, String) {
    let named =
        |(place, text): (usize, &&str)| Source { name: format!("{place}.yaml").into(), text: (*text).into() };
    let sources: Vec<Source> = texts.iter().enumerate().map(named).collect();
    let environment = |name: &str| (name == "HOOK").then(|| HOOK.to_owned());
    let compiled = compile_in(
        Around { environment: &environment, now: Timestamp::default() },
        &sources,
        SameDomain::Refuse,
    );
    let compiled = compiled.unwrap_or_else(|found| panic!("{texts:?}\n{found}"));
    (compiled.rules, compiled.warnings.to_string())
}

fn native<'r>(rules: &'r RuleSet, name: &str) -> &'r NativeDomain {
    match rules.domains.get(name.as_bytes()) {
        Some(Domain::Native(domain)) => domain,
        other => panic!("{name} is {other:?}"),
    }
}

/// The thresholds of the limit `written`, in a file that begins with `alerts`.
fn thresholds(alerts: &str, written: &str) -> Vec<u16> {
    let (rules, _) =
        compiled(&[&format!("{alerts}\ndomains: {{d: {{per: user, limits: {{l: {written}}}}}}}\n")]);
    native(&rules, "d").limits[0].thresholds.iter().map(|threshold| threshold.0).collect()
}

#[test]
fn a_file_alerts_on_what_is_spent_and_on_rates_that_ask() {
    const USUAL: &[u16] = &[50, 80, 100];
    for (alerts, written, expected) in [
        ("alerts: {}", "$5.00/1h", USUAL),
        ("alerts: {}", "$5.00 total", USUAL),
        ("alerts: {}", "40k tokens/1m burst 60k", USUAL),
        ("alerts: {}", "3/month", USUAL),
        ("alerts: {}", "5/15m", &[]),
        ("alerts: {}", "5 total", &[]),
        ("alerts: {}", "5 concurrent", &[]),
        ("alerts: {}", "10k tokens/request", &[]),
        ("alerts: {}", "{limit: 3/month, alerts: off}", &[]),
        ("alerts: {}", "{limit: 5/15m, alerts: {at: [90%]}}", &[90]),
        ("alerts: {}", "{limit: 5/15m, alerts: {}}", USUAL),
        ("alerts: {at: [100%, 20%, 100%, 150%]}", "3/month", &[20, 100, 150]),
        ("alerts: {at: [70%]}", "{limit: 3/month, alerts: {at: [90%, 10%]}}", &[10, 90]),
        ("alerts: {at: [70%]}", "{limit: 5 total, alerts: {}}", &[70]),
        ("", "$5.00/1h", &[]),
        ("", "{limit: 5/15m, alerts: {}}", USUAL),
        ("", "{limit: 5/15m, alerts: {at: [90%]}}", &[90]),
    ] {
        assert_eq!(thresholds(alerts, written), expected, "{alerts} {written}");
    }
}

const SPEND: &str = "domains: {NAME: {limits: {spend: $5.00/day per all, api: 5/1m per ip}}}\n";

#[test]
fn alerts_hold_for_their_file() {
    let files = [
        format!("alerts: {{at: [60%], webhook: \"${{HOOK}}\"}}\n{}", SPEND.replace("NAME", "one")),
        format!("alerts: {{webhook: \"http://127.0.0.1:9/${{HOOK_ID}}\"}}\n{}", SPEND.replace("NAME", "two")),
        SPEND.replace("NAME", "three"),
    ];
    let (rules, warnings) = compiled(&files.each_ref().map(String::as_str));
    let of = |name: &str| {
        let domain = native(&rules, name);
        let thresholds = domain.limits[0].thresholds.iter().map(|threshold| threshold.0);
        (
            thresholds.collect::<Vec<_>>(),
            domain.webhook.as_ref().map(|webhook| (webhook.scheme(), webhook.target())),
        )
    };
    assert_eq!(of("one"), (vec![60], Some((Scheme::Https, "/swordfish"))));
    assert_eq!(of("two"), (vec![50, 80, 100], None));
    assert_eq!(of("three"), (vec![], None));
    assert!(
        warnings.contains("1.yaml:1:19: warning: HOOK_ID is not set, so the webhook is off"),
        "{warnings}"
    );
    assert!(!format!("{rules:?}").contains("swordfish"));
}

#[test]
fn the_table_says_which_limits_alert_at_what() {
    let text = "
alerts: {webhook: \"${HOOK}\"}
domains:
  shop:
    per: user
    limits:
      spend: $5.00/day
      logins: {limit: 5/15m, alerts: {at: [100%]}}
      api: 60/1m
      exports: 3/month
";
    let (rules, _) = compiled(&[text]);
    let shown = table(&rules, Timestamp(0));
    let alerting: Vec<&str> = shown.lines().filter(|line| line.contains("alerts")).collect();
    let expected = [
        "  alerts at 50%, 80%, 100% (log and webhook): spend, exports",
        "  alerts at 100% (log and webhook): logins",
    ];
    assert_eq!(alerting, expected, "{shown}");
}
