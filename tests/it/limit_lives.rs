//! How long what is reserved through the limit service lives, and what becomes of it when nobody tells what was used.

use prost_types::{Duration, Timestamp as WireTime};
use tonic::Code;

use tollgate::store::Store;
use tollgate::transport::grpc::proto::tollgate::v1::{Decision, ReserveRequest, SettleRequest, Usage};

use crate::support::bench::{Bench, promises};
use crate::support::embedded::NOON;
use crate::support::limit_calls::{amounts, done, more, standing, tokens};
use crate::support::limit_shop::{ann, drop_of, keyed, reserve};
use crate::support::serving::Service;

promises!(of [memory, redis]: {
    a_stream_holds_its_slot_for_as_long_as_it_is_renewed,
    no_stream_is_renewed_beyond_its_greatest_age,
    a_caller_may_ask_for_another_time_to_live_within_the_lease,
    a_late_settlement_is_charged_and_said_to_be_late,
    who_tells_nothing_goes_on_for_nothing_and_ends_for_what_was_held,
    usage_that_nobody_knows_is_what_was_held_and_none_is_none,
});

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
