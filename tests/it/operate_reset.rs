//! Resets: what of a subject begins anew and what stays, and that nobody ever sees half of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tollgate::clock::Micros;
use tollgate::engine::{
    Hold, Mistake, Progress, ReserveAnswer, Ruling, SettleRequest, SubjectReset, UsageOf,
};
use tollgate::store::Store;
use tollgate::store::refusals::WithRefusals;

use crate::support::bench::{Bench, promises};
use crate::support::shop::Shop;

promises!(of [memory, redis]: {
    rates_quotas_and_budgets_begin_anew,
    what_still_exists_is_cleared_only_by_name,
    slots_are_freed_by_name_whoever_holds_them,
    who_holds_what_was_cleared_finds_that_it_lapsed,
    counters_of_others_and_of_all_stay,
    months_begin_anew_whenever_they_begin,
    what_is_refused_is_not_remembered_beyond_a_reset,
    nobody_sees_half_a_reset,
    a_mistake_clears_nothing,
});

const FILE: &str = "
domains:
  shop:
    per: user
    limits:
      login:   2/15m per email
      api:     9/1m per user|ip
      month:   3/month
      burst:   5/1h burst 9
      tokens:  1000 tokens/day
      spend:   $9.00 total
      kits:    total per user+kit
      assets:  50 total
      streams: 3 concurrent
      world:   1000/1d per all
    tiers: {free: {kits: 2}}
    tier: {default: free}
    routes:
      make:   [api, month, burst, world]
      llm:    [tokens, spend]
      asset:  assets
      kit:    kits
      stream: streams
      login:  login
";

/// So many tokens, and so many dollars.
fn cost(tokens: u64, usd: &str) -> UsageOf<'_> {
    let tokens = [(&b"input"[..], tokens)].into_iter().filter(|(_, count)| *count > 0).collect();
    UsageOf { tokens, usd: usd.as_bytes(), ..UsageOf::default() }
}

fn names(reset: &SubjectReset) -> Vec<&str> {
    reset.before.iter().map(|standing| &*standing.limit).collect()
}

async fn rates_quotas_and_budgets_begin_anew<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(bench.store.clone(), FILE);
    for _ in 0..3 {
        assert!(shop.passes("route=make user=u").await);
    }
    assert!(!shop.passes("route=make user=u").await);
    for _ in 0..2 {
        assert!(shop.passes("route=login email=a").await);
    }
    assert!(!shop.passes("route=login email=a").await);

    let reset = shop.reset("user=u", &[]).await;
    assert_eq!(names(&reset), ["api", "month", "burst", "tokens", "spend"]);
    assert_eq!(reset.before.iter().map(|before| before.used).collect::<Vec<_>>(), [3, 3, 3, 0, 0]);
    assert_eq!(reset.before[1].ruling, Ruling::Deny, "it stood so before");
    assert_eq!(reset.kept.iter().map(|name| &**name).collect::<Vec<_>>(), ["kits", "assets", "streams"]);
    assert!(!shop.passes("route=login email=a").await, "the email is another subject");
    shop.reset("email=a", &[]).await;
    assert!(shop.passes("route=login email=a").await);
    for _ in 0..3 {
        assert!(shop.passes("route=make user=u").await);
    }
    assert!(!shop.passes("route=make user=u").await, "the quota is whole again, and no more");
}

async fn what_still_exists_is_cleared_only_by_name<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(bench.store.clone(), FILE);
    for pairs in ["route=asset user=u", "route=kit user=u kit=k", "route=make user=u"] {
        assert!(shop.passes(pairs).await);
    }
    let held = shop.reserve("route=llm user=u", cost(100, "1.00")).await;
    assert_eq!(held.ruling, Ruling::Allow);
    shop.reset("user=u kit=k", &[]).await;
    let stands = async |limit| shop.stands("user=u kit=k", limit).await;
    assert_eq!([stands("assets").await, stands("kits").await, stands("api").await], [(1, 0), (1, 0), (0, 0)]);
    assert_eq!([stands("tokens").await, stands("spend").await], [(0, 100), (0, 1_000_000_000)]);

    assert!(shop.passes("route=make user=u").await);
    assert_eq!(
        names(&shop.reset("user=u kit=k", &["kits", "assets", "tokens"]).await),
        ["tokens", "kits", "assets"]
    );
    assert_eq!([stands("assets").await, stands("kits").await, stands("tokens").await], [(0, 0); 3]);
    assert_eq!([stands("api").await, stands("spend").await], [(1, 0), (0, 1_000_000_000)], "not named");
}

async fn slots_are_freed_by_name_whoever_holds_them<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(bench.store.clone(), FILE);
    assert!(shop.passes("route=stream user=u").await);
    for _ in 0..2 {
        assert_eq!(shop.reserve("route=stream user=u", cost(0, "")).await.ruling, Ruling::Allow);
    }
    assert!(!shop.passes("route=stream user=u").await);
    shop.reset("user=u", &[]).await;
    assert_eq!(shop.stands("user=u", "streams").await, (0, 3));
    let reset = shop.reset("user=u", &["streams"]).await;
    assert_eq!((reset.before[0].held, shop.stands("user=u", "streams").await), (3, (0, 0)));
    for _ in 0..3 {
        assert!(shop.passes("route=stream user=u").await);
    }
    assert!(!shop.passes("route=stream user=u").await);
}

