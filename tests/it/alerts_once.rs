//! Alerts of several instances over one store: each share of a limit is told of once, by whichever of them has crossed it.

use std::sync::Arc;

use tollgate::alerts::{AlertSettings, Delivery};
use tollgate::engine::{
    Engine, EngineSettings, Hold, Named, Progress, Ruling, SettleRequest, SubjectOf, UsageOf,
};
use tollgate::limits::{Alerted, LimitsHandle};
use tollgate::store::Store;

use crate::support::bench::{Bench, promises};
use crate::support::embedded::rules;
use crate::support::shop::entries;

promises!(of [memory, redis]: {
    each_share_is_told_of_by_one_of_many,
    what_comes_back_within_the_window_is_no_news_to_another,
});

const FILE: &str = "
alerts: {at: [50%, 80%, 100%]}
domains:
  shop:
    per: user
    limits:
      budget: $10.00/month
      hour:   $100.00/1h
    routes:
      llm:  budget
      hour: hour
";

/// One of several over a store.
struct Instance<S> {
    engine: Arc<Engine<Arc<S>>>,
    limits: LimitsHandle,
    delivery: Delivery,
}

impl<S: Store> Instance<S> {
    fn on(bench: &Bench<S>) -> Self {
        let limits = LimitsHandle::new(rules(FILE));
        let delivery = Delivery::new(limits.clone(), AlertSettings::default());
        let engine = Engine::new(limits.clone(), bench.store.clone(), EngineSettings::default());
        Self { engine: Arc::new(engine.telling(delivery.alerts())), limits, delivery }
    }

    /// How many alerts it raised.
    async fn told(self) -> u64 {
        self.delivery.run(std::future::ready(())).await;
        self.limits.load().alert_tallies().iter().map(|(_, _, tally)| tally.of(Alerted::Logged)).sum()
    }
}

/// Spends `usd` after the fact.
async fn spend<S: Store>(engine: &Arc<Engine<Arc<S>>>, route: &str, key: &str, usd: &str) -> Ruling {
    let who = format!("route={route} user=u");
    let subject = SubjectOf { domain: b"shop", entries: entries(&who).collect() };
    let request = SettleRequest {
        reserved: Named::Key { subject, idempotency_key: key.as_bytes() },
        used: Some(UsageOf { usd: usd.as_bytes(), ..UsageOf::default() }),
        progress: Progress::Done,
        used_at: None,
    };
    engine.settle(request).await.unwrap().ruling
}

/// Forty calls at the same time come to just the whole of it.
async fn each_share_is_told_of_by_one_of_many<S: Store>(bench: Bench<S>) {
    let instances = [(); 2].map(|()| Instance::on(&bench));
    let mut tasks = tokio::task::JoinSet::new();
    for call in 0..40 {
        let engine = instances[call % 2].engine.clone();
        tasks.spawn(async move { spend(&engine, "llm", &call.to_string(), "0.25").await });
    }
    assert!(tasks.join_all().await.iter().all(|ruling| *ruling == Ruling::Allow));
    let [one, other] = instances;
    assert_eq!(one.told().await + other.told().await, 3);
}

async fn what_comes_back_within_the_window_is_no_news_to_another<S: Store>(bench: Bench<S>) {
    let [one, other] = [(); 2].map(|()| Instance::on(&bench));
    // Half of it is crossed three times, twice of them within one hour.
    for (instance, key, usd, then) in
        [(&one, "a", "49.00", 3_500), (&other, "b", "2.00", 200), (&one, "c", "60.00", 3_600)]
    {
        spend(&instance.engine, "hour", key, usd).await;
        bench.pass(then);
    }
    spend(&other.engine, "hour", "d", "1.00").await;
    bench.pass(3_700);
    spend(&other.engine, "hour", "e", "50.00").await;
    assert_eq!([one.told().await, other.told().await], [0, 2]);
}
