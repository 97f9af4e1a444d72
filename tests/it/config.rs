//! Tollgate files: what they become, and what is said of those that are wrong.

use proptest::prelude::*;
use tollgate::clock::{Micros, Timestamp};
use tollgate::config::diagnostic::{Diagnostics, Position, Severity};
use tollgate::config::source::{Around, Compiled, SameDomain, Source, compile_in};
use tollgate::config::table::table;
use tollgate::limits::{
    Debt, Domain, Limit, NativeDomain, Number, OnError, OnMissing, ResetForm, RuleSet, SendHeaders, TierId,
    Unit, Window, describe,
};
use tollgate::prices::{Class, CostError, Tokens};

/// Noon of 1 July 2026, in UTC.
const NOW: Timestamp = Timestamp(1_782_907_200_000_000);

const PRODUCTS: &str = include_str!("../data/products.yaml");

fn source(name: &str, text: &str) -> Source {
    Source { name: name.into(), text: text.to_owned() }
}

fn compile_all(sources: &[Source]) -> Result<Compiled, Diagnostics> {
    compile_in(Around { environment: &|_| None, now: NOW }, sources, SameDomain::Refuse)
}

fn compile(text: &str) -> Result<Compiled, Diagnostics> {
    compile_all(&[source("limits.yaml", text)])
}

fn compiled(text: &str) -> Compiled {
    compile(text).unwrap_or_else(|found| panic!("{text}\n{found}"))
}

/// The rules as `check` prints them at [`NOW`].
fn shown(rules: &RuleSet) -> String {
    table(rules, NOW)
}

fn native<'r>(rules: &'r RuleSet, name: &str) -> &'r NativeDomain {
    match rules.domains.get(name.as_bytes()) {
        Some(Domain::Native(domain)) => domain,
        other => panic!("{name} is {other:?}"),
    }
}

fn limit<'d>(domain: &'d NativeDomain, name: &str) -> &'d Limit {
    domain.limit(domain.by_name[name.as_bytes()])
}

/// The numbers of `limit` by tier, in the words of the file.
fn numbers(domain: &NativeDomain, name: &str) -> Vec<String> {
    let word = |number: &Number| match number {
        Number::Unlimited => "-1".to_owned(),
        Number::AtMost(most) => most.to_string(),
    };
    limit(domain, name).numbers.iter().map(word).collect()
}

/// The limits that a call is charged to by its route, without those of every call.
fn charged(domain: &NativeDomain, method: &str, path: &str) -> Vec<String> {
    let found = match path.starts_with('/') {
        true => domain.routes.find(method.as_bytes(), path.as_bytes()).map(|(id, _)| id),
        false => domain.routes.named(path.as_bytes()),
    };
    let limits = found.map_or(&[][..], |id| domain.routes.limits(id));
    limits.iter().map(|id| domain.limit(*id).name.to_string()).collect()
}

#[test]
fn products_read_as_they_are_written() {
    assert_eq!(shown(&compiled(PRODUCTS).rules), include_str!("../data/products.txt"));
}

#[test]
fn products_say_more_than_numbers() {
    let rules = compiled(PRODUCTS).rules;
    let aura = native(&rules, "aurastream");
    assert_eq!(
        (&*aura.tiers.from, aura.tiers.default, aura.tiers.anonymous),
        (&b"tier"[..], TierId(1), Some(TierId(0)))
    );
    let streams = limit(aura, "concurrent_streams");
    assert_eq!(streams.window, Window::Concurrent { max_age: Micros::from_secs(900) });
    assert_eq!(streams.on_error, OnError::Allow);
    assert_eq!(limit(aura, "login").on_error, OnError::Local);
    let every: Vec<&str> = aura.routes.every.iter().map(|id| &*aura.limit(*id).name).collect();
    assert_eq!(every, ["api_requests_per_minute"]);
    assert_eq!(charged(aura, "POST", "/coach/start"), ["monthly_coach_sessions", "coach_starts_per_hour"]);
    assert_eq!(charged(aura, "POST", "/brand-kits/7/logos"), ["max_logos_per_kit"]);
    assert_eq!(charged(aura, "GET", "/intel/a/b"), ["intel_requests_per_hour"]);

    let vault = native(&rules, "vaultmind");
    assert_eq!((vault.headers.send, vault.headers.reset), (SendHeaders::Always, ResetForm::Epoch));
    assert_eq!(
        limit(vault, "agent_edge").window,
        Window::TokenBucket { length: Micros::from_secs(1), burst: 21 }
    );
    assert_eq!(charged(vault, "DELETE", "/agent/other"), ["agent_edge"]);
    assert_eq!(limit(vault, "chat_cost").on_error, OnError::Deny);

    let ducke = native(&rules, "ducke");
    let cost = limit(ducke, "session_cost");
    assert_eq!(cost.window, Window::Total { forget: Some(Micros::from_secs(86_400)) });
    assert_eq!((cost.unit, cost.on_missing), (Unit::Money, OnMissing::Refuse));
    assert_eq!(charged(ducke, "", "voice"), ["session_time", "session_cost", "hourly_cost", "breaker"]);
    assert_eq!(charged(ducke, "PUT", "/"), ["index"]);
    assert_eq!(ducke.ipv6_prefix, 64);
}

