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
    Decision, ReleaseRequest, ReserveRequest, ReserveResponse, SettleRequest, Subject, Unit, Usage,
    release_request,
};

use crate::support::bench::{Bench, promises};
use crate::support::embedded::{NOON, rules};
use crate::support::gone::Gone;
use crate::support::limit_calls::{DOLLAR, amounts, done, more, standing, subject, tokens, usd};
use crate::support::serving::Service;

const APP: &str = "
domains:
  app:
    per: user
    tier: {from: tier, default: free}
    limits:
      calls:   10/1m
      words:   tokens/1h
      spend:   $5.00 total
      open:    {limit: 2, window: concurrent, lease: 60s, max_age: 30m}
      kits:    3 total
      day:     $1.00/day
      named:   {limit: $1.00/1h, per: session, on_missing: refuse}
      trial:   {limit: 10 tokens/1h, shadow: true}
      burst:   100 tokens/1m burst 150
      free:    tokens/1m per all
      brief:   {limit: 1M tokens/1h, max_ttl: 2m}
      leased:  {limit: 1M tokens/1h, lease: 1m}
    tiers:
      free: {words: 1000, free: -1}
      none: {words: 0, free: 0}
    routes:
      llm:    [calls, words]
      paid:   [calls, spend]
      both:   [words, spend]
      stream: [open, calls]
      kits:   kits
      day:    day
      named:  [named, words]
      trial:  [trial, words]
      burst:  burst
      free:   free
      brief:  [brief, calls]
      strict: [brief, leased]
  old:
    per: user
    limits: {api: 5/1m}
prices:
  models:
    gpt-realtime: {input: 100.00, output: 200.00}
    gpt-5:
      - {input: 10.00, output: 30.00}
      - {from: 2026-12-01, input: 1.25, output: 10.00}
";

const REFERENCE: &str = "
domain: legacy
descriptors: [{key: user, rate_limit: {unit: minute, requests_per_unit: 5}}]
";

impl Service {
    /// Over the store of `bench`, at noon.
    async fn start<S: Store>(bench: &Bench<S>) -> Self {
        Self::with(bench, APP, EngineSettings::default()).await
    }

    /// `[used, held, remaining]` of `limit`, for ann on `route`.
    async fn stands(&self, route: &str, limit: &str) -> [i64; 3] {
        let peek = ReserveRequest { subject: Some(ann(route)), ..ReserveRequest::default() };
        // Looked at under a call that cannot be, so that nothing is charged.
        let estimate = Some(Usage { hits: 1 << 52, ..Usage::default() });
        let answer = self.reserve(ReserveRequest { estimate, ..peek }).await.unwrap();
        let found = standing(&answer.standings, limit);
        [found.used, found.held, found.remaining]
    }
}

/// What ann asks on `route`.
fn ann(route: &str) -> Subject {
    subject("app", &[("route", route), ("user", "ann")])
}

/// What ann asks where no route goes.
fn nowhere() -> Subject {
    subject("app", &[("path", "/nowhere"), ("method", "POST"), ("user", "ann")])
}

fn reserve(route: &str, estimate: Usage) -> ReserveRequest {
    ReserveRequest { subject: Some(ann(route)), estimate: Some(estimate), ..ReserveRequest::default() }
}

fn less(request: ReserveRequest) -> ReserveRequest {
    ReserveRequest { accept_less: true, ..request }
}

fn keyed(request: ReserveRequest, key: &str) -> ReserveRequest {
    ReserveRequest { idempotency_key: key.to_owned().into(), ..request }
}

fn drop_of(held: &ReserveResponse) -> ReleaseRequest {
    ReleaseRequest { reservation: held.reservation.clone().into(), ..ReleaseRequest::default() }
}

fn give_back(limit: &str, hits: u64, key: &str) -> ReleaseRequest {
    ReleaseRequest {
        subject: Some(subject("app", &[("user", "ann")])),
        limit: limit.to_owned().into(),
        amount: Some(release_request::Amount::Hits(hits)),
        idempotency_key: key.to_owned().into(),
        ..ReleaseRequest::default()
    }
}

