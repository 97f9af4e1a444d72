//! What a settle knows of the call that it settles: by which number it goes, on whose tier it is told of, and which model's
//! usage it is, over each store.

use std::sync::Arc;

use serde_json::{Value, json};
use tollgate::alerts::{AlertSettings, Delivery};
use tollgate::engine::{
    Engine, EngineSettings, Hold, Inspect, Named, Progress, ReserveAnswer, ReserveRequest, Ruling,
    SettleAnswer, SettleRequest, SubjectOf, Unclaimed, UsageOf,
};
use tollgate::limits::{Entry, LimitsHandle, Number};
use tollgate::money::NanoUsd;
use tollgate::store::Store;

use crate::support::bench::{Bench, promises};
use crate::support::embedded::{NOON, rules};
use crate::support::webhook::Receiver;

promises!(of [memory, redis]: {
    a_tier_goes_by_its_number_of_now_whoever_had_that_before,
    a_tier_that_is_gone_loses_nothing,
    an_alert_of_a_settle_tells_the_tier,
    what_nobody_tells_is_of_the_model_that_was_reserved_for,
    what_is_told_of_another_model_is_of_that,
    those_who_share_all_counters_teach_as_one,
});

const DOLLAR: u64 = 1_000_000_000;

const FILE: &str = "
alerts: {at: [50%], webhook: 'http://127.0.0.1:PORT/'}
domains:
  llm:
    per: user
    tier: {default: free}
    tiers: {pro: {spend: $50.00}, free: {spend: $5.00}}
    limits:
      spend: $/1d
      team:  $90.00/1d per all
    routes: {chat: spend, shared: team}
prices:
  models:
    mini: {input: 1.00, output: 2.00}
    maxi: {input: 3.00, output: 9.00}
";

struct Service<S: Store> {
    engine: Arc<Engine<Arc<S>>>,
    limits: LimitsHandle,
    delivery: Delivery,
    bench: Bench<S>,
}

/// What is used of `model`: so many tokens of output, or so much money.
#[derive(Clone, Copy)]
enum Used {
    Output(&'static str, u64),
    Usd(&'static str, &'static str),
    Untold,
}

impl Used {
    fn usage<'a>(self) -> Option<UsageOf<'a>> {
        let usage = match self {
            Self::Untold => return None,
            Self::Output(model, count) => UsageOf {
                model: model.as_bytes(),
                tokens: (count > 0).then_some((&b"output"[..], count)).into_iter().collect(),
                ..UsageOf::default()
            },
            Self::Usd(model, usd) => {
                UsageOf { model: model.as_bytes(), usd: usd.as_bytes(), ..UsageOf::default() }
            }
        };
        Some(usage)
    }
}

impl<S: Store> Service<S> {
    fn over(bench: Bench<S>) -> Self {
        Self::telling(bench, "1")
    }

    /// One whose alerts go to this port.
    fn telling(bench: Bench<S>, port: &str) -> Self {
        bench.clock.set(NOON);
        let limits = LimitsHandle::new(rules(&FILE.replace("PORT", port)));
        let delivery = Delivery::new(limits.clone(), AlertSettings::default());
        let engine = Engine::new(limits.clone(), bench.store.clone(), EngineSettings::default());
        let engine = Arc::new(engine.telling(delivery.alerts()));
        Self { engine, limits, delivery, bench }
    }

    fn swap(&self, from: &str, to: &str) {
        assert!(FILE.contains(from));
        self.limits.swap(rules(&FILE.replace(from, to).replace("PORT", "1")));
    }

    async fn reserve(&self, tier: &str, estimate: Used) -> ReserveAnswer {
        self.reserve_on("chat", tier, estimate).await
    }

    async fn reserve_on(&self, route: &str, tier: &str, estimate: Used) -> ReserveAnswer {
        let entries = [("route", route), ("tier", tier), ("user", "ada")];
        let entries =
            entries.iter().map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() });
        let request = ReserveRequest {
            subject: SubjectOf { domain: b"llm", entries: entries.collect() },
            estimate: estimate.usage().unwrap(),
            ..ReserveRequest::default()
        };
        let answer = self.engine.reserve(request).await.unwrap();
        answer.unclaimed.iter().for_each(Unclaimed::claim);
        assert_eq!(answer.ruling, Ruling::Allow);
        answer
    }

    async fn settle(&self, held: &ReserveAnswer, used: Used, progress: Progress) -> SettleAnswer {
        let handle = held.handle.as_ref().unwrap().to_string();
        let reserved = Named::Handle(handle.as_bytes());
        let request = SettleRequest { reserved, used: used.usage(), progress, used_at: None };
        self.engine.settle(request).await.unwrap()
    }

    async fn last_event(&self) -> Value {
        let (page, _) = self.engine.read_usage(self.engine.usage(&[]).unwrap()).await.unwrap().unwrap();
        serde_json::from_str(page.lines().last().unwrap()).unwrap()
    }

    /// How much was spent on `model`, as metrics tell it.
    fn spent_on(&self, model: &str) -> u128 {
        self.engine.settlements().spending["llm"].get(model).map_or(0, |spending| spending.nanos)
    }
}

/// What the one limit of `answer` says, and by which number.
fn said(answer: &SettleAnswer) -> (Ruling, Number) {
    (answer.ruling, answer.standings[0].most)
}