#[test]
fn products_pay_what_their_prices_say() {
    let rules = compiled(PRODUCTS).rules;
    let cost = |model: &str, counts: &[(Class, u64)]| {
        let mut tokens = Tokens::default();
        counts.iter().for_each(|(class, count)| tokens.add(*class, *count).unwrap());
        rules.prices.cost(model.as_bytes(), &tokens, NOW).map(|cost| cost.nanos)
    };
    let session = limit(native(&rules, "ducke"), "session_cost").numbers[0];
    let voice = |output| cost("gpt-realtime", &[(Class::Input, 10_000), (Class::Output, output)]);
    assert_eq!(Ok(session), voice(20_000).map(Number::AtMost), "a whole session in one call");
    assert_eq!(voice(20_001), Ok(5_000_200_000), "one token more is not");
    for (model, expected) in [
        ("gpt-5", Ok(10_000)),
        ("gpt-5-2025-08-07", Ok(10_000)),
        ("GPT-5-mini", Ok(3_000)),
        ("openai/gpt-4o-mini", Ok(150)),
        ("gpt-4o-mini@20240718", Ok(150)),
        ("gpt-4o", Err(CostError::UnknownModel)),
    ] {
        assert_eq!(cost(model, &[(Class::Input, 1)]), expected, "{model}");
    }
}

#[test]
fn products_warn_of_the_webhook_that_nobody_set_and_of_nothing_else() {
    let warnings = compiled(PRODUCTS).warnings;
    let found: Vec<(Severity, &str)> =
        warnings.iter().map(|found| (found.severity, found.message.as_str())).collect();
    assert_eq!(found, [(Severity::Warning, "ALERT_WEBHOOK is not set, so the webhook is off")]);
}

#[test]
fn the_environment_fills_addresses() {
    let text = "alerts: {webhook: \"${HOOK}\"}\ndomains: {d: {limits: {l: 5/1m per ip}}}\n";
    let sources = [source("limits.yaml", text)];
    let with = |hook: &str| {
        let environment = |name: &str| (name == "HOOK").then(|| hook.to_owned());
        let found = compile_in(Around { environment: &environment, now: NOW }, &sources, SameDomain::Refuse);
        found.map(|compiled| compiled.warnings.to_string()).map_err(|found| found.to_string())
    };
    assert_eq!(with("https://example.org/hook"), Ok(String::new()));
    let refused = with("secret").unwrap_err();
    assert!(
        refused.contains("the webhook's address does not begin with") && !refused.contains("secret"),
        "{refused}"
    );
}

#[test]
fn the_example_loads_without_a_word() {
    let Compiled { rules, warnings } = compiled(include_str!("../../examples/tollgate.yaml"));
    assert!(warnings.is_empty(), "{warnings}");
    assert!(rules.domains.contains_key(&b"shop"[..]));
}

/// Whatever a message offers as a known key is in force in the example that explains them all, but the webhook: nobody
/// would answer there.
#[test]
fn the_example_of_every_key_has_every_key() {
    let example = include_str!("../../examples/every-key.yaml");
    let Compiled { warnings, .. } = compiled(example);
    assert!(warnings.is_empty(), "{warnings}");
    let unknown = "xxxxxxxx: 1
domains:
  d:
    xxxxxxxx: 1
    headers: {xxxxxxxx: 1}
    tier: {xxxxxxxx: 1}
    limits: {a: {limit: 1/1s, xxxxxxxx: 1}}
    tiers: {t: {}}
prices: {xxxxxxxx: 1, models: {m: {xxxxxxxx: 1}}}
";
    let found = compile(unknown).expect_err("unknown keys").to_string();
    let keys =
        found.lines().filter_map(|line| line.split_once("known are ")).flat_map(|(_, keys)| keys.split(", "));
    let in_force: String =
        example.lines().map(|line| line.split_once('#').map_or(line, |(before, _)| before)).collect();
    let mut known = 0;
    for key in keys.filter(|key| *key != "webhook") {
        assert!(in_force.contains(&format!("{key}:")), "{key}");
        known += 1;
    }
    assert!(known > 30, "{known} keys in {found}");
}