promises!(of [memory, redis]: {
    ten_thousand_in_and_twenty_thousand_out_are_five_dollars_and_no_token_more,
    the_same_call_is_done_once_and_another_under_its_key_is_refused,
    totals_that_grow_are_charged_once,
    what_is_used_beyond_the_hold_is_debt,
    who_accepts_less_gets_what_is_left,
    a_stream_holds_its_slot_for_as_long_as_it_is_renewed,
    no_stream_is_renewed_beyond_its_greatest_age,
    a_caller_may_ask_for_another_time_to_live_within_the_lease,
    a_late_settlement_is_charged_and_said_to_be_late,
    usage_that_nobody_knows_is_what_was_held_and_none_is_none,
    what_has_no_price_is_refused_or_charged_as_it_was_held,
    tokens_cost_what_they_did_when_they_were_reserved,
    what_was_not_reserved_is_charged_after_the_fact_once,
    what_is_deleted_is_given_back_once,
    every_standing_says_what_it_is,
    what_a_caller_gets_wrong_is_said_and_charges_nothing,
    any_bytes_name_a_subject,
    domains_of_the_reference_hold_nothing,
    on_trial_nothing_is_refused_and_switched_off_nothing_is_counted,
    an_ask_that_finds_no_room_stops_all_spending,
    by_its_key_an_unknown_model_is_charged_what_was_held,
    by_its_key_tokens_cost_what_they_did_when_they_were_reserved,
    an_unknown_model_is_never_free,
    less_is_granted_of_a_limit_on_one_call,
    a_replay_says_nothing_of_what_was_expected,
    limits_say_how_long_an_answer_is_thought_to_be,
    a_model_is_told_back_in_letters,
    what_is_known_of_a_price_is_paid_beside_a_hold,
    who_tells_nothing_goes_on_for_nothing_and_ends_for_what_was_held,
});

async fn who_tells_nothing_goes_on_for_nothing_and_ends_for_what_was_held<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let held = service.held(keyed(reserve("llm", tokens(&[("output", 100)])), "k")).await;
    let by_handle =
        SettleRequest { reservation: held.reservation.clone().into(), ..SettleRequest::default() };
    let by_key =
        SettleRequest { subject: Some(ann("llm")), idempotency_key: "k".into(), ..SettleRequest::default() };
    for named in [&by_handle, &by_key] {
        let renewed = service.settle(SettleRequest { more: true, ..named.clone() }).await.unwrap();
        assert_eq!((renewed.decision(), renewed.charged_tokens), (Decision::Allow, 0), "{named:?}");
        assert_eq!(amounts(&renewed.standings, "words"), [0, 100, 900], "{named:?}");
    }
    let ended = service.settle(by_key.clone()).await.unwrap();
    assert_eq!((ended.charged_tokens, amounts(&ended.standings, "words")), (100, [100, 0, 900]));
    let unknown = SettleRequest { idempotency_key: "another".into(), ..by_key };
    assert_eq!(service.settle(unknown).await.unwrap_err().code(), Code::InvalidArgument);
    service.stop().await;
}

async fn ten_thousand_in_and_twenty_thousand_out_are_five_dollars_and_no_token_more<S: Store>(
    bench: Bench<S>,
) {
    let service = Service::start(&bench).await;
    let whole = tokens(&[("input", 10_000), ("output", 20_000)]);
    let above = tokens(&[("input", 10_000), ("output", 20_001)]);
    let refused = service.reserve(reserve("paid", above.clone())).await.unwrap();
    assert_eq!(refused.decision(), Decision::Deny);
    assert_eq!((refused.reservation.as_str(), refused.granted), ("", None));
    let spend = standing(&refused.standings, "spend");
    assert_eq!((spend.reason.as_str(), spend.unit(), spend.max), ("too_large", Unit::NanoUsd, 5 * DOLLAR));
    assert_eq!(amounts(&refused.standings, "calls"), [0, 0, 10], "a refusal costs nothing");

    let held = service.held(reserve("paid", whole.clone())).await;
    assert_eq!(held.granted, Some(Usage { hits: 1, ..whole.clone() }));
    assert_eq!(amounts(&held.standings, "spend"), [0, 5 * DOLLAR, 0]);
    assert_eq!(amounts(&held.standings, "calls"), [1, 0, 9]);
    let settled = service.settle(done(&held, whole)).await.unwrap();
    assert_eq!((settled.decision(), settled.charged_usd.as_str()), (Decision::Allow, "5.00"));
    assert_eq!(amounts(&settled.standings, "spend"), [5 * DOLLAR, 0, 0]);
    let next = service.reserve(reserve("paid", usd("0.000000001"))).await.unwrap();
    assert_eq!(
        (next.decision(), standing(&next.standings, "spend").reason.as_str()),
        (Decision::Deny, "over_limit")
    );
    service.stop().await;
}

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

