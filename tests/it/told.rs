//! What descriptors tell of usage that nobody has held: it is charged and written down, once, over each store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tollgate::clock::{Clock, Micros};
use tollgate::engine::{Check, Code, Decision, Engine, EngineSettings, Inspect, Odd, Unclaimed};
use tollgate::limits::{KeySecret, LimitsHandle, Metadata};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{self, Page, Settle, Settled, Store, StoreError, Trail};

use crate::support::bench::{Bench, promises};
use crate::support::embedded::{Ask, NOON, rules};

const FILE: &str = "
domains:
  llm:
    per: user
    headers: {standings: true}
    limits:
      requests: 100/1h
      tokens:   10k tokens/1h
      spend:    $1.00/day
      team:     {limit: $5.00/day, per: all}
    routes:
      chat:  [requests, tokens, spend, team]
      plain: requests
prices:
  models:
    mini: {input: 1.00, cached_input: 0.50, output: 2.00}
    maxi: {input: 3.00, output: 9.00}
";

/// What a limit has used and holds.
type Books = (u64, u64);

/// An engine over the store of a bench, at noon.
struct Service<S: Store> {
    engine: Arc<Engine<Arc<S>>>,
    _bench: Bench<S>,
}

impl<S: Store> Service<S> {
    fn over(bench: Bench<S>) -> Self {
        Self::with(bench, FILE)
    }

    fn with(bench: Bench<S>, document: &str) -> Self {
        bench.clock.set(NOON);
        let limits = LimitsHandle::new(rules(document));
        let engine = Arc::new(Engine::new(limits, bench.store.clone(), EngineSettings::default()));
        Self { engine, _bench: bench }
    }

    async fn ask(&self, ask: &Ask) -> Decision {
        let decision = self.engine.check(ask.request()).await.unwrap();
        decision.unclaimed.iter().for_each(Unclaimed::claim);
        decision
    }

    /// Asks that, and how much `user` has used and holds of tokens, spend and team since.
    async fn told(&self, ask: &Ask, user: &str) -> [Books; 3] {
        self.ask(ask).await;
        self.books(user).await
    }

    async fn books(&self, user: &str) -> [Books; 3] {
        let mut books = [(0, 0); 3];
        for (books, limit) in books.iter_mut().zip(["tokens", "spend", "team"]) {
            let look = Ask::new("llm", &format!("user={user} limit={limit}")).hits(0);
            let metadata = self.ask(&look).await.metadata.expect("standings");
            let Metadata::Map(standings) = &metadata["standings"] else { panic!("{metadata:?}") };
            let Metadata::Map(standing) = &standings[limit] else { panic!("{metadata:?}") };
            let number = |name: &str| match standing[name] {
                Metadata::Number(number) => number.to_string().parse().expect("a whole number"),
                ref other => panic!("{other:?} is no number"),
            };
            *books = (number("used"), number("held"));
        }
        books
    }

    /// Reserves for ada, and passes.
    async fn held(&self, entries: &str) -> String {
        let decision = self.ask(&chat("ada", entries)).await;
        match decision.metadata.as_ref().and_then(|all| all.get("hold")) {
            Some(Metadata::Text(hold)) => hold.to_string(),
            other => panic!("{other:?} is no hold"),
        }
    }

