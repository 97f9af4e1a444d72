//! Budgets behind a real Envoy, as examples/envoy-llm.yaml sets it up: what a call may use is held before it begins, and
//! settled when it ends, however it ends.
//!
//! Envoy does not wait for the call at a stream's end, so the books are looked at until they are right.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::envoy::Envoy;
use crate::support::gate::Gate;
use crate::support::http::{Answer, Call, get, post};

use crate::support::process::Tollgate;
use crate::support::redis::RedisServer;
use crate::support::tools::Tool;
use crate::support::upstream::Upstream;

const FILE: &str = include_str!("../data/llm.yaml");

/// What a thousand tokens of gpt-4o-mini cost as output, in nano-USD.
const THOUSAND: u64 = 600_000;

/// How many bytes no question to Redis has that asks for nothing.
const MORE_THAN_A_PING: usize = 150;

/// Client → Envoy → models, with the service beside it.
struct Models {
    envoy: Envoy,
    gate: Gate,
    service: Tollgate,
    upstream: Upstream,
    _file: tempfile::TempDir,
}

/// What a limit has used and holds, of a user.
type Books = (u64, u64);

impl Models {
    fn new() -> Self {
        Self::with(FILE, &[])
    }

    /// With the limits in `file`, and more arguments.
    fn with(file: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("llm.yaml");
        std::fs::write(&path, file).expect("write a file");
        let path = path.display().to_string();
        let arguments = [&[path.as_str()], arguments].concat();
        let service = Tollgate::with(&arguments, &[("TOLLGATE_STORE_TIMEOUT", "10s")]);
        let gate = Gate::before(service.grpc());
        let upstream = Upstream::start();
        let envoy = Envoy::example_of_models(gate.address, upstream.address);
        Self { envoy, gate, service, upstream, _file: folder }
    }

    /// Over the Redis at `url`.
    fn over_redis(url: &str) -> Self {
        Self::with(FILE, &["--store", url])
    }

    /// What `limit` has used and holds of `user`.
    fn books(&self, user: &str, limit: &str) -> Books {
        let entries = json!([{"key": "limit", "value": limit}, {"key": "user", "value": user}]);
        let answer = self.ask(&json!([{"entries": entries, "hitsAddend": 0}]));
        let standing = &answer["dynamicMetadata"]["standings"][limit];
        let field = |name: &str| {
            let number = standing[name].as_f64().unwrap_or_else(|| panic!("no {name} in {answer}"));
            number.to_string().parse().expect("a whole number")
        };
        (field("used"), field("held"))
    }

