//! The real program: what it serves, what it says when it cannot, and how it stops.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::RateLimitRequest;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::rate_limit_response::Code;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;

use crate::support::process::{Tollgate, metric, run, until_ready};
use crate::support::raw;
use crate::support::redis::{RedisServer, tell};
use crate::support::tools::Tool;

const TWO_AN_HOUR: &str = "
domain: shop
descriptors:
  - key: user
    rate_limit: {unit: hour, requests_per_unit: 2}
";

const MANY: &str = "
domain: shop
descriptors:
  - key: user
    rate_limit: {unit: hour, requests_per_unit: 4000000}
";

/// A folder with one file in it, and the file's path.
fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

fn request(user: &str) -> RateLimitRequest {
    let entries = vec![Entry { key: "user".into(), value: user.to_owned().into() }];
    RateLimitRequest {
        domain: "shop".into(),
        descriptors: vec![RateLimitDescriptor { entries, ..Default::default() }],
        hits_addend: 0,
    }
}

async fn channel(service: &Tollgate) -> Channel {
    Endpoint::from_shared(format!("http://{}", service.grpc())).unwrap().connect().await.unwrap()
}

/// The codes of `calls` calls.
async fn codes(service: &Tollgate, calls: usize) -> Vec<Code> {
    let mut client = RateLimitServiceClient::new(channel(service).await);
    let mut codes = Vec::new();
    for _ in 0..calls {
        codes.push(client.should_rate_limit(request("ann")).await.unwrap().into_inner().overall_code());
    }
    codes
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn serves_on_three_listeners_and_ends_in_peace() {
    let (_folder, limits) = file("limits.yaml", TWO_AN_HOUR);
    let service = Tollgate::start(&[&limits, "--threads", "3"]);
    assert_eq!(codes(&service, 3).await, [Code::Ok, Code::Ok, Code::OverLimit]);
    let body = br#"{"domain":"shop","descriptors":[{"entries":[{"key":"user","value":"ann"}]}]}"#;
    assert_eq!(raw::http(service.http(), "POST", "/json", body).await.status, 429);
    assert_eq!(raw::http(service.http(), "GET", "/healthcheck", b"").await.status, 200);
    for path in ["/livez", "/readyz"] {
        assert_eq!(raw::http(service.admin(), "GET", path, b"").await.status, 200, "{path}");
    }
    let rules = raw::http(service.admin(), "GET", "/rlconfig", b"").await.body;
    assert!(rules.contains("shop.user: unit=HOUR requests_per_unit=2"), "{rules}");
    service.signal("TERM");
    let (status, log) = service.wait();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn the_largest_message_is_as_it_was_told() {
    let (_folder, limits) = file("limits.yaml", TWO_AN_HOUR);
    let service = Tollgate::start(&[&limits, "--grpc-max-message", "1048576"]);
    let mut client = RateLimitServiceClient::new(channel(&service).await);
    let answer = client.should_rate_limit(request(&"a".repeat(600 * 1024))).await.unwrap().into_inner();
    assert_eq!(answer.statuses[0].limit_remaining, 1);
    let refused = client.should_rate_limit(request(&"a".repeat(1024 * 1024))).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}

#[tokio::test]
async fn an_interrupt_ends_it_as_well() {
    let (_folder, limits) = file("limits.yaml", TWO_AN_HOUR);
    let service = Tollgate::start(&[&limits]);
    service.signal("INT");
    assert_eq!(service.wait().0.code(), Some(0));
}

#[tokio::test]
async fn asked_twice_it_does_not_wait_for_the_drain() {
    let (_folder, limits) = file("limits.yaml", TWO_AN_HOUR);
    let service = Tollgate::with(&[&limits], &[("TOLLGATE_DRAIN_DELAY", "5s")]);
    service.signal("INT");
    service.logs("stopping");
    service.signal("INT");
    let (status, log) = service.wait();
    assert_eq!((status.code(), log.contains("a second time")), (Some(1), true), "{log}");
}

#[tokio::test]
async fn two_processes_over_one_redis_count_together() {
    let (_folder, limits) = file("limits.yaml", TWO_AN_HOUR);
    let redis = RedisServer::start(Tool::Redis);
    let (url, patience) = (redis.url(), ("TOLLGATE_STORE_TIMEOUT", "10s"));
    let services = [0, 1].map(|_| Tollgate::with(&[&limits, "--store", &url], &[patience]));
    let mut seen = Vec::new();
    for service in [&services[0], &services[1], &services[0], &services[1]] {
        seen.extend(codes(service, 1).await);
    }
    assert_eq!(seen, [Code::Ok, Code::Ok, Code::OverLimit, Code::OverLimit]);
}

#[tokio::test]
async fn changed_files_are_put_in_force_and_wrong_ones_are_not() {
    let (_folder, limits) = file("limits.yaml", TWO_AN_HOUR);
    let service = Tollgate::start(&[&limits]);
    fs::write(&limits, TWO_AN_HOUR.replace("2}", "many}")).unwrap();
    until_ready(&service, "files: changed and wrong").await;
    assert_eq!(codes(&service, 3).await, [Code::Ok, Code::Ok, Code::OverLimit]);
    fs::write(&limits, TWO_AN_HOUR.replace("2}", "5}")).unwrap();
    until_ready(&service, "files: ready").await;
    assert_eq!(codes(&service, 1).await, [Code::Ok], "the counter is kept, the number is another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_that_starts_empty_is_told() {
    let (_folder, limits) = file("limits.yaml", TWO_AN_HOUR);
    let service = Tollgate::start(&[&limits]);
    assert_eq!(codes(&service, 3).await, [Code::Ok, Code::Ok, Code::OverLimit]);
    fs::write(&limits, TWO_AN_HOUR.replace("hour", "day")).unwrap();
    tokio::task::block_in_place(|| service.logs("the limits were reloaded"));
    assert!(service.log().contains("its counters start empty limit=\"shop.user\""), "{}", service.log());
    assert_eq!(codes(&service, 3).await, [Code::Ok, Code::Ok, Code::OverLimit]);
}

#[test]
fn a_past_price_that_changes_is_told() {
    const PRICED: &str = "
domains: {d: {per: user, limits: {l: 1/1m}}}
prices: {models: {m: {input: 1}}}
";
    let (_folder, limits) = file("limits.yaml", PRICED);
    let service = Tollgate::start(&[&limits]);
    fs::write(&limits, PRICED.replace("input: 1", "input: 2")).unwrap();
    service.logs("the limits were reloaded");
    assert!(service.log().contains("past prices of the model are gone or others"), "{}", service.log());
}

#[test]
fn what_is_odd_about_a_file_is_said_at_start_and_by_check() {
    let products = "tests/data/products.yaml";
    let service = Tollgate::start(&[products]);
    let checked = run(&["check", products], &[]);
    assert_eq!(checked.status.code(), Some(0));
    assert_eq!(String::from_utf8(checked.stdout.clone()).unwrap(), include_str!("../data/products.txt"));
    let said = stderr(&checked);
    let part = "warning: ALERT_WEBHOOK is not set, so the webhook is off";
    assert!(
        said.contains(part) && service.log().contains(part),
        "{said}
{}",
        service.log()
    );
    assert!(said.lines().all(|line| line.starts_with("tests/data/products.yaml:")), "{said}");
}

#[tokio::test]
async fn a_memory_is_each_process_s_own() {
    let (_folder, limits) = file("limits.yaml", TWO_AN_HOUR);
    let services = [Tollgate::start(&[&limits]), Tollgate::start(&[&limits])];
    for service in &services {
        assert_eq!(codes(service, 3).await, [Code::Ok, Code::Ok, Code::OverLimit]);
    }
}

#[tokio::test]
async fn stops_without_failing_a_call() {
    let (_folder, limits) = file("limits.yaml", MANY);
    let leaving = Tollgate::with(&[&limits], &[("TOLLGATE_DRAIN_DELAY", "1s")]);
    let staying = Tollgate::start(&[&limits]);
    let (choose, chosen) = watch::channel(channel(&leaving).await);
    let answered = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            tokio::spawn(call_until_told(chosen.clone(), answered.clone(), format!("user {caller}")))
        })
        .collect();
    let mut health = HealthClient::new(channel(&leaving).await);
    let watched = HealthCheckRequest { service: String::new() };
    let mut changes = health.watch(watched).await.unwrap().into_inner();
    assert_eq!(changes.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    at_least(&answered, 100).await;

    leaving.signal("TERM");
    assert_eq!(changes.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(raw::http(leaving.http(), "GET", "/healthcheck", b"").await.status, 500);
    assert_eq!(raw::http(leaving.admin(), "GET", "/livez", b"").await.status, 200);
    assert_eq!(raw::http(leaving.admin(), "GET", "/readyz", b"").await.status, 503);
    assert_eq!(codes(&leaving, 1).await, [Code::Ok], "new connections are still taken");
    choose.send_replace(channel(&staying).await);
    let (status, log) = tokio::task::spawn_blocking(|| leaving.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    let moved = answered.load(Ordering::Relaxed);
    at_least(&answered, moved + 100).await;
    drop(choose);
    for caller in callers {
        caller.await.unwrap();
    }
}

/// Calls the service that is chosen until nobody chooses any more. Every call must be answered.
async fn call_until_told(mut chosen: watch::Receiver<Channel>, answered: Arc<AtomicU64>, user: String) {
    while chosen.has_changed().is_ok() {
        let mut client = RateLimitServiceClient::new(chosen.borrow_and_update().clone());
        let answer = client.should_rate_limit(request(&user)).await.unwrap().into_inner();
        assert_eq!(answer.overall_code(), Code::Ok);
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

async fn at_least(answered: &AtomicU64, calls: u64) {
    while answered.load(Ordering::Relaxed) < calls {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn stops_in_spite_of_connections_that_say_nothing() {
    let (_folder, limits) = file("limits.yaml", TWO_AN_HOUR);
    let service = Tollgate::start(&[&limits]);
    let _idle = channel(&service).await;
    let _silent = tokio::net::TcpStream::connect(service.grpc()).await.unwrap();
    let _silent_too = tokio::net::TcpStream::connect(service.http()).await.unwrap();
    service.signal("TERM");
    let (status, log) = tokio::task::spawn_blocking(|| service.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test]
async fn starts_without_its_redis_and_answers_by_policy() {
    let (_folder, limits) = file("limits.yaml", TWO_AN_HOUR);
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let service = Tollgate::with(&[&limits], &[("REDIS_URL", &nobody.to_string())]);
    assert_eq!(codes(&service, 3).await, [Code::Ok, Code::Ok, Code::OverLimit], "rates are enforced locally");
    assert_eq!(raw::http(service.admin(), "GET", "/livez", b"").await.status, 200);
    let ready = raw::http(service.admin(), "GET", "/readyz", b"").await;
    assert_eq!((ready.status, ready.body.contains("by policy")), (200, true), "{ready:?}");
    assert_eq!(service.log().matches("no connection to the store").count(), 1, "{}", service.log());
}

#[tokio::test]
async fn answers_that_come_too_late_are_counted_and_said() {
    let (_folder, limits) = file("limits.yaml", TWO_AN_HOUR);
    let redis = RedisServer::start(Tool::Redis);
    let environment = [("REDIS_URL", redis.url()), ("TOLLGATE_STORE_TIMEOUT", "300ms".to_owned())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let service = Tollgate::with(&[&limits], &environment);
    until_ready(&service, "store: ready\nhealth: ready\nfiles: ready\nanswers of the store: ready\n").await;
    assert_eq!(metric(&service, "store_unanswered").await, 0);
    tell(&redis, &["CLIENT", "PAUSE", "20000"]);
    assert_eq!(codes(&service, 3).await, [Code::Ok, Code::Ok, Code::OverLimit], "rates are enforced locally");
    assert!(metric(&service, "store_unanswered").await >= 2);
    until_ready(&service, "answers of the store: some come too late").await;
    let told = "the store did not answer within 300ms: such calls go by on_error";
    service.logs(told);
    assert_eq!(service.log().matches(told).count(), 1, "once a minute");
}

#[tokio::test]
async fn switched_off_it_lets_everything_pass_and_says_so() {
    let (_folder, limits) = file("limits.yaml", TWO_AN_HOUR);
    let service = Tollgate::with(&[&limits], &[("RATE_LIMIT_ENABLED", "false"), ("LOG_LEVEL", "INFO")]);
    assert_eq!(codes(&service, 3).await, [Code::Ok; 3]);
    assert!(service.log().contains("RATE_LIMIT_ENABLED=false: every call passes"), "{}", service.log());
}

#[tokio::test]
async fn starts_as_the_reference_does() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("ratelimit/config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("shop.yaml"), TWO_AN_HOUR).unwrap();
    let root = folder.path().display().to_string();
    let environment = [("RUNTIME_ROOT", root.as_str()), ("RUNTIME_SUBDIRECTORY", "ratelimit")];
    let service = Tollgate::with(&["--grpc", ":0"], &environment);
    assert!(service.grpc().ip().is_unspecified(), "{}", service.grpc());
    let on_loopback = Endpoint::from_shared(format!("http://127.0.0.1:{}", service.grpc().port())).unwrap();
    let mut client = RateLimitServiceClient::new(on_loopback.connect().await.unwrap());
    let answer = client.should_rate_limit(request("ann")).await.unwrap().into_inner();
    assert_eq!(answer.statuses[0].limit_remaining, 1);
}

#[test]
fn wrong_files_end_it_with_all_that_is_wrong() {
    let (folder, wrong) = file(
        "wrong.yaml",
        "domain: shop\ndescriptors:\n  - key: a\n    rate_limit: {unit: fortnight, requests_per_unit: 1}\n  - ky: b\n",
    );
    let folder = folder.path().display().to_string();
    for (arguments, environment) in [
        (vec!["serve", &wrong], vec![]),
        (vec!["check", &wrong], vec![]),
        (
            vec!["serve"],
            vec![
                ("RUNTIME_ROOT", folder.as_str()),
                ("RUNTIME_WATCH_ROOT", "0"),
                ("RUNTIME_APPDIRECTORY", "."),
            ],
        ),
    ] {
        let output = run(&arguments, &environment);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}: {said}");
        assert!(said.contains("wrong.yaml:4:") && said.contains("fortnight"), "{arguments:?}: {said}");
        assert!(said.contains("wrong.yaml:5:") && said.contains("ky"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_check_merges_domains_as_a_start_would() {
    let text = |key: &str| {
        format!(
            "domain: d\ndescriptors:\n- {{key: {key}, rate_limit: {{unit: hour, requests_per_unit: 1}}}}\n"
        )
    };
    let ((_one, one), (_two, two)) = (file("one.yaml", &text("a")), file("two.yaml", &text("b")));
    for (flags, environment, code) in [
        (vec![], vec![], 78),
        (vec!["--merge-domains"], vec![], 0),
        (vec![], vec![("MERGE_DOMAIN_CONFIG", "true")], 0),
        (vec!["--merge-domains"], vec![("MERGE_DOMAIN_CONFIG", "false")], 0),
        (vec![], vec![("MERGE_DOMAIN_CONFIG", "perhaps")], 78),
    ] {
        let arguments: Vec<&str> = ["check", &one, &two].into_iter().chain(flags).collect();
        let output = run(&arguments, &environment);
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {environment:?}: {}", stderr(&output));
    }
}

#[test]
fn a_start_in_the_reference_s_way_without_files_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    let output = run(&["serve"], &[("RUNTIME_ROOT", root.as_str())]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains(&format!("{root}/config")) && said.contains("every call would pass"), "{said}");
}

#[test]
fn files_that_are_not_there_end_it() {
    let output = run(&["serve", "/nowhere/a.yaml", "/nowhere/b.yaml"], &[]);
    assert_eq!(output.status.code(), Some(78));
    let said = stderr(&output);
    assert!(said.contains("/nowhere/a.yaml") && said.contains("/nowhere/b.yaml"), "{said}");
}

#[test]
fn wrong_settings_end_it_with_all_that_is_wrong() {
    let output =
        run(&["serve", "--grpc", "here"], &[("SHADOW_MODE", "maybe"), ("REDIS_URL", "redis+cluster://a:1")]);
    assert_eq!(output.status.code(), Some(78));
    let said = stderr(&output);
    for words in ["--grpc", "environment SHADOW_MODE", "environment REDIS_URL", "type `tollgate serve FILE`"]
    {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(said.lines().count(), 4, "{said}");
}

#[test]
fn an_address_that_is_taken_is_named_with_its_flag() {
    let (_folder, limits) = file("limits.yaml", TWO_AN_HOUR);
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let free = [("TOLLGATE_GRPC", "127.0.0.1:0"), ("TOLLGATE_ADMIN", "127.0.0.1:0")];
    let output = run(&["serve", &limits, "--http", &taken], &free);
    assert_eq!(output.status.code(), Some(69));
    let expected = format!("cannot listen on {taken}: name another with --http or TOLLGATE_HTTP");
    assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
}

#[test]
fn says_which_version_it_is_and_how_it_is_used() {
    let version = run(&["--version"], &[]);
    let expected = format!("tollgate {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((version.status.code(), String::from_utf8(version.stdout).unwrap()), (Some(0), expected));
    let help = String::from_utf8(run(&["--help"], &[]).stdout).unwrap();
    for words in ["serve", "check", "tollgate serve limits.yaml", "REDIS_URL=redis:6379"] {
        assert!(help.contains(words), "{help}");
    }
}
