//! The limit service as its callers meet it: over gRPC, in front of an engine whose time stands still until it is moved, over
//! the memory and over Redis.

use std::sync::Arc;

use prost_types::{Duration, Timestamp as WireTime};
use tonic::Code;

use tollgate::clock::Clock;
use tollgate::engine::{Enforcement, Engine, EngineSettings, Switch};
use tollgate::limits::{KeySecret, LimitsHandle, Tallied, TallyLabels};
use tollgate::store::Store;
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::transport::grpc::proto::tollgate::v1::{
    Decision, ReleaseRequest, ReserveRequest, SettleRequest, Usage, release_request,
};

use crate::support::bench::{Bench, promises};
use crate::support::embedded::{NOON, rules};
use crate::support::gone::Gone;
use crate::support::limit_calls::{DOLLAR, amounts, done, more, standing, subject, tokens, usd};
use crate::support::limit_shop::{APP, ann, drop_of, give_back, keyed, less, nowhere, reserve};
use crate::support::serving::Service;

promises!(of [memory, redis]: {
    the_same_call_is_done_once_and_another_under_its_key_is_refused,
    totals_that_grow_are_charged_once,
    what_is_used_beyond_the_hold_is_debt,
    who_accepts_less_gets_what_is_left,
    what_was_not_reserved_is_charged_after_the_fact_once,
    what_is_deleted_is_given_back_once,
    every_standing_says_what_it_is,
    on_trial_nothing_is_refused_and_switched_off_nothing_is_counted,
    an_ask_that_finds_no_room_stops_all_spending,
    less_is_granted_of_a_limit_on_one_call,
});

async fn the_same_call_is_done_once_and_another_under_its_key_is_refused<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let call = keyed(reserve("both", tokens(&[("output", 100)])), "k");
    let first = service.held(call.clone()).await;
    let again = service.held(call.clone()).await;
    assert!(!first.replayed && again.replayed);
    assert_eq!((&again.reservation, &again.granted), (&first.reservation, &first.granted));
    assert_eq!(again.expires_at, first.expires_at);
    assert_eq!(amounts(&again.standings, "words"), [0, 100, 900]);
    for other in [
        keyed(reserve("both", tokens(&[("output", 101)])), "k"),
        keyed(reserve("both", tokens(&[("input", 100)])), "k"),
        less(call.clone()),
        ReserveRequest { ttl: Some(Duration { seconds: 1, nanos: 0 }), ..call.clone() },
    ] {
        assert_eq!(service.reserve(other).await.unwrap_err().code(), Code::AlreadyExists);
    }
    let bob = subject("app", &[("route", "both"), ("user", "bob")]);
    let of_bob = service.held(ReserveRequest { subject: Some(bob), ..call.clone() }).await;
    assert!(!of_bob.replayed, "a key is its subject's own");

    service.settle(done(&first, tokens(&[("output", 60)]))).await.unwrap();
    service.pass(23 * 3600);
    let after = service.held(call.clone()).await;
    assert!(after.replayed && after.reservation == first.reservation);
    service.pass(2 * 3600);
    assert!(!service.held(call).await.replayed, "it is forgotten after a day");
    service.stop().await;
}

async fn totals_that_grow_are_charged_once<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let held = service.held(reserve("llm", tokens(&[("output", 1_000)]))).await;
    assert_ne!(held.reservation, "");
    for (used, rest) in [(200, 800), (200, 800), (400, 600), (600, 400), (500, 400)] {
        let settled = service.settle(more(&held, tokens(&[("output", used)]))).await.unwrap();
        assert_eq!(settled.decision(), Decision::Allow);
        assert_eq!(amounts(&settled.standings, "words"), [1_000 - rest, rest, 0], "{used}");
        assert!(settled.expires_at.is_some() && !settled.replayed && !settled.late);
    }
    let last = service.settle(done(&held, tokens(&[("output", 777)]))).await.unwrap();
    assert_eq!((amounts(&last.standings, "words"), last.expires_at), ([777, 0, 223], None));
    assert_eq!(last.charged_usd, "", "no limit counts money");
    let again = service.settle(done(&held, tokens(&[("output", 999)]))).await.unwrap();
    assert_eq!((again.replayed, amounts(&again.standings, "words")), (true, [777, 0, 223]));
    assert_eq!(
        (last.charged_tokens, again.charged_tokens),
        (777, 777),
        "what was charged, whatever is told later"
    );
    let goes_on = service.settle(more(&held, tokens(&[("output", 999)]))).await.unwrap();
    assert_eq!((goes_on.replayed, goes_on.decision()), (true, Decision::Deny), "nothing is held any more");
    service.stop().await;
}

