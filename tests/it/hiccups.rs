//! What Redis can do to books between Reserve and Settle while it goes on: forget, halt, be full, hang up. Whoever is not
//! answered asks again, under the same key; then nothing is charged twice and nothing stays held.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tollgate::transport::grpc::proto::tollgate::v1::{Decision, Standing};
use tonic::Code;

use crate::support::books::{Limits, Service, ask, assert_books, by_key, dollars, output};
use crate::support::limit_calls::{amounts, done, standing};
use crate::support::process::metric;
use crate::support::raw;
use crate::support::redis::{RedisServer, tell};
use crate::support::tools::Tool;

/// Who reserves and settles at once, and how often each does.
const CALLERS: u64 = 64;
const ROUNDS: u64 = 10;

/// The tokens used and held.
fn words(standings: &[Standing]) -> [i64; 2] {
    let [used, held, _] = amounts(standings, "words");
    [used, held]
}

/// The names of what `redis` keeps that are like `pattern`.
fn names(redis: &RedisServer, pattern: &str) -> Vec<String> {
    redis::cmd("KEYS").arg(pattern).query(&mut redis.connection()).unwrap()
}

/// The tokens of all that is written down as spent.
async fn told(service: &Service) -> u64 {
    let events = raw::http(service.process.admin(), "GET", "/usage", b"").await.body;
    let tokens = |line: &str| serde_json::from_str::<Value>(line).ok()?["tokens"].as_u64();
    events.lines().filter_map(tokens).sum()
}

#[tokio::test]
async fn what_redis_has_forgotten_is_charged_once_by_its_key_and_not_at_all_by_its_handle() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let (limits, redis) = (Limits::new(), RedisServer::start(tool));
        let service = limits.over(&redis).await;
        let lost = service.reserve(ask("all", "lost", 50)).await;
        let by_handle = service.reserve(ask("all", "by handle", 50)).await;
        tell(&redis, &["FLUSHALL"]);
        let kept = service.reserve(ask("all", "kept", 30)).await;
        let unknown = service.client.clone().settle(done(&by_handle, output(7))).await.unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);
        assert_eq!(words(&service.standings().await), [0, 30], "nor is it held");
        for replayed in [false, true] {
            let settled = service.settle(by_key("lost", 7)).await;
            assert_eq!((settled.charged_usd, settled.replayed), (dollars(7), replayed));
        }
        let unknown = service.client.clone().settle(done(&lost, output(9))).await;
        assert_eq!(unknown.map(|settled| settled.into_inner().replayed).ok(), Some(true));
        assert_eq!(words(&service.standings().await), [7, 30]);
        service.settle(done(&kept, output(20))).await;
        assert_books(&service.nothing_is_held().await, 1, 27);
    }
}

#[tokio::test]
async fn holds_whose_counters_are_gone_are_settled_and_never_less_than_none() {
    let (limits, redis) = (Limits::new(), RedisServer::start(Tool::Redis));
    let service = limits.over(&redis).await;
    let held = service.reserve(ask("all", "held", 50)).await;
    for name in [names(&redis, "tollgate:*:h"), names(&redis, "tollgate:*:o")].concat() {
        tell(&redis, &["DEL", &name]);
    }
    let settled = service.settle(done(&held, output(7))).await;
    assert_eq!((settled.charged_usd, words(&settled.standings)), (dollars(7), [7, 0]));
    assert_books(&service.nothing_is_held().await, 1, 7);
}

/// How many tokens a caller uses in a round.
fn used(caller: u64, round: u64) -> u64 {
    (caller + round) % 30 + 1
}