async fn a_stream_holds_its_slot_for_as_long_as_it_is_renewed<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let stream = reserve("stream", Usage::default());
    let first = service.held(stream.clone()).await;
    let lapses =
        |at: &Option<WireTime>| at.as_ref().unwrap().seconds - i64::try_from(NOON.0 / 1_000_000).unwrap();
    assert_eq!(lapses(&first.expires_at), 60, "the lease of the limit");
    let second = service.held(stream.clone()).await;
    let full = service.reserve(stream.clone()).await.unwrap();
    assert_eq!(full.decision(), Decision::Deny);
    let open = standing(&full.standings, "open");
    assert_eq!((open.held, open.reason.as_str()), (2, "over_limit"));
    assert_eq!(open.retry_after, Some(Duration { seconds: 60, nanos: 0 }));
    assert_eq!(open.resets_at, None, "nobody knows when its holders end");

    service.pass(50);
    let renewed = service.settle(more(&first, None)).await.unwrap();
    assert_eq!((renewed.decision(), lapses(&renewed.expires_at)), (Decision::Allow, 110));
    service.pass(10);
    assert_eq!(
        amounts(&service.held(stream.clone()).await.standings, "open"),
        [0, 2, 0],
        "the second has lapsed"
    );
    let late = service.settle(more(&second, None)).await.unwrap();
    assert_eq!((late.late, late.decision()), (true, Decision::Deny), "its place is taken");

    assert!(!service.release(drop_of(&first)).await.unwrap().replayed);
    let again = service.release(drop_of(&first)).await.unwrap();
    assert_eq!((again.replayed, amounts(&again.standings, "open")), (true, [0, 1, 1]), "nothing of others");
    service.stop().await;
}

async fn no_stream_is_renewed_beyond_its_greatest_age<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let held = service.held(reserve("stream", Usage::default())).await;
    for _ in 0..35 {
        service.pass(50);
        assert_eq!(service.settle(more(&held, None)).await.unwrap().decision(), Decision::Allow);
    }
    service.pass(50);
    let ended = service.settle(more(&held, None)).await.unwrap();
    assert_eq!((ended.decision(), ended.expires_at), (Decision::Deny, None));
    let open = standing(&ended.standings, "open");
    assert_eq!((open.decision(), open.reason.as_str()), (Decision::Deny, "expired"));
    assert_eq!(amounts(&ended.standings, "open"), [0, 0, 2]);
    service.stop().await;
}

async fn a_caller_may_ask_for_another_time_to_live_within_the_lease<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let asks = |route: &str, seconds| ReserveRequest {
        ttl: Some(Duration { seconds, nanos: 0 }),
        ..reserve(route, Usage::default())
    };
    let start = i64::try_from(NOON.0 / 1_000_000).unwrap();
    for (route, asked, lives) in [
        ("stream", 5, 5),
        ("stream", 300, 60),
        ("llm", 7_200, 7_200),
        ("llm", 1, 1),
        ("brief", 119, 119),
        ("brief", 121, 120),
        ("strict", 90, 60),
    ] {
        let held = service.held(asks(route, asked)).await;
        assert_eq!(held.expires_at.unwrap().seconds - start, lives, "{route} {asked}");
    }
    for (route, lives) in [("llm", 300), ("brief", 120), ("strict", 60)] {
        let held = service.held(reserve(route, Usage::default())).await;
        assert_eq!(held.expires_at.unwrap().seconds - start, lives, "{route} unless written");
    }
    let held = service.held(keyed(asks("llm", 40), "mine")).await;
    service.pass(10);
    let by_key = SettleRequest {
        subject: Some(ann("llm")),
        used: Some(Usage::default()),
        idempotency_key: "mine".into(),
        more: true,
        ..SettleRequest::default()
    };
    for renewed in [more(&held, None), by_key] {
        let answer = service.settle(renewed.clone()).await.unwrap();
        assert_eq!(answer.expires_at.unwrap().seconds - start, 50, "by its own time: {renewed:?}");
    }
    service.stop().await;
}