async fn what_is_used_beyond_the_hold_is_debt<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let held = service.held(reserve("both", usd("5.00"))).await;
    let settled = service.settle(more(&held, usd("6.00"))).await.unwrap();
    assert_eq!((settled.decision(), settled.charged_usd.as_str()), (Decision::Deny, "6.00"));
    let spend = standing(&settled.standings, "spend");
    assert_eq!((spend.decision(), spend.reason.as_str()), (Decision::Deny, "over_limit"));
    assert_eq!(amounts(&settled.standings, "spend"), [6 * DOLLAR, 0, -DOLLAR]);
    let next = service.reserve(reserve("both", usd("0.01"))).await.unwrap();
    assert_eq!(
        (next.decision(), amounts(&next.standings, "spend")),
        (Decision::Deny, [6 * DOLLAR, 0, -DOLLAR])
    );
    service.stop().await;
}

async fn who_accepts_less_gets_what_is_left<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    service.held(reserve("llm", tokens(&[("output", 700)]))).await;
    let ask = tokens(&[("input", 100), ("output", 400), ("reasoning", 400)]);
    assert_eq!(service.reserve(reserve("llm", ask.clone())).await.unwrap().decision(), Decision::Deny);
    let held = service.held(less(reserve("llm", ask))).await;
    let granted = tokens(&[("input", 100), ("output", 100), ("reasoning", 100)]);
    assert_eq!(held.granted, Some(Usage { hits: 1, ..granted }));
    assert_eq!(amounts(&held.standings, "words"), [0, 1_000, 0]);
    let refused = service.reserve(less(reserve("llm", tokens(&[("output", 2_000)])))).await.unwrap();
    let words = standing(&refused.standings, "words");
    assert_eq!((words.decision(), words.reason.as_str()), (Decision::Deny, "over_limit"), "one would do");
    assert_eq!(words.retry_after, Some(Duration { seconds: 300, nanos: 0 }), "the first hold lapses");

    // All tokens shrink where the model makes none, the dollars where there are none; costs as tokens.
    let bob = |request: ReserveRequest| {
        let mut subject = request.subject.unwrap();
        subject.entries[1].value = "bob".into();
        ReserveRequest { subject: Some(subject), ..request }
    };
    let held = service.held(bob(less(reserve("llm", tokens(&[("input", 3_000)]))))).await;
    assert_eq!(held.granted.unwrap().tokens["input"], 1_000);
    let held = service.held(bob(less(reserve("paid", usd("7.50"))))).await;
    assert_eq!(held.granted.unwrap().usd, "4.999999999", "rounded to the safe side");
    let carol = |request: ReserveRequest| {
        let mut subject = request.subject.unwrap();
        subject.entries[1].value = "carol".into();
        ReserveRequest { subject: Some(subject), ..request }
    };
    let ask = tokens(&[("input", 10_000), ("output", 40_000)]);
    let held = service.held(carol(less(reserve("paid", ask)))).await;
    assert_eq!(held.granted.unwrap().tokens, tokens(&[("input", 10_000), ("output", 20_000)]).tokens);
    assert_eq!(amounts(&held.standings, "spend"), [0, 5 * DOLLAR, 0]);
    service.stop().await;
}

