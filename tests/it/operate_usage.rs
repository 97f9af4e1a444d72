//! What operators see of a subject: all its limits in one step, by the numbers of its tier.

use std::sync::Arc;

use tollgate::engine::{Code, LimitUsage, Mistake, Operate, SubjectUsage, TierFrom, Who};
use tollgate::limits::Number;
use tollgate::store::Store;
use tollgate::store::redis::RedisStore;

use crate::support::bench::{Bench, promises};
use crate::support::shop::{Shop, who};

promises!(of [memory, redis]: {
    every_limit_of_a_subject_is_told_with_what_is_used,
    limits_of_others_are_not_told,
    the_numbers_are_those_of_the_tier,
    the_tier_that_calls_name_is_remembered,
    an_address_is_read_as_calls_have_it_read,
    a_mistake_is_told_with_what_was_meant,
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
      all:    100/1m per all
      bulk:   request
    tiers:
      anonymous: {'*': 0, api: 3}
      free: {api: 6, month: 3, kits: 2, bulk: 10}
      pro:  {extends: free, api: 24, month: -1}
    routes:
      '*':   [api, all]
      make:  month
      kit:   kits
      login: login
";

fn shop<S: Store>(bench: &Bench<S>) -> Shop<Arc<S>> {
    Shop::over(bench.store.clone(), FILE)
}

fn names(usage: &SubjectUsage) -> Vec<&str> {
    usage.limits.iter().map(|limit| &*limit.standing.limit).collect()
}

fn of<'u>(usage: &'u SubjectUsage, name: &str) -> &'u LimitUsage {
    usage.limits.iter().find(|limit| &*limit.standing.limit == name).expect("it is told")
}

async fn every_limit_of_a_subject_is_told_with_what_is_used<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    for route in ["make", "make", "kit"] {
        assert_eq!(shop.code(&format!("route={route} user=u kit=k")).await, Code::Ok);
    }
    let usage = shop.usage("user=u kit=k").await;
    assert_eq!(names(&usage), ["api", "month", "kits", "bulk"], "in the order of the file");
    let used: Vec<u64> = usage.limits.iter().map(|limit| limit.standing.used).collect();
    assert_eq!(used, [3, 2, 1, 0]);
    let month = of(&usage, "month");
    assert!(month.standing.resets_at.is_some_and(|at| at > bench.clock.now()));
    assert_eq!(of(&usage, "kits").standing.resets_at, None, "only who gives back");
    assert_eq!(shop.usage("user=u kit=k").await, usage, "nothing is charged by asking");
}

async fn limits_of_others_are_not_told<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    assert_eq!(names(&shop.usage("user=u").await), ["api", "month", "bulk"], "without a kit");
    assert_eq!(names(&shop.usage("email=a").await), ["login"]);
    assert_eq!(names(&shop.usage("ip=10.0.0.1").await), ["login", "api"]);
}

async fn the_numbers_are_those_of_the_tier<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    for (pairs, tier, from, api, month) in [
        ("user=u", "free", TierFrom::Default, Number::AtMost(6), Number::AtMost(3)),
        ("user=u tier=pro", "pro", TierFrom::Given, Number::AtMost(24), Number::Unlimited),
    ] {
        let usage = shop.usage(pairs).await;
        assert_eq!((&*usage.tier, usage.tier_from), (tier, from));
        assert_eq!([of(&usage, "api").number.number, of(&usage, "month").number.number], [api, month]);
    }
    assert_eq!(&*shop.usage("ip=10.0.0.1").await.tier, "anonymous");
}

