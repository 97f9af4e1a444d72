//! Budgets behind a real Envoy, as examples/envoy-llm.yaml sets it up: what a call may use is held before it begins, and
//! settled when it ends.

use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::http::{Answer, Call, get, post};
use crate::support::models::{FILE, Models, THOUSAND, TOLD, chat, told};
use crate::support::redis::RedisServer;
use crate::support::tools::Tool;

fn many(call: impl Fn() -> Call + Sync, to: &Models, count: usize) -> Vec<(Answer, TcpStream)> {
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..count).map(|_| scope.spawn(|| call().open(to.envoy.open))).collect();
        calls.into_iter().map(|call| call.join().expect("an answer")).collect()
    })
}

fn fifty_streams_on_a_budget_for_ten(models: &Models) {
    let streams = many(|| chat().header("x-upstream", "waits"), models, 50);
    let admitted = streams.iter().filter(|(answer, _)| answer.status == 200).count();
    let refused = streams.iter().filter(|(answer, _)| answer.status == 429).count();
    assert_eq!((admitted, refused), (10, 40));
    models.balanced((0, 10_000), (0, 10 * THOUSAND), 10);
    assert_eq!(models.books("ada", "requests"), (10, 0), "a refusal costs nothing");
    models.upstream.go_on();
    drop(streams);
    models.balanced((10_000, 0), (10 * THOUSAND, 0), 0);
}

#[test]
fn tokens_of_three_classes_are_priced_once() {
    let models = Models::new();
    assert_eq!(models.call(told()).status, 200);
    models.balanced((730, 0), (TOLD, 0), 0);
}

