//! The reference service's own answers, recorded, come out the same here.
//!
//! One difference is wanted: the reference joins a key and its value with `_` and so takes one pair for another.

use std::fs;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tollgate::clock::Clock;
use tollgate::config::diagnostic::Position;
use tollgate::config::source::{Compiled, SameDomain, Source, compile};
use tollgate::config::yaml::{Kind, Node, parse};
use tollgate::limits::KeySecret;
use tollgate::store::memory::{MemorySettings, MemoryStore};

use crate::support::calling::{Caller, OverGrpc};
use crate::support::deciding::{InProcess, MIDDLE_OF_THE_HOUR};
use crate::support::process::Tollgate;
use crate::support::raw::http;
use crate::support::recorded::{Played, Scenario, items, read};
use crate::support::redis::RedisServer;
use crate::support::server::TestServer;
use crate::support::tools::Tool;

/// How many answers were recorded, at least.
const RECORDED: usize = 3_000;

fn compiled(documents: Vec<(String, String)>) -> Compiled {
    let sources: Vec<Source> =
        documents.into_iter().map(|(name, text)| Source { name: name.into(), text }).collect();
    compile(&sources, SameDomain::Refuse).unwrap_or_else(|found| panic!("{found}"))
}

fn scenarios() -> impl Iterator<Item = Scenario> {
    ["cases.yaml", "random.yaml"].into_iter().flat_map(items)
}

#[tokio::test]
async fn answers_in_process_over_memory() {
    let mut played = Played::default();
    for scenario in scenarios() {
        let rules = compiled(scenario.documents()).rules;
        let decides = InProcess::over_memory(rules, scenario.settings());
        played.add(scenario.play(&decides).await);
    }
    played.assert_alike(RECORDED);
}

#[tokio::test]
async fn answers_over_grpc_over_memory() {
    let mut played = Played::default();
    for scenario in scenarios() {
        let rules = compiled(scenario.documents()).rules;
        let clock = Clock::manual(MIDDLE_OF_THE_HOUR);
        let store = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([7; 16]));
        let decides = OverGrpc::serving(rules, store, scenario.settings(), clock).await;
        played.add(scenario.play(&decides).await);
        decides.stop().await;
    }
    played.assert_alike(RECORDED);
}

#[tokio::test]
async fn answers_over_grpc_over_redis() {
    let redis = RedisServer::start(Tool::Redis);
    let mut played = Played::default();
    for scenario in scenarios() {
        redis::cmd("FLUSHALL").exec(&mut redis.connection()).unwrap();
        let rules = compiled(scenario.documents()).rules;
        let clock = Clock::manual(MIDDLE_OF_THE_HOUR);
        let store = redis.store(clock.clone()).await;
        let decides = OverGrpc::serving(rules, store, scenario.settings(), clock).await;
        played.add(scenario.play(&decides).await);
        decides.stop().await;
    }
    played.assert_alike(RECORDED);
}

/// The program as an operator of the reference would start it: by its environment.
#[tokio::test]
async fn answers_by_the_program_itself() {
    let mut played = Played::default();
    for scenario in scenarios() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("ratelimit/config")).unwrap();
        for (name, text) in scenario.documents() {
            fs::write(root.path().join("ratelimit/config").join(name), text).unwrap();
        }
        let root = root.path().display().to_string();
        let mut environment: Vec<(&str, &str)> =
            scenario.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        environment.extend([("RUNTIME_ROOT", root.as_str()), ("RUNTIME_SUBDIRECTORY", "ratelimit")]);
        let program = Tollgate::with(&[], &environment);
        let caller = Caller::of(program.grpc()).await;
        far_from_the_next_window().await;
        played.add(scenario.play(&caller).await);
    }
    played.assert_alike(RECORDED);
}

/// Recorded windows are a second, which no scenario asks twice, or a minute and more.
async fn far_from_the_next_window() {
    while Clock::System.now().0 / 1_000_000 % 60 >= 50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[derive(Deserialize)]
struct File {
    name: String,
    document: String,
    accepted: bool,
}

#[test]
fn files_are_taken_and_refused() {
    let files = items::<File>("files.yaml");
    assert!(files.len() >= 31, "only {} files", files.len());
    for File { name, document, accepted } in files {
        let source = Source { name: "limits.yaml".into(), text: document.clone() };
        let found = compile(&[source], SameDomain::Refuse);
        assert_eq!(found.is_ok(), accepted, "{name}: {document}\n{found:?}");
        let Err(found) = found else { continue };
        for diagnostic in found.iter() {
            let is_placed = diagnostic.at != Position::FILE;
            assert!(is_placed && !diagnostic.fix.is_empty(), "{name}: {diagnostic}");
        }
    }
}

/// The members of a recorded HTTP answer.
#[derive(Deserialize)]
struct Post {
    body: String,
    status: u16,
    answer: Option<Value>,
}

/// `POST /json` as recorded. A refused body may be answered with words of ours.
#[tokio::test]
async fn answers_as_json() {
    let rules = compiled(vec![("basics.yaml".to_owned(), read("basics.yaml"))]).rules;
    let server = TestServer::with_clock(rules, Clock::manual(MIDDLE_OF_THE_HOUR)).await;
    let recorded = parse(&read("json.yaml")).unwrap().root.unwrap();
    let posts: Vec<Post> = serde_json::from_value(json_of(&recorded)).unwrap();
    assert_eq!(posts.len(), 8);
    for Post { body, status, answer } in posts {
        let got = http(server.http, "POST", "/json", body.as_bytes()).await;
        assert_eq!(got.status, status, "{body}");
        let Some(answer) = answer else { continue };
        let mut got: Value = serde_json::from_str(&got.body).unwrap();
        for (recorded, got) in
            answer["statuses"].as_array().unwrap().iter().zip(got["statuses"].as_array_mut().unwrap())
        {
            if recorded["durationUntilReset"] == "any" {
                let duration = got["durationUntilReset"].as_str().unwrap();
                assert!(duration.strip_suffix('s').unwrap().parse::<u64>().unwrap() <= 3_600, "{duration}");
                got["durationUntilReset"] = json!("any");
            }
        }
        assert_eq!(got, answer, "{body}");
    }
    server.stop().await;
}

fn json_of(node: &Node) -> Value {
    match &node.kind {
        Kind::List(items) => items.iter().map(json_of).collect(),
        Kind::Map(entries) => Value::Object(
            entries.iter().map(|(key, value)| (key.literal().unwrap().to_owned(), json_of(value))).collect(),
        ),
        Kind::Scalar { text, .. } => match node.as_integer() {
            Some(number) => json!(u64::try_from(number).unwrap()),
            None => json!(text),
        },
    }
}
