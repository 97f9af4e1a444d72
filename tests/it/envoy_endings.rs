//! How calls end behind a real Envoy, each way over each store: the books are right afterwards, and nothing stays held.

use crate::support::gate::Gate;
use crate::support::http::post;
use crate::support::models::{FILE, Keeper, Models, THOUSAND, TOLD, USED, chat, chat_of, told, told_of};
use crate::support::peer::Peer;
use crate::support::redis::RedisServer;
use crate::support::tools::Tool;

/// How many bytes no question to Redis has that asks for nothing.
const MORE_THAN_A_PING: usize = 150;

/// Has each way to end go over each store.
macro_rules! over_each_store {
    ($($ending:ident),* $(,)?) => {
        mod memory { $( #[test] fn $ending() { super::$ending(super::Keeper::Memory); } )* }
        mod redis { $( #[test] fn $ending() { super::$ending(super::Keeper::Redis); } )* }
    };
}

over_each_store! {
    each_call_that_ends_pays_for_itself,
    whoever_waits_too_long_for_an_answer_pays_what_was_held,
    what_nobody_tells_costs_nothing_where_the_file_says_so,
    what_an_envoy_leaves_behind_that_is_stopped_lapses,
    a_call_that_passed_unasked_pays_what_it_tells_at_its_end,
}

/// A call of its own user, ended in one way.
type Ending = fn(&Models, &str);

fn each_call_that_ends_pays_for_itself(keeper: Keeper) {
    let models = Models::of(keeper, FILE, |envoy| envoy);
    let endings: [Ending; 7] = [
        whole,
        broken_by_the_upstream,
        left_in_the_middle,
        left_in_the_middle_over_http2,
        refused,
        never_answered,
        left_before_the_answer,
    ];
    for (number, ending) in endings.into_iter().enumerate() {
        ending(&models, &format!("user-{number}"));
    }
}

/// What `user` told is paid, and nothing else.
#[track_caller]
fn paid_as_told(models: &Models, user: &str) {
    models.balanced_of(user, (730, 0), (TOLD, 0), 0);
}

/// What was held for `user` is paid, and nothing else.
#[track_caller]
fn paid_as_held(models: &Models, user: &str) {
    models.balanced_of(user, (1_000, 0), (THOUSAND, 0), 0);
}

#[track_caller]
fn held(models: &Models, user: &str) {
    models.balanced_of(user, (0, 1_000), (0, THOUSAND), 1);
}

fn whole(models: &Models, user: &str) {
    assert_eq!(models.call(told_of(user)).status, 200);
    paid_as_told(models, user);
}

fn broken_by_the_upstream(models: &Models, user: &str) {
    let (answer, stream) = told_of(user).header("x-upstream", "breaks").open(models.envoy.open);
    assert_eq!(answer.status, 200);
    paid_as_told(models, user);
    drop(stream);
}

fn left_in_the_middle(models: &Models, user: &str) {
    let (answer, stream) = told_of(user).header("x-upstream", "waits").open(models.envoy.open);
    assert_eq!(answer.status, 200);
    held(models, user);
    drop(stream);
    paid_as_told(models, user);
}

/// Only the stream ends; its connection goes on.
fn left_in_the_middle_over_http2(models: &Models, user: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let headers = [("x-user", user), ("x-model", "gpt-4o-mini"), ("x-max-tokens", "1000")];
    let call = http::Request::post(format!("http://{}/v1/chat", models.envoy.open));
    let call = headers.iter().chain(&USED).fold(call, |call, (name, value)| call.header(*name, *value));
    let call = call.header("x-upstream", "waits").body(()).unwrap();
    let mut peer = runtime.block_on(Peer::of(models.envoy.open));
    let (status, stream) = runtime.block_on(async { peer.ask(call, b"").await.opened().await });
    assert_eq!(status, 200);
    held(models, user);
    drop(stream);
    paid_as_told(models, user);
}

fn refused(models: &Models, user: &str) {
    let call = post("/v1/chat").header("x-user", user).header("x-model", "gpt-4o-mini");
    assert_eq!(models.call(call.header("x-max-tokens", "20000")).status, 429);
    models.balanced_of(user, (0, 0), (0, 0), 0);
    assert_eq!(models.books(user, "requests"), (0, 0));
}

fn never_answered(models: &Models, user: &str) {
    let call = told_of(user).header("x-upstream", "breaks").header("x-upstream-after", "nothing");
    let answer = models.call(call);
    assert_eq!(answer.status, 503, "{answer:?}");
    paid_as_held(models, user);
}

fn left_before_the_answer(models: &Models, user: &str) {
    let waiting = models.upstream.waiting();
    let call = told_of(user).header("x-upstream", "waits").header("x-upstream-after", "nothing");
    let stream = call.begin(models.envoy.open);
    held(models, user);
    models.until(|models| models.upstream.waiting() == waiting + 1);
    drop(stream);
    paid_as_held(models, user);
}

fn whoever_waits_too_long_for_an_answer_pays_what_was_held(keeper: Keeper) {
    let models = Models::of(keeper, FILE, |envoy| {
        envoy.replacen(
            "route: { cluster: models, timeout: 0s }",
            "route: { cluster: models, timeout: 0.2s }",
            1,
        )
    });
    let answer = models.call(told().header("x-upstream", "waits").header("x-upstream-after", "nothing"));
    assert_eq!(answer.status, 504, "{answer:?}");
    paid_as_held(&models, "ada");
}

fn what_nobody_tells_costs_nothing_where_the_file_says_so(keeper: Keeper) {
    let models = Models::of(keeper, &FILE.replace("on_unknown: estimate", "on_unknown: zero"), |envoy| envoy);
    assert_eq!(models.call(chat()).status, 200);
    models.settled(2);
    models.balanced((0, 0), (0, 0), 0);
    assert_eq!(models.books("ada", "requests"), (1, 0));
}

fn what_an_envoy_leaves_behind_that_is_stopped_lapses(keeper: Keeper) {
    let mut models = Models::of(keeper, &FILE.replace("max_age: 1h", "max_age: 4s"), |envoy| envoy);
    let (answer, _stream) = told().header("x-upstream", "waits").open(models.envoy.open);
    assert_eq!(answer.status, 200);
    // What an Envoy says when it ends may or may not arrive.
    models.gate.close();
    models.envoy.terminate();
    models.balanced((0, 0), (0, 0), 0);
    assert_eq!(models.books("ada", "requests"), (1, 0));
}

/// Envoy asks, and does not want to know any more once `gives_up` is done or it has waited for too long. Both wait to arrive.
fn asks_and_gives_up(models: &Models, gives_up: impl FnOnce()) {
    let asking = |models: &Models| models.envoy.stat("cluster.tollgate.upstream_rq_active");
    models.until(|models| asking(models) == 1 && models.gate.held_up() > 0);
    let asked = models.gate.held_up();
    gives_up();
    models.until(|models| asking(models) == 0 && models.gate.held_up() > asked);
}

/// The service is too slow when it is asked, and Envoy lets the call pass. What comes at its end then names no hold.
fn a_call_that_passed_unasked_pays_what_it_tells_at_its_end(keeper: Keeper) {
    let models = Models::of(keeper, FILE, |envoy| {
        let nameless = "path: [ { key: hold } ] }";
        envoy
            .replace(nameless, &format!("{nameless}\n{}skip_if_absent: true", " ".repeat(40)))
            .replace("failure_mode_deny: true", "failure_mode_deny: false")
            .replace("timeout: 20s", "timeout: 2s")
    });
    // Envoy has its connection by then.
    assert_eq!(models.call(chat_of("bob")).status, 200);
    models.settled(2);
    models.gate.close();
    let stream = told().header("x-upstream", "waits").begin(models.envoy.open);
    asks_and_gives_up(&models, || {});
    models.until(|models| models.upstream.waiting() == 1);
    models.gate.open();
    models.balanced((0, 0), (0, 0), 0);
    models.upstream.go_on();
    paid_as_told(&models, "ada");
    drop(stream);
}

#[test]
fn a_client_that_leaves_while_the_service_is_asked_leaves_nothing_held() {
    let models = Models::new();
    models.call(chat());
    models.settled(2);
    models.gate.close();
    let stream = chat().begin(models.envoy.open);
    asks_and_gives_up(&models, || drop(stream));
    models.gate.open();
    models.until(|models| models.books("ada", "requests") == (2, 0));
    paid_as_held(&models, "ada");
    assert_eq!(models.upstream.served(), 1);
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
    paid_as_held(&models, "ada");
    gate.close();
    let stream = chat().begin(models.envoy.open);
    models.until(|_| gate.held_up() > MORE_THAN_A_PING);
    let asked = gate.held_up();
    drop(stream);
    // What is given back is asked for behind it, on the same way.
    models.until(|_| gate.held_up() > asked + MORE_THAN_A_PING);
    gate.open();
    models.until(|models| models.books("ada", "requests") == (2, 0));
    paid_as_held(&models, "ada");
    assert_eq!(models.upstream.served(), 1);
}