/// Has every caller reserve and settle in each round, while `harm` is done to Redis. It is told how often it was settled
/// so far. Then the books are right to the token.
async fn under_load(harm: impl AsyncFn(&RedisServer, &AtomicU64)) {
    for tool in [Tool::Redis, Tool::Valkey] {
        let (limits, redis) = (Limits::new(), RedisServer::start(tool));
        let service = Arc::new(limits.waiting(&redis, "1s").await);
        let (settled, mut callers) = (Arc::new(AtomicU64::new(0)), tokio::task::JoinSet::new());
        for caller in 0..CALLERS {
            let (service, settled) = (service.clone(), settled.clone());
            callers.spawn(async move {
                for round in 0..ROUNDS {
                    let key = format!("{caller} {round}");
                    let held = service.reserve(ask("all", &key, 50)).await;
                    service.settle(done(&held, output(used(caller, round)))).await;
                    settled.fetch_add(1, Ordering::Relaxed);
                }
                // One who never comes back.
                service.reserve(ask("all", &format!("{caller} leaves"), 50)).await;
            });
        }
        harm(&redis, &settled).await;
        callers.join_all().await;
        let all: u64 =
            (0..CALLERS).flat_map(|caller| (0..ROUNDS).map(move |round| used(caller, round))).sum();
        assert_books(&service.nothing_is_held().await, CALLERS * (ROUNDS + 1), all);
        assert_eq!(told(&service).await, all, "{tool:?}");
    }
}

async fn until_settled(settled: &AtomicU64, times: u64) {
    while settled.load(Ordering::Relaxed) < times {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_redis_that_halts_for_two_seconds_leaves_the_books_right() {
    under_load(async |redis, settled| {
        until_settled(settled, CALLERS).await;
        redis.signal("STOP");
        tokio::time::sleep(Duration::from_secs(2)).await;
        redis.signal("CONT");
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_hangs_up_on_everybody_leaves_the_books_right() {
    under_load(async |redis, settled| {
        for times in 1..=6 {
            until_settled(settled, times * CALLERS).await;
            tell(redis, &["CLIENT", "KILL", "TYPE", "normal"]);
        }
    })
    .await;
}

/// Tells as Envoy does what `hold` used.
async fn tell_as_envoy(service: &Service, hold: &str, tokens: u64) {
    let entries =
        [("route", "all"), ("user", "ann"), ("model", "gpt-realtime"), ("hold", hold), ("usage", "output")];
    let entries: Vec<Value> = entries.map(|(key, value)| json!({"key": key, "value": value})).into();
    let body = json!({"domain": "app", "descriptors": [{"entries": entries, "hitsAddend": tokens}]});
    let answer = raw::http(service.process.http(), "POST", "/json", body.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_full_redis_is_said_and_what_was_used_is_charged_when_it_has_room() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let (limits, redis) = (Limits::new(), RedisServer::start(tool));
        let service = limits.over(&redis).await;
        let told_by_envoy = service.reserve(ask("all", "envoy", 50)).await;
        let told_by_caller = service.reserve(ask("all", "caller", 50)).await;
        tell(&redis, &["CONFIG", "SET", "maxmemory", "1"]);
        let refused = service.client.clone().reserve(ask("all", "more", 50)).await.unwrap().into_inner();
        assert_eq!(refused.decision(), Decision::Deny);
        for limit in ["words", "spend"] {
            assert_eq!(standing(&refused.standings, limit).reason, "store_unavailable", "{refused:?}");
        }
        let error = service.client.clone().settle(done(&told_by_caller, output(8))).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        assert!(error.message().contains("OOM"), "{error}");
        tell_as_envoy(&service, &told_by_envoy.reservation, 7).await;
        assert_eq!(words(&service.standings().await), [0, 100], "a full Redis still tells");
        tell(&redis, &["CONFIG", "SET", "maxmemory", "0"]);
        service.settle(done(&told_by_caller, output(8))).await;
        while words(&service.standings().await) != [15, 0] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(told(&service).await, 15);
        assert_eq!(metric(&service.process, "settles_given_up").await, 0);
        assert_books(&service.nothing_is_held().await, 2, 15);
    }
}