async fn what_was_not_reserved_is_charged_after_the_fact_once<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let after = |total, more| SettleRequest {
        subject: Some(ann("both")),
        used: Some(tokens(&[("output", total)])),
        idempotency_key: "run".into(),
        more,
        ..SettleRequest::default()
    };
    for (total, more, used) in [(300, true, 300), (300, true, 300), (900, true, 900), (1_200, false, 1_200)] {
        let settled = service.settle(after(total, more)).await.unwrap();
        assert_eq!(settled.standings[0].used, used);
        assert_eq!((settled.late, settled.replayed), (false, false));
        let over = if used > 1_000 { Decision::Deny } else { Decision::Allow };
        assert_eq!(settled.decision(), over, "{used}");
    }
    let again = service.settle(after(1_200, false)).await.unwrap();
    assert_eq!((again.replayed, again.charged_usd.as_str()), (true, "0.24"));
    assert_eq!(amounts(&again.standings, "words"), [1_200, 0, -200]);

    let lost = keyed(reserve("both", tokens(&[("output", 1)])), "lost");
    let bob = subject("app", &[("user", "bob"), ("route", "both")]);
    service.held(ReserveRequest { subject: Some(bob.clone()), ..lost }).await;
    let by_key = SettleRequest {
        subject: Some(bob),
        used: Some(tokens(&[("output", 7)])),
        idempotency_key: "lost".into(),
        ..SettleRequest::default()
    };
    let settled = service.settle(by_key).await.unwrap();
    assert_eq!(
        amounts(&settled.standings, "words"),
        [7, 0, 993],
        "its hold is settled, whose answer was lost"
    );
    let free = SettleRequest { subject: Some(nowhere()), ..after(5, false) };
    assert_eq!(service.settle(free).await.unwrap().standings, []);
    service.stop().await;
}

async fn what_is_deleted_is_given_back_once<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    for _ in 0..3 {
        let made = service.held(reserve("kits", Usage::default())).await;
        service.settle(done(&made, None)).await.unwrap();
    }
    assert_eq!(service.reserve(reserve("kits", Usage::default())).await.unwrap().decision(), Decision::Deny);
    let back = service.release(give_back("kits", 1, "kit-7")).await.unwrap();
    assert_eq!((back.replayed, amounts(&back.standings, "kits")), (false, [2, 0, 1]));
    let again = service.release(give_back("kits", 1, "kit-7")).await.unwrap();
    assert_eq!((again.replayed, amounts(&again.standings, "kits")), (true, [2, 0, 1]));
    let error = service.release(give_back("kits", 2, "kit-7")).await.unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists);
    let one = ReleaseRequest { amount: None, ..give_back("kits", 0, "") };
    assert_eq!(amounts(&service.release(one).await.unwrap().standings, "kits"), [1, 0, 2]);
    let all = service.release(give_back("kits", 100, "")).await.unwrap();
    assert_eq!(amounts(&all.standings, "kits"), [0, 0, 3], "never below 0");

    let counted = |count, key| ReleaseRequest {
        amount: Some(release_request::Amount::TrueCount(count)),
        ..give_back("kits", 0, key)
    };
    let found = service.release(counted(40, "audit")).await.unwrap();
    assert_eq!(amounts(&found.standings, "kits"), [40, 0, -37], "more than there may be");
    assert!(service.release(counted(40, "audit")).await.unwrap().replayed);
    let other = service.release(give_back("kits", 40, "audit")).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists);
    let found = service.release(counted(0, "")).await.unwrap();
    assert_eq!(amounts(&found.standings, "kits"), [0, 0, 3]);

    let failed = service.held(reserve("kits", Usage::default())).await;
    let dropped = service.release(drop_of(&failed)).await.unwrap();
    assert_eq!(amounts(&dropped.standings, "kits"), [0, 0, 3], "a job that fails gives back what it took");
    let money = service.release(give_back("spend", 1_000_000, "")).await.unwrap();
    assert_eq!(amounts(&money.standings, "spend"), [0, 0, 5 * DOLLAR]);
    service.stop().await;
}

