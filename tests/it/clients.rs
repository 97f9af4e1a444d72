//! Clients that nobody here wrote: grpcio with the classes generated from Envoy's own protos, and grpcurl, which knows
//! only what reflection tells it.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::support::process::Tollgate;
use crate::support::tools::Tool;

const SERVICE: &str = "envoy.service.ratelimit.v3.RateLimitService";

/// Runs a program and returns what it printed; panics with all of it when it fails.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("start the program");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out.into_owned()
}

/// What grpcurl answers to `arguments`, over plain text, with the address in the place of `ADDRESS`.
fn grpcurl(service: &Tollgate, arguments: &[&str]) -> String {
    let address = service.grpc().to_string();
    let arguments =
        arguments.iter().map(|argument| if *argument == "ADDRESS" { &address } else { *argument });
    run(Command::new(Tool::Grpcurl.path()).arg("-plaintext").args(arguments))
}

#[test]
fn grpcio_with_envoys_own_classes() {
    let service = Tollgate::start(&["tests/data/edge.yaml"]);
    let printed = run(Command::new(Tool::Python.path())
        .args(["tests/client.py", &service.grpc().to_string()])
        .current_dir(env!("CARGO_MANIFEST_DIR")));
    assert!(printed.ends_with("all 10 checks passed\n"), "{printed}");
}

#[test]
fn grpcurl_lists_and_describes_what_it_finds() {
    let service = Tollgate::start(&["tests/data/edge.yaml"]);
    let services = grpcurl(&service, &["ADDRESS", "list"]);
    let methods: String =
        services.lines().map(|name| grpcurl(&service, &["ADDRESS", "list", name])).collect();
    // Whoever adds a method calls it in the test below.
    let called = [
        "envoy.service.ratelimit.v3.RateLimitService.ShouldRateLimit",
        "grpc.health.v1.Health.Check",
        "grpc.health.v1.Health.Watch",
        "grpc.reflection.v1.ServerReflection.ServerReflectionInfo",
        "grpc.reflection.v1alpha.ServerReflection.ServerReflectionInfo",
        "tollgate.v1.LimitService.Release",
        "tollgate.v1.LimitService.Reserve",
        "tollgate.v1.LimitService.Settle",
    ];
    assert_eq!(methods.lines().collect::<Vec<_>>(), called);
    let entry = "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor.Entry";
    let entry = grpcurl(&service, &["ADDRESS", "describe", entry]);
    assert!(entry.contains("string key = 1;") && entry.contains("string value = 2;"), "{entry}");
    let descriptor = "envoy.extensions.common.ratelimit.v3.RateLimitDescriptor";
    let descriptor = grpcurl(&service, &["ADDRESS", "describe", descriptor]);
    assert!(descriptor.contains("bool is_negative_hits = 4;"), "{descriptor}");
}

