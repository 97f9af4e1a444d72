//! Usage events of a service that runs, as `tollgate usage export` prints them: over its admin listener, and through its end.

use std::fs;

use serde_json::Value;
use tollgate::transport::grpc::proto::tollgate::v1 as wire;
use tollgate::transport::grpc::proto::tollgate::v1::limit_service_client::LimitServiceClient;
use tollgate::transport::grpc::proto::tollgate::v1::subject::EntriesEntry;
use tonic::transport::{Channel, Endpoint};

use crate::support::process::{Tollgate, run};
use crate::support::raw::http;
use crate::support::redis::RedisServer;
use crate::support::tools::Tool;
use crate::usage::RULES;

#[tokio::test]
async fn the_command_line_exports_from_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limits.yaml");
    fs::write(&file, RULES).unwrap();
    let service = Tollgate::start(&[&file.display().to_string()]);
    service.logs("usage is noted in memory only");
    let entries =
        |limit| format!(r#"[{{"key":"limit","value":"{limit}"}},{{"key":"user","value":"al&ice=ü"}}]"#);
    for number in 0..1200 {
        let entries = entries(if number == 7 { "hits" } else { "month" });
        let body =
            format!(r#"{{"domain":"shop","descriptors":[{{"entries":{entries},"hits_addend":"11"}}]}}"#);
        assert_eq!(http(service.http(), "POST", "/json", body.as_bytes()).await.status, 429);
    }
    let admin = format!("http://{}", service.admin());
    let export = |arguments: &[&str]| {
        let output = run(&[&["usage", "export", "--admin", &admin], arguments].concat(), &[]);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, all, complaint) = export(&[]);
    assert_eq!((code, all.lines().count(), &*complaint), (Some(0), 1199, ""));
    assert!(all.lines().all(|line| line.starts_with('{') && !line.contains("ice=")), "{all}");
    let (_, own, _) = export(&["--subject", "user=al&ice=ü", "--domain", "shop"]);
    assert_eq!(own, all);
    let (_, sum, _) = export(&["--subject", "user=al&ice=ü", "--sum", "year", "--from", "2026-01-01"]);
    assert!(sum.contains(r#""refusals":1199,"#), "{sum}");
    let (code, _, complaint) = export(&["--sum", "hour"]);
    assert_eq!((code, &*complaint), (Some(1), "sum: 'hour' is no period; write day, week, month or year\n"));
}

#[tokio::test]
async fn the_command_line_says_whom_it_wanted_to_ask() {
    let export = |admin: &str| {
        let output = run(&["usage", "export", "--admin", admin], &[]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for address in ["127.0.0.1:6070", "ftp://127.0.0.1:6070", "https://here", "http://:1"] {
        let said =
            format!("--admin: '{address}' is no address of an admin listener; write http://127.0.0.1:6070\n");
        assert_eq!(export(address), (Some(1), said));
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, said) = export(&format!("http://{nobody}"));
    assert!(said.starts_with(&format!("no Tollgate answers at http://{nobody}; name the admin")), "{said}");
    assert_eq!(code, Some(1));
}

/// A client of `service`.
async fn client(service: &Tollgate) -> LimitServiceClient<Channel> {
    let address = format!("http://{}", service.grpc());
    LimitServiceClient::new(Endpoint::from_shared(address).unwrap().connect().await.unwrap())
}

/// Of the job `number`: one token was used for each that it counts.
fn job(number: u64) -> wire::SettleRequest {
    let entry =
        |key: &str, value: &str| EntriesEntry { key: key.to_owned().into(), value: value.to_owned().into() };
    let entries = vec![entry("route", "voice"), entry("user", "alice"), entry("session", "1")];
    wire::SettleRequest {
        subject: Some(wire::Subject { domain: "shop".into(), entries }),
        idempotency_key: format!("job {number}").into(),
        used: Some(wire::Usage {
            model: "gpt-realtime".into(),
            tokens: [("input".to_owned(), number)].into(),
            ..wire::Usage::default()
        }),
        ..wire::SettleRequest::default()
    }
}

/// Settles jobs from `first` on until the service is dead, which is killed meanwhile once so many are done; how many it
/// said to be done.
async fn settle_until_killed(service: &Tollgate, first: u64, enough: u64) -> u64 {
    let mut client = client(service).await;
    let (mut next, mut kill) = (first, None);
    while client.settle(job(next)).await.is_ok() {
        next += 1;
        if next - first == enough {
            let command = format!("kill -KILL {}", service.id());
            kill = Some(std::process::Command::new("sh").args(["-c", &command]).spawn().unwrap());
        }
    }
    kill.expect("it is alive until then").wait().unwrap();
    next - first
}

fn exported(service: &Tollgate) -> Vec<Value> {
    let output = run(&["usage", "export", "--admin", &format!("http://{}", service.admin())], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Where the limit of tokens stands.
async fn used(service: &Tollgate, number: u64) -> i64 {
    let answer = client(service).await.settle(job(number)).await.unwrap().into_inner();
    answer.standings.iter().find(|standing| standing.limit == "budget").unwrap().used
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_over_redis_has_an_event_for_each_charge_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limits.yaml");
    fs::write(&file, RULES).unwrap();
    let (file, redis) = (file.display().to_string(), RedisServer::start(Tool::Redis));
    let (url, patience) = (redis.url(), ("TOLLGATE_STORE_TIMEOUT", "10s"));
    let start = || Tollgate::with(&[&file, "--store", &url], &[patience]);
    let mut next = 1;
    for round in 0..6 {
        let service = start();
        next += settle_until_killed(&service, next, 5 + round).await;
    }
    let service = start();
    // The last one may have been done, and told to nobody.
    let total = i64::try_from(next * (next + 1) / 2).unwrap();
    assert_eq!(used(&service, next).await, total);
    let events = exported(&service);
    let tokens: Vec<u64> = events.iter().map(|event| event["tokens"].as_u64().unwrap()).collect();
    assert_eq!(tokens, (1..=next).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_survive_in_the_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limits.yaml");
    fs::write(&file, RULES).unwrap();
    let (file, data) = (file.display().to_string(), folder.path().join("data").display().to_string());
    let start = || Tollgate::with(&[&file, "--data-dir", &data], &[("TOLLGATE_FLUSH_INTERVAL", "100ms")]);
    let service = start();
    for number in 1..=70 {
        client(&service).await.settle(job(number)).await.unwrap();
    }
    service.signal("TERM");
    assert_eq!(service.wait().0.code(), Some(0));
    let mut service = start();
    assert!(!service.log().contains("in memory only"));
    assert_eq!(exported(&service).len(), 70);
    client(&service).await.settle(job(70)).await.unwrap();
    settle_until_killed(&service, 71, 200).await;
    service.kill();
    let service = start();
    let events = exported(&service);
    // Of each job once, and of none that came after one that is lost.
    let told: Vec<u64> = events.iter().map(|event| event["tokens"].as_u64().unwrap()).collect();
    assert_eq!(told, (1..=events.len() as u64).collect::<Vec<_>>());
    assert!(events.len() >= 70, "{}", events.len());
    let (told, charged): (u64, i64) = (told.iter().sum(), used(&service, 1).await);
    assert!(told >= u64::try_from(charged).unwrap(), "{charged} is charged, and {told} told");
    let ids: std::collections::BTreeSet<&str> =
        events.iter().filter_map(|event| event["id"].as_str()).collect();
    assert_eq!(ids.len(), events.len());
}
