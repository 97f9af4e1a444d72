//! Files of the reference service: what is refused, what is warned of, and what is ours to add.

use tollgate::clock::Micros;
use tollgate::config::diagnostic::{Position, Severity};
use tollgate::config::source::{Compiled, SameDomain, Source, compile};
use tollgate::limits::{Debt, Domain, Entry, Number, ReferenceDomain, ReferenceLimit, Window, describe};

const LIMIT: &str = "rate_limit: {unit: hour, requests_per_unit: 1}";

fn source(name: &str, text: &str) -> Source {
    Source { name: name.into(), text: text.to_owned() }
}

/// One file with `descriptors`, in flow style.
fn file(descriptors: &str) -> Source {
    source("limits.yaml", &format!("domain: d\ndescriptors: [{descriptors}]\n"))
}

fn compiled(sources: &[Source]) -> Compiled {
    compile(sources, SameDomain::Refuse).unwrap_or_else(|found| panic!("{found}"))
}

/// What is said about `source`, a line each; whether it is taken.
fn said(source: Source) -> (bool, Vec<String>) {
    let (taken, found) = match compile(&[source], SameDomain::Refuse) {
        Ok(compiled) => (true, compiled.warnings),
        Err(found) => (false, found),
    };
    for diagnostic in found.iter().filter(|diagnostic| diagnostic.severity == Severity::Error) {
        assert!(diagnostic.at != Position::FILE && !diagnostic.fix.is_empty(), "{diagnostic}");
    }
    (taken, found.iter().map(ToString::to_string).collect())
}

fn domain(compiled: &Compiled) -> &ReferenceDomain {
    match compiled.rules.domains.get(&b"d"[..]) {
        Some(Domain::Reference(domain)) => domain,
        other => panic!("{other:?}"),
    }
}

/// The limits that apply to the descriptor `entries` in the one domain of `source`.
fn limits_at(compiled: &Compiled, entries: &[(&str, &str)]) -> Vec<(u64, Window)> {
    let entries: Vec<Entry<'_>> =
        entries.iter().map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() }).collect();
    let shown = |limit: &ReferenceLimit| match limit.number {
        Number::AtMost(most) => (most, limit.window.clone()),
        Number::Unlimited => (u64::MAX, limit.window.clone()),
    };
    domain(compiled).find(&entries).map_or(Vec::new(), |(rule, _)| rule.limits.iter().map(shown).collect())
}