    /// All usage events, as soon as there are so many: refusals are written down a little later.
    async fn events(&self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        for _ in 0..1_000 {
            events = self.all_events().await;
            if events.len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(events.len(), count, "{events:#?}");
        events
    }

    async fn all_events(&self) -> Vec<Value> {
        let (mut query, mut lines) = (self.engine.usage(&[]).unwrap(), String::new());
        while let Some((page, rest)) = self.engine.read_usage(query).await.unwrap() {
            lines.push_str(&page);
            query = rest;
        }
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn chat(user: &str, entries: &str) -> Ask {
    Ask::new("llm", &of_chat(user, entries))
}

fn of_chat(user: &str, entries: &str) -> String {
    format!("user={user} route=chat {entries}")
}

/// Ten tokens of input and a hundred of output of `model`, at the end of a call of `user`.
fn used(user: &str, model: &str, entries: &str) -> Ask {
    let input = chat(user, &format!("model={model} usage=input {entries}")).hits(10);
    input.and(&of_chat(user, &format!("model={model} usage=output {entries}"))).hits(100)
}

/// What those cost of mini, in nano-USD.
const MINI: u64 = 210_000;

fn members(event: &Value, names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| ((*name).to_owned(), event[name].clone()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

promises!(of [memory, redis]: {
    what_nobody_held_is_one_event_with_its_price,
    each_subject_has_its_own_event_and_pays_its_own,
    what_is_told_again_under_its_key_is_charged_once,
    of_several_models_those_with_a_price_are_paid,
    what_has_no_price_is_an_event_and_costs_tokens,
    what_has_no_price_is_paid_by_the_hold_beside_what_has_one,
    the_dearest_price_stands_in_where_the_file_says_so,
    what_touches_no_budget_is_no_event,
    a_model_of_any_bytes_is_written_down_in_letters,
    what_is_spent_by_name_is_an_event,
    descriptors_of_several_limits_are_one_event_and_of_several_subjects_several,
    what_is_refused_is_an_event_however_its_limit_was_reached,
    what_is_spent_beside_a_hold_is_an_event_of_its_own,
    a_limit_that_is_not_asked_tells_no_amounts,
});

async fn what_nobody_held_is_one_event_with_its_price<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    assert_eq!(service.told(&used("ada", "Mini", ""), "ada").await, [(110, 0), (MINI, 0), (MINI, 0)]);
    let event = &service.events(1).await[0];
    assert_eq!(
        members(event, &["kind", "found", "domain", "route", "named", "model", "price_version", "models"]),
        json!({"kind": "settle", "found": "unheld", "domain": "llm", "route": "chat", "named": "Mini",
            "model": "mini", "price_version": 1, "models": null})
    );
    assert_eq!(
        members(event, &["tokens", "classes", "nano_usd"]),
        json!({"tokens": 110, "classes": {"input": 10, "output": 100}, "nano_usd": MINI})
    );
    assert!(event["subject"]["user"].is_string());
}

async fn each_subject_has_its_own_event_and_pays_its_own<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    let both = used("ada", "mini", "").and(&of_chat("bob", "model=mini usage=output")).hits(7);
    let both = both.and("user=ada limit=tokens model=mini usage=output").hits(5);
    assert_eq!(service.told(&both, "ada").await, [(115, 0), (MINI, 0), (MINI + 14_000, 0)]);
    assert_eq!(service.books("bob").await, [(7, 0), (14_000, 0), (MINI + 14_000, 0)]);
    let events = service.events(3).await;
    let told: Vec<&Value> = events.iter().map(|event| &event["tokens"]).collect();
    assert_eq!(told, [110, 7, 5], "each token in one event");
    assert_ne!(events[0]["subject"], events[1]["subject"]);
    assert_eq!((&events[2]["limit"], &events[2]["nano_usd"]), (&"tokens".into(), &10_000.into()));
}

async fn what_is_told_again_under_its_key_is_charged_once<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    let once = [(110, 0), (MINI, 0), (MINI, 0)];
    for _ in 0..3 {
        assert_eq!(service.told(&used("ada", "mini", "idempotency_key=r1"), "ada").await, once);
    }
    service.events(1).await;
    let hits = used("ada", "mini", "idempotency_key=r1").and("user=ada limit=requests").hits(2);
    service.ask(&hits).await;
    let looked = service.ask(&Ask::new("llm", "user=ada limit=requests").hits(0)).await;
    assert_eq!(looked.statuses[0].remaining, 98, "hits beside it are charged as ever");
    // The same key of another subject or another call of the same one is another.
    assert_eq!(service.told(&used("bob", "mini", "idempotency_key=r1"), "bob").await[0], (110, 0));
    assert_eq!(service.told(&used("ada", "mini", "idempotency_key=r2"), "ada").await[0], (220, 0));
    let empty = chat("ada", "model=mini usage=output").entry(b"idempotency_key", b"").hits(1);
    assert_eq!(service.told(&empty, "ada").await[0], (221, 0));
    assert_eq!(service.told(&empty, "ada").await[0], (222, 0), "an empty one is none");
    service.events(5).await;
}

async fn of_several_models_those_with_a_price_are_paid<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    let told = chat("ada", "model=else usage=output").hits(50);
    let told = told.and(&of_chat("ada", "model=maxi usage=output")).hits(1);
    let told = told.and(&of_chat("ada", "model=mini usage=input")).hits(3);
    assert_eq!(service.told(&told, "ada").await, [(54, 0), (12_000, 0), (12_000, 0)]);
    let event = &service.events(1).await[0];
    assert_eq!(
        members(event, &["tokens", "nano_usd", "models", "model"]),
        json!({"tokens": 54, "nano_usd": 12_000, "model": null, "models": [
            {"named": "else", "unpriced": true, "tokens": 50},
            {"named": "maxi", "model": "maxi", "price_version": 1, "tokens": 1},
            {"named": "mini", "model": "mini", "price_version": 1, "tokens": 3},
        ]})
    );
    assert_eq!(service.engine.times(Odd::Model), 1);
}

async fn what_has_no_price_is_an_event_and_costs_tokens<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    assert_eq!(service.told(&used("ada", "else", ""), "ada").await, [(110, 0), (0, 0), (0, 0)]);
    let event = &service.events(1).await[0];
    assert_eq!(
        members(event, &["named", "model", "unpriced", "tokens", "nano_usd"]),
        json!({"named": "else", "model": null, "unpriced": true, "tokens": 110, "nano_usd": 0})
    );
    // Of a model that has some prices, what has none is left out.
    let images = chat("ada", "model=mini usage=image").hits(7).and(&of_chat("ada", "model=mini usage=input"));
    assert_eq!(service.told(&images.hits(2), "ada").await, [(119, 0), (2_000, 0), (2_000, 0)]);
}

