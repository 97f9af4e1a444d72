//! On which tier users were seen: known to all who look, whoever of them saw it, and through the ends of their processes.

use std::time::Duration;

use serde_json::{Value, json};
use tollgate::engine::{
    Change, ChangeTerms, Code, ExplainCall, Mistake, Operate, Reach, SetTier, TierChanged, TierFrom,
    UpdateLimit,
};
use tollgate::limits::{Entry, Number};
use tollgate::store::Store;
use tollgate::store::fallback::{FallbackSettings, WithFallback};

use crate::admin_routes::{PRODUCTS, Page};
use crate::support::admins::ann;
use crate::support::bench::{Bench, promises};
use crate::support::gone::Gone;
use crate::support::process::Tollgate;
use crate::support::redis::RedisServer;
use crate::support::shop::{Shop, who};
use crate::support::tools::Tool;

promises!(of [memory, redis]: {
    the_tier_of_a_user_is_known_to_others_once_it_is_written_down,
    what_was_seen_since_is_known_before_it_is_written_down,
    no_more_waits_than_there_is_room_for,
    newcomers_are_told_a_few_at_a_time_and_keep_nobody_back,
    what_is_explained_is_not_seen,
    how_large_a_change_is_goes_by_the_tier_that_others_saw,
    what_calls_name_is_told_before_what_is_assigned,
    what_no_call_has_named_for_an_hour_gives_way_to_what_is_assigned,
    a_tier_that_there_is_not_is_told_as_the_default_that_it_is,
});

const FILE: &str = "
domains:
  shop:
    per: user
    tier: {default: free, anonymous: anonymous}
    limits:
      login:  5/15m per email|ip
      api:    1m per user|ip
      month:  month
      kits:   total per user+kit
      burst:  1h burst 9
    tiers:
      anonymous: {'*': 0, api: 3}
      free: {api: 6, month: 3, kits: 2, burst: 9}
      pro:  {extends: free, api: 24, month: -1, burst: 90}
    routes:
      make:  [api, month, burst]
      kit:   kits
      login: login
";

/// So many newcomers are told from one time it is written to the next.
const NEWCOMERS: usize = 16;

impl<S: Store> Shop<S> {
    /// Writes down what was seen. How much that was.
    async fn write(&self) -> usize {
        self.0.write_tiers(usize::MAX).await
    }

    async fn set_tier(&self, user: &str, tier: Option<&str>) -> TierChanged {
        let user = format!("user={user}");
        let (tier, terms) = (tier.map(str::as_bytes), ChangeTerms::default());
        self.0.set_tier(&ann(), SetTier { who: who(&user), tier, until: None, terms }).await.unwrap()
    }

    /// The tier that is set for a user.
    async fn assigned(&self, user: &str) -> Option<String> {
        self.usage(&format!("user={user}")).await.assigned.map(String::from)
    }

    /// The tier of a user, how it is known, and what it allows a month.
    async fn seen(&self, user: &str) -> (String, TierFrom, Number) {
        let usage = self.usage(&format!("user={user}")).await;
        let month = usage.limits.iter().find(|limit| &*limit.standing.limit == "month").unwrap();
        assert_eq!(month.number.number, month.standing.most);
        (usage.tier.to_string(), usage.tier_from, month.number.number)
    }
}

fn by_default() -> (String, TierFrom, Number) {
    ("free".to_owned(), TierFrom::Default, Number::AtMost(3))
}

fn free() -> (String, TierFrom, Number) {
    ("free".to_owned(), TierFrom::Seen, Number::AtMost(3))
}

fn pro() -> (String, TierFrom, Number) {
    ("pro".to_owned(), TierFrom::Seen, Number::Unlimited)
}

