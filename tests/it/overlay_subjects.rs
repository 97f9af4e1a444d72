//! Numbers and tiers that single subjects have of their own, as calls and holds meet them: over the memory and over Redis.

use std::sync::Arc;

use tollgate::clock::Clock;
use tollgate::engine::{BreakerOf, Check, Code, Decision, Engine, EngineSettings, Operate};
use tollgate::limits::{Entry, LimitsHandle, SubjectId, Unit, WireUnit};
use tollgate::store::Store;
use tollgate::transport::grpc::proto::tollgate::v1::Decision as Held;

use crate::support::bench::{Bench, promises};
use crate::support::embedded::{Ask, NOON, header, rules};
use crate::support::limit_calls::{amounts, done, more, tokens};
use crate::support::limit_shop::{APP, reserve};
use crate::support::serving::Service;
use crate::support::setting::{Sets, on_tier, own, subject, tier};

const SHOP: &str = "
domains:
  shop:
    per: user
    tier: {from: plan, default: free, anonymous: guest}
    limits:
      login: 2/1h per user|ip
      kits:  2/1h per user+kit
      month: month
      every: 2/1h per all
      stop:  {limit: $1.00/day, on_limit: trip}
    tiers:
      guest: {month: 0}
      free:  {month: 0}
      pro:   {month: 3, login: 3}
";

promises!(of [memory, redis]: {
    a_number_of_ones_own_counts_whatever_the_tier,
    it_is_found_by_whichever_key_the_limit_finds,
    it_holds_for_all_kits_of_a_user_and_for_one_before_that,
    it_lifts_what_the_tier_blocks_and_callers_do_not_lift_it,
    a_tier_is_assigned_to_those_who_bring_none,
    a_breaker_goes_by_a_number_of_ones_own,
    a_hold_is_settled_by_the_number_that_is_in_force,
});

/// An engine over the store of a bench, and what is set over its files.
struct Shop<S> {
    engine: Arc<Engine<Arc<S>>>,
    clock: Clock,
}

impl<S: Store> Shop<S> {
    fn over(bench: &Bench<S>) -> Self {
        let limits = LimitsHandle::new(rules(SHOP));
        let engine = Engine::new(limits, bench.store.clone(), EngineSettings::default());
        Self { engine: Arc::new(engine), clock: bench.clock.clone() }
    }

    fn subject(&self, parts: &[(&str, &str)]) -> SubjectId {
        subject(self.engine.store().key_secret(), parts)
    }

    fn user(&self, name: &str) -> SubjectId {
        self.subject(&[("user", name)])
    }

    fn set(&self, sets: &Sets) {
        sets.over(self.engine.limits(), self.clock.now());
    }

    async fn ask(&self, ask: &Ask) -> Decision {
        self.engine.check(ask.request()).await.unwrap()
    }

    /// How many of five calls with these entries pass.
    async fn passes(&self, entries: &str) -> usize {
        let mut passed = 0;
        for _ in 0..5 {
            passed += usize::from(self.ask(&Ask::new("shop", entries)).await.code == Code::Ok);
        }
        passed
    }
}

async fn a_number_of_ones_own_counts_whatever_the_tier<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(&bench);
    let sets = Sets::default().number(own("shop", "login", shop.user("ann")), 4);
    shop.set(&sets);
    for (entries, passes) in [
        ("limit=login user=ann", 4),
        ("limit=login user=ann plan=pro", 0),
        ("limit=login user=bob", 2),
        ("limit=login user=eve plan=pro", 3),
    ] {
        assert_eq!(shop.passes(entries).await, passes, "{entries}");
    }
    let refused = shop.ask(&Ask::new("shop", "limit=login user=ann")).await;
    assert_eq!(refused.body.as_deref(), Some(r#"{"error":"Rate limit exceeded: 4 per 1 hour"}"#));
    assert_eq!(header(&refused, "X-RateLimit-Limit").as_deref(), Some("4"));
    shop.set(&sets.clone().number(own("shop", "login", shop.user("ann")), -1));
    assert_eq!(shop.passes("limit=login user=ann").await, 5);
    shop.set(&sets.clone().number(own("shop", "login", shop.user("ann")), 0));
    assert_eq!(shop.passes("limit=login user=ann plan=pro").await, 0);
    shop.set(&Sets::default());
    assert_eq!(shop.passes("limit=login user=ann plan=pro").await, 0, "nine are above the file's three");
}

async fn it_is_found_by_whichever_key_the_limit_finds<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(&bench);
    let address = shop.subject(&[("ip", "10.0.0.1")]);
    let sets = Sets::default().number(own("shop", "login", address), 4);
    shop.set(&sets.number(own("shop", "login", shop.user("ann")), 1));
    for (entries, passes) in [
        ("limit=login ip=10.0.0.1", 4),
        ("limit=login remote_address=10.0.0.1", 0),
        ("limit=login ip=10.0.0.2", 2),
        ("limit=login user=ann ip=10.0.0.1", 1),
        ("limit=login user=10.0.0.1", 2),
        ("limit=every user=ann", 2),
        ("limit=login", 2),
    ] {
        assert_eq!(shop.passes(entries).await, passes, "{entries}");
    }
}