async fn a_late_settlement_is_charged_and_said_to_be_late<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let held = service.held(reserve("llm", tokens(&[("output", 800)]))).await;
    service.pass(300);
    service.held(reserve("llm", tokens(&[("output", 1_000)]))).await;
    let late = service.settle(done(&held, tokens(&[("output", 700)]))).await.unwrap();
    assert_eq!((late.late, late.decision()), (true, Decision::Deny));
    assert_eq!(amounts(&late.standings, "words"), [700, 1_000, -700]);
    service.stop().await;
}

async fn usage_that_nobody_knows_is_what_was_held_and_none_is_none<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let whole = tokens(&[("input", 100), ("output", 100)]);
    let unknown = service.held(reserve("both", whole.clone())).await;
    let settled = service.settle(done(&unknown, None)).await.unwrap();
    assert_eq!((settled.charged_usd.as_str(), settled.standings[0].used), ("0.03", 200));
    let zero = service.held(reserve("both", whole)).await;
    let settled = service.settle(done(&zero, Usage::default())).await.unwrap();
    assert_eq!((settled.charged_usd.as_str(), amounts(&settled.standings, "words")), ("0.00", [200, 0, 800]));
    service.stop().await;
}

async fn what_has_no_price_is_refused_or_charged_as_it_was_held<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let unknown = |usage: Usage| Usage { model: "gpt-9".into(), ..usage };
    let refused = service.reserve(reserve("both", unknown(tokens(&[("output", 10)])))).await.unwrap();
    let spend = standing(&refused.standings, "spend");
    assert_eq!((refused.decision(), spend.reason.as_str()), (Decision::Deny, "unpriced_model"));
    assert_eq!(spend.retry_after, None);
    assert_eq!(amounts(&refused.standings, "words"), [0, 0, 1_000]);
    let refused = service.reserve(reserve("both", tokens(&[("image", 10)]))).await.unwrap();
    assert_eq!(standing(&refused.standings, "spend").reason, "unpriced_model");
    service.held(reserve("llm", unknown(tokens(&[("output", 10)])))).await;

    let held = service.held(reserve("both", tokens(&[("output", 100)]))).await;
    let settled = service.settle(done(&held, unknown(tokens(&[("output", 50)])))).await.unwrap();
    assert_eq!((settled.decision(), settled.charged_usd.as_str()), (Decision::Allow, "0.02"));
    assert_eq!(standing(&settled.standings, "spend").reason, "unpriced_model");
    assert_eq!(amounts(&settled.standings, "words"), [50, 10, 940]);
    let after = SettleRequest {
        subject: Some(ann("both")),
        used: Some(unknown(tokens(&[("output", 50)]))),
        idempotency_key: "k".into(),
        ..SettleRequest::default()
    };
    let error = service.settle(after.clone()).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().starts_with("used.model: "), "{error}");
    let billed = SettleRequest { used: Some(unknown(usd("0.5"))), ..after };
    assert_eq!(service.settle(billed).await.unwrap().charged_usd, "0.50", "the caller knows better");
    service.stop().await;
}

async fn tokens_cost_what_they_did_when_they_were_reserved<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let at = |seconds| Some(WireTime { seconds, nanos: 0 });
    let million = |count| Usage { model: "openai/GPT-5".into(), ..tokens(&[("output", count)]) };
    let long =
        ReserveRequest { ttl: Some(Duration { seconds: 86_400, nanos: 0 }), ..reserve("day", million(1)) };
    // It begins on 30 November, and dearer prices hold until the end of that day.
    service.pass(9 * 86_400 + 11 * 3600);
    let [first, second] = [service.held(long.clone()).await, service.held(long).await];
    service.pass(3600);
    let settled = service.settle(done(&first, million(10_000))).await.unwrap();
    assert_eq!(settled.charged_usd, "0.30");
    let by_new = SettleRequest { used_at: at(1_796_083_200), ..done(&second, million(10_000)) };
    assert_eq!(service.settle(by_new).await.unwrap().charged_usd, "0.10");
    let now = service.held(reserve("day", million(10_000))).await;
    assert_eq!(amounts(&now.standings, "day"), [0, DOLLAR / 10, DOLLAR * 9 / 10], "a new day, a new price");
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

