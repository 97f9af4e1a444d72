//! What callers of the limit service get wrong, and what only looks wrong.

use std::fmt::Debug;

use prost_types::{Duration, Timestamp as WireTime};
use tonic::{Code, Status};

use tollgate::engine::EngineSettings;
use tollgate::store::Store;
use tollgate::transport::grpc::proto::tollgate::v1::{
    ReleaseRequest, ReserveRequest, ReserveResponse, SettleRequest, Subject, Usage, release_request,
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
    what_is_wrong_to_reserve_is_said_and_charges_nothing,
    what_is_wrong_to_settle_is_said_and_charges_nothing,
    what_is_wrong_to_release_is_said_and_charges_nothing,
    any_bytes_name_a_subject,
    domains_of_the_reference_hold_nothing,
});

/// Where limits of each unit stand for ann: hits, tokens, money, slots, what exists.
async fn all(service: &Service) -> Vec<[i64; 3]> {
    let mut standings = Vec::new();
    for (route, limit) in [
        ("llm", "calls"),
        ("llm", "words"),
        ("paid", "spend"),
        ("day", "day"),
        ("stream", "open"),
        ("kits", "kits"),
    ] {
        standings.push(service.stands(route, limit).await);
    }
    standings
}

/// A request that is wrong, the code by which it is refused, and how the reason begins.
type Wrong<R> = (R, Code, &'static str);

const INVALID: Code = Code::InvalidArgument;

#[track_caller]
fn assert_refused<T: Debug>(answer: Result<T, Status>, request: &str, (code, text): (Code, &str)) {
    let error = answer.expect_err(request);
    assert_eq!(error.code(), code, "{request}");
    assert!(error.message().starts_with(text), "{error} is not {text}");
}

fn wrong_to_reserve() -> Vec<Wrong<ReserveRequest>> {
    let good = || reserve("both", tokens(&[("output", 10)]));
    let of = |subject: Subject| ReserveRequest { subject: Some(subject), ..good() };
    let lives = |seconds, nanos| ReserveRequest { ttl: Some(Duration { seconds, nanos }), ..good() };
    let many: Vec<(String, String)> = (0..17).map(|index| (index.to_string(), String::new())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let long = "k".repeat(257);
    vec![
        (ReserveRequest { subject: None, ..good() }, INVALID, "subject.domain: must not be empty"),
        (of(subject("app", &[])), INVALID, "subject.entries: must not be empty"),
        (of(subject("app", &many)), INVALID, "subject.entries: 17 given, at most 16 are taken"),
        (of(subject("app", &[("", "x")])), INVALID, "subject.entries: a key must not be empty"),
        (of(subject("app", &[(&long[..65], "x")])), INVALID, "subject.entries: a key is 65 bytes long"),
        (of(subject("app", &[("a", "x"), ("a", "y")])), INVALID, "subject.entries: the key 'a' stands twice"),
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
        (lives(1, i32::MIN), INVALID, "ttl: "),
        (lives(0, 0), INVALID, "ttl: must be above 0 and at most 24 hours"),
        (lives(-1, 0), INVALID, "ttl: "),
        (lives(1, -1), INVALID, "ttl: "),
        (lives(365 * 86_400, 0), INVALID, "ttl: "),
        (lives(i64::MAX, 0), INVALID, "ttl: "),
        (lives(86_400, 1_000), INVALID, "ttl: "),
        (keyed(good(), &long), INVALID, "idempotency_key: 257 bytes long, at most 256 are taken"),
        (
            reserve("both", tokens(&[("outputs", 1)])),
            INVALID,
            "estimate.tokens: 'outputs' is no class of tokens",
        ),
        (
            reserve("both", tokens(&[("output", 1 << 53)])),
            INVALID,
            "estimate.tokens: more than 9007199254740991",
        ),
        (
            reserve("both", tokens(&[("output", u64::MAX), ("input", 1)])),
            INVALID,
            "estimate.tokens: more than",
        ),
        (reserve("both", usd("-5.00")), INVALID, "estimate.usd: it is not a decimal number of dollars"),
        (reserve("both", usd("NaN")), INVALID, "estimate.usd: it is not"),
        (reserve("both", usd(&"0".repeat(33))), INVALID, "estimate.usd: 33 bytes long, at most 32 are taken"),
        (less(keyed(good(), &"k".repeat(1 << 20))), INVALID, ""),
        (reserve("both", usd("1e3")), INVALID, "estimate.usd: it is not"),
        (reserve("both", usd("0.0000000001")), INVALID, "estimate.usd: it has more than nine decimals"),
        (reserve("both", usd("9000000.01")), INVALID, "estimate.usd: it is above the largest amount"),
        (
            reserve("both", Usage { hits: 1 << 53, ..Usage::default() }),
            INVALID,
            "estimate.hits: 9007199254740992 is",
        ),
        (
            reserve("both", Usage { model: long.clone().into(), ..usd("1") }),
            INVALID,
            "estimate.model: 257 bytes",
        ),
    ]
}

async fn what_is_wrong_to_reserve_is_said_and_charges_nothing<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    service.held(reserve("both", tokens(&[("output", 10)]))).await;
    let before = all(&service).await;
    for (request, code, text) in wrong_to_reserve() {
        let shown = format!("{request:?}");
        assert_refused(service.reserve(request).await, &shown, (code, text));
    }
    assert_eq!(all(&service).await, before);
    service.stop().await;
}

/// The handle of `held`, with another digit at each place, cut and continued.
fn broken_handles(held: &ReserveResponse) -> Vec<String> {
    let handle = &held.reservation;
    let flipped = handle.char_indices().map(|(place, digit)| {
        let other = char::from_digit(digit.to_digit(16).unwrap() ^ 1, 16).unwrap().to_string();
        let mut flipped = handle.clone();
        flipped.replace_range(place..=place, &other);
        flipped
    });
    flipped
        .chain([handle[..84].to_owned(), format!("{handle}00"), handle.to_uppercase(), "garbage".into()])
        .collect()
}

/// Of `held`, and of what is `unknown` here.
fn wrong_to_settle(held: &ReserveResponse, unknown: &str) -> Vec<Wrong<SettleRequest>> {
    let by_handle = |reservation: &str| SettleRequest {
        reservation: reservation.to_owned().into(),
        ..done(held, tokens(&[("output", 10)]))
    };
    let by_key = SettleRequest { subject: Some(ann("both")), idempotency_key: "k".into(), ..by_handle("") };
    let used_at =
        |seconds, nanos| SettleRequest { used_at: Some(WireTime { seconds, nanos }), ..done(held, None) };
    vec![
        (by_handle(unknown), Code::NotFound, "reservation: nothing is known of it"),
        (done(held, usd("-1")), INVALID, "used.usd: "),
        (done(held, tokens(&[("total", 1)])), INVALID, "used.tokens: 'total' is no class of tokens"),
        (used_at(-1, 0), INVALID, "used_at: must be a time from 1970 to 9999"),
        (used_at(0, -1), INVALID, "used_at: "),
        (used_at(0, 1_000_000_000), INVALID, "used_at: "),
        (used_at(0, i32::MIN), INVALID, "used_at: "),
        (used_at(-62_167_219_200, 0), INVALID, "used_at: "),
        (used_at(253_402_300_800, 0), INVALID, "used_at: "),
        (used_at(i64::MAX, 0), INVALID, "used_at: "),
        (done(held, usd("NaN")), INVALID, "used.usd: "),
        (done(held, usd(&"0".repeat(400_000))), INVALID, "used.usd: 400000 bytes long, at most 32 are taken"),
        (
            done(held, tokens(&[("input", u64::MAX)])),
            INVALID,
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
            INVALID,
            "used: must be given where nothing was reserved",
        ),
        (
            SettleRequest { idempotency_key: "".into(), ..by_key.clone() },
            INVALID,
            "idempotency_key: must not be empty without a reservation",
        ),
        (
            SettleRequest { subject: Some(ann("named")), ..by_key },
            INVALID,
            "subject.entries: the limit named needs session",
        ),
        (SettleRequest::default(), INVALID, "subject.domain: must not be empty"),
    ]
}

async fn what_is_wrong_to_settle_is_said_and_charges_nothing<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    let held = service.held(reserve("both", tokens(&[("output", 10)]))).await;
    let unknown = {
        let other = Service::start(&Bench::memory().await).await;
        other.held(reserve("both", tokens(&[("output", 10)]))).await.reservation
    };
    let before = all(&service).await;
    for broken in broken_handles(&held) {
        let settle = SettleRequest { reservation: broken.clone().into(), ..done(&held, None) };
        let answer = service.settle(settle).await;
        assert_refused(answer, &broken, (INVALID, "reservation: is none that Reserve has answered"));
    }
    for (request, code, text) in wrong_to_settle(&held, &unknown) {
        let shown = format!("{request:?}");
        assert_refused(service.settle(request).await, &shown, (code, text));
    }
    assert_eq!(all(&service).await, before);
    service.stop().await;
}