#[test]
fn every_mistake_is_named_with_its_place_and_its_fix() {
    let mut mistakes = 0;
    for block in include_str!("../data/refused.txt").split("=== ").skip(1) {
        let (document, expected) = block.split_once("---\n").unwrap();
        let (name, document) = document.split_once('\n').unwrap();
        let found = compile(document).expect_err(name);
        assert_eq!(found.to_string().replace("limits.yaml:", ""), expected.trim_end(), "{name}");
        mistakes += found.iter().filter(|found| found.severity == Severity::Error).count();
        assert!(found.iter().all(|found| !found.fix.is_empty()), "{name}");
    }
    assert!(mistakes > 100, "{mistakes} mistakes");
}

#[test]
fn own_numbers_come_before_extended_ones_before_the_limits_before_the_star() {
    let text = "
domains:
  d:
    per: user
    tier: {default: base}
    limits: {a: 1m, b: 7/1m, c: 1m}
    tiers:
      base: {a: 1, b: 2, '*': 3}
      kid:  {extends: base, a: 4}
      star: {extends: kid, '*': 5}
      none: {'*': unlimited, c: 8}
";
    let rules = compiled(text).rules;
    let domain = native(&rules, "d");
    assert_eq!(numbers(domain, "a"), ["1", "4", "4", "-1"]);
    assert_eq!(numbers(domain, "b"), ["2", "2", "2", "7"]);
    assert_eq!(numbers(domain, "c"), ["3", "3", "5", "8"]);
}

#[test]
fn what_is_likely_a_mistake_is_a_warning() {
    let text = "
domains:
  d:
    limits:
      used: 5/1m per ip
      unused: 5/1m per ip
      whose: 5/1m
      cap: 5/1d per all
      month: 9/month per all
      breaker: {limit: 9, window: 1d, per: all, on_limit: trip}
      trial: {limit: 9, window: 7d, per: all, on_limit: trip, shadow: true}
      soft: {limit: 9, window: 7d, per: all, on_limit: trip, soft: true}
      once: {limit: 9, window: request, per: all, on_limit: trip}
    routes:
      POST /a: [used, whose]
      POST /b: [cap, breaker, month]
      POST /e: [trial, soft, once]
      POST /c: []
      POST /d:
";
    let warnings = compiled(text).warnings.to_string().replace("limits.yaml:", "");
    let expected = [
        "6:7: warning: no route charges limit 'unused'; only calls that name it do; add it to a route, or remove it",
        "7:7: warning: limit 'whose' does not say whose it is: one counter is kept for everybody; \
         write 'per user' behind it, 'per all', or a 'per' for the domain",
        "10:7: warning: the breaker 'breaker' forgets no later than the cap 'cap' it guards; \
         give it a longer window than the cap's",
        "10:7: warning: the breaker 'breaker' forgets no later than the cap 'month' it guards; \
         give it a longer window than the cap's",
        "11:7: warning: the breaker 'trial' never opens: 'shadow' keeps it closed; \
         remove 'shadow' once it is no trial any more",
        "12:7: warning: the breaker 'soft' never opens: 'soft' keeps it closed; remove 'soft', or 'on_limit'",
        "13:7: warning: the breaker 'once' never opens: a single call never reaches 'request'; \
         give it another window, or remove 'on_limit'",
        "18:7: warning: route 'POST /c' charges no limits of its own; name a limit, or remove the route",
        "19:7: warning: route 'POST /d' charges no limits of its own; name a limit, or remove the route",
    ];
    assert_eq!(warnings, expected.join("\n"));
}

#[test]
fn a_model_that_nobody_can_ask_anything_is_a_warning() {
    let text = "
prices:
  models:
    whole: {input: 1, output: 2}
    free: {input: 0}
    voice: {audio_input: 1}
    silent: {output: 2}
    stale: [{input: 1}, {from: 2027-01-01, cached_input: 1, image: 2}]
domains: {d: {limits: {l: 1/1m per ip}}}
";
    let fix = "add it, as in {input: 1.25, output: 10.00}; 0 where it is free";
    let expected = [
        format!("7:13: warning: model 'silent' has no price for 'input'; {fix}"),
        format!("8:25: warning: model 'stale' has no price for 'input'; {fix}"),
    ];
    let warnings = compiled(text).warnings.to_string().replace("limits.yaml:", "");
    assert_eq!(warnings, expected.join("\n"));
}