async fn the_tier_of_a_user_is_known_to_others_once_it_is_written_down<S: Store>(bench: Bench<S>) {
    let [one, other] = [(); 2].map(|()| Shop::over(bench.store.clone(), FILE));
    assert_eq!([one.write().await, other.write().await], [0, 0]);
    for call in ["user=ann tier=pro", "user=bob", "user=bob tier=unknown", "ip=10.0.0.1 tier=pro"] {
        one.code(&format!("route=make {call}")).await;
    }
    assert_eq!(other.seen("ann").await, by_default());
    assert_eq!(one.write().await, 2, "only of users, and only if they name one");
    assert_eq!(other.seen("ann").await, pro());
    assert_eq!(other.seen("bob").await, free(), "which decides where there is none of that name");
    one.code("route=make user=ann tier=pro").await;
    one.code("route=kit user=ann kit=k tier=pro").await;
    assert_eq!(one.write().await, 0, "it is no news");
    other.code("route=kit user=ann kit=k tier=free").await;
    assert_eq!(other.write().await, 1);
    assert_eq!([one.seen("ann").await, other.seen("ann").await], [free(), free()], "the last one counts");
    bench.pass(34 * 86_400);
    assert_eq!(one.seen("ann").await, free());
    bench.pass(2 * 86_400);
    assert_eq!(
        Shop::over(bench.store.clone(), FILE).seen("ann").await,
        by_default(),
        "nobody came for 35 days"
    );
}

async fn what_was_seen_since_is_known_before_it_is_written_down<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(bench.store.clone(), FILE);
    shop.write().await;
    shop.code("route=make user=ann tier=pro").await;
    shop.write().await;
    shop.code("route=make user=ann tier=free").await;
    assert_eq!(shop.seen("ann").await, free(), "the store has the one before");
    shop.write().await;
    assert_eq!(shop.seen("ann").await, free());
}

async fn no_more_waits_than_there_is_room_for<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(bench.store.clone(), FILE);
    shop.write().await;
    let calls = async |users: std::ops::Range<usize>, tier: &str| {
        for user in users {
            shop.code(&format!("limit=month user=u{user} tier={tier}")).await;
        }
    };
    // All are known once they were told, but those whose places others have.
    for first in (0..1_100).step_by(NEWCOMERS) {
        calls(first..first + NEWCOMERS, "pro").await;
        shop.write().await;
    }
    calls(0..1_100, "free").await;
    assert_eq!(shop.seen("u1099").await, free(), "this one has no room, and is known here");
    assert_eq!(shop.write().await, 1_024);
    calls(0..1_100, "free").await;
    let rest = shop.write().await;
    assert!((60..200).contains(&rest), "those who found no room, and those whose place another took: {rest}");
}

async fn newcomers_are_told_a_few_at_a_time_and_keep_nobody_back<S: Store>(bench: Bench<S>) {
    let [shop, other] = [(); 2].map(|()| Shop::over(bench.store.clone(), FILE));
    shop.write().await;
    let call = async |user: &str, tier: &str| {
        shop.code(&format!("limit=month user={user} tier={tier}")).await;
    };
    call("ann", "pro").await;
    assert_eq!(shop.write().await, 1);
    for user in 0..3 * NEWCOMERS {
        call(&format!("u{user}"), "pro").await;
    }
    call("bob", "pro").await;
    call("ann", "free").await;
    assert_eq!(shop.seen("bob").await, pro(), "known here");
    assert_eq!(shop.write().await, NEWCOMERS + 1, "some who are new, and all that has changed");
    assert_eq!([other.seen("ann").await, other.seen("bob").await], [free(), by_default()]);
    call("bob", "pro").await;
    assert_eq!((shop.write().await, other.seen("bob").await), (1, pro()), "it was new still");
}

#[tokio::test(start_paused = true)]
async fn what_others_see_since_counts_also_where_it_could_not_be_told() {
    let bench = Bench::memory().await;
    let [shop, other] = [(); 2].map(|()| Shop::over(bench.store.clone(), FILE));
    shop.write().await;
    for user in 0..NEWCOMERS {
        shop.code(&format!("limit=month user=u{user} tier=free")).await;
    }
    shop.code("route=make user=ann tier=free").await;
    other.write().await;
    other.code("route=make user=ann tier=pro").await;
    other.write().await;
    assert_eq!(shop.seen("ann").await, free(), "it was seen of late, and may be the newer one");
    let writing = shop.0.clone().keep_writing_tiers();
    tokio::time::timeout(Duration::from_secs(17 * 60 + 10), writing).await.unwrap_err();
    assert_eq!(shop.seen("ann").await, pro());
}

#[tokio::test]
async fn what_the_store_does_not_take_waits() {
    let shop = Shop::over(Gone::default(), FILE);
    shop.write().await;
    shop.code("route=make user=ann tier=pro").await;
    assert_eq!([shop.write().await, shop.write().await], [0, 0]);
    let bench = Bench::memory().await;
    let (store, settings) = (bench.store.clone(), FallbackSettings::default());
    let shop = Shop::over(WithFallback::new(store, settings, bench.clock.clone()), FILE);
    shop.write().await;
    shop.code("route=make user=ann tier=pro").await;
    assert_eq!(shop.write().await, 1);
    assert_eq!(
        Shop::over(bench.store.clone(), FILE).seen("ann").await,
        pro(),
        "the store has it, and not what stands in"
    );
}

