//! A call that goes on beyond the period it reserved in, as callers of the limit service see it: up to what was granted the
//! period before had room, and what is used beyond that is charged to the one of now.

use prost_types::Duration;
use tollgate::engine::EngineSettings;
use tollgate::store::Store;
use tollgate::transport::grpc::proto::tollgate::v1::{
    Decision, ReleaseRequest, ReserveRequest, SettleResponse,
};

use crate::support::bench::{Bench, promises};
use crate::support::embedded::NOON;
use crate::support::limit_calls::{DOLLAR, done, more, standing, subject, usd};
use crate::support::serving::Service;

const FILE: &str = "
domains:
  shop:
    per: user
    limits:
      day:     {limit: $1.00/day, max_ttl: 1h}
      forgive: {limit: $1.00/day, debt: forgive}
      fixed:   $1.00/1h fixed
      forgets: {limit: $1.00/1h fixed, debt: forgive}
      stop:    {limit: $1.00/day per all, on_limit: trip, reset: manual}
    routes: {day: day, forgive: forgive, fixed: fixed, forgets: forgets, stop: stop}
";

/// Seconds from noon to a minute before midnight.
const BEFORE_MIDNIGHT: u64 = 11 * 3600 + 59 * 60;

promises!(of [memory, redis]: {
    a_period_that_is_over_had_room_for_what_was_granted,
    what_is_told_late_is_charged_alike,
    what_nobody_held_when_its_period_ended_is_charged_to_the_one_of_now,
    a_breaker_opens_when_that_reaches_its_number,
});

fn reserve(route: &str, user: &str) -> ReserveRequest {
    ReserveRequest {
        subject: Some(subject("shop", &[("route", route), ("user", user)])),
        estimate: Some(usd("1.00")),
        ..ReserveRequest::default()
    }
}

/// A service a minute before midnight.
async fn service<S: Store>(bench: &Bench<S>) -> Service {
    let service = Service::with(bench, FILE, EngineSettings::default()).await;
    service.pass(BEFORE_MIDNIGHT);
    service
}

/// What is decided, and used and held of `limit`.
fn told(answer: &SettleResponse, limit: &str) -> (Decision, i64, i64) {
    let found = standing(&answer.standings, limit);
    (answer.decision(), found.used, found.held)
}

const LIMITS: [&str; 4] = ["day", "forgive", "fixed", "forgets"];

async fn a_period_that_is_over_had_room_for_what_was_granted<S: Store>(bench: Bench<S>) {
    let service = service(&bench).await;
    let mut held = Vec::new();
    for limit in LIMITS {
        held.push((limit, service.held(reserve(limit, "ann")).await));
    }
    service.pass(120);
    for (limit, held) in &held {
        for (used, decision, charged) in [
            ("1.00", Decision::Allow, 0),
            ("1.50", Decision::Allow, DOLLAR / 2),
            ("1.25", Decision::Allow, DOLLAR / 2),
            ("2.00", Decision::Allow, DOLLAR),
            ("3.00", Decision::Deny, 2 * DOLLAR),
            ("3.00", Decision::Deny, 2 * DOLLAR),
        ] {
            let answer = service.settle(more(held, usd(used))).await.unwrap();
            assert_eq!(told(&answer, limit), (decision, charged, 0), "{used} of {limit}");
            let reason = if decision == Decision::Deny { "over_limit" } else { "" };
            assert_eq!(standing(&answer.standings, limit).reason, reason, "{used} of {limit}");
            assert!(!answer.late, "{limit}");
        }
        for replayed in [false, true] {
            let end = service.settle(done(held, usd("3.00"))).await.unwrap();
            assert_eq!((end.replayed, end.charged_usd.as_str()), (replayed, "3.00"), "{limit}");
            assert_eq!(told(&end, limit), (Decision::Deny, 2 * DOLLAR, 0), "{limit}");
        }
        let refused = service.reserve(reserve(limit, "ann")).await.unwrap();
        assert_eq!(refused.decision(), Decision::Deny, "{limit}");
    }
    service.pass(86_400);
    for limit in LIMITS {
        // Of two dollars, an hour or a day pays one.
        let answer = service.reserve(reserve(limit, "ann")).await.unwrap();
        let passes = if limit == "day" { Decision::Deny } else { Decision::Allow };
        assert_eq!(answer.decision(), passes, "{limit}");
    }
    service.stop().await;
}

async fn what_is_told_late_is_charged_alike<S: Store>(bench: Bench<S>) {
    let service = service(&bench).await;
    for limit in LIMITS {
        let held = service.held(reserve(limit, "bea")).await;
        service.pass(600);
        let late = service.settle(done(&held, usd("1.50"))).await.unwrap();
        assert_eq!((late.late, late.charged_usd.as_str()), (true, "1.50"), "{limit}");
        assert_eq!(told(&late, limit), (Decision::Allow, DOLLAR / 2, 0), "{limit}");
        service.clock.set(NOON);
        service.pass(BEFORE_MIDNIGHT);
    }
    service.stop().await;
}

/// Four have the same dollar one after the other; a fifth lets go of it.
async fn what_nobody_held_when_its_period_ended_is_charged_to_the_one_of_now<S: Store>(bench: Bench<S>) {
    let service = service(&bench).await;
    for limit in LIMITS {
        let mut held = Vec::new();
        for _ in 0..4 {
            let ttl = Some(Duration { seconds: 1, nanos: 0 });
            held.push(service.held(ReserveRequest { ttl, ..reserve(limit, "bea") }).await);
            service.pass(2);
        }
        let released = service.held(reserve(limit, "bea")).await;
        let reservation = released.reservation.clone().into();
        service.release(ReleaseRequest { reservation, ..ReleaseRequest::default() }).await.unwrap();
        held.push(released);
        service.pass(120);
        for (held, used) in held.iter().zip(1_i64..) {
            let late = service.settle(done(held, usd("1.00"))).await.unwrap();
            let decision = if used == 1 { Decision::Allow } else { Decision::Deny };
            assert!(late.late, "{limit}");
            assert_eq!(told(&late, limit), (decision, used * DOLLAR, 0), "{limit}");
        }
        service.clock.set(NOON);
        service.pass(BEFORE_MIDNIGHT);
    }
    service.stop().await;
}

async fn a_breaker_opens_when_that_reaches_its_number<S: Store>(bench: Bench<S>) {
    let service = service(&bench).await;
    let [one, two] = [service.held(reserve("stop", "ann")).await, service.held(reserve("day", "ann")).await];
    service.pass(120);
    for (used, goes_on) in [("1.00", Decision::Allow), ("1.99", Decision::Allow), ("2.00", Decision::Deny)] {
        service.settle(more(&one, usd(used))).await.unwrap();
        let other = service.settle(more(&two, usd("0"))).await.unwrap();
        assert_eq!(other.decision(), goes_on, "once $ {used} are used");
    }
    let other = service.reserve(reserve("day", "bea")).await.unwrap();
    assert_eq!(standing(&other.standings, "stop").decision(), Decision::Deny, "it is open: {other:?}");
    service.stop().await;
}