#[test]
fn prices_that_are_likely_slips_are_a_warning() {
    let text = "
prices:
  models:
    swapped: {input: 0.5, cached_input: 1.25, audio_input: 1, audio_cached_input: 1.5}
    same: {input: 1, cached_input: 1}
    later: [{from: 2026-01-01, input: 1}, {from: 2027-01-01, input: 1, cached_input: 2}]
    future: [{from: 2026-07-02, input: 1}, {from: 2027-01-01, input: 2}]
    began: [{from: 2026-07-01, input: 1}]
domains: {d: {limits: {l: 1/1m per ip}}}
";
    let look = "look whether they are swapped, or a point is misplaced; what it costs to write a cache is 'cache_write'";
    let dear = |which: &str| format!("warning: {which}; {look}");
    let expected = [
        dear("'cached_input' of model 'swapped' costs $1.25, more than 'input', which costs $0.50"),
        dear("'audio_cached_input' of model 'swapped' costs $1.50, more than 'audio_input', which costs $1.00"),
        dear("'cached_input' of model 'later' costs $2.00, more than 'input', which costs $1.00"),
        "warning: model 'future' has no price until 2026-07-02T00:00:00Z, when its first begins; write the price that holds \
         until then before it, without 'from', unless nobody asks for the model until then"
            .to_owned(),
    ];
    let places = ["4:14", "4:14", "6:43", "7:5"];
    let expected: Vec<String> =
        places.iter().zip(expected).map(|(at, warning)| format!("limits.yaml:{at}: {warning}")).collect();
    assert_eq!(compiled(text).warnings.to_string(), expected.join("\n"));
}

#[test]
fn anchors_and_merge_keys_save_writing() {
    let text = "
domains:
  d:
    per: user
    limits:
      a: &once {limit: 5, window: 1m, on_error: deny}
      b: {<<: *once, limit: 6}
    headers: &quiet off
";
    let rules = compiled(text).rules;
    let domain = native(&rules, "d");
    assert_eq!(numbers(domain, "b"), ["6"]);
    assert_eq!(limit(domain, "b").on_error, OnError::Deny);
    assert_eq!(domain.headers.send, SendHeaders::Off);
}

#[test]
fn a_counter_is_its_domain_limit_and_window_but_never_its_number() {
    let identity = |domain: &str, name: &str, form: &str| {
        let rules =
            compiled(&format!("domains: {{{domain}: {{per: user, limits: {{{name}: {form}}}}}}}")).rules;
        limit(native(&rules, domain), name).identity
    };
    let one = identity("d", "l", "5/1m");
    for same in ["6/1m", "unlimited/1m", "blocked/1m", "{limit: 5, window: 60s, shadow: true}"] {
        assert_eq!(identity("d", "l", same), one, "{same}");
    }
    let bucket = identity("d", "l", "5/1m burst 6");
    assert_eq!(identity("d", "l", "5/1m burst 7"), bucket);
    let others = [
        bucket,
        identity("e", "l", "5/1m"),
        identity("d", "k", "5/1m"),
        identity("d", "l", "5/2m"),
        identity("d", "l", "5/1m fixed"),
        identity("d", "l", "5/month"),
        identity("d", "l", "{limit: 5, window: month, anchor: 2}"),
        identity("d", "l", "{limit: 5, window: month, timezone: Europe/Berlin}"),
        identity("d", "l", "5 concurrent"),
        // How long a hold lives is the length of its window: its cells are cut by it.
        identity("d", "l", "{limit: 5, window: concurrent, max_age: 1m}"),
    ];
    let all: std::collections::HashSet<u128> = others.into_iter().chain([one]).collect();
    assert_eq!(all.len(), others.len() + 1);
}

#[test]
fn each_file_has_its_own_time_zone_and_the_table_shows_it() {
    let files = [
        source(
            "a.yaml",
            "timezone: Europe/Berlin\ndomains: {a: {per: user, limits: {l: 1/day, m: {limit: 1/week, timezone: Asia/Kolkata}}}}\n",
        ),
        source("b.yaml", "domains: {b: {per: user, limits: {l: 1/day, m: {limit: 1/month, anchor: 15}}}}\n"),
    ];
    let shown = shown(&compile_all(&files).unwrap().rules);
    let windows: Vec<&str> =
        shown.lines().filter(|line| line.contains(" user ")).map(|line| line.trim()).collect();
    assert_eq!(
        windows,
        [
            "l      user  day (Europe/Berlin)  1",
            "m      user  week (Asia/Kolkata)  1",
            "l      user  day (UTC)              1",
            "m      user  month anchor 15 (UTC)  1",
        ]
    );
}

