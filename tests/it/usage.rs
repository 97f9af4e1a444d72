//! Usage events as operators read them: of what was refused and what was spent.

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

struct Bench {
    engine: Arc<Engine<Arc<MemoryStore>>>,
    clock: Clock,
}

type Entries<'a> = &'a [(&'a str, &'a str)];

impl Bench {
    fn new() -> Self {
        let clock = Clock::manual(START);
        let source = Source { name: "limits.yaml".into(), text: RULES.to_owned() };
        let rules = compile(&[source], SameDomain::Refuse).unwrap_or_else(|found| panic!("{found}")).rules;
        let store = Arc::new(MemoryStore::new(MemorySettings::default(), clock.clone(), SECRET));
        let engine = Engine::new(LimitsHandle::new(rules), store, EngineSettings::default());
        Self { engine: Arc::new(engine), clock }
    }

    async fn call(&self, entries: Entries<'_>, hits: u64) {
        let entries =
            entries.iter().map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() });
        let descriptor = Descriptor { entries: entries.collect(), hits: Some(hits), ..Descriptor::default() };
        let request =
            CheckRequest { domain: b"shop", descriptors: [descriptor].into_iter().collect(), hits: 0 };
        self.engine.check(request).await.unwrap();
    }

    /// Notes that `domain` spent tokens and nano-USD at once.
    async fn spend(&self, id: u128, domain: &str, tokens: u64, money: u64) {
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

    fn asked(&self, asked: Entries<'_>) -> Result<tollgate::engine::UsageQuery, InvalidUsageQuery> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        self.engine.usage(&asked.iter().map(pair).collect::<Vec<_>>())
    }

    async fn usage(&self, asked: Entries<'_>) -> Vec<Value> {
        let mut query = self.asked(asked).unwrap();
        let mut read = Vec::new();
        while let Some((lines, rest)) = self.engine.read_usage(query).await.unwrap() {
            read.extend(lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
            query = rest;
        }
        read
    }
}

fn of<'v>(events: &'v [Value], name: &str) -> Vec<&'v str> {
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

#[tokio::test]
async fn whoever_asks_for_a_subject_brings_its_value() {
    let bench = Bench::new();
    for (user, session) in [("alice", "1"), ("alice", "2"), ("bob", "1")] {
        bench.call(&[("limit", "month"), ("user", user), ("session", session)], 11).await;
    }
    for (address, tokens) in [("2001:db8:0:100::1", 101), ("10.0.0.7", 101), ("10.0.0.8", 1)] {
        bench.call(&[("limit", "quota"), ("remote_address", address)], tokens).await;
    }
    for (subject, count) in [
        ("user=alice", 2),
        ("session=1", 2),
        ("user=carol", 0),
        ("ip=2001:db8:0:1ff::2", 1),
        ("ip=2001:db8:0:200::2", 0),
        ("ip=10.0.0.7", 1),
        ("ip=10.0.0.8", 1),
        ("ip=10.0.0.9", 0),
    ] {
        assert_eq!(bench.usage(&[("subject", subject)]).await.len(), count, "{subject}");
    }
    assert_eq!(bench.usage(&[("subject", "user=alice"), ("domain", "other")]).await.len(), 0);
}

#[tokio::test]
async fn a_key_by_which_nothing_is_written_down_is_told_unless_there_was_something() {
    let bench = Bench::new();
    bench.call(&[("limit", "quota"), ("ip", "10.0.0.7")], 101).await;
    for number in 0..1_200 {
        bench.spend(number, "shop", 1, 1).await;
    }
    let slip = async |bench: &Bench, asked| {
        let mut query = bench.asked(asked).unwrap();
        loop {
            match bench.engine.read_usage(query).await {
                Ok(Some((lines, rest))) if lines.is_empty() => query = rest,
                Ok(_) => return None,
                Err(error) => return Some(error.to_string()),
            }
        }
    };
    let text = |keys| Some(format!("subject: nothing is written down by {keys}"));
    assert_eq!(slip(&bench, &[("subject", "foo=a")]).await, text("'foo'; there are ip, session, user"));
    assert_eq!(slip(&bench, &[("subject", "usr=a")]).await, text("'usr'; did you mean 'user'?"));
    let summed = slip(&bench, &[("subject", "foo=a"), ("sum", "day")]).await;
    assert_eq!(summed, text("'foo'; there are ip, session, user"));
    let of_other = slip(&bench, &[("subject", "ip=10.0.0.8"), ("domain", "other")]).await;
    assert_eq!(of_other, text("'ip'; there are session, user"));
    assert_eq!(slip(&bench, &[("subject", "ip=10.0.0.8")]).await, None, "it is nobody's slip");
    // What was written down before the files changed can be asked for.
    let source = Source { name: "limits.yaml".into(), text: RULES.replace("per ip", "per user") };
    bench.engine.limits().swap(compile(&[source], SameDomain::Refuse).unwrap().rules);
    assert_eq!(bench.usage(&[("subject", "remote_address=10.0.0.7")]).await.len(), 1);
    assert_eq!(slip(&bench, &[("subject", "ip=10.0.0.8")]).await, text("'ip'; there are session, user"));
}

