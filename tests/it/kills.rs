//! What is reserved and settled through the deaths of those who keep the books: Tollgate or Redis is killed between
//! Reserve and Settle, and in the midst of both. Whoever is not answered asks again, under the same key.

use tollgate::transport::grpc::proto::tollgate::v1::{ReserveRequest, ReserveResponse};

use crate::support::books::{Limits, Service, ask, assert_books, by_key, dollars, output};
use crate::support::limit_calls::{amounts, done, more, subject};
use crate::support::process::metric;
use crate::support::redis::RedisServer;
use crate::support::tools::Tool;

/// How often Tollgate dies over Redis, with books of its own, and Redis itself.
const KILLS: u64 = 200;
const EMBEDDED_KILLS: u64 = 12;
const REDIS_KILLS: u64 = 20;

/// What lived through a kill.
struct Survivors {
    round: u64,
    /// Reserved and not settled.
    held: ReserveResponse,
    /// Reserved, and being settled when the end came. Another call was being reserved.
    settling: ReserveResponse,
}

impl Survivors {
    fn key(what: &str, round: u64) -> String {
        format!("{what} {round}")
    }

    /// How many tokens the calls of `round` use.
    fn used(round: u64) -> u64 {
        round % 30 + 1
    }

    /// Begins three calls, of which one is settled, when `service` dies.
    async fn of(round: u64, service: &Service) -> Self {
        let reserve = |what| ask("all", &Self::key(what, round), 50);
        let held = service.reserve(reserve("held")).await;
        assert!(amounts(&held.standings, "words")[1] >= 50, "{held:?}");
        let settling = service.reserve(reserve("settling")).await;
        service.send(reserve("asking"), done(&settling, output(Self::used(round))));
        // The end comes earlier and later.
        for _ in 0..round % 20 {
            tokio::task::yield_now().await;
        }
        Self { round, held, settling }
    }

    /// Asks all that was asked again. How many tokens come of it, in all.
    async fn go_on(self, service: &Service) -> u64 {
        let (round, used) = (self.round, Self::used(self.round));
        for (what, before) in [("held", &self.held), ("settling", &self.settling)] {
            let again = service.reserve(ask("all", &Self::key(what, round), 50)).await;
            assert!(again.replayed && again.reservation == before.reservation, "{what} {round}: {again:?}");
            assert_eq!(again.granted, before.granted, "{what} {round}");
        }
        let asked = service.reserve(ask("all", &Self::key("asking", round), 50)).await;
        let settled = service.settle(done(&self.settling, output(used))).await;
        assert_eq!(settled.charged_usd, dollars(used), "{round}");
        let again = service.settle(done(&asked, output(used))).await;
        assert_eq!((again.charged_usd, again.replayed), (dollars(used), false), "{round}");
        2 * used + self.settle_held(service).await
    }

    /// Settles what is held in one of four ways.
    async fn settle_held(&self, service: &Service) -> u64 {
        let used = Self::used(self.round);
        match self.round % 4 {
            0 => return 0,
            1 => drop(service.settle(done(&self.held, output(used))).await),
            2 => drop(service.settle(by_key(&Self::key("held", self.round), used)).await),
            _ => drop(service.settle(more(&self.held, output(used / 2))).await),
        }
        let last = service.settle(done(&self.held, output(used))).await;
        let replayed = !self.round.is_multiple_of(4) && self.round % 4 != 3;
        assert_eq!((last.charged_usd, last.replayed), (dollars(used), replayed), "{}", self.round);
        used
    }
}

#[tokio::test]
async fn tollgate_dies_between_reserve_and_settle_and_redis_keeps_the_books() {
    let (redis, limits) = (RedisServer::start(Tool::Redis), Limits::new());
    let (mut before, mut words): (Option<Survivors>, u64) = (None, 0);
    for round in 0..KILLS {
        let mut service = limits.over(&redis).await;
        if let Some(before) = before.take() {
            words += before.go_on(&service).await;
        }
        before = Some(Survivors::of(round, &service).await);
        service.process.kill();
    }
    let service = limits.over(&redis).await;
    words += before.unwrap().go_on(&service).await;
    let last = service.reserve(ask("all", "last", 50)).await;
    assert_eq!(amounts(&last.standings, "open")[0], 0);
    let standings = service.nothing_is_held().await;
    assert_books(&standings, 3 * KILLS + 1, words);
}