fn wrong_to_release() -> Vec<Wrong<ReleaseRequest>> {
    let twice =
        ReleaseRequest { subject: Some(subject("app", &[("limit", "kits")])), ..give_back("kits", 1, "") };
    vec![
        (give_back("kit", 1, ""), Code::NotFound, "limit: the domain has no limit 'kit'"),
        (
            give_back("calls", 1, ""),
            Code::FailedPrecondition,
            "limit: 'calls' takes nothing back; write 'refundable: true' into it",
        ),
        (
            give_back("", 1, ""),
            INVALID,
            "limit: must not be empty without a reservation; a hold is released by its reservation",
        ),
        (give_back("kits", 1 << 53, ""), INVALID, "hits: 9007199254740992 is above the largest amount"),
        (
            ReleaseRequest {
                amount: Some(release_request::Amount::TrueCount(1 << 53)),
                ..give_back("kits", 0, "")
            },
            INVALID,
            "true_count: 9007199254740992 is above the largest amount",
        ),
        (twice, INVALID, "subject.entries: 'limit' stands beside the field limit"),
        (ReleaseRequest { reservation: "00".into(), ..ReleaseRequest::default() }, INVALID, "reservation: "),
    ]
}

async fn what_is_wrong_to_release_is_said_and_charges_nothing<S: Store>(bench: Bench<S>) {
    let service = Service::start(&bench).await;
    service.held(reserve("kits", Usage::default())).await;
    let before = all(&service).await;
    for (request, code, text) in wrong_to_release() {
        let shown = format!("{request:?}");
        assert_refused(service.release(request).await, &shown, (code, text));
    }
    assert_eq!(all(&service).await, before);
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