async fn what_a_caller_gets_wrong_is_said_and_charges_nothing<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let held = service.held(reserve("both", tokens(&[("output", 10)]))).await;
    let before = service.stands("llm", "words").await;
    let good = || reserve("both", tokens(&[("output", 10)]));
    let of = |subject: Subject| ReserveRequest { subject: Some(subject), ..good() };
    let lives = |seconds, nanos| ReserveRequest { ttl: Some(Duration { seconds, nanos }), ..good() };
    let many: Vec<(String, String)> = (0..17).map(|index| (index.to_string(), String::new())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let long = "k".repeat(257);
    let invalid = Code::InvalidArgument;
    for (request, code, text) in [
        (ReserveRequest { subject: None, ..good() }, invalid, "subject.domain: must not be empty"),
        (of(subject("app", &[])), invalid, "subject.entries: must not be empty"),
        (of(subject("app", &many)), invalid, "subject.entries: 17 given, at most 16 are taken"),
        (of(subject("app", &[("", "x")])), invalid, "subject.entries: a key must not be empty"),
        (of(subject("app", &[(&long[..65], "x")])), invalid, "subject.entries: a key is 65 bytes long"),
        (of(subject("app", &[("a", "x"), ("a", "y")])), invalid, "subject.entries: the key 'a' stands twice"),
        (
            of(subject("other", &[("user", "ann")])),
            Code::NotFound,
            "subject.domain: there is no domain 'other'",
        ),
        (
            of(subject("app", &[("route", "both "), ("user", "ann")])),
            Code::NotFound,
            "subject.entries.route: the domain has no route 'both '; write one as its file does",
        ),
        (
            of(subject("app", &[("limit", "wrods"), ("user", "ann")])),
            Code::NotFound,
            "subject.entries.limit: the domain has no limit 'wrods'; write the name of one",
        ),
        (lives(1, i32::MIN), invalid, "ttl: "),
        (lives(0, 0), invalid, "ttl: must be above 0 and at most 24 hours"),
        (lives(-1, 0), invalid, "ttl: "),
        (lives(1, -1), invalid, "ttl: "),
        (lives(365 * 86_400, 0), invalid, "ttl: "),
        (lives(i64::MAX, 0), invalid, "ttl: "),
        (lives(86_400, 1_000), invalid, "ttl: "),
        (keyed(good(), &long), invalid, "idempotency_key: 257 bytes long, at most 256 are taken"),
        (
            reserve("both", tokens(&[("outputs", 1)])),
            invalid,
            "estimate.tokens: 'outputs' is no class of tokens",
        ),
        (
            reserve("both", tokens(&[("output", 1 << 53)])),
            invalid,
            "estimate.tokens: more than 9007199254740991",
        ),
        (
            reserve("both", tokens(&[("output", u64::MAX), ("input", 1)])),
            invalid,
            "estimate.tokens: more than",
        ),
        (reserve("both", usd("-5.00")), invalid, "estimate.usd: it is not a decimal number of dollars"),
        (reserve("both", usd("NaN")), invalid, "estimate.usd: it is not"),
        (reserve("both", usd(&"0".repeat(33))), invalid, "estimate.usd: 33 bytes long, at most 32 are taken"),
        (less(keyed(good(), &"k".repeat(1 << 20))), invalid, ""),
        (reserve("both", usd("1e3")), invalid, "estimate.usd: it is not"),
        (reserve("both", usd("0.0000000001")), invalid, "estimate.usd: it has more than nine decimals"),
        (reserve("both", usd("9000000.01")), invalid, "estimate.usd: it is above the largest amount"),
        (
            reserve("both", Usage { hits: 1 << 53, ..Usage::default() }),
            invalid,
            "estimate.hits: 9007199254740992 is",
        ),
        (
            reserve("both", Usage { model: long.clone().into(), ..usd("1") }),
            invalid,
            "estimate.model: 257 bytes",
        ),
    ] {
        let shown = format!("{request:?}");
        let error = service.reserve(request).await.expect_err(&shown);
        assert_eq!(error.code(), code, "{shown}");
        assert!(error.message().starts_with(text), "{error} is not {text}");
    }

    let garbage = |reservation: &str| SettleRequest {
        reservation: reservation.to_owned().into(),
        ..done(&held, tokens(&[("output", 10)]))
    };
    let unknown = {
        let other = Service::start(&Bench::memory().await).await;
        other.held(reserve("both", tokens(&[("output", 10)]))).await.reservation
    };
    let [cut, long] = [&held.reservation[..84], &format!("{}00", held.reservation)].map(str::to_owned);
    let flipped: Vec<String> = held
        .reservation
        .char_indices()
        .map(|(place, digit)| {
            let other = char::from_digit(digit.to_digit(16).unwrap() ^ 1, 16).unwrap().to_string();
            let mut flipped = held.reservation.clone();
            flipped.replace_range(place..=place, &other);
            flipped
        })
        .collect();
    for broken in flipped.iter().chain([&cut, &long]) {
        let error = service.settle(garbage(broken)).await.unwrap_err();
        assert_eq!(
            (error.code(), error.message()),
            (invalid, "reservation: is none that Reserve has answered")
        );
    }
    let by_key = SettleRequest {
        reservation: "".into(),
        subject: Some(ann("both")),
        idempotency_key: "k".into(),
        ..done(&held, tokens(&[("output", 10)]))
    };
    let used_at =
        |seconds, nanos| SettleRequest { used_at: Some(WireTime { seconds, nanos }), ..done(&held, None) };
    for (request, code, text) in [
        (garbage("garbage"), invalid, "reservation: is none that Reserve has answered"),
        (garbage(&held.reservation.to_uppercase()), invalid, "reservation: "),
        (garbage(&unknown), Code::NotFound, "reservation: nothing is known of it"),
        (done(&held, usd("-1")), invalid, "used.usd: "),
        (done(&held, tokens(&[("total", 1)])), invalid, "used.tokens: 'total' is no class of tokens"),
        (used_at(-1, 0), invalid, "used_at: must be a time from 1970 to 9999"),
        (used_at(0, -1), invalid, "used_at: "),
        (used_at(0, 1_000_000_000), invalid, "used_at: "),
        (used_at(0, i32::MIN), invalid, "used_at: "),
        (used_at(-62_167_219_200, 0), invalid, "used_at: "),
        (used_at(253_402_300_800, 0), invalid, "used_at: "),
        (used_at(i64::MAX, 0), invalid, "used_at: "),
        (done(&held, usd("NaN")), invalid, "used.usd: "),
        (
            done(&held, usd(&"0".repeat(400_000))),
            invalid,
            "used.usd: 400000 bytes long, at most 32 are taken",
        ),
        (
            done(&held, tokens(&[("input", u64::MAX)])),
            invalid,
            "used.tokens: more than 9007199254740991 in all",
        ),
        (
            SettleRequest { subject: Some(ann("bth")), ..by_key.clone() },
            Code::NotFound,
            "subject.entries.route: the domain has no route 'bth'",
        ),
        (
            SettleRequest {
                subject: Some(subject("app", &[("limit", "wrods"), ("user", "ann")])),
                ..by_key.clone()
            },
            Code::NotFound,
            "subject.entries.limit: the domain has no limit 'wrods'",
        ),
        (
            SettleRequest { used: None, ..by_key.clone() },
            invalid,
            "used: must be given where nothing was reserved",
        ),
        (
            SettleRequest { idempotency_key: "".into(), ..by_key.clone() },
            invalid,
            "idempotency_key: must not be empty without a reservation",
        ),
        (
            SettleRequest { subject: Some(ann("named")), ..by_key },
            invalid,
            "subject.entries: the limit named needs session",
        ),
        (SettleRequest::default(), invalid, "subject.domain: must not be empty"),
    ] {
        let shown = format!("{request:?}");
        let error = service.settle(request).await.expect_err(&shown);
        assert_eq!(error.code(), code, "{shown}");
        assert!(error.message().starts_with(text), "{error} is not {text}");
    }

    let twice =
        ReleaseRequest { subject: Some(subject("app", &[("limit", "kits")])), ..give_back("kits", 1, "") };
    for (request, code, text) in [
        (give_back("kit", 1, ""), Code::NotFound, "limit: the domain has no limit 'kit'"),
        (
            give_back("calls", 1, ""),
            Code::FailedPrecondition,
            "limit: 'calls' takes nothing back; write 'refundable: true' into it",
        ),
        (give_back("", 1, ""), invalid, "limit: must not be empty without a reservation"),
        (give_back("kits", 1 << 53, ""), invalid, "hits: 9007199254740992 is above the largest amount"),
        (
            ReleaseRequest {
                amount: Some(release_request::Amount::TrueCount(1 << 53)),
                ..give_back("kits", 0, "")
            },
            invalid,
            "true_count: 9007199254740992 is above the largest amount",
        ),
        (twice, invalid, "subject.entries: 'limit' stands beside the field limit"),
        (ReleaseRequest { reservation: "00".into(), ..ReleaseRequest::default() }, invalid, "reservation: "),
    ] {
        let shown = format!("{request:?}");
        let error = service.release(request).await.expect_err(&shown);
        assert_eq!(error.code(), code, "{shown}");
        assert!(error.message().starts_with(text), "{error} is not {text}");
    }
    assert_eq!(service.stands("llm", "words").await, before);
    service.stop().await;
}