async fn what_has_no_price_is_paid_by_the_hold_beside_what_has_one<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    let mut paid = 0;
    // What was held is 2,000 nano-USD; one token of maxi costs 9,000.
    for (reserve, models, due) in [
        ("reserve=1 model=mini", &["else", "mini"][..], 2_000),
        ("reserve=1 model=mini", &["else", "maxi"], 9_000),
        ("reserve=1 model=mini", &["else"], 2_000),
        ("reserve=100 model=mini", &["mini"], 2_000),
    ] {
        let hold = service.held(reserve).await;
        let of = |model: &&str| of_chat("ada", &format!("model={model} usage=output hold={hold}"));
        let told = models[1..]
            .iter()
            .fold(Ask::new("llm", &of(&models[0])).hits(1), |told, model| told.and(&of(model)).hits(1));
        paid += due;
        assert_eq!(service.told(&told, "ada").await[1..], [(paid, 0); 2], "{reserve} {models:?}");
    }
    let events = service.events(4).await;
    let told: Vec<&Value> = events.iter().map(|event| &event["nano_usd"]).collect();
    assert_eq!(told, [2_000, 9_000, 2_000, 2_000], "the events tell what was charged");
}

async fn the_dearest_price_stands_in_where_the_file_says_so<S: Store>(bench: Bench<S>) {
    let service = Service::with(bench, &FILE.replace("prices:", "prices:\n  unknown: highest"));
    assert_eq!(service.told(&used("ada", "else", ""), "ada").await[1], (930_000, 0));
    let event = &service.events(1).await[0];
    assert_eq!(
        members(event, &["named", "model", "at_highest_price", "unpriced", "nano_usd"]),
        json!({"named": "else", "model": null, "at_highest_price": true, "unpriced": null, "nano_usd": 930_000})
    );
}

