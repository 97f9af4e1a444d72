//! The operator's listener: liveness, readiness, the limits in force.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::TcpListener;

use tollgate::admin::{self, Probe, State};
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::config::source::{SameDomain, Source, compile};
use tollgate::engine::{
    Check, CheckRequest, Descriptor, Engine, EngineSettings, Hold, Named, Operate, Progress, ReleaseRequest,
    ReserveRequest, SettleRequest, SubjectOf, UsageOf,
};
use tollgate::limits::{Alerted, Entry, KeySecret, LimitsHandle, RuleSet, WireUnit, describe};
use tollgate::store::Store;
use tollgate::store::memory::{MemorySettings, MemoryStore};

use crate::support::admins;
use crate::support::gone::Gone;
use crate::support::raw::http;
use crate::support::server::per_key;

fn engine<S: Store>(rules: RuleSet, store: S) -> Arc<Engine<S>> {
    Arc::new(Engine::new(LimitsHandle::new(rules), store, EngineSettings::default()))
}

fn memory() -> MemoryStore {
    MemoryStore::new(MemorySettings::default(), Clock::System, KeySecret([0; 16]))
}

fn rules() -> RuleSet {
    per_key("api", &[("user", 10, WireUnit::Hour)])
}

/// What a listener over `inspect` and `probes` answers at each of `paths`.
async fn ask(inspect: impl Operate, probes: Vec<Probe>, paths: &[&str]) -> Vec<(u16, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async { _ = stopped.await };
    let serving =
        tokio::spawn(admin::serve(listener, inspect, admins::gate(), probes, admin::connections(), stopped));
    let mut answers = Vec::new();
    for path in paths {
        let answer = http(address, "GET", path, b"").await;
        answers.push((answer.status, answer.body));
    }
    stop.send(()).unwrap();
    serving.await.unwrap();
    answers
}

#[tokio::test]
async fn tells_what_is_in_force_and_where_to_ask() {
    let answers =
        ask(engine(rules(), memory()), vec![], &["/livez", "/readyz", "/rlconfig", "/", "/nothing"]).await;
    assert_eq!(answers[0].0, 200);
    assert_eq!(answers[1], (200, "rules: ready\nstore: ready\n".to_owned()));
    let line = "api.user: unit=HOUR requests_per_unit=10, shadow_mode: false, quota_mode: false\n";
    assert_eq!(answers[2], (200, line.to_owned()));
    assert_eq!(answers[2].1, describe(&rules()));
    for path in ["/livez", "/readyz", "/rlconfig"] {
        assert!(answers[3].1.contains(path), "{path}");
    }
    assert_eq!(answers[4].0, 404);
}