async fn any_bytes_name_a_subject<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let mut odd = ann("llm");
    odd.entries[1].value = vec![0xff, 0, b'{'].into();
    let held = ReserveRequest { subject: Some(odd), ..reserve("llm", tokens(&[("output", 5)])) };
    assert_eq!(amounts(&service.held(held).await.standings, "words"), [0, 5, 995]);
    service.stop().await;
}

async fn domains_of_the_reference_hold_nothing<S: Store>(bench: Bench<S>) {
    let service = Service::with(&bench, REFERENCE, EngineSettings::default()).await;
    let legacy = subject("legacy", &[("user", "ann")]);
    let error = service.reserve(ReserveRequest { subject: Some(legacy), ..ReserveRequest::default() }).await;
    assert_eq!(error.unwrap_err().code(), Code::FailedPrecondition);
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
    assert_eq!((tallied("words"), tallied("calls")), ([1, 1, 0], [2, 0, 0]));
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

/// What `used` comes to for ann on `route`, under the key `k`.
fn by_key(route: &str, used: Usage) -> SettleRequest {
    SettleRequest {
        subject: Some(ann(route)),
        used: Some(used),
        idempotency_key: "k".into(),
        ..SettleRequest::default()
    }
}

fn of_model(model: &str, usage: Usage) -> Usage {
    Usage { model: model.to_owned().into(), ..usage }
}

async fn by_its_key_an_unknown_model_is_charged_what_was_held<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    service.held(keyed(reserve("both", tokens(&[("output", 100)])), "k")).await;
    let settle = by_key("both", of_model("gpt-9", tokens(&[("output", 50)])));
    let settled = service.settle(settle.clone()).await.unwrap();
    assert_eq!((settled.charged_usd.as_str(), settled.replayed), ("0.02", false));
    assert_eq!(amounts(&settled.standings, "words"), [50, 0, 950]);
    let again = service.settle(settle).await.unwrap();
    assert_eq!((again.charged_usd.as_str(), again.replayed), ("0.02", true));
    service.stop().await;
}