#[tokio::test]
async fn both_trails_are_read_in_their_order_however_long_they_are() {
    let bench = Bench::new();
    for number in 0..1300 {
        bench.clock.advance(Micros(u64::from(number % 3 == 0) * 1000));
        // Long stretches of one trail alone, too.
        if number % 700 < 600 && number % 4 > 0 {
            bench.spend(number, "shop", 1, 1).await;
        } else {
            bench.call(&[("limit", "month"), ("user", "u")], 11).await;
        }
    }
    let events = bench.usage(&[]).await;
    assert_eq!(events.len(), 1300);
    let times = of(&events, "time");
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
    let ids: std::collections::BTreeSet<&str> = of(&events, "id").into_iter().collect();
    assert_eq!(ids.len(), 1300);
    let mut read = Vec::new();
    loop {
        let last = of(&read, "id").last().copied().unwrap_or_default().to_owned();
        let page = bench.usage(&[("after", &last), ("limit", "99")]).await;
        assert!(page.len() == 99 || read.len() + page.len() == 1300);
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read, events);
}

#[tokio::test]
async fn past_periods_are_summed_up_in_the_zone_of_the_file() {
    let bench = Bench::new();
    bench.spend(1, "shop", 10, 5_000_000_000).await;
    bench.call(&[("limit", "month"), ("user", "u")], 11).await;
    // 05:00 UTC is midnight in New York.
    bench.clock.advance(Micros::from_secs(3 * 3600 - 1));
    bench.spend(2, "shop", 20, 1).await;
    bench.clock.advance(Micros::from_secs(1));
    bench.spend(3, "shop", 30, 2).await;
    bench.spend(4, "other", 40, 3).await;
    let days = bench.usage(&[("sum", "day")]).await;
    assert_eq!(of(&days, "period"), ["2026-11-20", "2026-11-21", "2026-11-21"]);
    assert_eq!(of(&days, "domain"), ["shop", "other", "shop"]);
    assert_eq!(of(&days, "from"), ["2026-11-20T05:00:00Z", "2026-11-21T05:00:00Z", "2026-11-21T05:00:00Z"]);
    assert_eq!(of(&days, "usd"), ["5.000000001", "0.000000003", "0.000000002"]);
    let first = r#"{"classes":{"input":30},"domain":"shop","from":"2026-11-20T05:00:00Z","nano_usd":5000000001,"period":"2026-11-20","refusals":1,"settles":2,"to":"2026-11-21T05:00:00Z","tokens":30,"usd":"5.000000001"}"#;
    assert_eq!(days[0].to_string(), first);
    let month = bench.usage(&[("sum", "month"), ("domain", "shop"), ("from", "2026-11-21")]).await;
    assert_eq!((month.len(), &month[0]["period"], &month[0]["tokens"]), (1, &"2026-11".into(), &30.into()));
    let before = bench.usage(&[("to", "2026-11-21T00:00:00-05:00"), ("sum", "year")]).await;
    assert_eq!(of(&before, "period"), ["2026"]);
    assert_eq!(before[0]["tokens"], 30);
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_with_what_to_write() {
    let bench = Bench::new();
    for (asked, said) in [
        (("form", "x"), "'form' is no parameter; write one of domain, subject, from, to, after, limit, sum"),
        (
            ("domain", "shp"),
            "domain: there is no domain 'shp' of limits, tiers and routes; write other or shop",
        ),
        (
            ("subject", "alice"),
            "subject: 'alice' names nobody; write a key and its value, such as user=alice",
        ),
        (("subject", "=x"), "subject: '=x' names nobody; write a key and its value, such as user=alice"),
        (("from", "now"), "from: 'now' is no time; write a date such as 2026-11-01, or 2026-11-01T00:00:00Z"),
        (
            ("to", "2026-13-01"),
            "to: '2026-13-01' is no time; write a date such as 2026-11-01, or 2026-11-01T00:00:00Z",
        ),
        (("after", "1-1"), "after: '1-1' is no event; write the id of the last one that you have"),
        (("limit", "0"), "limit: '0' is no number of events; write 1 or more"),
        (("sum", "hour"), "sum: 'hour' is no period; write day, week, month or year"),
    ] {
        assert_eq!(bench.asked(&[asked]).unwrap_err().to_string(), said);
    }
    let partial = bench.asked(&[("sum", "day"), ("limit", "5")]).unwrap_err();
    assert_eq!(partial, InvalidUsageQuery::PartialSum);
}