#[tokio::test]
async fn prometheus_reads_what_came_of_each_limit() {
    let engine = engine(rules(), memory());
    for _ in 0..12 {
        let descriptors = [Descriptor {
            entries: [Entry { key: b"user", value: b"\xff\"\n" }].into_iter().collect(),
            ..Descriptor::default()
        }];
        let descriptors = descriptors.into_iter().collect();
        engine.check(CheckRequest { domain: b"api", descriptors, hits: 0 }).await.unwrap();
    }
    let answer = ask(engine, vec![], &["/metrics"]).await.remove(0);
    let expected = "\
# HELP tollgate_settles_given_up Settles that nobody waits for and the store had no answer to: what they were to charge is lost.
# TYPE tollgate_settles_given_up counter
tollgate_settles_given_up_total 0
# HELP tollgate_decisions How often a descriptor came to a limit: admitted, refused, over it and let pass, or refused unchecked
# TYPE tollgate_decisions counter
tollgate_decisions_total{domain=\"api\",limit=\"api.user\",tier=\"\",outcome=\"admitted\"} 10
tollgate_decisions_total{domain=\"api\",limit=\"api.user\",tier=\"\",outcome=\"refused\"} 2
tollgate_decisions_total{domain=\"api\",limit=\"api.user\",tier=\"\",outcome=\"over\"} 0
tollgate_decisions_total{domain=\"api\",limit=\"api.user\",tier=\"\",outcome=\"unchecked\"} 0
# HELP tollgate_odd_holds How often an entry that tells of a hold could not be taken as it was told
# TYPE tollgate_odd_holds counter
tollgate_odd_holds_total{entry=\"reserve\"} 0
tollgate_odd_holds_total{entry=\"hold\"} 0
tollgate_odd_holds_total{entry=\"usage\"} 0
tollgate_odd_holds_total{entry=\"hits_addend\"} 0
tollgate_odd_holds_total{entry=\"model\"} 0
# EOF
";
    assert_eq!(answer, (200, expected.to_owned()));
}

#[tokio::test]
async fn what_became_of_alerts_is_told_of_limits_that_have_some() {
    let text = "alerts: {}\ndomains: {shop: {limits: {spend: $5.00/day per all, api: 5/1m per ip}}}\n";
    let source = Source { name: "limits.yaml".into(), text: text.to_owned() };
    let rules = compile(&[source], SameDomain::Refuse).unwrap().rules;
    for (_, _, tally) in rules.alert_tallies() {
        tally.count(Alerted::Sent);
        tally.count(Alerted::Sent);
        tally.count(Alerted::Dropped);
    }
    let answer = ask(engine(rules, memory()), vec![], &["/metrics"]).await.remove(0).1;
    let told: Vec<&str> = answer.lines().filter(|line| line.starts_with("tollgate_alerts")).collect();
    let expected = [("logged", 0), ("sent", 2), ("failed", 0), ("dropped", 1)].map(|(outcome, count)| {
        format!("tollgate_alerts_total{{domain=\"shop\",limit=\"spend\",outcome=\"{outcome}\"}} {count}")
    });
    assert_eq!(told, expected, "{answer}");
}

/// A reservation of 100 tokens of output, under a key.
async fn reserved(engine: &Arc<Engine<MemoryStore>>, key: &[u8]) -> String {
    let tokens = [(&b"output"[..], 100)].into_iter().collect();
    let estimate = UsageOf { model: b"m", tokens, ..UsageOf::default() };
    let request =
        ReserveRequest { subject: llm(), estimate, idempotency_key: key, ..ReserveRequest::default() };
    engine.reserve(request).await.unwrap().handle.unwrap().to_string()
}

async fn settle<'a>(
    engine: &Arc<Engine<MemoryStore>>,
    reserved: Named<'a>,
    usage: UsageOf<'a>,
    progress: Progress,
) {
    let request = SettleRequest { reserved, used: Some(usage), progress, used_at: None };
    engine.settle(request).await.unwrap();
}

fn llm<'a>() -> SubjectOf<'a> {
    let entries = [Entry { key: b"route", value: b"llm" }].into_iter().collect();
    SubjectOf { domain: b"shop", entries }
}

#[tokio::test]
async fn what_calls_used_is_counted_by_the_names_of_the_configuration() {
    let text = "
domains:
  shop:
    per: all
    limits: {words: 100k tokens/1h, spend: $5.00/1d}
    routes: {llm: [words, spend]}
prices: {models: {m: {input: 1, output: 10}}}
";
    let source = Source { name: "limits.yaml".into(), text: text.to_owned() };
    let clock = Clock::manual(Timestamp(1_795_262_400_000_000));
    let store = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([7; 16]));
    let engine = engine(compile(&[source], SameDomain::Refuse).unwrap().rules, store);
    let used = |input, output| UsageOf {
        model: b"openai/M-2026-01-01",
        tokens: [(&b"input"[..], input), (&b"output"[..], output)].into_iter().collect(),
        ..UsageOf::default()
    };
    let first = reserved(&engine, b"1").await;
    for (input, output, progress) in
        [(5, 20, Progress::More), (5, 50, Progress::Done), (9, 90, Progress::Done)]
    {
        settle(&engine, Named::Handle(first.as_bytes()), used(input, output), progress).await;
    }
    let late = reserved(&engine, b"2").await;
    clock.advance(Micros::from_secs(300));
    settle(&engine, Named::Handle(late.as_bytes()), used(0, 700), Progress::Done).await;
    let dropped = reserved(&engine, b"3").await;
    engine.release(ReleaseRequest::Held(dropped.as_bytes())).await.unwrap();
    let own = UsageOf { model: b"<made up>", usd: b"0.25", ..UsageOf::default() };
    settle(&engine, Named::Key { subject: llm(), idempotency_key: b"4" }, own, Progress::Done).await;

    let answer = ask(engine, vec![], &["/metrics"]).await.remove(0).1;
    let told = |name: &str| {
        let lines = answer.lines().filter(|line| line.starts_with(&format!("tollgate_{name}")));
        lines.map(|line| line.split_once('{').unwrap().1.replace('"', "")).collect::<Vec<_>>()
    };
    let ended = ["spend", "words"].map(|limit| {
        ["settled", "released", "late"].map(|end| format!("domain=shop,limit={limit},end={end}}} 1"))
    });
    assert_eq!(told("holds_ended"), ended.concat());
    assert_eq!(
        told("tokens"),
        ["domain=shop,model=m,class=input} 5", "domain=shop,model=m,class=output} 750"]
    );
    assert_eq!(told("spend_usd"), ["domain=shop,model=m} 0.007505", "domain=shop,model=other} 0.25"]);
    assert_eq!(told("estimate_ratio_count"), ["model=m} 2"]);
    assert_eq!(told("estimate_ratio_sum"), ["model=m} 7.55"]);
    let buckets = told("estimate_ratio_bucket");
    for (bound, count) in [("0.5", 0), ("0.75", 1), ("5.0", 1), ("+Inf", 2)] {
        assert!(buckets.contains(&format!("le={bound},model=m}} {count}")), "{buckets:?}");
    }
}

#[tokio::test]
async fn a_store_that_is_down_leaves_it_ready_by_policy() {
    let answers = ask(engine(rules(), Gone::default()), vec![], &["/livez", "/readyz"]).await;
    assert_eq!(answers[0].0, 200);
    let body = "rules: ready\nstore: down, answering by policy: the store cannot be reached\n";
    assert_eq!(answers[1], (200, body.to_owned()));
}

#[tokio::test]
async fn without_rules_it_is_alive_and_not_ready() {
    let answers = ask(engine(RuleSet::default(), memory()), vec![], &["/livez", "/readyz"]).await;
    assert_eq!(answers[0].0, 200);
    assert_eq!(answers[1], (503, "rules: none loaded\nstore: ready\n".to_owned()));
}

#[tokio::test]
async fn a_component_more_counts() {
    let draining = Arc::new(AtomicBool::new(false));
    let told = draining.clone();
    let calls = Probe::new("calls", move || {
        if told.load(Ordering::Relaxed) { State::Failed("unwanted".to_owned()) } else { State::Ready }
    });
    let engine = engine(rules(), memory());
    assert_eq!(ask(engine.clone(), vec![calls.clone()], &["/readyz"]).await[0].0, 200);
    draining.store(true, Ordering::Relaxed);
    let body = "rules: ready\nstore: ready\ncalls: unwanted\n";
    assert_eq!(ask(engine, vec![calls], &["/readyz"]).await[0], (503, body.to_owned()));
}
