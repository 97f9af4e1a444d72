//! Resets and what stops everybody: breakers that a subject has opened, breakers that all share, and limits per all.

use std::sync::Arc;

use serde_json::json;
use tollgate::audit::Role;
use tollgate::auth::{Token, TokenEntry};
use tollgate::engine::{
    BreakerOf, Hold, Mistake, Named, Operate, Progress, SetBreaker, Setting, SettleRequest, UsageOf, Who,
};
use tollgate::limits::BreakerState;
use tollgate::store::Store;

use crate::admin_routes::{PRODUCTS, Page};
use crate::support::admins::ann;
use crate::support::bench::{Bench, promises};
use crate::support::http;
use crate::support::process::Tollgate;
use crate::support::shop::{Shop, entries};

promises!(of [memory, redis]: {
    who_begins_anew_is_not_stopped_by_what_they_have_spent,
    a_breaker_that_all_share_is_left_and_told_of,
    a_breaker_that_was_opened_by_hand_is_left_and_told_of,
    what_all_share_begins_anew_by_name,
    what_all_share_is_told_where_nobody_is_named,
});

const FILE: &str = "
domains:
  shop:
    per: user
    tier: {default: free}
    tiers: {free: {api: 9}, pro: {api: 90}}
    limits:
      api:   1m
      mine:  {limit: $5.00/1h, on_limit: trip, reset: manual}
      cap:   $100.00/1h
      stop:  {limit: $20.00/day per all, on_limit: trip, reset: manual}
      world: 100/1d per all
    routes:
      '*':  world
      mine: [mine, cap]
      llm:  [stop, cap]
      ping: api
";

fn shop<S: Store>(bench: &Bench<S>) -> Shop<Arc<S>> {
    Shop::over(bench.store.clone(), FILE)
}

/// Reserves so many dollars and spends them.
async fn spend<S: Store>(shop: &Shop<S>, pairs: &str, usd: &str) {
    let cost = || UsageOf { usd: usd.as_bytes(), ..UsageOf::default() };
    let held = shop.reserve(pairs, cost()).await;
    let handle = held.handle.expect("there is room").to_string();
    let reserved = Named::Handle(handle.as_bytes());
    let settle = SettleRequest { reserved, used: Some(cost()), progress: Progress::Done, used_at: None };
    shop.0.settle(settle).await.unwrap();
}

fn names(limits: &[Arc<str>]) -> Vec<&str> {
    limits.iter().map(|name| &**name).collect()
}

async fn who_begins_anew_is_not_stopped_by_what_they_have_spent<S: Store>(bench: Bench<S>) {
    let [here, there] = [(); 2].map(|()| shop(&bench));
    for user in ["u", "v"] {
        spend(&here, &format!("route=mine user={user}"), "5.00").await;
        assert!(!here.passes(&format!("route=mine user={user}")).await);
    }
    let reset = here.reset("user=u", &[]).await;
    assert_eq!((names(&reset.closed), names(&reset.open)), (vec!["mine"], vec![]));
    let record = &here.records().await[0];
    assert_eq!(
        record.before["mine"],
        json!({"used": 5_000_000_000_u64, "breaker": "open"}),
        "{}",
        record.before
    );
    assert_eq!(record.before["cap"].get("breaker"), None);
    assert!(here.passes("route=mine user=u").await && there.passes("route=mine user=u").await);
    assert!(!there.passes("route=mine user=v").await, "of others nothing is closed");
    assert_eq!(names(&here.reset("user=u", &[]).await.closed), [""; 0], "it is closed already");
    let reset = here.reset("user=v", &["cap"]).await;
    assert_eq!(names(&reset.closed), [""; 0], "its limit is not named");
    assert!(!here.passes("route=mine user=v").await);
}

async fn a_breaker_that_all_share_is_left_and_told_of<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    spend(&shop, "route=llm user=u", "20.00").await;
    assert!(!shop.passes("route=llm user=u").await);
    let reset = shop.reset("user=u", &[]).await;
    assert_eq!((names(&reset.closed), names(&reset.open)), (vec![], vec!["stop"]));
    assert!(!shop.passes("route=llm user=u").await);
}