async fn the_tier_that_calls_name_is_remembered<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    let tier = async |pairs: &str| {
        let usage = shop.usage(pairs).await;
        (usage.tier.to_string(), usage.tier_from)
    };
    let [free, pro] = ["free", "pro"].map(str::to_owned);
    shop.code("route=make user=u tier=pro").await;
    shop.code("route=make user=u").await;
    assert_eq!(tier("user=u").await, (pro.clone(), TierFrom::Seen), "who names none says nothing");
    assert_eq!(tier("user=v").await, (free.clone(), TierFrom::Default));
    assert_eq!(tier("user=u tier=free").await, (free.clone(), TierFrom::Given));
    shop.code("route=make user=u tier=free").await;
    assert_eq!(tier("user=u").await, (free.clone(), TierFrom::Seen), "the last one counts");
    shop.code("route=make user=w tier=pro").await;
    shop.code("route=make user=w tier=gold").await;
    assert_eq!(tier("user=w").await, (free, TierFrom::Seen), "as there is no gold");
    let other = Shop::over(bench.store.clone(), &FILE.replace("  shop:", "  store:"));
    assert_eq!(tier("user=u").await.1, TierFrom::Seen);
    assert_eq!(other.usage("user=u").await.tier_from, TierFrom::Default);
}

async fn an_address_is_read_as_calls_have_it_read<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    shop.code("remote_address=2001:db8::1").await;
    for pairs in ["ip=2001:db8::2", "remote_address=2001:db8::3"] {
        assert_eq!(of(&shop.usage(pairs).await, "api").standing.used, 1, "{pairs}");
    }
}

async fn a_mistake_is_told_with_what_was_meant<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    let (invalid, unknown) = (Mistake::Invalid, Mistake::Unknown);
    for (domain, pairs, mistake, text) in [
        (Some("shpo"), "user=u", unknown, "domain: there is no domain 'shpo'; did you mean 'shop'?"),
        (None, "user=u tier=fre", unknown, "tier: the domain has no tier 'fre'; did you mean 'free'?"),
        (None, "usr=u", invalid, "subject.entries: no limit is kept per 'usr'; did you mean 'user'?"),
        (None, "tier=pro", invalid, "subject.entries: say whose; limits are kept per email, ip, kit, user"),
        (None, "user=", invalid, "subject.entries: say whose; limits are kept per email, ip, kit, user"),
        (None, "user=u user=v", invalid, "subject.entries: the key 'user' stands twice"),
    ] {
        let error =
            shop.0.usage_of(Who { domain: domain.map(str::as_bytes), ..who(pairs) }).await.unwrap_err();
        assert_eq!((error.mistake(), error.to_string().as_str()), (mistake, text));
    }
    let two = Shop::over(bench.store.clone(), &format!("{FILE}\n  bar: {{limits: {{a: 1/1m per ip}}}}"));
    let error = two.0.usage_of(who("user=u")).await.unwrap_err();
    assert_eq!(error.to_string(), "domain: must be given, there are several: bar, shop");
}

/// So many limits of one user, of every kind.
fn many_limits(count: usize) -> String {
    let windows = ["5/15m", "7/month", "3/day", "10/1s burst 20", "50 total", "10 concurrent", "9/1h fixed"];
    let limit = |number: usize| format!("      limit{number}: {}\n", windows[number % windows.len()]);
    let limits: String = (0..count).map(limit).collect();
    format!("domains:\n  shop:\n    per: user\n    limits:\n{limits}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_limits_are_told_in_one_round_trip_whoever_else_there_is() {
    let bench = Bench::<RedisStore>::redis().await;
    let shop = Shop::over(bench.store.clone(), &many_limits(35));
    for user in 0..200 {
        shop.code(&format!("limit=limit{} user=u{user}", user % 35)).await;
    }
    assert_eq!(shop.usage("user=u0").await.limits.len(), 35);
    let before = bench.commands();
    let usage = shop.usage("user=u36").await;
    let after = bench.commands();
    assert_eq!(of(&usage, "limit1").standing.used, 1);
    assert_eq!(after["evalsha"] - before["evalsha"], 1);
    for command in ["scan", "keys", "hscan", "sscan", "zscan"] {
        assert!(!after.contains_key(command), "{command} was sent");
    }
}