#[test]
fn a_call_may_use_more_than_it_held() {
    let models = Models::new();
    assert_eq!(models.call(chat().header("x-answer-output-tokens", "9500")).status, 200);
    models.balanced((9_500, 0), (9_500 * 600, 0), 0);
    let refused = models.call(chat());
    assert_eq!(refused.status, 429);
    assert_eq!(refused.body, r#"{"error":"Rate limit exceeded: 10000 tokens per 1 hour"}"#);
    models.balanced((9_500, 0), (9_500 * 600, 0), 0);
}

#[test]
fn exactly_five_dollars_are_within_five_dollars() {
    let models = Models::with(&FILE.replace("10k tokens/1h", "1M tokens/1h"));
    let call = |output: &str| {
        let call = post("/v1/chat").header("x-user", "ada").header("x-model", "gpt-realtime");
        call.header("x-max-tokens", "25000")
            .header("x-answer-input-tokens", "10000")
            .header("x-answer-output-tokens", output)
    };
    assert_eq!(models.call(call("20000")).status, 200);
    models.balanced((30_000, 0), (5_000_000_000, 0), 0);
    assert_eq!(models.call(call("1").header("x-max-tokens", "1")).status, 429);
}

/// What Envoy sends at the end of a call that was [`told`], again.
fn settle_again(models: &Models, hold: &str) {
    let entry = |key: &str, value: &str| json!({"key": key, "value": value});
    let descriptor = |hits: u64, class: Option<&str>| {
        let mut entries = vec![entry("route", "chat"), entry("user", "ada"), entry("model", "gpt-4o-mini")];
        entries.push(entry("hold", hold));
        entries.extend(class.map(|class| entry("usage", class)));
        json!({"entries": entries, "hitsAddend": hits})
    };
    let classes = [(10, Some("input")), (20, Some("cached_input")), (700, Some("output")), (0, None)];
    let descriptors: Vec<Value> = classes.into_iter().map(|(hits, class)| descriptor(hits, class)).collect();
    assert_eq!(models.ask(&json!(descriptors))["overallCode"], "OK");
}

fn a_settle_that_is_sent_twice(models: &Models) {
    let answer = models.call(told());
    let hold = answer.header("x-hold").expect("Envoy tells the hold");
    models.balanced((730, 0), (TOLD, 0), 0);
    settle_again(models, &hold);
    settle_again(models, &hold);
    models.balanced((730, 0), (TOLD, 0), 0);
}

#[test]
fn a_slot_is_held_for_as_long_as_its_stream() {
    let models = Models::with(&FILE.replace("limit: 12, window: concurrent", "limit: 2, window: concurrent"));
    let small = || chat().header("x-upstream", "waits");
    let streams = many(small, &models, 2);
    assert!(streams.iter().all(|(answer, _)| answer.status == 200));
    let refused = models.call(chat());
    assert_eq!((refused.status, refused.header("x-tollgate-limit").as_deref()), (429, Some("streams")));
    models.balanced((0, 2_000), (0, 2 * THOUSAND), 2);
    drop(streams);
    models.balanced((2_000, 0), (2 * THOUSAND, 0), 0);
    models.upstream.go_on();
    assert_eq!(models.call(chat()).status, 200);
}

#[test]
fn what_was_not_reserved_is_charged_after_the_fact() {
    let models = Models::new();
    let call = || {
        let call = post("/v1/embeddings").header("x-user", "ada").header("x-model", "gpt-4o-mini");
        call.header("x-answer-input-tokens", "6000")
    };
    for calls in 1..=2 {
        assert_eq!(models.call(call()).status, 200);
        models.balanced((6_000 * calls, 0), (900_000 * calls, 0), 0);
    }
    assert_eq!(models.call(call()).status, 429, "there is no token left");
}

/// What `ada` is written down to have used: tokens, nano-USD, and how it was found.
fn written_down(models: &Models) -> Vec<(u64, u64, String)> {
    let events = get("/usage").by_admin().send(models.service.admin()).body;
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    let told = |event: Value| {
        let number = |name: &str| event[name].as_u64().expect("a number");
        (number("tokens"), number("nano_usd"), event["found"].as_str().unwrap_or_default().to_owned())
    };
    events.map(told).collect()
}

/// Envoy asks again when an answer gets lost: with the id of the call, that charges nothing more. No caller has a say in it.
fn usage_that_envoy_tells_twice(models: &Models) {
    let call = || {
        let call = post("/v1/embeddings").header("x-user", "ada").header("x-model", "gpt-4o-mini");
        call.header("x-answer-input-tokens", "1000").header("x-request-id", "my-own")
    };
    let (answer, stream) = call().header("x-upstream", "waits").open(models.envoy.open);
    assert_eq!(answer.status, 200);
    models.gate.lose(1);
    let before = models.envoy.stat("cluster.tollgate.upstream_rq_retry");
    models.upstream.go_on();
    models.until(|models| models.gate.to_lose() == 0);
    models.until(|models| models.envoy.stat("cluster.tollgate.upstream_rq_retry") > before);
    models.until(|models| models.envoy.stat("cluster.tollgate.upstream_rq_active") == 0);
    drop(stream);
    models.balanced((1_000, 0), (150_000, 0), 0);
    assert_eq!(models.call(call()).status, 200);
    models.balanced((2_000, 0), (300_000, 0), 0);
    let unheld = || (1_000, 150_000, "unheld".to_owned());
    assert_eq!(written_down(models), [unheld(), unheld()]);
}

#[test]
fn usage_that_envoy_tells_twice_is_charged_once() {
    usage_that_envoy_tells_twice(&Models::new());
    let redis = RedisServer::start(Tool::Redis);
    usage_that_envoy_tells_twice(&Models::over_redis(&redis.url()));
}

#[test]
fn no_header_of_a_caller_lifts_the_hold() {
    let models = Models::new();
    let (mut held, mut streams) = (0, Vec::new());
    for asked in ["0", "$0", "-1", "NaN", "1e9", "", "0x1", "000"] {
        let call = post("/v1/chat").header("x-user", "ada").header("x-model", "gpt-4o-mini");
        let (answer, stream) =
            call.header("x-max-tokens", asked).header("x-upstream", "waits").open(models.envoy.open);
        assert_eq!(answer.status, 200, "{asked}");
        held += 1_024;
        models.balanced((0, held), (0, held * 600), held / 1_024);
        streams.push(stream);
    }
    let greedy = post("/v1/chat").header("x-user", "ada").header("x-model", "gpt-4o-mini");
    let greedy = greedy.header("x-max-tokens", "123456789012345678901234567890");
    assert_eq!(models.call(greedy).status, 429);
    models.upstream.go_on();
    models.balanced((held, 0), (held * 600, 0), 0);
}

#[test]
fn what_failed_is_given_back_when_the_call_ends() {
    let models = Models::new();
    let call = |failed: &str| post("/v1/images").header("x-user", "ada").header("x-answer-failed", failed);
    assert_eq!(models.call(call("1")).status, 200);
    models.settled(2);
    let images = || models.books("ada", "images");
    models.until(|_| images() == (0, 0));
    assert_eq!([models.call(call("0")).status, models.call(call("0")).status], [200, 200]);
    assert_eq!((models.call(call("1")).status, images()), (429, (2, 0)));
}

#[test]
fn of_fifty_streams_on_a_budget_for_ten_ten_are_admitted() {
    fifty_streams_on_a_budget_for_ten(&Models::new());
    let redis = RedisServer::start(Tool::Redis);
    fifty_streams_on_a_budget_for_ten(&Models::over_redis(&redis.url()));
}

#[test]
fn a_settle_that_is_sent_twice_charges_once() {
    a_settle_that_is_sent_twice(&Models::new());
    let redis = RedisServer::start(Tool::Redis);
    a_settle_that_is_sent_twice(&Models::over_redis(&redis.url()));
}
