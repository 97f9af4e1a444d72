//! Voice sessions as `ducke` of the four products runs them: started, reported while they run, capped each at $5.00 and
//! together at $50.00 an hour, and stopped by a breaker at $100.00 a day, which somebody has to reset.

use std::net::SocketAddr;
use std::sync::Arc;

use prost_types::Duration;
use serde_json::Value;
use tollgate::clock::Timestamp;
use tollgate::engine::{BreakerOf, Engine, EngineSettings, Operate, SetBreaker, Setting};
use tollgate::limits::{BreakerState, LimitsHandle};
use tollgate::store::Store;
use tollgate::transport::grpc::GrpcSettings;
use tollgate::transport::grpc::proto::tollgate::v1::limit_service_client::LimitServiceClient;
use tollgate::transport::grpc::proto::tollgate::v1::{
    Decision, ReserveRequest, ReserveResponse, SettleRequest, SettleResponse, Usage,
};
use tonic::transport::{Channel, Endpoint};

use crate::support::admins::{ann, journal};
use crate::support::bench::{Bench, promises};
use crate::support::embedded::rules;
use crate::support::http;
use crate::support::limit_calls::{DOLLAR, amounts, done, more, standing, subject, tokens, usd};
use crate::support::process::Tollgate;
use crate::support::redis::RedisServer;
use crate::support::server::TestServer;
use crate::support::tools::Tool;

const PRODUCTS: &str = include_str!("../data/products.yaml");
const FILE: &str = "tests/data/products.yaml";

promises!(of [memory, redis]: {
    a_session_spends_its_five_dollars_and_no_token_more,
    a_session_lives_by_its_heartbeat_and_no_longer_than_half_an_hour,
    all_sessions_together_spend_no_more_than_an_hour_allows,
    a_day_that_spends_too_much_stops_everything_until_somebody_looks,
});

/// Whoever asks for sessions.
#[derive(Clone)]
struct Caller(LimitServiceClient<Channel>);

/// A service in this process, whose time the test moves.
struct Ducke<S> {
    bench: Bench<S>,
    engine: Arc<Engine<Arc<S>>>,
    server: TestServer,
    caller: Caller,
}

fn ask(route: &str, session: &str, estimate: Usage) -> ReserveRequest {
    ReserveRequest {
        subject: Some(subject(
            "ducke",
            &[("route", route), ("session", session), ("remote_address", "192.0.2.7")],
        )),
        estimate: Some(estimate),
        ..ReserveRequest::default()
    }
}

fn voice(session: &str) -> ReserveRequest {
    ask("voice", session, Usage::default())
}

impl Caller {
    async fn at(address: SocketAddr) -> Self {
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        Self(LimitServiceClient::new(channel))
    }

    async fn reserve(&self, request: ReserveRequest) -> ReserveResponse {
        self.0.clone().reserve(request).await.unwrap().into_inner()
    }

    async fn settle(&self, request: SettleRequest) -> SettleResponse {
        self.0.clone().settle(request).await.unwrap().into_inner()
    }

    /// A session that may begin.
    async fn begin(&self, session: &str) -> ReserveResponse {
        let begun = self.reserve(voice(session)).await;
        assert_eq!(begun.decision(), Decision::Allow, "{begun:?}");
        begun
    }

    /// Which limit refuses `request`, and why.
    async fn refused(&self, request: ReserveRequest) -> Vec<(String, String)> {
        let answer = self.reserve(request).await;
        assert_eq!((answer.decision(), answer.reservation.as_str()), (Decision::Deny, ""), "{answer:?}");
        let refusing = answer.standings.into_iter().filter(|standing| standing.decision() == Decision::Deny);
        refusing.map(|standing| (standing.limit, standing.reason)).collect()
    }

    /// A session that spends $5.00, in two reports.
    async fn run(&self, session: &str) -> SettleResponse {
        let begun = self.begin(session).await;
        assert_eq!(self.settle(more(&begun, usd("2.50"))).await.decision(), Decision::Allow, "{session}");
        let ended = self.settle(done(&begun, usd("5.00"))).await;
        assert_eq!(ended.decision(), Decision::Allow, "{session}: {ended:?}");
        ended
    }
}

impl<S: Store> Ducke<S> {
    async fn of(bench: Bench<S>) -> Self {
        let limits = LimitsHandle::new(rules(PRODUCTS));
        let engine = Engine::new(limits, bench.store.clone(), EngineSettings::default());
        let engine = Arc::new(engine.recording(journal()));
        let server = TestServer::whole(engine.clone(), GrpcSettings::default()).await;
        let caller = Caller::at(server.grpc).await;
        Self { bench, engine, server, caller }
    }

