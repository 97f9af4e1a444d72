//! Models, their prices and what is expected of them, as callers of the limit service meet them.

use prost_types::{Duration, Timestamp as WireTime};
use tonic::Code;

use tollgate::engine::EngineSettings;
use tollgate::store::Store;
use tollgate::transport::grpc::proto::tollgate::v1::{Decision, ReserveRequest, SettleRequest, Unit, Usage};

use crate::support::bench::{Bench, promises};
use crate::support::limit_calls::{DOLLAR, amounts, done, standing, tokens, usd};
use crate::support::limit_shop::{ann, by_key, keyed, of_model, reserve};
use crate::support::serving::Service;

promises!(of [memory, redis]: {
    ten_thousand_in_and_twenty_thousand_out_are_five_dollars_and_no_token_more,
    what_has_no_price_is_refused_or_charged_as_it_was_held,
    what_is_known_of_a_price_is_paid_beside_a_hold,
    an_unknown_model_is_never_free,
    by_its_key_an_unknown_model_is_charged_what_was_held,
    tokens_cost_what_they_did_when_they_were_reserved,
    by_its_key_tokens_cost_what_they_did_when_they_were_reserved,
    limits_say_how_long_an_answer_is_thought_to_be,
    a_replay_says_nothing_of_what_was_expected,
    a_model_is_told_back_in_letters,
});

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

async fn what_has_no_price_is_refused_or_charged_as_it_was_held<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let unknown = |usage: Usage| Usage { model: "gpt-9".into(), ..usage };
    let refused = service.reserve(reserve("both", unknown(tokens(&[("output", 10)])))).await.unwrap();
    let spend = standing(&refused.standings, "spend");
    assert_eq!((refused.decision(), spend.reason.as_str()), (Decision::Deny, "unpriced_model"));
    assert_eq!(spend.retry_after, None);
    assert_eq!((amounts(&refused.standings, "spend"), spend.max), ([0; 3], 5 * DOLLAR), "nobody asked");
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
    // The day before had room for one token of each.
    let used = DOLLAR * 4 / 10 - 2 * 30_000;
    let left = DOLLAR * 9 / 10 - used;
    assert_eq!(amounts(&now.standings, "day"), [used, DOLLAR / 10, left], "a new day, a new price");
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