async fn every_standing_says_what_it_is<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let none = subject("app", &[("route", "llm"), ("user", "ann"), ("tier", "none")]);
    let refused = ReserveRequest { subject: Some(none), ..reserve("llm", tokens(&[("output", 1)])) };
    let refused = service.reserve(refused).await.unwrap();
    let words = standing(&refused.standings, "words");
    assert_eq!((words.max, words.reason.as_str(), words.retry_after), (0, "blocked_by_tier", None));

    let dear = service.reserve(reserve("paid", tokens(&[("output", 1 << 52)]))).await.unwrap();
    assert_eq!(standing(&dear.standings, "spend").reason, "too_large", "more than anything counts");

    let refused = service.reserve(reserve("named", usd("0.10"))).await.unwrap();
    let named = standing(&refused.standings, "named");
    assert_eq!((refused.decision(), named.reason.as_str()), (Decision::Deny, "missing_subject"));
    assert_eq!(amounts(&refused.standings, "named"), [0; 3], "it has no counter to tell of");
    assert_eq!(standing(&refused.standings, "words").decision(), Decision::Allow);

    let held = service.held(reserve("free", tokens(&[("output", 1 << 40)]))).await;
    let free = standing(&held.standings, "free");
    assert_eq!((free.max, free.remaining, free.held), (-1, -1, 1 << 40));

    let trial = service.reserve(reserve("trial", tokens(&[("output", 11)]))).await.unwrap();
    assert_eq!((trial.decision(), trial.reservation.is_empty()), (Decision::ShadowDeny, false));
    assert_eq!(standing(&trial.standings, "trial").decision(), Decision::ShadowDeny);
    assert_eq!(amounts(&trial.standings, "trial"), [0, 11, -1]);

    let burst = service.held(reserve("burst", tokens(&[("output", 150)]))).await;
    assert_eq!(standing(&burst.standings, "burst").max, 150);
    service.settle(done(&burst, None)).await.unwrap();
    let wait = service.reserve(reserve("burst", tokens(&[("output", 50)]))).await.unwrap();
    let burst = standing(&wait.standings, "burst");
    assert_eq!((burst.remaining, burst.retry_after), (0, Some(Duration { seconds: 30, nanos: 0 })));
    let whole = i64::try_from(NOON.0 / 1_000_000).unwrap() + 90;
    assert_eq!(burst.resets_at, Some(WireTime { seconds: whole, nanos: 0 }));

    let nowhere = ReserveRequest { subject: Some(nowhere()), ..reserve("", tokens(&[("output", 5)])) };
    let nowhere = service.held(nowhere).await;
    assert_eq!(nowhere.standings, []);
    assert_eq!(nowhere.granted.as_ref().unwrap().tokens["output"], 5);
    assert_eq!(service.settle(done(&nowhere, None)).await.unwrap().decision(), Decision::Allow);
    service.release(drop_of(&nowhere)).await.unwrap();
    service.stop().await;
}