async fn what_is_explained_is_not_seen<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(bench.store.clone(), FILE);
    shop.write().await;
    let call = ExplainCall { who: who("route=make user=ann tier=pro"), hits: None };
    let told = shop.0.explain(call).await.unwrap();
    assert_eq!((&*told.tier, told.tier_from), ("pro", TierFrom::Given));
    assert_eq!((shop.seen("ann").await, shop.write().await), (by_default(), 0));
}

async fn how_large_a_change_is_goes_by_the_tier_that_others_saw<S: Store>(bench: Bench<S>) {
    let [one, other] = [(); 2].map(|()| Shop::over(bench.store.clone(), FILE));
    one.write().await;
    one.code("route=make user=ann tier=pro").await;
    one.write().await;
    let change = async |user: &str, max: i64| {
        let of = Reach::Subject(vec![Entry { key: b"user", value: user.as_bytes() }]);
        let (terms, to) = (ChangeTerms::default(), Change::Number(max));
        let update = UpdateLimit { domain: None, limit: b"month", of, to, until: None, terms };
        other.0.update(&ann(), update).await
    };
    let refused = change("ann", 10).await.unwrap_err();
    assert_eq!(refused.mistake(), Mistake::Guarded, "ann has it unlimited: {refused}");
    assert_eq!(change("bob", 10).await.unwrap().before.number.number, Number::AtMost(3));
}

async fn what_calls_name_is_told_before_what_is_assigned<S: Store>(bench: Bench<S>) {
    let [shop, other] = [(); 2].map(|()| Shop::over(bench.store.clone(), FILE));
    shop.write().await;
    for (user, calls) in [("before", "route=make user=before tier=free"), ("never", "route=make user=never")]
    {
        shop.code(calls).await;
        let named = shop.set_tier(user, Some("pro")).await.named;
        assert_eq!(named.as_deref(), (user == "before").then_some("free"), "{user}");
    }
    assert_eq!(shop.seen("before").await, free(), "what decides next is what the calls name");
    assert_eq!(shop.assigned("before").await.as_deref(), Some("pro"));
    let assigned = ("pro".to_owned(), TierFrom::Assigned, Number::Unlimited);
    assert_eq!(shop.seen("never").await, assigned);
    shop.code("route=make user=never tier=free").await;
    assert_eq!(shop.seen("never").await, free());
    let calls = async |pairs: &str| {
        let pairs = format!("route=make user=never {pairs}");
        shop.0.explain(ExplainCall { who: who(&pairs), hits: None }).await.unwrap().tier.to_string()
    };
    assert_eq!([calls("tier=free").await, calls("").await], ["free", "pro"], "as is decided");
    shop.write().await;
    assert_eq!(other.set_tier("never", Some("pro")).await.named.as_deref(), Some("free"), "seen by another");
    assert_eq!(shop.set_tier("never", None).await.named, None, "nothing is set");
    assert_eq!((shop.assigned("never").await, shop.seen("never").await), (None, free()));
}

async fn a_tier_that_there_is_not_is_told_as_the_default_that_it_is<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(bench.store, FILE);
    for user in ["wrong", "renamed"] {
        shop.code(&format!("route=make user={user} tier=pro")).await;
        shop.set_tier(user, Some("pro")).await;
        for _ in 0..3 {
            shop.code(&format!("route=make user={user} tier=Pro")).await;
        }
        let calls = shop.code(&format!("route=make user={user} tier=gold")).await;
        assert_eq!((calls, shop.seen(user).await), (Code::OverLimit, free()), "{user}");
        assert_eq!(shop.set_tier(user, Some("pro")).await.named.as_deref(), Some("free"), "{user}");
    }
}