async fn a_tier_goes_by_its_number_of_now_whoever_had_that_before<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    let at_most = |dollars: u64| Number::AtMost(dollars * DOLLAR);
    let held = service.reserve("pro", Used::Usd("", "4.00")).await;
    for (file, expected) in [
        // What it had is another's now.
        ("pro: {spend: $6.00}, free: {spend: $50.00}", (Ruling::Deny, at_most(6))),
        ("pro: {spend: $8.00}, free: {spend: $5.00}", (Ruling::Allow, at_most(8))),
        ("free: {spend: $1.00}, other: {spend: $9.00}, pro: {spend: $7.00}", (Ruling::Allow, at_most(7))),
        ("pro: {spend: -1}, free: {spend: $5.00}", (Ruling::Allow, Number::Unlimited)),
    ] {
        service.swap("pro: {spend: $50.00}, free: {spend: $5.00}", file);
        let used = if expected.1 == at_most(6) { "6.50" } else { "7.00" };
        assert_eq!(
            said(&service.settle(&held, Used::Usd("", used), Progress::More).await),
            expected,
            "{file}"
        );
    }
}

async fn a_tier_that_is_gone_loses_nothing<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    let held = service.reserve("pro", Used::Usd("", "4.00")).await;
    service.swap("pro: {spend: $50.00}, free: {spend: $5.00}", "free: {spend: $5.00}, max: {spend: $40.00}");
    let said = said(&service.settle(&held, Used::Usd("", "45.00"), Progress::Done).await);
    assert_eq!(said, (Ruling::Allow, Number::AtMost(50 * DOLLAR)));
}

async fn an_alert_of_a_settle_tells_the_tier<S: Store>(bench: Bench<S>) {
    let mut receiver = Receiver::start(&[204]).await;
    let service = Service::telling(bench, &receiver.address().port().to_string());
    let held = service.reserve("pro", Used::Usd("", "4.00")).await;
    service.settle(&held, Used::Usd("", "26.00"), Progress::Done).await;
    let Service { delivery, .. } = service;
    let (_, sent) = tokio::join!(delivery.run(std::future::ready(())), receiver.next());
    let told = [&sent.body["tier"], &sent.body["used"], &sent.body["max"]];
    assert_eq!(told, [&json!("pro"), &json!("26.00"), &json!("50.00")], "{}", sent.body);
}

async fn what_nobody_tells_is_of_the_model_that_was_reserved_for<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    let held = service.reserve("free", Used::Output("openai/Mini", 100)).await;
    service.settle(&held, Used::Untold, Progress::Done).await;
    let event = service.last_event().await;
    let told = [&event["model"], &event["unknown"], &event["named"], &event["nano_usd"]];
    assert_eq!(told, [&json!("mini"), &json!(true), &Value::Null, &json!(200_000)]);
    assert_eq!((service.spent_on("mini"), service.spent_on("other")), (200_000, 0));
    // What has no price is paid as it was held.
    let held = service.reserve("free", Used::Output("maxi", 10)).await;
    service.settle(&held, Used::Output("unheard-of", 7), Progress::Done).await;
    let event = service.last_event().await;
    let told = [&event["model"], &event["unpriced"], &event["named"], &event["nano_usd"]];
    assert_eq!(told, [&json!("maxi"), &json!(true), &json!("unheard-of"), &json!(90_000)]);
    assert_eq!((service.spent_on("maxi"), service.spent_on("other")), (90_000, 0));
}

async fn what_is_told_of_another_model_is_of_that<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    let held = service.reserve("free", Used::Output("mini", 100)).await;
    service.settle(&held, Used::Output("maxi", 10), Progress::Done).await;
    assert_eq!(service.last_event().await["model"], "maxi");
    assert_eq!((service.spent_on("mini"), service.spent_on("maxi")), (0, 90_000));
    let held = service.reserve("free", Used::Output("mini", 100)).await;
    service.settle(&held, Used::Usd("my-own", "0.25"), Progress::Done).await;
    let event = service.last_event().await;
    let told = [&event["named"], &event["model"], &event["own_price"]];
    assert_eq!(told, [&json!("my-own"), &Value::Null, &json!(true)]);
    assert_eq!((service.spent_on("mini"), service.spent_on("other")), (0, u128::from(NanoUsd(DOLLAR / 4).0)));
    let held = service.reserve("free", Used::Output("mini", 100)).await;
    service.settle(&held, Used::Usd("", "0.25"), Progress::Done).await;
    assert_eq!(service.last_event().await["model"], "mini", "nobody says another");
    assert_eq!(service.spent_on("mini"), u128::from(DOLLAR / 4));
}

async fn those_who_share_all_counters_teach_as_one<S: Store>(bench: Bench<S>) {
    let service = Service::over(bench);
    let expected = async || {
        let granted = service.reserve_on("shared", "free", Used::Output("mini", 0)).await.granted.unwrap();
        granted.tokens().map(|(_, count)| count).sum::<u64>()
    };
    for minute in 1..20 {
        for _ in 0..3 {
            let held = service.reserve_on("shared", "free", Used::Output("mini", 1)).await;
            service.settle(&held, Used::Output("mini", 100), Progress::Done).await;
        }
        assert_eq!(expected().await, 1024, "nothing is learned, minute {minute}");
        service.bench.pass(60);
    }
    let held = service.reserve_on("shared", "free", Used::Output("mini", 1)).await;
    service.settle(&held, Used::Output("mini", 100), Progress::Done).await;
    assert_eq!(expected().await, 103, "the end of the step that 100 is in, of twenty calls");
}
