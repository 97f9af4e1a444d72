//! The README, taken at its word: its commands run as they are printed, and print what it shows.
//!
//! Only addresses are replaced, by those of a service on free ports, and `cargo run` by the program that it would run.
//! A block of shell is followed by the block of what it prints, except the one that starts the service and the one that
//! runs the tests.

use std::process::Command;

use serde_json::Value;
use tollgate::clock::Timestamp;
use tollgate::config::source::{Around, SameDomain, Source, compile_in};
use tollgate::money::NanoUsd;
use tollgate::prices::{Class, Tokens};

use crate::support::admins;
use crate::support::process::Tollgate;
use crate::support::tools::Tool;

const README: &str = include_str!("../../README.md");
const CLASSES: &str = include_str!("../../examples/token-classes.md");
const EXAMPLE: &str = include_str!("../../examples/tollgate.yaml");
const ENVOY: &str = include_str!("../../examples/envoy.yaml");
const SERVE: &str = "cargo run --release -- serve examples/tollgate.yaml\n";
const TEST: &str = "tests/all\n";

/// The fenced blocks of the README.
pub(crate) fn blocks() -> Vec<(&'static str, &'static str)> {
    blocks_of(README)
}

/// The fenced blocks of `text`: what they are in, and their text.
fn blocks_of(text: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("\n```") {
        let (language, after) = after.split_once('\n').expect("a fence ends its line");
        let end = after.find("```").expect("a block is closed");
        blocks.push((language, &after[..end]));
        rest = &after[end + 2..];
    }
    blocks
}

#[test]
fn every_command_prints_what_the_readme_shows() {
    let service = Tollgate::start(&["examples/tollgate.yaml"]);
    let blocks = blocks();
    let mut commands = Vec::new();
    for (index, (language, text)) in blocks.iter().enumerate() {
        if *language == "sh" {
            commands.push(*text);
            if ![SERVE, TEST].contains(text) {
                let shown = blocks.get(index + 1).expect("a block of what it prints");
                assert_same(text, shown, &run(&service, text));
            }
        }
    }
    assert_eq!(
        (commands[0], commands.contains(&TEST), commands.len() >= 5),
        (SERVE, true, true),
        "{commands:?}"
    );
}

/// What `script` prints, asked of `service`.
fn run(service: &Tollgate, script: &str) -> String {
    let script = script
        .replace("cargo run --release --", env!("CARGO_BIN_EXE_tollgate"))
        .replace("127.0.0.1:8081", &service.grpc().to_string())
        .replace("127.0.0.1:8080", &service.http().to_string())
        .replace("127.0.0.1:6070", &service.admin().to_string());
    let grpcurl = Tool::Grpcurl.path();
    let tools = grpcurl.parent().expect("a folder").display();
    let path = format!("{tools}:{}", std::env::var("PATH").unwrap_or_default());
    let output = Command::new("bash")
        .args(["-euc", &script])
        .env("PATH", path)
        .env("TOLLGATE_TOKEN", admins::TOKEN)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("start bash");
    assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn assert_same(script: &str, (language, shown): &(&str, &str), printed: &str) {
    if *language == "json" {
        let [shown, printed] = [shown, printed].map(|text| {
            let values = serde_json::Deserializer::from_str(text).into_iter();
            let mut values: Vec<Value> =
                values.map(|value| value.unwrap_or_else(|error| panic!("{error}: {text}"))).collect();
            values.iter_mut().for_each(forget_seconds);
            values
        });
        assert_eq!(shown, printed, "{script}");
    } else {
        assert_eq!((*language, shown.trim_end()), ("text", printed.trim_end()), "{script}");
    }
}

/// Replaces what depends on the moment: the seconds until a counter is whole, or a call may come back; instants, and names
/// that are made anew.
fn forget_seconds(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(forget_seconds),
        Value::Object(fields) => {
            let moment =
                |name: &Value| ["X-RateLimit-Reset", "Retry-After"].iter().any(|known| name == known);
            if fields.get("key").is_some_and(moment) {
                fields.insert("value".to_owned(), Value::from("seconds"));
            }
            let moments = [
                "durationUntilReset",
                "resetsAt",
                "resets_at",
                "retryAfter",
                "expiresAt",
                "time",
                "period",
                "from",
                "to",
            ];
            for name in moments.into_iter().chain(["reservation", "hold", "id", "user"]) {
                if let Some(moment) = fields.get_mut(name) {
                    *moment = Value::from("another time");
                }
            }
            fields.values_mut().for_each(forget_seconds);
        }
        _ => {}
    }
}