#[test]
fn the_unit_beats_the_window_in_what_happens_without_a_store() {
    for (form, policy) in [
        ("5/1m", OnError::Local),
        ("5/1m fixed", OnError::Local),
        ("5/1m burst 9", OnError::Local),
        ("5/month", OnError::Local),
        ("5/request", OnError::Local),
        ("5 concurrent", OnError::Allow),
        ("5 total", OnError::Allow),
        ("5 tokens/1m", OnError::Deny),
        ("5 tokens total", OnError::Deny),
        ("$5/1m", OnError::Deny),
        ("$5/day", OnError::Deny),
        ("$5.00 total", OnError::Deny),
        ("{limit: $5.00 total, on_error: allow}", OnError::Allow),
    ] {
        let rules = compiled(&format!("domains: {{d: {{per: user, limits: {{l: {form}}}}}}}")).rules;
        assert_eq!(limit(native(&rules, "d"), "l").on_error, policy, "{form}");
    }
}

#[test]
fn prices_hold_from_the_day_of_their_file_s_zone() {
    let text = "
timezone: Europe/Berlin
prices:
  unknown: highest
  aliases: {Default: gpt-5}
  models:
    gpt-5:
      - {input: 10.00, output: 30.00}
      - {from: 2026-07-01, input: 1.25, output: 10.00, cached_input: 0.125}
    o9: {from: 2027-01-01, input: 500, output: 900}
    free: {input: 0, output: 0.00}
domains:
  d:
    per: user
    limits: {a: $/day, b: $9.00/day, c: 1/day}
    tier: {default: paid}
    tiers: {free: {a: 0}, paid: {a: $5.00}, staff: {a: unlimited, b: $9.00}}
";
    let rules = compiled(text).rules;
    let cost = |model: &str, at: u64| {
        let mut tokens = Tokens::default();
        tokens.add(Class::Output, 1_000_000).unwrap();
        rules.prices.cost(model.as_bytes(), &tokens, Timestamp(at)).map(|cost| cost.nanos / 1_000_000_000)
    };
    let midnight_in_berlin = 1_782_856_800_000_000;
    assert_eq!(cost("default", midnight_in_berlin - 1), Ok(30));
    assert_eq!(cost("default", midnight_in_berlin), Ok(10));
    assert_eq!(cost("free", midnight_in_berlin), Ok(0));
    assert_eq!(
        cost("o9", midnight_in_berlin),
        Ok(10),
        "it has no prices yet, so it costs the highest there are"
    );
    let shown = shown(&rules);
    let (_, prices) = shown.split_once("\n\n").unwrap();
    assert_eq!(
        prices,
        "prices, in USD per 1M tokens; what has no price costs the highest of its class
  model  from                  input    cached_input  output
  gpt-5                        $10.00   $10.00        $30.00
  gpt-5  2026-06-30T22:00:00Z  $1.25    $0.125        $10.00
  o9     2026-12-31T23:00:00Z  $500.00  $500.00       $900.00
  free                         $0.00    $0.00         $0.00
  aliases: Default is gpt-5
  d.a: $5.00 buys 500000 output tokens of gpt-5
  d.b: $9.00 buys 900000 output tokens of gpt-5
"
    );
}

#[test]
fn prices_in_force_are_described() {
    let text = "
prices: {models: {b: [{input: 1}, {from: 2027-01-01, input: 0.5, output: 2}], a: {image: 3}}}
domains: {z: {limits: {l: 1/1m per ip}}}
";
    let described = describe(&compiled(text).rules);
    let lines: Vec<&str> = described.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "price of b: input=$1.00, per: 1M tokens, unknown: deny",
            "price of b: input=$0.50 output=$2.00, per: 1M tokens, from: 2027-01-01T00:00:00Z, unknown: deny",
            "price of a: image=$3.00, per: 1M tokens, unknown: deny",
        ]
    );
}