#[test]
fn what_the_reference_refuses() {
    for (descriptors, part) in [
        ("{key: ''}", ":2:15: the descriptor has no key"),
        ("{key: ~}", "the descriptor has no key"),
        ("{key: a, descriptors: [{value: b}]}", ":2:38: the descriptor has no key"),
        ("{key: [a]}", "'key' is a list"),
        ("{key: {}}", "'key' is a mapping"),
        ("{key: a, value: []}", "'value' is a list"),
        ("{key: a, value: 1.5}", "'value' is '1.5'; put it in quotes"),
        ("{key: a, value: 9223372036854775808}", "'value' is '9223372036854775808'"),
        ("{key: a, value: .inf}", "'value' is '.inf'"),
        ("{key: a, descriptors: {key: b}}", "'descriptors' is a mapping"),
        ("{key: a, descriptors: b}", "'descriptors' is 'b'"),
        ("{key: a, descriptors: [b]}", "an item of 'descriptors' is 'b'"),
        ("{key: a, descriptors: [~]}", "an item of 'descriptors' is empty"),
        ("{key: a, rate_limit: 5}", "'rate_limit' is '5'"),
        ("{key: a, rate_limit: []}", "'rate_limit' is a list"),
        ("{key: a, rate_limit: {}}", "the limit has no unit"),
        ("{key: a, rate_limit: {unit: hours}}", "'hours' is no unit of time; did you mean 'hour'?"),
        ("{key: a, rate_limit: {unit: unknown}}", "'unknown' is no unit of time"),
        ("{key: a, rate_limit: {unit: 1}}", "'1' is no unit of time"),
        ("{key: a, rate_limit: {unit: hour, requests_per_unit: '1'}}", "without quotes"),
        ("{key: a, rate_limit: {unit: hour, requests_per_unit: -1}}", "from 0 to 4294967295"),
        ("{key: a, rate_limit: {unit: hour, requests_per_unit: 4294967296}}", "from 0 to 4294967295"),
        ("{key: a, rate_limit: {unit: hour, requests_per_unit: 1e3}}", "'requests_per_unit' is '1e3'"),
        ("{key: a, rate_limit: {unit: hour, requests_per_unit: many}}", "'requests_per_unit' is 'many'"),
        ("{key: a, rate_limit: {unlimited: true, unit: Hour}}", "'unit' stands beside 'unlimited'"),
        ("{key: a, rate_limit: {unlimited: 'true', unit: hour}}", "write true or false, without quotes"),
        ("{key: a, shadow_mode: 1}", "'shadow_mode' is '1'"),
        ("{key: a, quota_mode: 0.5}", "'quota_mode' is '0.5'"),
        ("{key: a, rate_limit: {unit: hour, replaces: [{}]}}", "an item of 'replaces' has no name"),
        ("{key: a, rate_limit: {unit: hour, replaces: [b]}}", "an item of 'replaces' is 'b'"),
        ("{key: a, rate_limit: {unit: hour, replaces: {name: b}}}", "'replaces' is a mapping"),
        ("{key: a, rate_limit: {unit: hour, name: n, replaces: [{name: n}]}}", "replaces itself"),
        ("{key: a, share_threshold: true}", "which has no '*'"),
        ("{key: a, metadata: 5}", "'metadata' is '5'"),
        ("{key: a, metadata: {? [b] : c}}", "a key of 'metadata' is a list"),
        ("{key: a, 5: b}", "a key is '5'"),
        ("{key: a, yes: b}", "a key is 'yes'"),
        ("{key: a, limit: {}}", "unknown key 'limit' in a descriptor"),
        ("{key: a, rate_limit: {unit: hour, value: {burst: 1}}}", "unknown key 'burst'"),
        ("{key: a, rate_limit: {unit: hour, value: [1]}}", "an item of 'value' is '1'"),
        ("{key: a, atomic: true}", "unknown key 'atomic'"),
        (
            "{key: a}, {key: a}",
            ":2:25: the descriptor 'd.a' stands twice, first in limits.yaml line 2 column 15",
        ),
        ("{key: a, value: 1}, {key: a, value: '1'}", "the descriptor 'd.a_1' stands twice"),
        ("{key: a, value: b*}, {key: a, value: b*}", "the descriptor 'd.a_b*' stands twice"),
        ("{key: a, descriptors: [{key: b}, {key: b}]}", "the descriptor 'd.a.b' stands twice"),
    ] {
        let (taken, lines) = said(file(descriptors));
        assert!(!taken, "{descriptors} is taken");
        assert!(lines.iter().any(|line| line.contains(part)), "{part}\nin {lines:#?}\nof {descriptors}");
    }
}

#[test]
fn all_errors_of_all_files_at_once() {
    let bad =
        "domain: ''\ndescriptors:\n- {key: a, ratelimit: 1}\n- {value: b}\n- {key: c, shadow_mode: maybe}\n";
    let sources = [source("one.yaml", bad), source("two.yaml", "domain: [\n"), source("three.yaml", "")];
    let found = compile(&sources, SameDomain::Refuse).unwrap_err();
    let places: Vec<String> =
        found.iter().map(|each| format!("{}:{}:{}", each.file, each.at.line, each.at.column)).collect();
    let [first @ .., two, three] = places.as_slice() else { panic!("{found}") };
    assert_eq!(first, ["one.yaml:1:1", "one.yaml:3:12", "one.yaml:4:3", "one.yaml:5:25"], "{found}");
    assert!(two.starts_with("two.yaml:") && three.starts_with("three.yaml:"), "{found}");
}

