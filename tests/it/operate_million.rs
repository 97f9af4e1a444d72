//! A million others change nothing in what it takes to look at one user: the same commands, the same keys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tollgate::algorithm::{Op, Rule};
use tollgate::clock::{Clock, Micros};
use tollgate::limits::{CounterKey, Number, OnError, Unit, Window};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::redis::{RedisSettings, RedisStore};
use tollgate::store::{
    self, Admission, Answer, Binding, Call, Charge, FreedBy, Lanes as _, Mark, Marked, Store, StoreError,
};

use crate::support::bench::Bench;
use crate::support::redis::RedisServer;
use crate::support::shop::Shop;
use crate::support::tools::Tool;

const OTHERS: u64 = 1_000_000;

/// Thirty limits of one user, of every kind, on tiers.
fn file() -> String {
    let windows = ["5/15m", "month", "3/day", "10/1s burst 20", "50 total", "10 concurrent", "9/1h fixed"];
    let limit = |number: usize| format!("      limit{number}: {}\n", windows[number % windows.len()]);
    let limits: String = (0..30).map(limit).collect();
    let tier = |name: &str, month: u64| {
        let months: Vec<String> = (0..30)
            .filter(|number| number % 7 == 1)
            .map(|number| format!("limit{number}: {month}"))
            .collect();
        format!("      {name}: {{{}}}\n", months.join(", "))
    };
    let tiers = tier("free", 3) + &tier("pro", 50);
    format!(
        "domains:\n  shop:\n    per: user\n    tier: {{default: free}}\n    limits:\n{limits}    tiers:\n{tiers}"
    )
}

/// Ten users who called, whose tier is written down.
async fn shop_with_ten<S: Store>(store: S) -> Shop<S> {
    let shop = Shop::over(store, &file());
    shop.0.write_tiers(usize::MAX).await;
    for user in 0..10 {
        for limit in 0..30 {
            shop.code(&format!("limit=limit{limit} user=u{user} tier=pro")).await;
        }
    }
    assert_eq!(shop.0.write_tiers(usize::MAX).await, 10);
    shop
}

/// Has one begin anew who has used something of every limit.
async fn reset<S: Store>(shop: &Shop<S>, user: &str) {
    let reset = shop.reset(user, &[]).await;
    assert!(reset.before.iter().all(|before| before.used > 0), "{reset:?}");
}

async fn look<S: Store>(shop: &Shop<S>) {
    let usage = shop.usage("user=u7").await;
    assert_eq!((&*usage.tier, usage.limits.len()), ("pro", 30));
    let used = usage.limits.iter().filter(|limit| limit.standing.used + limit.standing.held > 0).count();
    assert_eq!(used, 30);
}

/// What of the commands `asking` about one user takes, and how many keys were looked up by it.
async fn taken(bench: &Bench<RedisStore>, asking: impl Future<Output = ()>) -> (BTreeMap<String, u64>, u64) {
    let (before, looked_up) = (bench.commands(), bench.looked_up());
    asking.await;
    let (after, looked_up_then) = (bench.commands(), bench.looked_up());
    // The connections are looked after all the time.
    let is_of_the_look = |name: &str| !["ping", "info", "config|get", "client|setinfo"].contains(&name);
    let grown = after.into_iter().filter(|(name, _)| is_of_the_look(name)).filter_map(|(name, calls)| {
        let more = calls - before.get(&name).copied().unwrap_or(0);
        (more > 0).then_some((name, more))
    });
    (grown.collect(), looked_up_then - looked_up)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_at_one_and_a_reset_take_as_much_of_redis_whoever_else_there_is() {
    let bench = Bench::<RedisStore>::redis().await;
    let shop = shop_with_ten(bench.store.clone()).await;
    let looked = taken(&bench, look(&shop)).await;
    let cleared = taken(&bench, reset(&shop, "user=u1")).await;
    assert_eq!(looked.0["evalsha"], 1, "{looked:?}");
    for (commands, looked_up) in [&looked, &cleared] {
        assert!(*looked_up >= 20, "{looked_up}");
        assert!(commands.keys().all(|name| !name.contains("scan") && name != "keys"), "{commands:?}");
    }
    bench.fill(OTHERS);
    assert_eq!(taken(&bench, look(&shop)).await, looked);
    assert_eq!(taken(&bench, reset(&shop, "user=u2")).await, cleared);
}

/// Counts what is asked of it by operators.
struct Counted {
    store: MemoryStore,
    steps: AtomicUsize,
    reads: AtomicUsize,
}

impl store::Layer for Counted {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    async fn oversee(
        &self,
        call: Call<'_>,
        mark: Option<CounterKey>,
    ) -> Result<(Answer, Option<Marked>), StoreError> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.reads.fetch_add(call.charges.len() + mark.iter().count(), Ordering::Relaxed);
        self.store.oversee(call, mark).await
    }
}

#[tokio::test]
async fn a_look_at_one_takes_as_many_reads_of_memory_whoever_else_there_is() {
    let bench = Bench::memory().await;
    let settings = MemorySettings { max_keys: 2_000_000 };
    let store = MemoryStore::new(settings, bench.clock.clone(), bench.store.key_secret());
    let store = Arc::new(Counted { store, steps: AtomicUsize::new(0), reads: AtomicUsize::new(0) });
    let shop = shop_with_ten(store.clone()).await;
    let taken = async || {
        look(&shop).await;
        (store.steps.swap(0, Ordering::Relaxed), store.reads.swap(0, Ordering::Relaxed))
    };
    let among_ten = taken().await;
    assert_eq!(among_ten.0, 1);
    assert!(among_ten.1 < 2 * 30 + 2, "each limit by both its numbers, and the tier: {among_ten:?}");
    let hour = Window::Sliding { length: Micros::from_secs(3600) };
    let keys = (1..=u128::from(OTHERS)).map(|user| {
        let id = user.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).rotate_left(61);
        CounterKey { tag: 0, id }
    });
    for key in keys {
        let charge = Charge {
            key,
            overflow: 0,
            rule: Rule { window: &hour, number: Number::AtMost(9) },
            op: Op::Take { room: 1, charge: 1 },
            binding: Binding::Enforced,
            on_error: OnError::Deny,
            freed_by: FreedBy::Time,
            unit: Unit::Hits,
            memo: 0,
        };
        store.store.charge_now(Call { charges: &[charge], admission: Admission::AllOrNone, expenses: &[] });
        if key.id % 4 == 0 {
            store.mark(&[Mark { key, value: 1 }]).await.unwrap();
        }
    }
    assert!(store.store.len() > 1_000_000);
    assert_eq!(taken().await, among_ten);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_ask_may_take_longer_than_a_decision() {
    let server = RedisServer::start(Tool::Redis);
    let settings = RedisSettings { op_timeout: Duration::from_micros(1), ..server.settings() };
    let store = Arc::new(RedisStore::start(settings, Clock::System).unwrap());
    store.tried().await;
    let limits: String = (0..30).map(|number| format!("      limit{number}: 9/month\n")).collect();
    let file = format!("domains:\n  shop:\n    per: user\n    limits:\n{limits}");
    let shop = Shop::over(store.clone(), &file);
    assert_eq!(shop.usage("user=u").await.limits.len(), 30);
    assert_eq!(shop.reset("user=u", &[]).await.before.len(), 30);
}