#[test]
fn money_that_was_spent_is_owed_unless_written() {
    let text = "
domains:
  d:
    per: user
    limits:
      money:    $5.00/day
      monthly:  {limit: $5.00/month, debt: forgive}
      fixed:    $5.00/1h fixed
      sliding:  $5.00/1h
      tokens:   9 tokens/day
      owed:     {limit: 9 tokens, window: 1m fixed, debt: carry}
      calls:    9/day
prices: {models: {m: {input: 1}}}
";
    let rules = compiled(text).rules;
    let owed = native(&rules, "d").limits.iter().filter(|limit| limit.window.debt() == Debt::Carried);
    assert_eq!(owed.map(|limit| &*limit.name).collect::<Vec<_>>(), ["money", "fixed", "owed"]);
    let said = shown(&rules);
    let said: Vec<&str> = said.lines().filter(|line| line.contains("debt")).collect();
    assert_eq!(said, ["  with {debt: forgive}: monthly", "  with {debt: carry}: owed"], "what is no default");
    let anchored = &limit(native(&rules, "d"), "monthly").anchored;
    assert!(anchored.iter().all(|anchored| anchored.window.debt() == Debt::Forgiven) && anchored.len() == 31);
}

#[test]
fn options_of_holds_are_shown() {
    let text = "
domains:
  d:
    per: user
    estimate: {output: 500}
    limits:
      money:  {limit: $5.00/day, max_ttl: 2m, debt: forgive}
      tokens: {limit: 9 tokens/1h, estimate: {output: 7, max_output: 2k}}
      more:   {limit: 9 tokens/1m, estimate: {output: 7, max_output: 2k}}
      plain:  9 tokens/1h
      calls:  9/day
      held:   {limit: 9 tokens/1h, lease: 60s, max_ttl: 60s, max_age: 30m, on_unknown: zero, estimate: {output: 7}}
      open:   {limit: 9 concurrent, lease: 60s, max_age: 15m}
      usual:  {limit: 9 concurrent, max_age: 1h}
prices: {models: {m: {input: 1}}}
";
    let rules = compiled(text).rules;
    let said = shown(&rules);
    let said: Vec<&str> = said.lines().filter(|line| line.starts_with("  with")).collect();
    let options = [
        ("money", "debt: forgive, max_ttl: 2m, estimate: {output: 500}"),
        ("tokens, more", "estimate: {output: 7, max_output: 2000}"),
        ("plain", "estimate: {output: 500}"),
        ("held", "lease: 1m, max_ttl: 1m, max_age: 30m, on_unknown: zero, estimate: {output: 7}"),
        ("open", "lease: 1m, max_age: 15m"),
    ];
    assert_eq!(said, options.map(|(names, options)| format!("  with {{{options}}}: {names}")));
    let described = describe(&rules);
    let line = |name: &str| described.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(
        line("d.money:").ends_with(", mode: enforced, debt: forgive, max_ttl: 2m, estimate: {output: 500}")
    );
    assert!(line("d.calls:").ends_with(", mode: enforced"));
}

#[test]
fn prices_for_much_input_are_read_and_shown() {
    let text = "
prices:
  models:
    long:
      - {input: 1.25, cached_input: 0.31, output: 10.00}
      - {above: 200k, input: 2.50, cached_input: 0.625, output: 15.00}
      - {from: 2027-01-01, input: 1, output: 10}
    short: {input: 1}
domains: {z: {limits: {l: $9.00/1d per all}}}
";
    let rules = compiled(text).rules;
    let cost = |input, output| {
        let mut tokens = Tokens::default();
        tokens.add(Class::CachedInput, 150_000).unwrap();
        tokens.add(Class::Input, input).unwrap();
        tokens.add(Class::Output, output).unwrap();
        rules.prices.cost(b"long", &tokens, NOW).unwrap().nanos
    };
    assert_eq!(cost(50_000, 1_000), 46_500_000 + 62_500_000 + 10_000_000);
    assert_eq!(cost(50_001, 1_000), 93_750_000 + 125_002_500 + 15_000_000);
    let shown = shown(&rules);
    let (_, prices) = shown.split_once("\n\n").unwrap();
    assert_eq!(
        prices,
        "prices, in USD per 1M tokens; what has no price is refused
  model  from                  above   input  cached_input  output
  long                                 $1.25  $0.31         $10.00
  long                         200000  $2.50  $0.625        $15.00
  long   2027-01-01T00:00:00Z          $1.00  $1.00         $10.00
  short                                $1.00  $1.00         -
  z.l: $9.00 buys 900000 output tokens of long
"
    );
    let described = describe(&rules);
    let step = "price of long: input=$2.50 cached_input=$0.625 output=$15.00, per: 1M tokens, above: 200000 input tokens, \
                unknown: deny";
    assert!(described.lines().any(|line| line == step), "{described}");
}