async fn what_no_call_has_named_for_an_hour_gives_way_to_what_is_assigned<S: Store>(bench: Bench<S>) {
    let [shop, other] = [(); 2].map(|()| Shop::over(bench.store.clone(), FILE));
    shop.write().await;
    shop.code("route=make user=ann tier=free").await;
    shop.write().await;
    bench.pass(3_590);
    assert_eq!(other.set_tier("ann", Some("pro")).await.named.as_deref(), Some("free"));
    assert_eq!(other.seen("ann").await, free(), "within the hour");
    bench.pass(20);
    let assigned = ("pro".to_owned(), TierFrom::Assigned, Number::Unlimited);
    assert_eq!(other.seen("ann").await, assigned);
    assert_eq!(other.set_tier("ann", Some("pro")).await.named, None, "no call of today does");
    other.set_tier("ann", None).await;
    assert_eq!(other.seen("ann").await, free(), "nobody knows better");
    assert_eq!(other.set_tier("ann", Some("pro")).await.named, None, "and yet no call of today does");
    shop.code("route=make user=ann tier=pro").await;
    shop.code("route=make user=ann tier=free").await;
    shop.write().await;
    assert_eq!(other.seen("ann").await, free(), "they do again");
}

#[tokio::test(start_paused = true)]
async fn what_an_instance_has_seen_itself_gives_way_as_well() {
    let bench = Bench::memory().await;
    let shop = Shop::over(bench.store.clone(), FILE);
    shop.write().await;
    let round = Duration::from_secs(17 * 60 + 10);
    let pass = async || {
        _ = tokio::time::timeout(round, shop.0.clone().keep_writing_tiers()).await;
    };
    shop.code("route=make user=ann tier=free").await;
    shop.set_tier("ann", Some("pro")).await;
    pass().await;
    bench.pass(36 * 86_400);
    assert_eq!(shop.seen("ann").await, free(), "it may have been seen just before the round began");
    pass().await;
    assert_eq!(shop.seen("ann").await, ("pro".to_owned(), TierFrom::Assigned, Number::Unlimited));
    shop.set_tier("ann", None).await;
    assert_eq!(shop.seen("ann").await, free(), "nobody knows better");
    shop.code("route=make user=ann tier=free").await;
    shop.set_tier("ann", Some("pro")).await;
    assert_eq!(shop.seen("ann").await, free(), "it is news again");
}

/// The usage of a user, as `page` tells it: the tier, how it is known, and what it allows.
fn told(page: &Page, user: &str) -> [Value; 3] {
    let (status, usage) = page.get(&format!("/usage/{user}?domain=aurastream"));
    assert_eq!(status, 200, "{usage}");
    [
        usage["tier"].clone(),
        usage["tier_source"].clone(),
        usage["limits"]["monthly_creations"]["limit"].clone(),
    ]
}

fn create(at: &Page, user: &str) {
    let call = [("method", "POST"), ("path", "/generate"), ("user", user), ("tier", "pro")];
    assert_eq!(at.call(&call), 200);
}

fn until_pro(page: &Page, user: &str) {
    for _ in 0..600 {
        if told(page, user) == [json!("pro"), json!("seen"), json!(50)] {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{:?}", told(page, user));
}

#[test]
fn all_instances_know_the_tier_and_those_that_come_after_them() {
    let redis = RedisServer::start(Tool::Redis);
    let open =
        || Page(Tollgate::with(&[PRODUCTS, "--store", &redis.url()], &[("TOLLGATE_STORE_TIMEOUT", "10s")]));
    let [one, other] = [open(), open()];
    create(&one, "ann");
    until_pro(&other, "ann");
    create(&one, "bob");
    let Page(one) = one;
    one.signal("TERM");
    assert!(one.wait().0.success());
    assert_eq!(
        told(&other, "bob"),
        [json!("pro"), json!("seen"), json!(50)],
        "what was seen last is written"
    );
    drop(other);
    assert_eq!(told(&open(), "ann"), [json!("pro"), json!("seen"), json!(50)]);
}

#[test]
fn the_data_directory_keeps_the_tier() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let open = || Page(Tollgate::with(&[PRODUCTS, "--data-dir", path], &[]));
    let Page(service) = {
        let page = open();
        create(&page, "ann");
        page
    };
    service.signal("TERM");
    assert!(service.wait().0.success());
    let mut page = open();
    assert_eq!(told(&page, "ann"), [json!("pro"), json!("seen"), json!(50)], "told to end");
    create(&page, "bob");
    // As long as a killed process may lose.
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    page.0.kill();
    let page = open();
    assert_eq!(told(&page, "bob"), [json!("pro"), json!("seen"), json!(50)], "killed");
}
