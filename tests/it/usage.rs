//! Usage events as operators read them: what they say of what was refused and what was spent.

use std::sync::Arc;

use serde_json::Value;
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::config::source::{SameDomain, Source, compile};
use tollgate::engine::{
    Check, CheckRequest, Descriptor, Engine, EngineSettings, Hold, Inspect, InvalidUsageQuery, Named,
    Progress, ReserveRequest, SettleRequest, SubjectOf, UsageOf,
};
use tollgate::limits::{CounterKey, Entry, KeySecret, LimitsHandle};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{Due, Report, Settle, Spent, Store, Then};

pub(crate) const RULES: &str = "
timezone: America/New_York
domains:
  shop:
    per: user
    ipv6_prefix: 56
    tier: {from: tier, default: free}
    limits:
      month:  tokens/month
      spend:  {limit: $5.00/day per all, shadow: true}
      hits:   2/1m
      quota:  100 tokens/day per ip
      cost:   $5.00 total per session
      budget: 100k tokens/month
    tiers: {free: {month: 10}, none: {month: 0}}
    routes:
      llm:       [hits, month, spend]
      POST /ask: quota
      voice:     [cost, budget]
  other:
    per: user
    limits: {month: 10 tokens/month}
prices:
  aliases: {voice-1: gpt-realtime}
  models: {gpt-realtime: {input: 100.00, output: 200.00}}
";

/// 2026-11-21 02:00 UTC: the evening before in New York.
const START: Timestamp = Timestamp(1_795_226_400_000_000);
const SECRET: KeySecret = KeySecret([7; 16]);

pub(crate) struct Bench {
    pub(crate) engine: Arc<Engine<Arc<MemoryStore>>>,
    pub(crate) clock: Clock,
}

pub(crate) type Entries<'a> = &'a [(&'a str, &'a str)];

impl Bench {
    pub(crate) fn new() -> Self {
        let clock = Clock::manual(START);
        let source = Source { name: "limits.yaml".into(), text: RULES.to_owned() };
        let rules = compile(&[source], SameDomain::Refuse).unwrap_or_else(|found| panic!("{found}")).rules;
        let store = Arc::new(MemoryStore::new(MemorySettings::default(), clock.clone(), SECRET));
        let engine = Engine::new(LimitsHandle::new(rules), store, EngineSettings::default());
        Self { engine: Arc::new(engine), clock }
    }

    pub(crate) async fn call(&self, entries: Entries<'_>, hits: u64) {
        let entries =
            entries.iter().map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() });
        let descriptor = Descriptor { entries: entries.collect(), hits: Some(hits), ..Descriptor::default() };
        let request =
            CheckRequest { domain: b"shop", descriptors: [descriptor].into_iter().collect(), hits: 0 };
        self.engine.check(request).await.unwrap();
    }

    /// Notes that `domain` spent tokens and nano-USD at once.
    pub(crate) async fn spend(&self, id: u128, domain: &str, tokens: u64, money: u64) {
        let about = format!(r#"{{"domain":"{domain}","subject":{{"user":"00"}}}}"#);
        let report = Report { about: about.as_bytes(), line: b"{}", classes: &[tokens] };
        // What is unknown is charged to something: here to a limit that was never touched.
        let rules = self.engine.limits().load();
        let limit = match &rules.domains[&b"shop"[..]] {
            tollgate::limits::Domain::Native(domain) => &domain.limits[0],
            tollgate::limits::Domain::Reference(_) => unreachable!(),
        };
        let charge = tollgate::store::Charge {
            key: CounterKey { tag: 0, id: 9 },
            overflow: 9,
            rule: tollgate::algorithm::Rule {
                window: &limit.window,
                number: tollgate::limits::Number::Unlimited,
            },
            op: tollgate::algorithm::Op::Take { room: 0, charge: 0 },
            binding: tollgate::store::Binding::Counted,
            on_error: limit.on_error,
            freed_by: tollgate::store::FreedBy::Holders,
            unit: limit.unit,
            memo: 0,
        };
        let spent = Spent { tokens: Due::Exactly(tokens), money: Due::Exactly(money) };
        let name = CounterKey { tag: 0, id: 1 << 64 | id };
        let (keep, then) = (Micros::from_secs(1), Then::Done);
        let settle = Settle { name, spent, then, otherwise: &[charge], keep, report: Some(report) };
        self.engine.store().settle(settle).await.unwrap();
    }

    pub(crate) fn asked(
        &self,
        asked: Entries<'_>,
    ) -> Result<tollgate::engine::UsageQuery, InvalidUsageQuery> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        self.engine.usage(&asked.iter().map(pair).collect::<Vec<_>>())
    }

    pub(crate) async fn usage(&self, asked: Entries<'_>) -> Vec<Value> {
        let mut query = self.asked(asked).unwrap();
        let mut read = Vec::new();
        while let Some((lines, rest)) = self.engine.read_usage(query).await.unwrap() {
            read.extend(lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
            query = rest;
        }
        read
    }
}