#[test]
fn grpcurl_calls_every_method() {
    let service = Tollgate::start(&["tests/data/edge.yaml"]);
    let question = r#"{"domain": "edge", "descriptors": [{"entries": [
        {"key": "client", "value": "a"}, {"key": "limit", "value": "seats"}]}]}"#;
    let method = format!("{SERVICE}/ShouldRateLimit");
    let ask = || -> serde_json::Value {
        let printed = grpcurl(&service, &["-d", question, "ADDRESS", &method]);
        serde_json::from_str(&printed).expect("grpcurl prints JSON")
    };
    assert_eq!([&ask()["overallCode"], &ask()["overallCode"]], ["OK", "OK"]);
    let refused = ask();
    assert_eq!(refused["overallCode"], "OVER_LIMIT", "{refused}");
    assert_eq!(refused["statuses"][0]["currentLimit"]["name"], "seats", "{refused}");
    assert_eq!(refused["statuses"][0]["currentLimit"]["requestsPerUnit"], 2, "{refused}");

    for name in ["", SERVICE] {
        let question = format!(r#"{{"service": "{name}"}}"#);
        let health = grpcurl(&service, &["-d", &question, "ADDRESS", "grpc.health.v1.Health/Check"]);
        assert!(health.contains(r#""status": "SERVING""#), "{health}");
    }
    let seen = grpcurl_watch(&service);
    assert!(seen.contains(r#""status": "SERVING""#), "{seen}");

    for version in ["v1", "v1alpha"] {
        let method = format!("grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let listed = grpcurl(&service, &["-d", r#"{"list_services": "*"}"#, "ADDRESS", &method]);
        assert!(listed.contains(SERVICE), "{listed}");
    }
}

#[test]
fn grpcurl_reserves_settles_and_releases() {
    let service = Tollgate::start(&["tests/data/edge.yaml"]);
    let ask = |method: &str, question: &str| -> serde_json::Value {
        let method = format!("tollgate.v1.LimitService/{method}");
        serde_json::from_str(&grpcurl(&service, &["-d", question, "ADDRESS", &method])).expect("JSON")
    };
    let question = r#"{"subject": {"domain": "edge", "entries": {"client": "a", "limit": "tokens"}},
        "estimate": {"tokens": {"input": 400, "output": 500}}, "ttl": "60s"}"#;
    let held = ask("Reserve", question);
    assert_eq!(
        (&held["decision"], &held["standings"][0]["held"]),
        (&"ALLOW".into(), &"900".into()),
        "{held}"
    );
    assert_eq!(held["granted"]["tokens"]["output"], "500", "{held}");
    let refused = ask("Reserve", question);
    assert_eq!(refused["decision"], "DENY", "{refused}");
    assert_eq!(refused["standings"][0]["reason"], "over_limit", "{refused}");
    let settle =
        format!(r#"{{"reservation": {}, "used": {{"tokens": {{"input": 7}}}}}}"#, held["reservation"]);
    let settled = ask("Settle", &settle);
    assert_eq!(settled["standings"][0]["used"], "7", "{settled}");
    let back =
        r#"{"subject": {"domain": "edge", "entries": {"client": "a"}}, "limit": "seats", "true_count": 2}"#;
    let counted = ask("Release", back);
    assert_eq!(counted["standings"][0]["used"], "2", "{counted}");
    let dropped = ask("Release", &format!(r#"{{"reservation": {}}}"#, held["reservation"]));
    assert_eq!(dropped["replayed"], true, "{dropped}");
}

#[test]
fn grpcurl_is_told_what_is_wrong_and_nothing_is_charged() {
    let service = Tollgate::start(&["tests/data/edge.yaml"]);
    let who = r#""subject": {"domain": "edge", "entries": {"client": "a", "limit": "tokens"}}"#;
    let spends =
        |usage: &str| format!(r#"{{{who}, "idempotency_key": "k", "used": {{"usd": "1"}}, {usage}}}"#);
    let key = "k".repeat(100_000);
    for (method, question, code, field) in [
        ("Reserve", format!(r#"{{{who}, "ttl": "31536000s"}}"#), "InvalidArgument", "ttl: "),
        ("Reserve", format!(r#"{{{who}, "ttl": "0s"}}"#), "InvalidArgument", "ttl: "),
        ("Reserve", format!(r#"{{{who}, "ttl": "-1.5s"}}"#), "InvalidArgument", "ttl: "),
        ("Reserve", format!(r#"{{{who}, "estimate": {{"usd": "-1"}}}}"#), "InvalidArgument", "estimate.usd: "),
        ("Reserve", format!(r#"{{{who}, "estimate": {{"usd": "NaN"}}}}"#), "InvalidArgument", "estimate.usd: "),
        (
            "Reserve",
            format!(r#"{{{who}, "estimate": {{"tokens": {{"input": "18446744073709551615"}}}}}}"#),
            "InvalidArgument",
            "estimate.tokens: ",
        ),
        ("Reserve", format!(r#"{{{who}, "idempotency_key": "{key}"}}"#), "InvalidArgument", "idempotency_key: "),
        ("Reserve", who_else("limit", "tokns"), "NotFound", "subject.entries.limit: "),
        ("Reserve", who_else("route", "POST /logn"), "NotFound", "subject.entries.route: "),
        ("Reserve", who_else("", "x"), "InvalidArgument", "subject.entries: "),
        ("Settle", spends(r#""used_at": "1969-12-31T23:59:59Z""#), "InvalidArgument", "used_at: "),
        ("Settle", spends(r#""used_at": "0001-01-01T00:00:00Z""#), "InvalidArgument", "used_at: "),
        ("Settle", r#"{"reservation": "00"}"#.to_owned(), "InvalidArgument", "reservation: "),
        (
            "Release",
            r#"{"subject": {"domain": "edge", "entries": {"client": "a"}}, "limit": "seats", "true_count": "9007199254740992"}"#
                .to_owned(),
            "InvalidArgument",
            "true_count: ",
        ),
    ] {
        let method = format!("tollgate.v1.LimitService/{method}");
        let address = service.grpc().to_string();
        let output = Command::new(Tool::Grpcurl.path())
            .args(["-plaintext", "-d", &question, &address, &method])
            .output()
            .expect("start grpcurl");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let shown = &question[..question.len().min(200)];
        assert!(said.contains(&format!("Code: {code}")) && said.contains(field), "{shown}: {said}");
    }
    let look = format!(r#"{{{who}}}"#);
    let stands = grpcurl(&service, &["-d", &look, "ADDRESS", "tollgate.v1.LimitService/Reserve"]);
    assert!(stands.contains(r#""remaining": "1000""#), "{stands}");
}

/// What asks by one entry beside the client.
fn who_else(key: &str, value: &str) -> String {
    format!(r#"{{"subject": {{"domain": "edge", "entries": {{"client": "a", "{key}": "{value}"}}}}}}"#)
}

/// The first answer of a watch of the service's health, which never ends by itself.
fn grpcurl_watch(service: &Tollgate) -> String {
    let address = service.grpc().to_string();
    let mut watch = Command::new(Tool::Grpcurl.path())
        .args(["-plaintext", "-d", r#"{"service": ""}"#, &address, "grpc.health.v1.Health/Watch"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("start grpcurl");
    let lines = BufReader::new(watch.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let mut seen = Vec::new();
    for line in lines {
        seen.push(line);
        if seen.last().is_some_and(|line| line == "}") {
            break;
        }
    }
    watch.kill().expect("stop grpcurl");
    watch.wait().expect("wait for grpcurl");
    seen.concat()
}