    /// How many seconds after now a hold lapses.
    fn lapses_after(&self, settled: &SettleResponse) -> i64 {
        let Timestamp(now) = self.bench.clock.now();
        settled.expires_at.as_ref().unwrap().seconds - i64::try_from(now / 1_000_000).unwrap()
    }

    async fn close_breaker(&self) -> BreakerState {
        let which = BreakerOf { domain: Some(b"ducke"), limit: b"breaker", subject: Vec::new() };
        let request = SetBreaker { which, to: Setting::Closed, reason: "looked into it" };
        self.engine.set_breaker(&ann(), request).await.unwrap().before.breaker.state
    }

    async fn end(self) {
        let Self { server, caller, .. } = self;
        drop(caller);
        server.stop().await;
    }
}

fn named(limit: &str, reason: &str) -> Vec<(String, String)> {
    vec![(limit.to_owned(), reason.to_owned())]
}

async fn a_session_spends_its_five_dollars_and_no_token_more<S: Store>(bench: Bench<S>) {
    let ducke = Ducke::of(bench).await;
    let begun = ducke.caller.begin("s").await;
    assert_eq!(
        ducke.caller.refused(voice("s")).await,
        named("session_time", "over_limit"),
        "it runs already"
    );
    for (input, output, charged) in
        [(1_000, 0, "0.10"), (1_000, 2_000, "0.50"), (10_000, 19_999, "4.9998"), (10_000, 20_000, "5.00")]
    {
        ducke.bench.pass(30);
        let report = tokens(&[("input", input), ("output", output)]);
        let settled = ducke.caller.settle(more(&begun, report)).await;
        assert_eq!((settled.decision(), settled.charged_usd.as_str()), (Decision::Allow, charged));
        assert_eq!(ducke.lapses_after(&settled), 60);
    }
    let above = tokens(&[("input", 10_000), ("output", 20_001)]);
    let settled = ducke.caller.settle(more(&begun, above.clone())).await;
    assert_eq!((settled.decision(), settled.charged_usd.as_str()), (Decision::Deny, "5.0002"));
    assert_eq!(standing(&settled.standings, "session_cost").reason, "over_limit");
    assert_eq!(amounts(&settled.standings, "session_cost"), [5 * DOLLAR + 200_000, 0, -200_000]);
    assert_eq!(standing(&settled.standings, "hourly_cost").decision(), Decision::Allow);
    let ended = ducke.caller.settle(done(&begun, above)).await;
    assert_eq!((ended.charged_usd.as_str(), ended.expires_at), ("5.0002", None));
    let llm = ask("llm", "s", tokens(&[("output", 1)]));
    assert_eq!(ducke.caller.refused(llm).await, named("session_cost", "over_limit"));
    ducke.caller.begin("another").await;
    ducke.end().await;
}

async fn a_session_lives_by_its_heartbeat_and_no_longer_than_half_an_hour<S: Store>(bench: Bench<S>) {
    let ducke = Ducke::of(bench).await;
    let begun = ducke.caller.begin("s").await;
    for beat in 1..36 {
        ducke.bench.pass(50);
        let settled = ducke.caller.settle(more(&begun, usd("0.01"))).await;
        assert_eq!(settled.decision(), Decision::Allow, "{beat}");
        assert_eq!(ducke.lapses_after(&settled), 60.min(1_800 - 50 * beat), "{beat}");
        assert_eq!(amounts(&settled.standings, "session_time"), [0, 1, 0]);
    }
    ducke.bench.pass(50);
    let ended = ducke.caller.settle(more(&begun, usd("0.02"))).await;
    assert_eq!((ended.decision(), ended.expires_at), (Decision::Deny, None), "half an hour is over");
    assert_eq!((ended.charged_usd.as_str(), amounts(&ended.standings, "session_time")), ("0.02", [0, 0, 1]));

    let silent = ducke.caller.begin("s").await;
    ducke.bench.pass(59);
    assert_eq!(ducke.caller.refused(voice("s")).await, named("session_time", "over_limit"));
    ducke.bench.pass(1);
    ducke.caller.begin("s").await;
    let late = ducke.caller.settle(more(&silent, usd("0.10"))).await;
    assert_eq!((late.late, late.decision(), late.charged_usd.as_str()), (true, Decision::Deny, "0.10"));
    assert_eq!(amounts(&late.standings, "session_cost")[0], DOLLAR * 12 / 100, "it is paid all the same");
    ducke.end().await;
}