#[tokio::test]
async fn redis_dies_between_reserve_and_settle_and_has_the_books_again() {
    let (mut redis, limits) = (RedisServer::durable(Tool::Redis), Limits::new());
    let service = limits.over(&redis).await;
    let mut words = 0;
    for round in 0..REDIS_KILLS {
        let before = Survivors::of(round, &service).await;
        redis.kill();
        redis.restart();
        words += before.go_on(&service).await;
    }
    assert_books(&service.nothing_is_held().await, 3 * REDIS_KILLS, words);
}

/// What a Tollgate that keeps its books itself had answered when it died.
struct Answered {
    round: u64,
    /// Reserved and settled, and long since written down.
    sure: ReserveResponse,
    /// Reserved and not settled, and long since written down.
    held: ReserveResponse,
}

impl Answered {
    async fn of(round: u64, service: &Service) -> Self {
        let used = Survivors::used(round);
        let reserve = |what| ask("all", &Survivors::key(what, round), 50);
        let sure = service.reserve(reserve("sure")).await;
        service.settle(done(&sure, output(used))).await;
        let held = service.reserve(reserve("held")).await;
        service.until_flushed().await;
        let fresh = service.reserve(reserve("fresh")).await;
        service.settle(done(&fresh, output(used))).await;
        Self { round, sure, held }
    }

    /// Asks all of it again, but does not settle what is held.
    async fn ask_again(&self, service: &Service) {
        let (round, used) = (self.round, Survivors::used(self.round));
        for (what, before) in [("sure", &self.sure), ("held", &self.held)] {
            let again = service.reserve(ask("all", &Survivors::key(what, round), 50)).await;
            assert!(again.replayed && again.reservation == before.reservation, "{what} {round}: {again:?}");
        }
        let settled = service.settle(done(&self.sure, output(used))).await;
        assert_eq!((settled.charged_usd, settled.replayed), (dollars(used), true), "{round}");
        let settled = service.settle(by_key(&Survivors::key("fresh", round), used)).await;
        assert_eq!(settled.charged_usd, dollars(used), "{round}");
    }
}

impl Service {
    /// Waits until all that was answered is written down: the first flush from now may have begun before, not the second.
    async fn until_flushed(&self) {
        let flushes = metric(&self.process, "flushes").await;
        while metric(&self.process, "flushes").await < flushes + 2 {
            let bob = subject("app", &[("limit", "calls"), ("user", "bob")]);
            self.reserve(ReserveRequest { subject: Some(bob), ..ReserveRequest::default() }).await;
        }
    }
}

/// What is settled again may be charged less than it was, if that was not written down, but never more.
#[tokio::test]
async fn tollgate_dies_between_reserve_and_settle_and_loses_no_more_than_was_not_flushed() {
    let limits = Limits::new();
    let (mut before, mut least, mut most): (Option<Answered>, u64, u64) = (None, 0, 0);
    for round in 0..=EMBEDDED_KILLS {
        let mut service = limits.embedded().await;
        if let Some(before) = before.take() {
            before.ask_again(&service).await;
            let used = Survivors::used(before.round);
            let settled = service.settle(done(&before.held, output(used))).await;
            assert_eq!((settled.charged_usd, settled.replayed), (dollars(used), false), "{round}");
            (least, most) = (least + 2 * used, most + 3 * used);
        }
        let found = amounts(&service.standings().await, "words")[0].unsigned_abs();
        assert!((least..=most).contains(&found), "round {round}: {found} of {least} to {most}");
        before = Some(Answered::of(round, &service).await);
        service.process.kill();
    }
    let service = limits.embedded().await;
    before.unwrap().ask_again(&service).await;
    let used = Survivors::used(EMBEDDED_KILLS);
    let found = amounts(&service.nothing_is_held().await, "words")[0].unsigned_abs();
    assert!((least + used..=most + 2 * used).contains(&found), "{found} of {least} to {most}");
}