#[test]
fn its_files_of_limits_are_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut checked = 0;
    for (_, text) in
        blocks().iter().filter(|(language, text)| *language == "yaml" && text.contains("domains:"))
    {
        assert!(EXAMPLE.ends_with(text), "{text}");
        let file = folder.path().join("limits.yaml");
        std::fs::write(&file, text).expect("write a file");
        let output = Command::new(env!("CARGO_BIN_EXE_tollgate")).arg("check").arg(&file).output();
        let output = output.expect("start tollgate");
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        checked += 1;
    }
    assert!(checked > 0);
}

/// What each provider counted, and what is made of it: the same tokens, which cost what is said by the README's prices.
#[test]
fn its_usage_is_of_classes_that_add_up_and_cost_what_it_says() {
    let prices = blocks();
    let prices = prices.iter().find(|(_, text)| text.starts_with("prices:")).expect("the prices").1;
    let sources = [Source { name: "prices.yaml".into(), text: prices.to_owned() }];
    let around = Around { environment: &|_| None, now: Timestamp::default() };
    let table = compile_in(around, &sources, SameDomain::Refuse).expect("prices").rules.prices;
    let mut priced = 0;
    for pair in blocks_of(CLASSES).windows(2) {
        let [Some(counted), Some(used)] = [pair[0], pair[1]].map(json) else { continue };
        let (Some(model), Some(classes)) = (used["model"].as_str(), used["tokens"].as_object()) else {
            continue;
        };
        let mut tokens = Tokens::default();
        for (name, count) in classes {
            let class = Class::named(name.as_bytes()).expect(name);
            tokens.add(class, count.as_u64().expect("a count")).expect("few tokens");
        }
        assert_eq!(tokens.total(), total(&counted), "{counted}");
        let cost = table.cost(model.as_bytes(), &tokens, Timestamp(0)).expect(model);
        let said = format!("costs {}:", NanoUsd(cost.nanos));
        assert!(CLASSES.contains(&said), "{model} {said}");
        priced += 1;
    }
    assert_eq!(priced, 3, "one of each provider");
}

fn json((language, text): (&str, &str)) -> Option<Value> {
    (language == "json").then(|| serde_json::from_str(text).expect(text))
}

/// All tokens of a call as its provider says, or by the sum of counts that do not overlap.
fn total(counted: &Value) -> u64 {
    let said = ["total_tokens", "totalTokenCount"].iter().find_map(|name| counted[name].as_u64());
    let sum = || counted.as_object().expect("counts").values().filter_map(Value::as_u64).sum();
    said.unwrap_or_else(sum)
}

#[test]
fn its_filters_are_taken_by_envoy() {
    let indented: String = filters().lines().map(|line| format!("              {line}\n")).collect();
    let manager = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let text = format!(
        r#"
static_resources:
  listeners:
    - address: {{ socket_address: {{ address: 127.0.0.1, port_value: 0 }} }}
      filter_chains:
        - filters:
          - name: envoy.filters.network.http_connection_manager
            typed_config:
              "@type": type.googleapis.com/{manager}
              stat_prefix: readme
              route_config: {{}}
{indented}
  clusters: [{{ name: tollgate, type: STATIC }}]
"#
    );
    validate(&text);
}

#[test]
fn its_envoy_is_one_that_envoy_takes() {
    let bare = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let filters = bare(filters().split_once('\n').expect("a first line").1);
    assert!(bare(ENVOY).contains(&filters), "{filters}");
    validate(ENVOY);
}

/// The filters that the README shows.
fn filters() -> &'static str {
    blocks().into_iter().find(|(_, text)| text.starts_with("http_filters:")).expect("the filters").1
}

/// Asks Envoy whether it would start with `text`.
fn validate(text: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("envoy.yaml");
    std::fs::write(&file, text).expect("write a file");
    let mut envoy = Command::new(Tool::Envoy.path());
    envoy.args(["--mode", "validate", "--disable-hot-restart", "-c"]).arg(&file);
    let output = envoy.output().expect("start Envoy");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}