async fn all_sessions_together_spend_no_more_than_an_hour_allows<S: Store>(bench: Bench<S>) {
    let ducke = Ducke::of(bench).await;
    for session in 0..10 {
        let ended = ducke.caller.run(&session.to_string()).await;
        assert_eq!(amounts(&ended.standings, "hourly_cost")[0], 5 * DOLLAR * (session + 1));
    }
    let refused = ducke.caller.reserve(voice("one more")).await;
    let hourly = standing(&refused.standings, "hourly_cost");
    assert_eq!(
        (refused.decision(), hourly.reason.as_str(), hourly.remaining),
        (Decision::Deny, "over_limit", 0)
    );
    let Some(Duration { seconds, nanos: 0 }) = hourly.retry_after else { panic!("{hourly:?}") };
    assert!((3_600..=3_672).contains(&seconds), "{seconds}: room returns a fiftieth late at most");
    assert_eq!(standing(&refused.standings, "breaker").remaining, 50 * DOLLAR);
    ducke.bench.pass(seconds.unsigned_abs());
    ducke.caller.run("one more").await;
    ducke.end().await;
}

async fn a_day_that_spends_too_much_stops_everything_until_somebody_looks<S: Store>(bench: Bench<S>) {
    const HOUR: u64 = 3_672;
    let ducke = Ducke::of(bench).await;
    let caller = &ducke.caller;
    for session in 0..19 {
        caller.run(&session.to_string()).await;
        if session == 9 {
            ducke.bench.pass(HOUR);
        }
    }
    let (witness, last) = (caller.begin("witness").await, caller.begin("last").await);
    let settled = caller.settle(more(&last, usd("4.999999999"))).await;
    assert_eq!(amounts(&settled.standings, "breaker"), [100 * DOLLAR - 1, 0, 1]);
    assert_eq!(caller.settle(more(&witness, usd("0"))).await.decision(), Decision::Allow);
    assert_eq!(ducke.close_breaker().await, BreakerState::Closed, "one nano-USD is left");

    assert_eq!(caller.settle(done(&last, usd("5.00"))).await.decision(), Decision::Allow, "exactly");
    let told = caller.settle(more(&witness, usd("0"))).await;
    assert_eq!(
        (told.decision(), standing(&told.standings, "breaker").reason.as_str()),
        (Decision::Deny, "breaker_open")
    );
    ducke.bench.pass(HOUR);
    for route in ["voice", "llm"] {
        let refused = caller.refused(ask(route, "next", usd("0.01"))).await;
        assert_eq!(refused, named("breaker", "breaker_open"), "{route}");
    }
    assert_eq!(caller.reserve(ask("weather", "next", Usage::default())).await.decision(), Decision::Allow);
    ducke.bench.pass(30 * HOUR);
    assert_eq!(
        caller.refused(voice("next")).await,
        named("breaker", "breaker_open"),
        "time does not close it"
    );

    assert_eq!(ducke.close_breaker().await, BreakerState::Open);
    assert_eq!(ducke.close_breaker().await, BreakerState::Closed);
    caller.run("next").await;
    ducke.end().await;
}

/// What is answered to `body` at the breaker `path`; of what is wrong, the error.
fn post(service: &Tollgate, path: &str, body: &str) -> (u16, String) {
    let call = http::post(format!("/admin/rate-limits/breaker/{path}")).by_admin();
    let answer = call.header("content-type", "application/json").body(body.to_owned()).send(service.admin());
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    (answer.status, told["error"].as_str().map_or(answer.body, str::to_owned))
}

const CLOSE: &str = r#"{"open": false, "reason": "looked into it"}"#;
const CLEAR: &str = r#"{"open": false, "reason": "it was a test", "clear": true}"#;
const OPEN: &str = r#"{"open": true, "reason": "the provider is down"}"#;