#[test]
fn what_is_taken_without_effect_is_warned_of() {
    for (text, part) in [
        ("domain: d\nunit: hour\n", ":2:1: warning: 'unit' has no effect at the top of the file"),
        ("domain: d\n---\ndomain: [\n", "only the first is read"),
        ("domain: c\ndomain: d\n", ":2:1: warning: 'domain' stands twice"),
    ] {
        let (taken, lines) = said(source("limits.yaml", text));
        assert!(taken && lines.len() == 1 && lines[0].contains(part), "{part} in {lines:#?}");
    }
    for (descriptors, part) in [
        (
            "{key: a, rate_limit: {unit: hour, requests_per_unit: 1, shadow_mode: true}}",
            "'shadow_mode' has no effect in 'rate_limit'; move it to the descriptor",
        ),
        ("{key: a, unlimited: true}", "'unlimited' has no effect in a descriptor; move it into 'rate_limit'"),
        ("{key: a, rate_limit: {unit: hour}}", "so everything is refused"),
        ("{key: a, rate_limit: {unlimited: yes, unit: eon}}", "'unit' has no effect beside 'unlimited'"),
        ("{key: a, rate_limit: {unlimited: on, requests_per_unit: 5}}", "'requests_per_unit' has no effect"),
        ("{key: a, detailed_metric: true}", "'detailed_metric' has no effect yet"),
        ("{key: a, value_to_metric: true}", "'value_to_metric' has no effect yet"),
        ("{key: a, value: b*}, {key: a, value: bc*d}", ":2:36: warning: the wildcard is never reached"),
        ("{key: 'a*'}, {key: a, value: bc*d}", "the wildcard is never reached"),
        ("{key: 'a*c'}, {key: 'ab*c'}", "the wildcard is never reached"),
        ("{key: 'a*c'}, {key: a, value: 'b*c'}", "the wildcard is never reached"),
        (
            "{key: a, rate_limit: {unit: hour, requests_per_unit: 1, replaces: [{name: n}]}}",
            "no limit of the domain is called 'n'",
        ),
    ] {
        let (taken, lines) = said(file(descriptors));
        assert!(
            taken && lines.len() == 1 && lines[0].contains(part),
            "{part}\nin {lines:#?}\nof {descriptors}"
        );
    }
    for silent in [
        "{key: a, value: bc*d}, {key: a, value: b*}, {key: a, value: '*'}, {key: b, value: '*'}, {key: a}",
        "{key: a_b, value: c}, {key: a, value: b_c}",
        "{key: 'a*c'}, {key: ab, value: 'c*'}, {key: 'a*'}",
        "{key: a, metadata: {any: {1: 1.5, yes: [~, x]}, requests_per_unit: many}}",
        "{key: a, value: 2026-01-01, rate_limit: ~, descriptors: ~, shadow_mode: ~}",
    ] {
        assert_eq!(said(file(silent)), (true, Vec::new()), "{silent}");
    }
}

#[test]
fn keys_about_metrics_are_warned_of_once_a_file() {
    let (taken, lines) = said(file(
        "{key: a, detailed_metric: true, descriptors: [{key: b, detailed_metric: true}]}, {key: c, detailed_metric: true, value_to_metric: true}",
    ));
    assert!(taken && lines.len() == 2, "{lines:#?}");
    assert!(lines[0].contains("'detailed_metric' has no effect yet (3 times in this file)"), "{lines:#?}");
    assert!(lines[1].ends_with("'value_to_metric' has no effect yet"), "{lines:#?}");
}

#[test]
fn metadata_that_no_caller_could_read_is_refused() {
    let nested = |open: &str, close: &str, times: usize| {
        format!("{{key: a, metadata: {{m: {}1{}}}}}", open.repeat(times), close.repeat(times))
    };
    for (open, close) in [("[", "]"), ("{n: ", "}")] {
        assert_eq!(said(file(&nested(open, close, 15))), (true, Vec::new()));
        let (taken, lines) = said(file(&nested(open, close, 16)));
        let part = "more than 16 levels of 'metadata' stand inside each other; nest less";
        assert!(!taken && lines.len() == 1 && lines[0].contains(part), "{lines:#?}");
    }
    for number in [".nan", ".inf", "-.inf"] {
        let (taken, lines) = said(file(&format!("{{key: a, metadata: {{m: [{number}]}}}}")));
        let part = "a number of 'metadata' is";
        assert!(!taken && lines.len() == 1 && lines[0].contains(part), "{number}: {lines:#?}");
        assert!(lines[0].contains("write a finite number"), "{number}: {lines:#?}");
    }
}

#[test]
fn texts_are_taken_as_written() {
    let compiled = compiled(&[file(&format!(
        "{{key: 1, value: 0x10, {LIMIT}}}, {{key: yes, {LIMIT}}}, {{key: a, value: ~, {LIMIT}}}"
    ))]);
    assert_eq!(limits_at(&compiled, &[("1", "0x10")]).len(), 1);
    assert_eq!(limits_at(&compiled, &[("1", "16")]).len(), 0);
    assert_eq!(limits_at(&compiled, &[("yes", "x")]).len(), 1);
    assert_eq!(limits_at(&compiled, &[("a", "~")]).len(), 1);
}

#[test]
fn a_key_and_a_value_are_two_things() {
    let compiled =
        compiled(&[file(&format!("{{key: col, value: b_c, {LIMIT}}}, {{key: a, value: b*, {LIMIT}}}"))]);
    assert_eq!(limits_at(&compiled, &[("col", "b_c")]).len(), 1);
    assert_eq!(limits_at(&compiled, &[("col_b", "c")]).len(), 0);
    assert_eq!(limits_at(&compiled, &[("a", "bx")]).len(), 1);
    assert_eq!(limits_at(&compiled, &[("a_b", "x")]).len(), 0);
}