pub(crate) fn of<'v>(events: &'v [Value], name: &str) -> Vec<&'v str> {
    events.iter().map(|event| event[name].as_str().unwrap_or("none")).collect()
}

#[tokio::test]
async fn a_refusal_by_a_limit_of_tokens_is_an_event_and_no_other_is() {
    let bench = Bench::new();
    bench.call(&[("limit", "month"), ("user", "alice")], 10).await;
    let alice = [("route", "llm"), ("user", "alice"), ("session", "s-1")];
    bench.call(&alice, 1).await;
    bench.call(&[("limit", "month"), ("user", "bob")], 11).await;
    bench.call(&[("route", "llm"), ("user", "eve"), ("tier", "none")], 1).await;
    for _ in 0..3 {
        bench.call(&[("limit", "hits"), ("user", "carol")], 1).await;
    }
    bench.call(&[("limit", "spend"), ("user", "alice")], 6_000_000).await;
    let mut events = bench.usage(&[]).await;
    events.retain(|event| event["kind"] == "refusal");
    assert_eq!(events.len(), 3, "{events:?}");
    let why = |event: &Value| event["refused_by"].to_string();
    let reasons = ["over_limit", "too_large", "blocked_by_tier"];
    for (event, reason) in events.iter().zip(reasons) {
        assert_eq!(why(event), format!(r#"[{{"limit":"month","reason":"{reason}"}}]"#));
        assert_eq!((&event["kind"], &event["domain"]), (&"refusal".into(), &"shop".into()));
        assert_eq!(event["time"], "2026-11-21T02:00:00.000000Z");
    }
    assert_eq!(of(&events, "route"), ["llm", "none", "llm"]);
    assert_eq!(of(&events, "limit"), ["none", "month", "none"]);
    assert_eq!(of(&events, "tier"), ["free", "free", "none"]);
    let text = format!("{events:?}");
    assert!(["alice", "bob", "eve", "s-1"].iter().all(|raw| !text.contains(raw)), "{text}");
    assert_eq!(events[0]["subject"].as_object().unwrap().len(), 2, "{text}");
}

fn subject(session: &str) -> SubjectOf<'_> {
    SubjectOf {
        domain: b"shop",
        entries: [
            Entry { key: b"route", value: b"voice" },
            Entry { key: b"user", value: b"alice" },
            Entry { key: b"session", value: session.as_bytes() },
        ]
        .into_iter()
        .collect(),
    }
}

/// So many tokens of a model that has another name.
fn voice<'a>(input: u64, output: u64) -> UsageOf<'a> {
    let tokens = [(&b"input"[..], input), (b"output", output)].into_iter().collect();
    UsageOf { model: b"Voice-1", tokens, ..UsageOf::default() }
}

#[tokio::test]
async fn each_settle_of_a_reservation_is_an_event_with_its_price() {
    let bench = Bench::new();
    let reserve =
        ReserveRequest { subject: subject("42"), estimate: voice(10_000, 20_000), ..Default::default() };
    let handle = bench.engine.reserve(reserve).await.unwrap().handle.unwrap().to_string();
    for (used, progress) in [
        (voice(10_000, 5_000), Progress::More),
        (voice(10_000, 5_000), Progress::More),
        (voice(10_000, 20_000), Progress::Done),
        (voice(10_000, 20_000), Progress::Done),
    ] {
        let reserved = Named::Handle(handle.as_bytes());
        let settle = SettleRequest { reserved, used: Some(used), progress, used_at: None };
        bench.engine.settle(settle).await.unwrap();
    }
    let events = bench.usage(&[("subject", "session=42")]).await;
    let told = |name: &str| events.iter().map(|event| event[name].to_string()).collect::<Vec<_>>();
    assert_eq!(told("nano_usd"), ["2000000000", "3000000000"], "$5.00 in all");
    assert_eq!(told("tokens"), ["15000", "15000"]);
    assert_eq!(told("classes"), [r#"{"input":10000,"output":5000}"#, r#"{"output":15000}"#]);
    for (name, value) in [
        ("kind", "settle"),
        ("found", "held"),
        ("domain", "shop"),
        ("route", "voice"),
        ("tier", "free"),
        ("model", "gpt-realtime"),
        ("named", "Voice-1"),
    ] {
        assert_eq!(of(&events, name), [value; 2], "{name}");
    }
    assert_eq!(told("price_version"), ["1"; 2]);
    assert!(handle.contains(events[0]["hold"].as_str().unwrap()));
    assert!(!format!("{events:?}").contains("alice"));
}

#[tokio::test]
async fn usage_that_nobody_knows_or_reserved_is_an_event_too() {
    let bench = Bench::new();
    let reserve = ReserveRequest { subject: subject("1"), estimate: voice(0, 100), ..Default::default() };
    let handle = bench.engine.reserve(reserve).await.unwrap().handle.unwrap().to_string();
    let unknown = SettleRequest {
        reserved: Named::Handle(handle.as_bytes()),
        used: None,
        progress: Progress::Done,
        used_at: None,
    };
    bench.engine.settle(unknown).await.unwrap();
    let by_key = SettleRequest {
        reserved: Named::Key { subject: subject("2"), idempotency_key: b"k" },
        used: Some(UsageOf { usd: b"0.25", ..voice(1, 0) }),
        progress: Progress::Done,
        used_at: None,
    };
    for _ in 0..2 {
        bench.engine.settle(by_key.clone()).await.unwrap();
    }
    let events = bench.usage(&[]).await;
    assert_eq!(of(&events, "found"), ["held", "unheld"]);
    assert_eq!(of(&events, "usd"), ["0.02", "0.25"]);
    assert_eq!((&events[0]["unknown"], &events[0]["tokens"]), (&true.into(), &100.into()));
    assert_eq!((&events[1]["own_price"], &events[1]["route"]), (&true.into(), &"voice".into()));
    assert_eq!(bench.usage(&[("subject", "session=2")]).await.len(), 1);
}

#[tokio::test]
async fn no_more_of_a_name_is_kept_than_a_model_could_have() {
    let bench = Bench::new();
    let model = "ü".repeat(30_000);
    for told in [("reserve", "auto"), ("usage", "output")] {
        bench
            .call(&[("route", "voice"), ("session", "1"), ("user", "ada"), ("model", &model), told], 1)
            .await;
    }
    let events = bench.usage(&[]).await;
    assert_eq!(of(&events, "kind"), ["settle", "refusal"]);
    for event in events {
        let named = event["named"].as_str().unwrap();
        assert!(named.starts_with("üüü") && named.len() < 300, "{named}");
    }
}

#[tokio::test]
async fn a_reservation_that_is_refused_tells_what_it_asked_for() {
    let bench = Bench::new();
    for (estimate, limit, reason) in [
        (voice(10_000, 20_001), "cost", "too_large"),
        (UsageOf { model: b"unheard-of", ..voice(1, 1) }, "cost", "unpriced_model"),
        (UsageOf { usd: b"0.01", ..voice(1, 100_000) }, "budget", "too_large"),
    ] {
        let reserve = ReserveRequest { subject: subject("1"), estimate, ..Default::default() };
        assert!(bench.engine.reserve(reserve).await.unwrap().handle.is_none());
        let event = bench.usage(&[]).await.pop().unwrap();
        let why = format!(r#"[{{"limit":"{limit}","reason":"{reason}"}}]"#);
        assert_eq!(event["refused_by"].to_string(), why);
    }
    let events = bench.usage(&[]).await;
    assert_eq!(
        events[0]["asked"].to_string(),
        r#"{"classes":{"input":10000,"output":20001},"nano_usd":5000200000,"tokens":30001}"#
    );
    assert_eq!((events.len(), &events[1]["named"]), (3, &"unheard-of".into()));
}