async fn by_its_key_tokens_cost_what_they_did_when_they_were_reserved<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let output = |count| of_model("openai/GPT-5", tokens(&[("output", count)]));
    let ttl = Some(Duration { seconds: 86_400, nanos: 0 });
    service.pass(9 * 86_400 + 11 * 3_600);
    service.held(keyed(ReserveRequest { ttl, ..reserve("day", output(1)) }, "k")).await;
    service.pass(3_600);
    assert_eq!(service.settle(by_key("day", output(10_000))).await.unwrap().charged_usd, "0.30");
    let fresh = SettleRequest { idempotency_key: "other".into(), ..by_key("day", output(10_000)) };
    assert_eq!(service.settle(fresh).await.unwrap().charged_usd, "0.10", "nothing was reserved");
    service.stop().await;
}

async fn an_unknown_model_is_never_free<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let held = service.held(reserve("paid", Usage::default())).await;
    let used = tokens(&[("output", 10_000)]);
    let refused = service.settle(done(&held, of_model("gpt-9", used.clone()))).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let settled = service.settle(done(&held, used)).await.unwrap();
    assert_eq!((settled.charged_usd.as_str(), settled.replayed), ("2.00", false), "nothing was closed");
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

async fn limits_say_how_long_an_answer_is_thought_to_be<S: Store>(bench: Bench<S>) {
    let document = "
domains:
  app:
    per: user
    estimate: {output: 300}
    limits:
      words: 100k tokens/1h
      long:  {limit: 100k tokens/1h, estimate: {output: 500, max_output: 800}}
      spend: {limit: $5.00/1h, estimate: {max_output: 400}}
      calls: 100/1m
    routes: {plain: words, long: [words, long], both: [calls, long, spend]}
prices: {models: {m: {input: 1, output: 10}, n: {input: 1, output: 10}}}
";
    let service = Service::with(&bench, document, EngineSettings::default()).await;
    let expected = async |route: &str, model: &str| {
        let held = service.held(reserve(route, of_model(model, Usage::default()))).await;
        held.granted.unwrap().tokens["output"]
    };
    for (route, output) in [("plain", 300), ("long", 500), ("both", 400)] {
        assert_eq!(
            expected(route, "m").await,
            output,
            "{route}: as long as any thinks, and as all let it be"
        );
    }
    for number in 0..20 {
        let held = service.held(reserve("plain", of_model("n", tokens(&[("output", 1)])))).await;
        service.settle(done(&held, of_model("n", tokens(&[("output", 2_000)])))).await.unwrap();
        service.pass(60);
        assert_eq!(expected("plain", "n").await > 1_000, number == 19, "learned from twenty");
    }
    for (route, output) in [("long", 800), ("both", 400)] {
        assert_eq!(expected(route, "n").await, output, "{route}: whatever calls have used");
    }
    let told = service.held(reserve("both", of_model("m", tokens(&[("output", 900)])))).await;
    assert_eq!(told.granted.unwrap().tokens["output"], 900, "who says so knows better");
    service.stop().await;
}