/// What is told of the breaker that was set so, and how it was.
fn set(service: &Tollgate, path: &str, body: &str) -> Value {
    let (status, text) = post(service, path, body);
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// How the breaker is.
fn told(service: &Tollgate, path: &str) -> Value {
    let answer = http::get(format!("/admin/rate-limits/breaker/{path}")).by_admin().send(service.admin());
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

/// A breaker that is open is so in the next process as well, until it is reset.
async fn outlives(start: impl Fn() -> Tollgate) {
    let service = start();
    let caller = Caller::at(service.grpc()).await;
    let ReserveRequest { subject, .. } = ask("llm", "s", Usage::default());
    let spent = SettleRequest {
        subject,
        used: Some(usd("100.00")),
        idempotency_key: "bill".into(),
        ..SettleRequest::default()
    };
    assert_eq!(caller.settle(spent).await.charged_usd, "100.00");
    service.signal("TERM");
    let (status, log) = tokio::task::spawn_blocking(|| service.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{log}");

    let service = start();
    let caller = Caller::at(service.grpc()).await;
    let open = caller.refused(voice("next")).await;
    assert!(open.contains(&("breaker".to_owned(), "breaker_open".to_owned())), "{open:?}");
    assert_eq!(told(&service, "breaker?domain=ducke")["state"], "open");
    let closed = set(&service, "breaker?domain=ducke", CLOSE);
    assert_eq!(
        (&closed["was_open"], &closed["used"], &closed["max"]),
        (&true.into(), &"100.00".into(), &"100.00".into())
    );
    assert!(closed["warning"].as_str().unwrap().contains("opens the breaker again"), "{closed}");
    assert_eq!(set(&service, "breaker?domain=ducke", CLOSE)["was_open"], false);
    assert_eq!(told(&service, "breaker?domain=ducke")["state"], "closed");
    service.logs("a breaker was set by hand");
    assert!(service.log().contains("looked into it"), "{}", service.log());
    let closed = caller.refused(voice("next")).await;
    assert!(closed.contains(&("breaker".to_owned(), "over_limit".to_owned())), "{closed:?}");
    let opened = set(&service, "breaker?domain=ducke", OPEN);
    assert_eq!(
        (&opened["was_open"], opened.get("warning")),
        (&true.into(), None),
        "it had opened again: {opened}"
    );
    let cleared = set(&service, "breaker?domain=ducke", CLEAR);
    assert_eq!(
        (&cleared["was_open"], &cleared["used"], cleared.get("warning")),
        (&true.into(), &"0.00".into(), None)
    );
    assert_eq!(
        caller.refused(voice("next")).await,
        named("hourly_cost", "over_limit"),
        "it does not refuse any more"
    );
}

#[tokio::test]
async fn an_open_breaker_outlives_tollgate_in_redis() {
    let redis = RedisServer::start(Tool::Redis);
    let environment = [("TOLLGATE_STORE_TIMEOUT", "10s"), ("TOLLGATE_DRAIN_DELAY", "0s")];
    outlives(|| Tollgate::with(&[FILE, "--store", &redis.url()], &environment)).await;
}

#[tokio::test]
async fn an_open_breaker_outlives_tollgate_in_its_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().display().to_string();
    outlives(|| Tollgate::with(&[FILE, "--data-dir", &data], &[("TOLLGATE_DRAIN_DELAY", "0s")])).await;
}

#[tokio::test]
async fn a_breaker_is_set_only_by_those_who_say_which_and_why() {
    let service = Tollgate::start(&[FILE]);
    for (path, body, status, says) in [
        ("breaker", CLOSE, 400, "domain: must be given, there are several"),
        ("breaker?domain=duck", CLOSE, 404, "domain: there is no domain 'duck' in a Tollgate file"),
        ("brake?domain=ducke", CLOSE, 404, "limit: the domain has no limit 'brake'"),
        (
            "hourly_cost?domain=ducke",
            CLOSE,
            400,
            "limit: 'hourly_cost' has no breaker; write 'on_limit: trip' into it",
        ),
        ("breaker?domain=ducke&user=ann", CLOSE, 400, "user: the limit is per all"),
        ("breaker?domain=ducke", r#"{"open": false, "reason": " "}"#, 400, "reason: must not be empty"),
        ("breaker?domain=ducke", r#"{"open": false}"#, 400, "reason: must not be empty"),
        ("breaker?domain=ducke", r#"{"open": 0, "reason": "x"}"#, 400, "open: must be true or false"),
        (
            "breaker?domain=ducke",
            r#"{"open": true, "reason": "x", "until": 1}"#,
            400,
            "until: is not read here",
        ),
        ("breaker?domain=ducke", "", 400, "open: must be given"),
        (
            "breaker?domain=ducke",
            r#"{"open": true, "reason": "x", "clear": true}"#,
            400,
            "clear: only a breaker that is closed",
        ),
        (
            "breaker?domain=ducke",
            &format!("{{\"open\": true, \"reason\": \"{}\"}}", "x".repeat(1025)),
            400,
            "reason: is 1025 bytes long; write at most 1024",
        ),
    ] {
        let (answered, text) = post(&service, path, body);
        assert!(answered == status && text.starts_with(says), "{path} {body}: {answered} {text}");
    }
    let plain = http::post("/admin/rate-limits/breaker/breaker?domain=ducke").body(CLOSE.to_owned());
    assert_eq!(plain.by_admin().send(service.admin()).status, 415);
    assert_eq!(set(&service, "breaker?domain=ducke", OPEN)["was_open"], false);
    let caller = Caller::at(service.grpc()).await;
    assert_eq!(caller.refused(voice("s")).await, named("breaker", "breaker_open"), "opened by hand");
    let strange = r#"{"open": false, "reason": "one\ntwo\u001b[31m"}"#;
    let (status, text) = post(&service, "breaker?domain=ducke", strange);
    assert!(status == 400 && text.contains("reason: holds control characters"), "{status} {text}");
    assert_eq!(set(&service, "breaker?domain=ducke", CLOSE)["was_open"], true);
    service.logs(r#"reason="looked into it""#);
}

#[test]
fn who_asks_of_a_breaker_without_its_subject_is_told_where_to_say_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limits.yaml");
    let text = "domains: {d: {per: user|ip+kit, limits: {loop: {limit: 5/7d, on_limit: trip}}}}";
    std::fs::write(&file, text).unwrap();
    let service = Tollgate::start(&[file.to_str().unwrap()]);
    let says = "the limit is per user|ip+kit: say whose breaker it is, as in ?user=…&kit=…".to_owned();
    let answer = http::get("/admin/rate-limits/breaker/loop?ip=::1").by_admin().send(service.admin());
    assert!(answer.status == 400 && answer.body.contains(&says), "{answer:?}");
    assert_eq!(post(&service, "loop", CLOSE), (400, says));
}

#[tokio::test]
async fn operators_are_shown_the_breakers_and_how_often_they_opened() {
    let service = Tollgate::start(&[FILE]);
    let caller = Caller::at(service.grpc()).await;
    let show = |path: &str| http::get(path).by_admin().send(service.admin());
    let all = || -> Value { serde_json::from_str(&show("/admin/rate-limits/breakers").body).unwrap() };
    let first = all();
    let closed = serde_json::json!({"breakers": [{
        "domain": "ducke", "limit": "breaker", "state": "closed",
        "unit": "USD", "used": "0.00", "held": "0.00", "max": "100.00",
        "resets_at": first["breakers"][0]["resets_at"],
    }]});
    assert_eq!(first, closed);
    let trips =
        |count| format!("tollgate_breaker_trips_total{{domain=\"ducke\",limit=\"breaker\"}} {count}\n");
    assert!(show("/metrics").body.contains(&trips(0)));
    let ReserveRequest { subject, .. } = ask("llm", "s", Usage::default());
    let idempotency_key = "bill".into();
    let spent =
        SettleRequest { subject, used: Some(usd("100.01")), idempotency_key, ..SettleRequest::default() };
    caller.settle(spent).await;
    let open = &all()["breakers"][0];
    assert_eq!((&open["state"], &open["used"]), (&"open".into(), &"100.01".into()), "{open}");
    assert_eq!((open.get("half_open_at"), open.get("closes_at")), (None, None), "its reset is manual");
    let since: jiff::Timestamp = open["since"].as_str().unwrap().parse().unwrap();
    let now = jiff::Timestamp::now();
    assert!((now - jiff::SignedDuration::from_secs(60)..=now).contains(&since), "{since}");
    assert_eq!(*open, told(&service, "breaker?domain=ducke"));
    assert!(show("/metrics").body.contains(&trips(1)));
    service.logs("a breaker has opened");
    assert!(show("/rlconfig").body.contains("mode: enforced, on_limit: trip, reset: manual\n"));
    let narrowed = show("/admin/rate-limits/breakers?domain=vaultmind");
    assert_eq!((narrowed.status, narrowed.body.as_str()), (200, "{\"breakers\":[]}\n"));
    assert_eq!(show("/admin/rate-limits/breakers?user=ann").status, 400);
    assert_eq!(show("/admin/rate-limits/breakers?domain=duck").status, 404);
}