async fn what_touches_no_budget_is_no_event<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    service.ask(&Ask::new("llm", "user=ada route=plain model=mini usage=output").hits(9)).await;
    assert_eq!(service.books("ada").await, [(0, 0); 3]);
    service.events(0).await;
}

async fn a_model_of_any_bytes_is_written_down_in_letters<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    let named = |entries: &str| chat("ada", entries).entry(b"model", b"\xff\"\0").hits(3);
    assert_eq!(service.told(&named("usage=output"), "ada").await[0], (3, 0));
    let hold = service.held("model=mini reserve=5").await;
    assert_eq!(service.told(&named(&format!("usage=output hold={hold}")), "ada").await[0], (6, 0));
    service.ask(&named("reserve=auto")).await;
    let events = service.events(3).await;
    assert_eq!([&events[0]["named"], &events[1]["named"]], ["\u{fffd}\"\0"; 2]);
    assert_eq!(events[2]["refused_by"][0]["reason"], "unpriced_model");
    assert_eq!(events[2]["asked"], json!({"tokens": 1_024, "classes": {"output": 1_024}}));
}

fn named(user: &str, limit: &str, hits: u64) -> Ask {
    Ask::new("llm", &format!("user={user} limit={limit}")).hits(hits)
}

async fn what_is_spent_by_name_is_an_event<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    assert_eq!(service.told(&named("ada", "tokens", 30), "ada").await[0], (30, 0));
    assert_eq!(service.told(&named("ada", "spend", 5_000), "ada").await[1], (5_000_000, 0), "micro-USD");
    service.ask(&named("ada", "requests", 1)).await;
    service.ask(&named("ada", "tokens", 0)).await;
    let events = service.events(2).await;
    let names =
        ["kind", "found", "limit", "route", "tokens", "classes", "nano_usd", "named", "model", "unpriced"];
    assert_eq!(
        members(&events[0], &names),
        json!({"kind": "settle", "found": "unheld", "limit": "tokens", "route": null, "tokens": 30,
            "classes": {}, "nano_usd": 0, "named": null, "model": null, "unpriced": null})
    );
    assert_eq!(
        members(&events[1], &["limit", "tokens", "nano_usd"]),
        json!({"limit": "spend", "tokens": 0, "nano_usd": 5_000_000})
    );
    assert_eq!(events[0]["subject"], events[1]["subject"]);
}

async fn descriptors_of_several_limits_are_one_event_and_of_several_subjects_several<S: Store>(
    bench: Bench<S>,
) {
    let service = Service::over(bench);
    let both =
        named("ada", "spend", 7).and("user=ada limit=team").hits(9).and("user=ada limit=tokens").hits(4);
    let both = both.and("user=bob limit=spend").hits(2).and("user=ada limit=spend").hits(8);
    assert_eq!(service.told(&both, "ada").await, [(4, 0), (8_000, 0), (9_000, 0)]);
    assert_eq!(service.books("bob").await[1], (2_000, 0));
    let told: Vec<_> = service
        .events(2)
        .await
        .iter()
        .map(|event| (event["tokens"].clone(), event["nano_usd"].clone()))
        .collect();
    assert_eq!(told, [(4.into(), 9_000.into()), (0.into(), 2_000.into())]);
}

async fn what_is_refused_is_an_event_however_its_limit_was_reached<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    service.ask(&named("ada", "tokens", 10_000)).await;
    let by_name = named("ada", "tokens", 1).and("user=ada limit=spend").hits(1);
    for refused in [by_name, chat("ada", ""), chat("ada", "").hits(0)] {
        assert_eq!(service.ask(&refused).await.code, Code::OverLimit);
    }
    let held = service.ask(&chat("ada", "model=mini reserve=5").hits(1)).await;
    assert_eq!(held.code, Code::OverLimit);
    // A limit of hits refuses what is spent beside it.
    let hits = named("bob", "requests", 101).and("user=bob limit=tokens").hits(1);
    assert_eq!(service.ask(&hits).await.code, Code::OverLimit);
    let events = service.events(5).await;
    let refusals: Vec<&Value> = events.iter().filter(|event| event["kind"] == "refusal").collect();
    assert_eq!(refusals.len(), 4, "{events:#?}");
    let asked = json!({"tokens": 5, "classes": {"output": 5}, "nano_usd": 10_000});
    assert_eq!(members(refusals[3], &["asked", "model"]), json!({"asked": asked, "model": "mini"}));
    let by = json!([{"limit": "tokens", "reason": "over_limit"}]);
    assert!(refusals.iter().all(|event| event["refused_by"] == by), "{events:#?}");
    assert_eq!((service.books("ada").await[1], service.books("bob").await[0]), ((0, 0), (0, 0)));
}

