//! Why a call was refused, and who asks the most: what is remembered of calls, and what is not.

use std::sync::Arc;

use tollgate::engine::{
    BreakerOf, Code, ExplainCall, Foreseen, Mistake, Operate, Reason, Ruling, SetBreaker, Setting, TierFrom,
    TopOf, UsageOf,
};
use tollgate::limits::Number;
use tollgate::store::Store;

use crate::support::admins::ann;
use crate::support::bench::{Bench, promises};
use crate::support::shop::{Shop, who};

promises!(of [memory, redis]: {
    what_a_call_would_touch_is_told_and_not_charged,
    a_breaker_that_is_open_is_told,
    a_refusal_is_told_by_the_id_of_its_call,
    of_many_refusals_the_last_are_known,
    who_asks_the_most_is_known,
    who_reserves_the_most_is_known,
});

const FILE: &str = "
domains:
  shop:
    per: user
    tier: {default: free}
    limits:
      api:   1000000/1m
      month: month
      all:   1000000/1m per all
    tiers:
      free: {month: 2}
      pro:  {extends: free, month: 5}
    routes:
      '*': [api, all]
      make: month
";

fn shop<S: Store>(bench: &Bench<S>) -> Shop<Arc<S>> {
    Shop::over(bench.store.clone(), FILE)
}

async fn what_a_call_would_touch_is_told_and_not_charged<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    let explain =
        async |pairs: &str, hits| shop.0.explain(ExplainCall { who: who(pairs), hits }).await.unwrap();
    assert_eq!(shop.code("route=make user=u").await, Code::Ok);
    let told = explain("route=make user=u", None).await;
    assert_eq!(
        (told.route.as_deref(), &*told.tier, told.tier_from),
        (Some("make"), "free", TierFrom::Default)
    );
    assert_eq!(told.verdict, Foreseen::Passes);
    let limits: Vec<(&str, u64, u64, Number)> = told
        .limits
        .iter()
        .map(|limit| (&*limit.standing.limit, limit.standing.used, limit.asks, limit.number.number))
        .collect();
    let million = Number::AtMost(1_000_000);
    assert_eq!(limits, [("month", 1, 1, Number::AtMost(2)), ("api", 1, 1, million), ("all", 1, 1, million)]);
    assert_eq!(explain("route=make user=u", None).await, told, "nothing is charged by asking");
    let told = explain("route=make user=u", Some(2)).await;
    assert_eq!((told.verdict, told.limits[0].standing.reason), (Foreseen::Refused, Some(Reason::OverLimit)));
    assert_eq!(told.limits[1].standing.ruling, Ruling::Allow);
    assert_eq!(explain("route=make user=u tier=pro", Some(2)).await.verdict, Foreseen::Passes);
    assert_eq!(
        explain("route=make user=u tier=pro", Some(6)).await.limits[0].standing.reason,
        Some(Reason::TooLarge)
    );
    for (pairs, text) in [
        ("route=mak user=u", "route: the domain has no route 'mak'; did you mean 'make'?"),
        ("limit=mnth user=u", "limit: the domain has no limit 'mnth'; did you mean 'month'?"),
    ] {
        let error = shop.0.explain(ExplainCall { who: who(pairs), hits: None }).await.unwrap_err();
        assert_eq!((error.mistake(), error.to_string().as_str()), (Mistake::Unknown, text));
    }
}

async fn a_breaker_that_is_open_is_told<S: Store>(bench: Bench<S>) {
    let file = "
domains:
  shop:
    per: user
    limits:
      cap:  {limit: $5.00/1d per all, on_limit: trip, reset: manual}
      mine: $3.00/day
    routes: {llm: mine}
";
    let shop = Shop::over(bench.store, file);
    let explain =
        async || shop.0.explain(ExplainCall { who: who("route=llm user=u"), hits: None }).await.unwrap();
    assert_eq!(explain().await.verdict, Foreseen::Passes);
    let which = BreakerOf { domain: None, limit: b"cap", subject: Vec::new() };
    let request = SetBreaker { which, to: Setting::Open, reason: "a test" };
    assert_eq!(shop.0.set_breaker(&ann(), request).await.unwrap().version, 1);
    let record = &shop.records().await[0];
    assert_eq!((&*record.action, &record.target["limit"]), ("set_breaker", &"cap".into()));
    assert_eq!((&record.before["breaker"], &record.after["breaker"]), (&"closed".into(), &"open".into()));
    let told = explain().await;
    assert_eq!(told.verdict, Foreseen::Refused);
    let cap = told.limits.iter().find(|limit| &*limit.standing.limit == "cap").unwrap();
    assert_eq!(cap.standing.reason, Some(Reason::BreakerOpen));
}