async fn who_holds_what_was_cleared_finds_that_it_lapsed<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(bench.store.clone(), FILE);
    let settle = async |held: &ReserveAnswer, tokens: u64, progress| {
        let handle = held.handle.as_ref().unwrap().to_string();
        let tokens = [(&b"input"[..], tokens)].into_iter().collect();
        let used = Some(UsageOf { tokens, usd: b"0", ..UsageOf::default() });
        let reserved = tollgate::engine::Named::Handle(handle.as_bytes());
        shop.0.settle(SettleRequest { reserved, used, progress, used_at: None }).await.unwrap()
    };
    let [first, second] = [
        shop.reserve("route=llm user=u", cost(600, "0")).await,
        shop.reserve("route=llm user=u", cost(300, "0")).await,
    ];
    shop.reset("user=u", &["tokens"]).await;
    let other = shop.reserve("route=llm user=u", cost(900, "0")).await;
    assert_eq!(other.ruling, Ruling::Allow, "the room is free");
    assert_eq!(settle(&first, 50, Progress::More).await.ruling, Ruling::Deny, "there is no room to go on");
    assert_eq!(settle(&second, 40, Progress::Done).await.tokens, 40, "what is spent is charged");
    assert_eq!(shop.stands("user=u", "tokens").await, (90, 900));
}

async fn counters_of_others_and_of_all_stay<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(bench.store.clone(), FILE);
    for pairs in ["route=make user=u", "route=make user=v", "route=kit user=u kit=k"] {
        assert!(shop.passes(pairs).await);
    }
    shop.reset("user=u", &[]).await;
    assert_eq!(shop.stands("user=v", "month").await, (1, 0));
    assert_eq!(shop.stands("user=u kit=k", "kits").await, (1, 0));
    let world = shop.reserve("limit=world", cost(0, "")).await;
    assert_eq!(world.standings[0].used, 3, "two before, and this one");
}

async fn months_begin_anew_whenever_they_begin<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(bench.store.clone(), FILE);
    for pairs in ["route=make user=u anchor=15", "route=make user=u anchor=16"] {
        for _ in 0..3 {
            assert!(shop.passes(pairs).await);
        }
        assert!(!shop.passes(pairs).await);
    }
    shop.reset("user=u anchor=15", &["month"]).await;
    assert_eq!(shop.stands("user=u anchor=15", "month").await, (0, 0));
    assert_eq!(shop.stands("user=u anchor=16", "month").await, (3, 0), "another day was asked for");
    shop.reset("user=u", &[]).await;
    assert_eq!(shop.stands("user=u anchor=16", "month").await, (0, 0));
}

async fn what_is_refused_is_not_remembered_beyond_a_reset<S: Store>(bench: Bench<S>) {
    let instance = || Shop::over(WithRefusals::new(bench.store.clone(), bench.clock.clone()), FILE);
    let [here, there] = [instance(), instance()];
    while here.passes("route=login email=a").await {}
    assert!(!there.passes("route=login email=a").await);
    here.reset("email=a", &[]).await;
    assert!(here.passes("route=login email=a").await, "at once");
    bench.clock.advance(Micros::from_secs(1));
    assert!(there.passes("route=login email=a").await, "within a second");
}

const EVEN: &str = "
domains:
  shop:
    per: user
    limits:
      a: -1/1d
      b: -1/month
      c: -1/day
      d: -1/1d fixed
      e: 1000000/1d
      f: -1 total
    routes: {all: [a, b, c, d, e, f]}
";

/// Every call charges 1 to each of six limits, so whoever finds them unlike has seen half a reset.
async fn nobody_sees_half_a_reset<S: Store>(bench: Bench<S>) {
    const RESETS: usize = 60;
    let shop = Arc::new(Shop::over(bench.store.clone(), EVEN));
    let (is_over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let caller = |shop: Arc<Shop<Arc<S>>>, is_over: Arc<AtomicBool>, calls: Arc<AtomicU64>| async move {
        while !is_over.load(Ordering::Relaxed) {
            let answer = shop.reserve("route=all user=u", cost(0, "")).await;
            let used: Vec<u64> = answer.standings.iter().map(|standing| standing.used).collect();
            assert!(used.len() == 6 && used.iter().all(|other| *other == used[0]), "half a reset: {used:?}");
            calls.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    };
    let callers: Vec<_> =
        (0..8).map(|_| tokio::spawn(caller(shop.clone(), is_over.clone(), calls.clone()))).collect();
    let mut cleared = 0;
    for _ in 0..RESETS {
        let before = calls.load(Ordering::Relaxed);
        while calls.load(Ordering::Relaxed) < before + 8 {
            tokio::task::yield_now().await;
        }
        let reset = shop.reset("user=u", &["a", "b", "c", "d", "e", "f"]).await;
        let used: Vec<u64> = reset.before.iter().map(|standing| standing.used).collect();
        assert!(used.iter().all(|other| *other == used[0]), "{used:?}");
        cleared += used[0];
    }
    is_over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let left = shop.stands("user=u", "a").await.0;
    assert_eq!(cleared + left, calls.load(Ordering::Relaxed), "nothing was lost beside the resets");
}

async fn a_mistake_clears_nothing<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(bench.store.clone(), FILE);
    assert!(shop.passes("route=make user=u").await);
    for (limits, mistake, text) in [
        (
            &["api", "mont"][..],
            Mistake::Unknown,
            "limit: the domain has no limit 'mont'; did you mean 'month'?",
        ),
        (&["kits"], Mistake::Invalid, "limit: 'kits' is kept per user+kit, which the entries do not say"),
        (&["world"], Mistake::Invalid, "limit: 'world' is kept per all; name nobody beside it"),
    ] {
        let error = shop.try_reset("user=u", limits).await.unwrap_err();
        assert_eq!((error.mistake(), error.to_string().as_str()), (mistake, text));
    }
    assert_eq!(shop.stands("user=u", "api").await, (1, 0));
}