#[test]
fn a_wildcard_in_a_key_alone_stands_for_the_key_and_the_value() {
    let compiled = compiled(&[file(&format!("{{key: 'a*c', {LIMIT}}}, {{key: 'k*', {LIMIT}}}"))]);
    for (key, value, found) in [
        ("abc", "v", 0),
        ("abc", "vc", 1),
        ("a", "x_c", 1),
        ("a*c", "v", 1),
        ("k", "", 1),
        ("kept", "v", 1),
        ("lk", "v", 0),
    ] {
        assert_eq!(limits_at(&compiled, &[(key, value)]).len(), found, "{key}={value}");
    }
}

#[test]
fn a_domain_in_several_files() {
    let text = |key: &str| format!("domain: d\ndescriptors:\n- {{key: {key}, {LIMIT}}}\n");
    let (one, two) = (source("one.yaml", &text("a")), source("two.yaml", &text("b")));
    let refused = compile(&[one.clone(), two.clone()], SameDomain::Refuse).unwrap_err().to_string();
    assert!(refused.starts_with("two.yaml:1:1: the domain 'd' stands in one.yaml line 1"), "{refused}");
    let merged = compile(&[one.clone(), two], SameDomain::Merge).unwrap();
    assert_eq!(limits_at(&merged, &[("a", "x")]).len() + limits_at(&merged, &[("b", "x")]).len(), 2);
    let again = source("two.yaml", &text("a"));
    let refused = compile(&[one, again], SameDomain::Merge).unwrap_err().to_string();
    assert!(
        refused.contains("two.yaml:3:3: the descriptor 'd.a' stands twice, first in one.yaml"),
        "{refused}"
    );
}

#[test]
fn additions() {
    let text = "domain: d\natomic: true\ndescriptors:\n\
        - {key: a, rate_limit: {unit: minute, requests_per_unit: 5, unit_multiplier: 15, algorithm: sliding_window}}\n\
        - {key: b, rate_limit: {unit: second, requests_per_unit: 7, algorithm: token_bucket}}\n\
        - {key: c, rate_limits: [{unit: second, requests_per_unit: 10}, {unit: day, requests_per_unit: 250}]}\n";
    let compiled = compiled(&[source("limits.yaml", text)]);
    assert!(domain(&compiled).atomic && compiled.warnings.is_empty());
    assert_eq!(
        limits_at(&compiled, &[("a", "x")]),
        [(5, Window::Sliding { length: Micros::from_secs(900) })]
    );
    let [limit] = domain(&compiled).find(&[Entry { key: b"b", value: b"" }]).unwrap().0.limits.as_slice()
    else {
        panic!("one limit")
    };
    assert!(matches!(limit.window, Window::TokenBucket { burst: 7, .. }), "{limit:?}");
    let fixed = |seconds| Window::Fixed { length: Micros::from_secs(seconds), debt: Debt::Forgiven };
    let both = [(10, fixed(1)), (250, fixed(86_400))];
    assert_eq!(limits_at(&compiled, &[("c", "x")]), both);
    assert_eq!(
        describe(&compiled.rules).lines().next(),
        Some(
            "d.a: unit=MINUTE requests_per_unit=5, shadow_mode: false, quota_mode: false, algorithm: sliding_window, unit_multiplier: 15"
        )
    );
    for (descriptor, part) in [
        ("{key: a, rate_limit: {unit: hour, algorithm: leaky}}", "'leaky' is no algorithm"),
        ("{key: a, rate_limit: {unit: hour, unit_multiplier: 0}}", "from 1 to 4294967295"),
        ("{key: a, rate_limit: {unit: year, unit_multiplier: 11}}", "at most ten years"),
        ("{key: a, rate_limit: {unit: hour}, rate_limits: [{unit: day}]}", "'rate_limits' stands beside"),
        (
            "{key: a, rate_limits: [{unit: hour}, {unit: minute, unit_multiplier: 60}]}",
            "have the same window",
        ),
        ("{key: a, rate_limits: [{unit: hour}, {unlimited: true}]}", "an unlimited limit stands beside"),
        ("{key: a, rate_limits: {unit: hour}}", "'rate_limits' is a mapping"),
    ] {
        let (taken, lines) = said(file(descriptor));
        assert!(!taken && lines.iter().any(|line| line.contains(part)), "{part} in {lines:#?}");
    }
}

#[test]
fn a_descriptor_lists_a_bounded_number_of_limits() {
    let list = |count: u32| {
        let limit = |n: u32| format!("{{unit: second, unit_multiplier: {n}, requests_per_unit: 1}}");
        let limits: Vec<String> = (1..=count).map(limit).collect();
        said(file(&format!("{{key: a, rate_limits: [{}]}}", limits.join(", "))))
    };
    assert!(list(256).0);
    let (taken, found) = list(257);
    assert!(!taken && found.iter().any(|line| line.contains("the list holds 257 limits")), "{found:?}");
}