async fn a_breaker_that_was_opened_by_hand_is_left_and_told_of<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    let set = async |to| {
        let which = BreakerOf { domain: None, limit: b"mine", subject: entries("user=u").collect() };
        shop.0.set_breaker(&ann(), SetBreaker { which, to, reason: "a test" }).await.unwrap().before.breaker
    };
    spend(&shop, "route=mine user=u", "1.00").await;
    set(Setting::Open).await;
    for limits in [&[][..], &["mine"]] {
        let reset = shop.reset("user=u", limits).await;
        assert_eq!((names(&reset.closed), names(&reset.open)), (vec![], vec!["mine"]));
        assert_eq!(shop.records().await[0].before["mine"].get("breaker"), None, "it is as it was");
        assert!(!shop.passes("route=mine user=u").await);
    }
    assert_eq!(set(Setting::Closed).await.state, BreakerState::Open);
    spend(&shop, "route=mine user=u", "5.00").await;
    assert!(!shop.passes("route=mine user=u").await);
    assert_eq!(names(&shop.reset("user=u", &[]).await.closed), ["mine"], "its limit has opened it");
    assert!(shop.passes("route=mine user=u").await);
}

async fn what_all_share_begins_anew_by_name<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    spend(&shop, "route=llm user=u", "20.00").await;
    for (pairs, limits, text) in [
        ("", &[][..], "limits: must be named, where it is nobody's alone"),
        ("", &["api"], "limit: 'api' is kept per user, which the entries do not say"),
        ("user=u", &["stop"], "limit: 'stop' is kept per all; name nobody beside it"),
    ] {
        let error = shop.try_reset(pairs, limits).await.unwrap_err();
        assert_eq!((error.mistake(), error.to_string().as_str()), (Mistake::Invalid, text));
    }
    let reset = shop.reset("", &["stop"]).await;
    assert_eq!((reset.before.len(), reset.before[0].used), (1, 20_000_000_000));
    assert_eq!((names(&reset.closed), names(&reset.open)), (vec!["stop"], vec![]));
    assert!(shop.passes("route=llm user=u").await);
    let record = &shop.records().await[0];
    assert_eq!((&*record.action, &record.target), ("reset_user", &json!({"limits": ["stop"]})));
}

async fn what_all_share_is_told_where_nobody_is_named<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    spend(&shop, "route=llm user=u", "3.00").await;
    assert!(shop.passes("route=ping user=u").await);
    let usage = shop.usage("").await;
    let used = usage.limits.iter().map(|limit| (&*limit.standing.limit, limit.standing.used));
    assert_eq!(used.collect::<Vec<_>>(), [("stop", 3_000_000_000), ("world", 2)]);
    let alone = Shop::over(bench.store, "domains: {shop: {per: user, limits: {api: 9/1m}}}");
    let error = alone.0.usage_of(Who::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "subject.entries: say whose; limits are kept per user");
}

#[test]
fn only_an_admin_forgets_what_all_share() {
    let token = Token::draw().unwrap();
    let line = TokenEntry::of(&token, "olga", Role::Operator, None).unwrap().to_line();
    let lines = format!("{},{line}", crate::support::admins::LINE);
    let page = Page(Tollgate::with(&[PRODUCTS], &[("TOLLGATE_ADMIN_TOKENS", &lines)]));
    let (status, usage) = page.get("/usage/all?subject=all&domain=blueprint");
    assert_eq!((status, &usage["limits"]["spend"]["limit"]), (200, &json!(2000)), "{usage}");
    assert_eq!(usage["limits"].as_object().unwrap().len(), 1);
    for path in
        ["/usage/bob?subject=all&domain=blueprint", "/usage/all?subject=all&domain=blueprint&user=bob"]
    {
        assert_eq!(page.get(path).0, 400, "{path}");
    }
    let path = "/reset/all?subject=all&domain=blueprint";
    let by_operator = |path: &str| {
        let call = http::post(format!("/admin/rate-limits{path}"));
        let call = call.header("authorization", format!("Bearer {}", token.as_str()));
        let call =
            call.header("content-type", "application/json").body(r#"{"limits": ["spend"]}"#.to_owned());
        call.send(page.0.admin()).status
    };
    assert_eq!(by_operator(path), 403);
    let (status, reset) = page.post(path, &json!({"limits": ["spend"], "reason": "it was a bug"}));
    assert_eq!((status, &reset["before"]["spend"]["used"]), (200, &json!(0)), "{reset}");
    assert_eq!(page.post(path, &json!({})).0, 400, "unnamed");
    assert_eq!(page.put("/all/spend?domain=blueprint", &json!({"value": 1500})).0, 200);
    let actions = |subject: &str| {
        let (status, found) = page.get(&format!("/audit?domain=blueprint&subject={subject}"));
        assert_eq!(status, 200, "{found}");
        let records = found["entries"].as_array().cloned().unwrap_or_default();
        let actions = records.iter().filter(|record| record["outcome"] == "done");
        actions.map(|record| record["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(actions("all"), ["reset_user"]);
    assert!(actions("user=all").is_empty(), "a user of that name");
}
