//! What callers of the limit service get wrong, and what only looks wrong.

use prost_types::{Duration, Timestamp as WireTime};
use tonic::Code;

use tollgate::engine::EngineSettings;
use tollgate::store::Store;
use tollgate::transport::grpc::proto::tollgate::v1::{
    ReleaseRequest, ReserveRequest, SettleRequest, Subject, Usage, release_request,
};

use crate::support::bench::{Bench, promises};
use crate::support::limit_calls::{amounts, done, subject, tokens, usd};
use crate::support::limit_shop::{ann, give_back, keyed, less, reserve};
use crate::support::serving::Service;

const REFERENCE: &str = "
domain: legacy
descriptors: [{key: user, rate_limit: {unit: minute, requests_per_unit: 5}}]
";

promises!(of [memory, redis]: {
    what_a_caller_gets_wrong_is_said_and_charges_nothing,
    any_bytes_name_a_subject,
    domains_of_the_reference_hold_nothing,
});

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
        (
            give_back("", 1, ""),
            invalid,
            "limit: must not be empty without a reservation; a hold is released by its reservation",
        ),
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