async fn a_refusal_is_told_by_the_id_of_its_call<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    for _ in 0..5 {
        assert_eq!(shop.code("route=make user=u tier=pro request_id=before").await, Code::Ok);
    }
    assert_eq!(shop.code("route=make user=u tier=pro request_id=r1").await, Code::OverLimit);
    assert_eq!(shop.code("route=make user=u tier=pro").await, Code::OverLimit);
    let refusal = shop.0.refusal(b"r1").expect("it is remembered");
    assert_eq!((&*refusal.domain, &*refusal.tier, refusal.at), ("shop", "pro", bench.clock.now()));
    let [by] = refusal.limits.as_slice() else { panic!("{refusal:?}") };
    assert_eq!((&*by.limit, by.reason), ("month", Reason::OverLimit));
    assert_eq!((by.number, by.used, by.held), (Number::AtMost(5), 5, 0));
    assert!(by.retry_after.is_some());
    assert_eq!([shop.0.refusal(b"before"), shop.0.refusal(b"r2"), shop.0.refusal(b"")], [None, None, None]);
    assert!(!format!("{refusal:?}").contains("\"u\""));
}

async fn of_many_refusals_the_last_are_known<S: Store>(bench: Bench<S>) {
    const PLACES: usize = 4096;
    let shop = shop(&bench);
    while shop.code("route=make user=u").await == Code::Ok {}
    for call in 0..PLACES + 2 {
        shop.code(&format!("route=make user=u request_id=r{call}")).await;
    }
    let known = |call: usize| shop.0.refusal(format!("r{call}").as_bytes()).is_some();
    assert_eq!([0, 1, 2, PLACES + 1].map(known), [false, false, true, true]);
    let long = "x".repeat(129);
    shop.code(&format!("route=make user=u request_id={long}")).await;
    assert_eq!(shop.0.refusal(long.as_bytes()), None);
}

async fn who_asks_the_most_is_known<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    let top = |limit: &'static str, most| {
        shop.0.top(TopOf { domain: None, limit: limit.as_bytes(), most: Some(most) }).unwrap()
    };
    assert_eq!((top("api", 3).since, top("api", 3).consumers.len()), (None, 0));
    // Whoever is looked at is one in 256, so turns must not fall in step with that.
    for call in 0..25_600_usize {
        let user = match call * 7919 % 10 {
            0..6 => "ann".to_owned(),
            6..9 => "bob".to_owned(),
            _ => format!("u{call}"),
        };
        shop.code(&format!("route=other user={user}")).await;
    }
    let told = top("api", 2);
    assert_eq!((told.since, told.one_in), (Some(bench.clock.now()), 256));
    let names: Vec<&[u8]> = told.consumers.iter().map(|consumer| &*consumer.subject[0].value).collect();
    assert_eq!(names, [&b"ann"[..], b"bob"]);
    let [ann, bob] = [0, 1].map(|place| told.consumers[place].hits);
    assert!((7_680..=23_040).contains(&ann) && (2_560..=15_360).contains(&bob), "{ann} and {bob}");
    assert!(top("all", 2).consumers.is_empty(), "that is everybody");
    let error = shop.0.top(TopOf { domain: None, limit: b"apo", most: None }).unwrap_err();
    assert_eq!(error.mistake(), Mistake::Unknown);
}

async fn who_reserves_the_most_is_known<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    for _ in 0..512 {
        drop(shop.reserve("limit=api user=ann", UsageOf::default()).await);
        // What ends is nobody's ask.
        assert_eq!(shop.code("limit=api user=eve reserve=10").await, Code::Ok);
        shop.code("limit=api user=bob hold=unknown").await;
    }
    let told = shop.0.top(TopOf { domain: None, limit: b"api", most: None }).unwrap();
    let known = told.consumers.iter().map(|consumer| (&*consumer.subject[0].value, consumer.hits));
    let mut known: Vec<_> = known.collect();
    known.sort_unstable();
    // Of 1,536 calls six are looked at, two of each.
    assert_eq!(known, [(&b"ann"[..], 512), (b"eve", 512)]);
}