    /// Asks the service, as Envoy would.
    fn ask(&self, descriptors: &Value) -> Value {
        let body = json!({"domain": "llm", "descriptors": descriptors}).to_string();
        let answer = post("/json").body(body).send(self.service.http());
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    /// Waits until the books of `ada` say that tokens, money in nano-USD and slots are used and held like this.
    #[track_caller]
    fn balanced(&self, tokens: Books, spend: Books, streams: u64) {
        let expected = [tokens, spend, (0, streams)];
        let books = || ["tokens", "spend", "streams"].map(|limit| self.books("ada", limit));
        for _ in 0..1_000 {
            if books() == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(books(), expected, "tokens, spend and streams, each used and held");
    }

    /// Waits until it is so.
    #[track_caller]
    fn until(&self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..3_000 {
            if is_so(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it is never so");
    }

    /// Waits until Envoy has had so many answers of Tollgate.
    fn settled(&self, count: u64) {
        self.until(|models| models.envoy.stat("cluster.tollgate.upstream_rq_completed") >= count);
    }

    fn call(&self, call: Call) -> Answer {
        call.send(self.envoy.open)
    }
}

impl Drop for Models {
    /// No answer of the service was an error.
    fn drop(&mut self) {
        if !std::thread::panicking() && self.service.is_running() {
            assert!(!self.service.log().contains("panicked"), "{}", self.service.log());
        }
    }
}

/// A call of `ada` that may use a thousand tokens.
fn chat() -> Call {
    post("/v1/chat").header("x-user", "ada").header("x-model", "gpt-4o-mini").header("x-max-tokens", "1000")
}

/// A call whose answer says that it used 730 tokens, 10 of the prompt, 20 that a cache had, and 700 of the answer.
fn told() -> Call {
    let call = chat().header("x-answer-input-tokens", "10").header("x-answer-cached-tokens", "20");
    call.header("x-answer-output-tokens", "700")
}

/// What such a call costs: 10 · 150 + 20 · 75 + 700 · 600 nano-USD.
const TOLD: u64 = 1_500 + 1_500 + 420_000;

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
    let models = Models::with(&FILE.replace("10k tokens/1h", "1M tokens/1h"), &[]);
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

#[test]
fn an_answer_that_breaks_off_is_paid_by_what_it_told() {
    let models = Models::new();
    let (answer, stream) = told().header("x-upstream", "breaks").open(models.envoy.open);
    assert_eq!(answer.status, 200);
    models.balanced((730, 0), (TOLD, 0), 0);
    drop(stream);
}

#[test]
fn a_client_that_leaves_in_the_middle_pays_what_was_told() {
    let models = Models::new();
    let (answer, stream) = told().header("x-upstream", "waits").open(models.envoy.open);
    assert_eq!(answer.status, 200);
    models.balanced((0, 1_000), (0, THOUSAND), 1);
    drop(stream);
    models.balanced((730, 0), (TOLD, 0), 0);
}

#[test]
fn an_upstream_that_never_answers_costs_what_was_held() {
    let models = Models::new();
    let answer = models.call(told().header("x-upstream", "breaks").header("x-upstream-after", "nothing"));
    assert_eq!(answer.status, 503, "{answer:?}");
    models.balanced((1_000, 0), (THOUSAND, 0), 0);
}

#[test]
fn a_client_that_leaves_before_the_answer_costs_what_was_held() {
    let models = Models::new();
    let call = told().header("x-upstream", "waits").header("x-upstream-after", "nothing");
    let stream = call.begin(models.envoy.open);
    models.balanced((0, 1_000), (0, THOUSAND), 1);
    models.until(|models| models.upstream.waiting() == 1);
    drop(stream);
    models.balanced((1_000, 0), (THOUSAND, 0), 0);
}

#[test]
fn what_nobody_tells_costs_nothing_where_the_file_says_so() {
    let models = Models::with(&FILE.replace("on_unknown: estimate", "on_unknown: zero"), &[]);
    assert_eq!(models.call(chat()).status, 200);
    models.settled(2);
    models.balanced((0, 0), (0, 0), 0);
    assert_eq!(models.books("ada", "requests"), (1, 0));
}

#[test]
fn a_client_that_leaves_while_the_service_is_asked_leaves_nothing_held() {
    let models = Models::new();
    models.call(chat());
    models.settled(2);
    models.gate.close();
    let stream = chat().begin(models.envoy.open);
    let asking = |models: &Models| models.envoy.stat("cluster.tollgate.upstream_rq_active");
    models.until(|models| asking(models) == 1 && models.gate.held_up() > 0);
    let asked = models.gate.held_up();
    drop(stream);
    models.until(|models| asking(models) == 0 && models.gate.held_up() > asked);
    models.gate.open();
    models.until(|models| models.books("ada", "requests") == (2, 0));
    models.balanced((1_000, 0), (THOUSAND, 0), 0);
    assert_eq!(models.upstream.served(), 1);
}

#[test]
fn what_an_envoy_leaves_behind_that_is_stopped_lapses() {
    let mut models = Models::with(&FILE.replace("max_age: 1h", "max_age: 4s"), &[]);
    let (answer, _stream) = told().header("x-upstream", "waits").open(models.envoy.open);
    assert_eq!(answer.status, 200);
    // What an Envoy says when it ends may or may not arrive.
    models.gate.close();
    models.envoy.terminate();
    models.balanced((0, 0), (0, 0), 0);
    assert_eq!(models.books("ada", "requests"), (1, 0));
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
    let models =
        Models::with(&FILE.replace("limit: 12, window: concurrent", "limit: 2, window: concurrent"), &[]);
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

/// The call has reached Redis, and its answer is not back, when the client leaves.
#[test]
fn a_client_that_leaves_while_redis_is_asked_leaves_nothing_held() {
    let redis = RedisServer::start(Tool::Redis);
    let gate = Gate::before(([127, 0, 0, 1], redis.port()).into());
    let models = Models::over_redis(&format!("redis://{}", gate.address));
    // From then on nothing but calls asks Redis for anything.
    models.service.logs("nothing is persisted");
    assert_eq!(models.call(chat()).status, 200);
    models.balanced((1_000, 0), (THOUSAND, 0), 0);
    gate.close();
    let stream = chat().begin(models.envoy.open);
    models.until(|_| gate.held_up() > MORE_THAN_A_PING);
    let asked = gate.held_up();
    drop(stream);
    // What is given back is asked for behind it, on the same way.
    models.until(|_| gate.held_up() > asked + MORE_THAN_A_PING);
    gate.open();
    models.until(|models| models.books("ada", "requests") == (2, 0));
    models.balanced((1_000, 0), (THOUSAND, 0), 0);
    assert_eq!(models.upstream.served(), 1);
}

#[test]
fn each_ending_over_redis_leaves_the_books_right() {
    let redis = RedisServer::start(Tool::Redis);
    let models = Models::over_redis(&redis.url());
    assert_eq!(models.call(told()).status, 200);
    models.balanced((730, 0), (TOLD, 0), 0);
    let (_, broken) = told().header("x-upstream", "breaks").open(models.envoy.open);
    models.balanced((1_460, 0), (2 * TOLD, 0), 0);
    let (_, stream) = told().header("x-upstream", "waits").open(models.envoy.open);
    models.balanced((1_460, 1_000), (2 * TOLD, THOUSAND), 1);
    drop((stream, broken));
    models.balanced((2_190, 0), (3 * TOLD, 0), 0);
    let answer = models.call(chat().header("x-upstream", "breaks").header("x-upstream-after", "nothing"));
    assert_eq!(answer.status, 503);
    models.balanced((3_190, 0), (3 * TOLD + THOUSAND, 0), 0);
}