async fn a_limit_that_is_not_asked_tells_no_amounts<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    let decision = service.ask(&chat("ada", "model=else reserve=10")).await;
    let Some(Metadata::Map(standings)) = decision.metadata.as_ref().map(|all| &all["standings"]) else {
        panic!("{decision:?}")
    };
    let told = |limit: &str| match &standings[limit] {
        Metadata::Map(standing) => standing.keys().map(|name| name.to_string()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(decision.code, Code::OverLimit);
    assert_eq!(told("spend"), ["limit", "refused"]);
    assert_eq!(told("tokens"), ["held", "limit", "refused", "remaining", "used"]);
}

async fn what_is_spent_beside_a_hold_is_an_event_of_its_own<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    let both = chat("ada", "model=mini reserve=5").and("user=bob limit=tokens").hits(7);
    assert_eq!(service.told(&both, "ada").await[0], (0, 5));
    assert_eq!(service.books("bob").await[0], (7, 0));
    assert_eq!(service.events(1).await[0]["tokens"], 7);
    // What is told and what is named at once are two things.
    let both = used("ada", "mini", "").and("user=ada limit=tokens").hits(9);
    assert_eq!(service.told(&both, "ada").await[0], (119, 5));
    service.events(3).await;
}

/// A store whose next settles get lost on their way there.
struct Deaf(MemoryStore, AtomicU32);

impl store::Layer for Deaf {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.0
    }

    async fn settle(&self, call: Settle<'_>) -> Result<Settled, StoreError> {
        if self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |lost| lost.checked_sub(1)).is_ok() {
            return Err(StoreError::Unavailable);
        }
        self.0.settle(call).await
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_reach_the_store_is_charged_when_it_does() {
    let clock = Clock::manual(NOON);
    let store = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([7; 16]));
    let deaf = Deaf(store, AtomicU32::new(3));
    let engine = Arc::new(Engine::new(LimitsHandle::new(rules(FILE)), deaf, EngineSettings::default()));
    let told = used("ada", "mini", "");
    engine.check(told.request()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let page = Page { trail: Trail::Spent, from: tollgate::store::Place::default(), most: 10 };
    let notes = engine.store().notes(page).await.unwrap();
    let spent: Vec<u64> = notes.iter().filter_map(|note| Some(note.spending.as_ref()?.money)).collect();
    assert_eq!(spent, [MINI], "once");
    let spending = &engine.settlements().spending["llm"];
    let tokens = spending["mini"].tokens().map(|(_, count)| count).sum::<u64>();
    assert_eq!((spending.len(), tokens, spending["mini"].nanos), (1, 110, u128::from(MINI)), "by its model");
    for _ in 1..20 {
        clock.advance(Micros::from_secs(60));
        engine.check(told.request()).await.unwrap();
    }
    let expected = engine.check(chat("ada", "model=mini reserve=auto").request()).await.unwrap();
    expected.unclaimed.iter().for_each(Unclaimed::claim);
    let Some(Metadata::Map(standings)) = expected.metadata.as_ref().map(|all| &all["standings"]) else {
        panic!("{expected:?}")
    };
    let Metadata::Map(tokens) = &standings["tokens"] else { panic!("{standings:?}") };
    assert_eq!(
        tokens["held"],
        Metadata::Number(10.0 + 103.0),
        "the steps that 10 and 100 are in, of twenty calls"
    );
}