async fn on_trial_nothing_is_refused_and_switched_off_nothing_is_counted<S: Store>(bench: Bench<S>) {
    let settings = EngineSettings { enforcement: Enforcement::Shadow, ..EngineSettings::default() };
    let service = Service::with(&bench, APP, settings).await;
    let held = service.reserve(reserve("both", tokens(&[("output", 1_001)]))).await.unwrap();
    assert_eq!((held.decision(), held.reservation.is_empty()), (Decision::ShadowDeny, false));
    let unpriced = Usage { model: "gpt-9".into(), ..tokens(&[("output", 1)]) };
    assert_eq!(service.reserve(reserve("both", unpriced)).await.unwrap().decision(), Decision::ShadowDeny);
    let settled = service.settle(more(&held, tokens(&[("output", 1_002)]))).await.unwrap();
    assert_eq!((settled.decision(), settled.standings[0].used), (Decision::ShadowDeny, 1_002));
    service.stop().await;

    let service =
        Service::with(&bench, APP, EngineSettings { switch: Switch::Off, ..EngineSettings::default() }).await;
    let held = service.held(reserve("both", tokens(&[("output", 1_001)]))).await;
    assert_eq!(held.granted.as_ref().unwrap().tokens["output"], 1_001);
    assert_eq!(service.settle(done(&held, None)).await.unwrap().decision(), Decision::Allow);
    service.release(drop_of(&held)).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn without_a_store_policies_decide_what_begins_and_settlements_are_to_be_told_again() {
    let held = {
        let service = Service::start(&Bench::memory().await).await;
        let held = service.held(reserve("llm", tokens(&[("output", 1)]))).await;
        service.stop().await;
        held
    };
    let gone = Gone::default();
    let engine = Engine::new(LimitsHandle::new(rules(APP)), gone.clone(), EngineSettings::default());
    let service = Service::of(engine, Clock::manual(NOON)).await;
    let refused = service.reserve(reserve("llm", tokens(&[("output", 1)]))).await.unwrap();
    assert_eq!(refused.decision(), Decision::Deny, "tokens are kept");
    let words = standing(&refused.standings, "words");
    assert_eq!((words.decision(), words.reason.as_str()), (Decision::Deny, "store_unavailable"));
    assert_eq!(words.retry_after, Some(Duration { seconds: 1, nanos: 0 }));
    assert_eq!(standing(&refused.standings, "calls").decision(), Decision::Allow);
    let large = service.reserve(reserve("llm", tokens(&[("output", 1_001)]))).await.unwrap();
    let words = standing(&large.standings, "words");
    assert_eq!((words.reason.as_str(), words.retry_after), ("too_large", None), "whatever the store says");
    let none = subject("app", &[("route", "llm"), ("user", "ann"), ("tier", "none")]);
    let blocked = ReserveRequest { subject: Some(none), ..reserve("llm", tokens(&[("output", 1)])) };
    let blocked = service.reserve(blocked).await.unwrap();
    assert_eq!(standing(&blocked.standings, "words").reason, "blocked_by_tier");
    let noted = std::mem::take(&mut *gone.noted.lock().unwrap());
    for (line, reason) in noted.iter().zip(["store_unavailable", "too_large", "blocked_by_tier"]) {
        assert!(line.contains(reason), "{line} does not say {reason}");
    }
    assert_eq!(noted.len(), 3);
    let passes = service.reserve(reserve("stream", Usage::default())).await.unwrap();
    assert_eq!((passes.decision(), passes.reservation.as_str()), (Decision::Allow, ""), "slots are given");
    let open = standing(&passes.standings, "open");
    assert_eq!((open.decision(), open.reason.as_str()), (Decision::Allow, "store_unavailable"), "unasked");
    assert_eq!([open.max, open.used, open.held, open.remaining], [2, 0, 0, 0]);
    let error = service.settle(done(&held, None)).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(error.message().contains("ask again"), "{error}");
    let by_key = SettleRequest {
        subject: Some(ann("llm")),
        used: Some(tokens(&[("output", 1)])),
        idempotency_key: "k".into(),
        ..SettleRequest::default()
    };
    assert_eq!(service.settle(by_key).await.unwrap_err().code(), Code::Unavailable);
    let left =
        ReleaseRequest { amount: Some(release_request::Amount::TrueCount(1)), ..give_back("kits", 0, "") };
    for request in [drop_of(&held), left, give_back("kits", 1, "k")] {
        assert_eq!(service.release(request).await.unwrap_err().code(), Code::Unavailable);
    }
    let error = service.release(give_back("kits", 1, "")).await.unwrap_err();
    assert_eq!(error.code(), Code::Unknown, "nobody may ask again");
    assert!(error.message().contains("send an idempotency_key"), "{error}");
    service.stop().await;
}

const BREAKER: &str = "
domains:
  app:
    per: user
    limits:
      calls: 10/1m
      hour:  {limit: $1.00/1h, per: all, on_limit: trip, reset: manual}
      spend: $5.00/day
    routes:
      paid: [hour, calls]
      free: calls
      day:  spend
";

async fn an_ask_that_finds_no_room_stops_all_spending<S: Store>(bench: Bench<S>) {
    let service = Service::with(&bench, BREAKER, EngineSettings::default()).await;
    let held = service.held(reserve("paid", usd("0.75"))).await;
    service.held(reserve("day", usd("0.25"))).await;
    let refused = service.reserve(reserve("paid", usd("0.50"))).await.unwrap();
    assert_eq!(standing(&refused.standings, "hour").reason, "over_limit");
    let stopped = service.reserve(reserve("day", usd("0.25"))).await.unwrap();
    let breaker = standing(&stopped.standings, "hour");
    assert_eq!((stopped.decision(), breaker.reason.as_str()), (Decision::Deny, "breaker_open"));
    service.held(reserve("free", Usage::default())).await;
    let settled = service.settle(done(&held, usd("0.75"))).await.unwrap();
    assert_eq!((settled.charged_usd.as_str(), settled.standings.len()), ("0.75", 1), "what runs is paid");
    service.stop().await;
}

#[tokio::test]
async fn what_is_asked_is_counted_and_what_is_settled_is_not() {
    let (bench, limits) = (Bench::memory().await, LimitsHandle::new(rules(APP)));
    let engine = Engine::new(limits.clone(), bench.store.clone(), EngineSettings::default());
    let service = Service::of(engine, bench.clock.clone()).await;
    let call = keyed(reserve("llm", tokens(&[("output", 600)])), "k");
    let held = service.held(call.clone()).await;
    service.held(call).await;
    service.reserve(reserve("llm", tokens(&[("output", 600)]))).await.unwrap();
    service.settle(done(&held, None)).await.unwrap();
    let rules = limits.load();
    let tallied = |limit| {
        let tallies = &rules.tallies()[&TallyLabels { domain: "app", limit, tier: "free" }];
        Tallied::ALL.map(|what| tallies.iter().map(|tally| tally.of(what)).sum::<u64>())
    };
    assert_eq!((tallied("words"), tallied("calls")), ([1, 1, 0, 0], [2, 0, 0, 0]));
    service.stop().await;
}

#[tokio::test]
async fn no_call_passes_a_rate_because_no_more_holds_can_be_remembered() {
    let clock = Clock::manual(NOON);
    let store = MemoryStore::new(MemorySettings { max_keys: 64 }, clock.clone(), KeySecret([7; 16]));
    let engine = Engine::new(LimitsHandle::new(rules(APP)), Arc::new(store), EngineSettings::default());
    let service = Service::of(engine, clock).await;
    // What others hold for a day fills the table.
    for _ in 0..80 {
        let ttl = Some(Duration { seconds: 86_400, nanos: 0 });
        service.held(ReserveRequest { ttl, ..reserve("free", tokens(&[("output", 1)])) }).await;
    }
    let mut decisions = Vec::new();
    for _ in 0..5 {
        let answer = service.reserve(reserve("stream", Usage::default())).await.unwrap();
        decisions.push((answer.decision() == Decision::Allow, answer.reservation.is_empty()));
    }
    // Of two streams at a time.
    assert_eq!(decisions, [(true, true), (true, true), (false, true), (false, true), (false, true)]);
    service.stop().await;
}

async fn less_is_granted_of_a_limit_on_one_call<S: Store>(bench: Bench<S>) {
    let document = "
domains:
  app:
    per: user
    limits: {each: 100 tokens/request, words: 1000 tokens/1h}
    routes: {llm: [each, words]}
";
    let service = Service::with(&bench, document, EngineSettings::default()).await;
    let ask = reserve("llm", tokens(&[("input", 30), ("output", 150)]));
    let refused = service.reserve(ask.clone()).await.unwrap();
    assert_eq!(standing(&refused.standings, "each").reason, "too_large");
    let held = service.held(less(ask)).await;
    assert_eq!(held.granted.as_ref().unwrap().tokens, tokens(&[("input", 30), ("output", 70)]).tokens);
    assert_eq!(amounts(&held.standings, "words"), [0, 100, 900]);
    let settled = service.settle(done(&held, tokens(&[("output", 40)]))).await.unwrap();
    assert_eq!((settled.decision(), amounts(&settled.standings, "words")), (Decision::Allow, [40, 0, 960]));
    service.stop().await;
}