async fn it_holds_for_all_kits_of_a_user_and_for_one_before_that<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(&bench);
    let kit = shop.subject(&[("user", "ann"), ("kit", "red")]);
    let sets = Sets::default().number(own("shop", "kits", shop.user("ann")), 3);
    shop.set(&sets.number(own("shop", "kits", kit), 4));
    for (entries, passes) in [
        ("limit=kits user=ann kit=red", 4),
        ("limit=kits user=ann kit=blue", 3),
        ("limit=kits user=bob kit=red", 2),
        ("limit=kits user=ann", 3),
        ("limit=login user=ann", 2),
    ] {
        assert_eq!(shop.passes(entries).await, passes, "{entries}");
    }
}

async fn it_lifts_what_the_tier_blocks_and_callers_do_not_lift_it<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(&bench);
    let blocked = own("shop", "login", shop.user("bob"));
    shop.set(&Sets::default().number(own("shop", "month", shop.user("ann")), 1).number(blocked, 0));
    assert_eq!(shop.passes("limit=month user=ann").await, 1);
    assert_eq!(shop.passes("limit=month user=bob").await, 0);
    let brought = |entries, most| Ask::new("shop", entries).number(most, WireUnit::Hour, 1);
    let bob = shop.ask(&brought("limit=login user=bob", 9)).await;
    assert_eq!(bob.code, Code::OverLimit, "nobody lifts a 0 of one's own");
    for expected in [Code::Ok, Code::OverLimit] {
        let eve = shop.ask(&brought("limit=login user=eve", 1)).await;
        assert_eq!(eve.code, expected, "what the caller brings is less");
    }
}

async fn a_tier_is_assigned_to_those_who_bring_none<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(&bench);
    let team = shop.subject(&[("team", "t")]);
    let sets = Sets::default().tier(tier("shop", shop.user("ann")), "pro");
    let sets = sets.tier(tier("shop", team), "pro").tier(tier("shop", shop.user("eve")), "free");
    shop.set(&sets.number(on_tier("shop", "pro", "month"), 4));
    for (entries, passes) in [
        ("limit=month user=ann", 4),
        ("limit=month user=ann plan=free", 0),
        ("limit=month user=ann plan=unknown", 0),
        ("limit=month user=bob", 0),
        ("limit=month user=bob team=t", 4),
        ("limit=month user=eve team=t", 0),
        ("limit=login team=t", 3),
    ] {
        assert_eq!(shop.passes(entries).await, passes, "{entries}");
    }
}

async fn a_breaker_goes_by_a_number_of_ones_own<S: Store>(bench: Bench<S>) {
    let shop = Shop::over(&bench);
    let two_dollars = 2_000_000_000;
    shop.set(&Sets::default().amount(own("shop", "stop", shop.user("ann")), two_dollars, Unit::Money));
    let spend = |user, micros| Ask::new("shop", &format!("limit=stop user={user}")).hits(micros);
    let state = async |user: &str| {
        let subject = [Entry { key: b"user", value: user.as_bytes() }];
        let which = BreakerOf { domain: Some(b"shop"), limit: b"stop", subject: subject.into() };
        let status = shop.engine.breaker(which).await.unwrap();
        status.breaker.state.name()
    };
    for user in ["ann", "bob"] {
        assert_eq!(shop.ask(&spend(user, 1_000_000)).await.code, Code::Ok);
    }
    assert_eq!(state("ann").await, "closed");
    assert_eq!(state("bob").await, "open");
    assert_eq!(shop.ask(&spend("ann", 1_000_000)).await.code, Code::Ok);
    assert_eq!(state("ann").await, "open");
}

async fn a_hold_is_settled_by_the_number_that_is_in_force<S: Store>(bench: Bench<S>) {
    let clock = bench.clock.clone();
    clock.set(NOON);
    let limits = LimitsHandle::new(rules(APP));
    let engine = Engine::new(limits.clone(), bench.store.clone(), EngineSettings::default());
    let service = Service::of(engine, clock).await;
    let ann = || own("app", "words", subject(bench.store.key_secret(), &[("user", "ann")]));
    let set = |most| Sets::default().amount(ann(), most, Unit::Tokens).over(&limits, NOON);

    let refused = service.reserve(reserve("llm", tokens(&[("output", 1_500)]))).await.unwrap();
    assert_eq!(refused.decision(), Held::Deny);
    set(2_000);
    let held = service.held(reserve("llm", tokens(&[("output", 1_500)]))).await;
    assert_eq!(amounts(&held.standings, "words"), [0, 1_500, 500]);
    let goes_on = service.settle(more(&held, tokens(&[("output", 700)]))).await.unwrap();
    assert_eq!(amounts(&goes_on.standings, "words"), [700, 800, 500]);
    set(3_000);
    let goes_on = service.settle(more(&held, tokens(&[("output", 800)]))).await.unwrap();
    assert_eq!(amounts(&goes_on.standings, "words"), [800, 700, 1_500]);
    Sets::default().over(&limits, NOON);
    let settled = service.settle(done(&held, tokens(&[("output", 900)]))).await.unwrap();
    assert_eq!(amounts(&settled.standings, "words"), [900, 0, 100], "the tier's number is back");
    service.stop().await;
}