#[test]
fn money_that_nothing_has_a_price_in_is_a_warning() {
    let limits = "domains: {shop: {per: user, limits: {words: 9 tokens/1h, budget: $5.00/day}}}\n";
    let shop = source("shop.yaml", limits);
    let other = source("other.yaml", "domains: {app: {per: user, limits: {login: 5/15m}}}\n");
    let found = compile_all(&[other.clone(), shop.clone()]).unwrap().warnings.to_string();
    let expected = "shop.yaml:1:58: warning: limit 'budget' counts money, and no file has 'prices': only calls that say \
                    their dollars are charged; write 'prices: {models: {NAME: {input: 1.25, output: 10.00}}}', or have \
                    all callers send 'usd'";
    assert_eq!(found, expected);
    let wrong = source("prices.yaml", "prices: 5\n");
    let found = compile_all(&[other, shop, wrong]).unwrap_err().to_string();
    assert!(!found.contains("no file has 'prices'"), "there are some, which are wrong: {found}");
}

#[test]
fn prices_may_stand_in_a_file_of_their_own() {
    let shop = source("shop.yaml", "domains: {shop: {per: user, limits: {budget: $5.00/day}}}\n");
    let prices = source("prices.yaml", "prices: {models: {m: {input: 1}}}\n");
    for files in [[shop.clone(), prices.clone()], [prices, shop.clone()]] {
        let Compiled { rules, warnings } = compile_all(&files).unwrap();
        assert!(warnings.is_empty() && rules.domains.contains_key(&b"shop"[..]), "{warnings}");
        assert!(rules.prices.model(b"m").is_some());
    }
    assert!(compile_all(&[shop]).unwrap().rules.prices.models().is_empty());
}

#[test]
fn what_stands_once_names_both_places() {
    let shop = "domains: {shop: {per: user, limits: {login: 5/15m}}}\n";
    let prices = "prices: {models: {m: {input: 1}}}\n";
    let reference = "domain: shop\ndescriptors: []\n";
    for (first, second, at, message) in [
        (shop, shop, (1, 11), "the domain 'shop' stands in a.yaml line 1 column 11 already"),
        (shop, reference, (1, 1), "the domain 'shop' stands in a.yaml line 1 column 11 already"),
        (prices, prices, (1, 1), "'prices' stands in a.yaml line 1 column 1 already"),
    ] {
        let found = compile_all(&[source("a.yaml", first), source("b.yaml", second)]).unwrap_err();
        let error = found.iter().find(|found| found.severity == Severity::Error).unwrap();
        assert_eq!((&*error.file, error.message.as_str()), ("b.yaml", message));
        assert_eq!(error.at, Position { line: at.0, column: at.1 }, "{second}");
    }
    let both = [source("a.yaml", shop), source("b.yaml", "domain: other\n"), source("c.yaml", prices)];
    assert_eq!(compile_all(&both).unwrap().rules.domains.len(), 2);
}

#[test]
fn all_files_are_read_before_any_verdict() {
    let files = [
        source("a.yaml", "domains: {shop: {per: user, limits: {login: 5/15x}}}\n"),
        source("b.yaml", "domains: {\n"),
        source("c.yaml", "domain: d\ndescriptors: 5\n"),
        source("d.yaml", "domains: {other: {per: user, limits: {login: 5/15m}}}\ncolour: red\n"),
    ];
    let found = compile_all(&files).unwrap_err();
    let named: Vec<&str> = found.iter().map(|found| &*found.file).collect();
    assert_eq!(named, ["a.yaml", "b.yaml", "c.yaml", "d.yaml"], "{found}");
}

#[test]
fn line_ends_and_byte_order_marks_change_nothing() {
    let plain = shown(&compiled(PRODUCTS).rules);
    assert_eq!(shown(&compiled(&PRODUCTS.replace('\n', "\r\n")).rules), plain);
    assert_eq!(shown(&compiled(&format!("\u{feff}{PRODUCTS}")).rules), plain);
}