async fn a_replay_says_nothing_of_what_was_expected<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let call = keyed(reserve("paid", of_model("gpt-5", Usage { hits: 2, ..Usage::default() })), "k");
    let first = service.held(call.clone()).await;
    assert!(!first.granted.unwrap().tokens.is_empty());
    let again = service.held(call).await;
    assert!(again.replayed);
    let granted = again.granted.unwrap();
    assert_eq!((granted.hits, granted.tokens.len()), (2, 0));
    service.stop().await;
}

async fn a_model_is_told_back_in_letters<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    for (model, told) in [(&b"gpt-5"[..], "gpt-5"), (b"\xff\xfem", "\u{fffd}\u{fffd}m")] {
        let estimate = Usage { model: model.into(), ..tokens(&[("output", 5)]) };
        let granted = service.held(reserve("llm", estimate)).await.granted.unwrap();
        assert_eq!(str::from_utf8(&granted.model), Ok(told), "a text in the answer has to be one");
    }
    service.stop().await;
}

async fn what_is_known_of_a_price_is_paid_beside_a_hold<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    for (output, charged) in [(10_000, "2.00"), (1, "0.20")] {
        let held = service.held(reserve("paid", tokens(&[("output", 1_000)]))).await;
        let used = tokens(&[("output", output), ("image", 1)]);
        let settled = service.settle(done(&held, used)).await.unwrap();
        assert_eq!(settled.charged_usd, charged, "{output} tokens and an image without a price");
        assert_eq!(standing(&settled.standings, "spend").reason, "unpriced_model");
    }
    service.stop().await;
}