#[test]
fn hostile_texts_are_refused() {
    let aliases = |level: usize| vec![format!("*a{}", level - 1); 10].join(", ");
    let bomb: String = (1..20).map(|level| format!("a{level}: &a{level} [{}]\n", aliases(level))).collect();
    let wide = "x".repeat(1_000_000);
    for (text, message) in [
        (String::new(), "the file has no domain"),
        ("# nothing\n".to_owned(), "the file has no domain"),
        ("\u{feff}".to_owned(), "the file has no domain"),
        ("~\n".to_owned(), "the file has no domain"),
        ("domains: {a: {}}\n---\nb\n".to_owned(), "the file holds 2 YAML documents"),
        (format!("a0: &a0 x\n{bomb}"), "aliases bring in more than"),
        (format!("domains: {}", "[".repeat(100_000)), "stand inside each other"),
        (format!("domains: {}", "{a: ".repeat(10_000)), "stand inside each other"),
        ("- ".repeat(100_000), "stand inside each other"),
        ("domains:\n\tshop: x\n".to_owned(), "a tab stands where YAML indents"),
        ("\u{0}\u{1}\u{7f}ELF\u{2}".to_owned(), "U+0000 does not belong"),
        ("domains: {a: {limits: {b: \u{7}}}}".to_owned(), "U+0007 does not belong"),
        ("\u{fffd}\u{fffd}: \u{fffd}".to_owned(), "unknown key"),
        (format!("domains: {{{wide}: {{limits: {{{wide}: {wide}}}}}}}"), "is not an amount"),
        (
            format!(
                "domains: {{d: {{limits: {{a: 1/1m per all}}, routes: {{/{}: a}}}}}}",
                "a/".repeat(9_999)
            ),
            "too long",
        ),
    ] {
        let start: String = text.chars().take(40).collect();
        let found = compile(&text).expect_err(&start).to_string();
        assert!(found.contains(message), "{start:?}: {found}");
        assert!(found.len() < 10_000, "{start:?} is answered at length: {}", found.len());
    }
}

/// Texts that are nearly the products' file.
fn nearly_products() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "",
        "\t",
        "\n",
        "  ",
        "{",
        "}",
        "[",
        "]",
        ":",
        "- ",
        "*",
        "&a ",
        "*a",
        "<<: ",
        "'",
        "\"",
        "#",
        "|\n",
        "? ",
        "!!str ",
        "~",
        "$",
        "-1",
        "burst ",
        "per ",
        "fixed",
        "%",
        "0x",
        "99999999999999999999",
        "extends: pro",
        "\u{fffd}",
        "---\n",
    ]);
    let edit = (0..PRODUCTS.len(), 0..60_usize, pieces);
    prop::collection::vec(edit, 1..6).prop_map(|edits| {
        let mut text = PRODUCTS.to_owned();
        for (start, length, piece) in edits {
            let start = text.floor_char_boundary(start.min(text.len()));
            let end = text.floor_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, piece);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        _ = compile(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_characters_of_yaml_panic(text in "[\\[\\]{}:,&*!|>'\"%@`#?~<a-c0-9 \\t\\n\\r-]{0,200}") {
        _ = compile(&text);
        _ = compile(&format!("domains: {text}"));
        _ = compile(&format!("prices: {{models: {text}}}"));
        _ = compile(&format!("prices: {{models: {{m: {text}}}}}"));
        _ = compile(&format!("domains: {{d: {{limits: {{l: {text}}}}}}}"));
    }

    #[test]
    fn no_short_form_panics(form in "[0-9$a-zé./ |+-]{0,30}") {
        _ = compile(&format!("domains: {{d: {{per: user, limits: {{l: \"{form}\"}}}}}}"));
    }

    #[test]
    fn what_is_refused_says_where_and_what_to_write(text in nearly_products()) {
        if let Err(found) = compile(&text) {
            prop_assert!(found.has_errors());
            for found in found.iter() {
                prop_assert!(!found.message.is_empty() && !found.fix.is_empty(), "{found}");
                prop_assert!(found.at.line <= text.lines().count() + 1, "{found}");
            }
        }
    }
}

#[test]
fn a_route_lists_a_bounded_number_of_limits() {
    let document = |count: u32| {
        let limits: String = (1..=count).map(|n| format!("      l{n}: 1/1m per ip\n")).collect();
        let names: Vec<String> = (1..=count).map(|n| format!("l{n}")).collect();
        format!("domains:\n  d:\n    limits:\n{limits}    routes:\n      /: [{}]\n", names.join(", "))
    };
    assert!(compile(&document(256)).is_ok());
    let found = compile(&document(257)).unwrap_err().to_string();
    assert!(found.contains("route '/' lists 257 limits; list 256 at most"), "{found}");
}

#[test]
fn limits_of_the_same_subjects_keep_them_once() {
    let text = "domains: {d: {limits: {a: 1/1m per user, b: 1/1h per user, c: 1/1m per ip}, routes: {/: [a, b, c]}}}";
    let compiled = compiled(text);
    let subjects = |name: &str| &limit(native(&compiled.rules, "d"), name).subjects;
    assert!(std::sync::Arc::ptr_eq(subjects("a"), subjects("b")));
    assert_ne!(subjects("a"), subjects("c"));
}
