//! Breakers as callers and operators meet them, over the memory and over Redis: who opens one, whom it stops and until when,
//! and what is said of it.

use std::sync::Arc;

use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::engine::{
    BreakerError, BreakerOf, Check, CheckRequest, Code, Decision, Descriptor, Done, Engine, EngineSettings,
    Hold, HoldError, LimitStanding, Named, Operate, OperateError, Progress, Reason, ReserveAnswer,
    ReserveRequest, Ruling, SetBreaker, Setting, SettleAnswer, SettleRequest, SubjectOf, Unclaimed, UsageOf,
};
use tollgate::limits::{BreakerState, Entry, KeySecret, LimitsHandle, Number};
use tollgate::store::Store;

use crate::support::admins::{ann, journal};
use crate::support::bench::{Bench, promises};
use crate::support::embedded::{header, rules};

promises!(of [memory, redis]: {
    one_is_open_half_open_and_closed_to_the_microsecond,
    a_tenth_of_the_calls_are_probes,
    what_is_reached_while_it_is_half_open_opens_it_anew,
    an_ask_that_is_no_probe_opens_it_anew_too,
    whoever_began_as_a_probe_goes_on_as_one,
    many_instances_open_it_once,
    a_call_that_is_stopped_is_told_so_once,
    who_goes_on_is_told_where_the_limit_stands,
    what_was_reserved_before_a_number_changed_goes_by_the_new_one,
    what_has_lapsed_and_finds_no_room_does_not_go_on,
    each_tier_goes_by_its_own_number,
    who_reserves_nothing_is_stopped_too,
    a_limit_that_is_looked_at_is_not_paid,
    holds_alone_open_one,
    a_key_that_is_taken_is_a_conflict_beside_breakers_too,
    an_operator_sees_how_each_is,
    a_reason_is_one_line_of_a_log,
    a_breaker_tells_of_the_counter_of_the_anchor_that_is_asked_for,
    a_reset_says_that_it_will_not_last,
    what_is_cleared_may_be_spent_again,
});

const MINUTE: u64 = 60;
const DOLLAR: u64 = 1_000_000_000;

/// `stop` and `pair` are opened, `cap` is not; nothing is charged to `stop` but on `llm`.
const FILE: &str = "
domains:
  shop:
    per: user
    limits:
      stop: {limit: $20.00/1d per all, on_limit: trip, reset: auto after 15m}
      hand: {limit: $50.00/day per all, on_limit: trip, reset: manual}
      mine: {limit: $5.00/1h, on_limit: trip, reset: {auto: 1m, probe: 100%}}
      cap:  $100.00/1h
      free: 1000/1s
    routes:
      llm:   [stop, cap]
      day:   hand
      mine:  mine
      other: cap
      ping:  free
";

const TIERS: &str = "
domains:
  shop:
    per: user
    tier: {default: free}
    tiers: {pro: {stop: $50.00}, free: {stop: $5.00}}
    limits: {stop: {limit: $/1d, on_limit: trip, reset: manual}}
    routes: {llm: stop}
";

struct Shop<S> {
    engine: Arc<Engine<Arc<S>>>,
    limits: LimitsHandle,
    clock: Clock,
}

impl<S: Store> Shop<S> {
    fn on(bench: &Bench<S>) -> Self {
        Self::of(bench, LimitsHandle::new(rules(FILE)))
    }

    /// An instance of its own, with rules of its own.
    fn of(bench: &Bench<S>, limits: LimitsHandle) -> Self {
        let engine = Engine::new(limits.clone(), bench.store.clone(), EngineSettings::default());
        let engine = engine.drawing(KeySecret([7; 16])).recording(journal());
        Self { engine: Arc::new(engine), limits, clock: bench.clock.clone() }
    }

    fn subject<'a>(route: &'static str) -> SubjectOf<'a> {
        let entries = [("route", route), ("user", "u")];
        let entry = |(key, value): (&'static str, &'static str)| Entry {
            key: key.as_bytes(),
            value: value.as_bytes(),
        };
        SubjectOf { domain: b"shop", entries: entries.into_iter().map(entry).collect() }
    }

    async fn check(&self, route: &'static str) -> Decision {
        let SubjectOf { domain, entries } = Self::subject(route);
        let descriptor = Descriptor { entries, ..Descriptor::default() };
        let request = CheckRequest { domain, descriptors: [descriptor].into_iter().collect(), hits: 0 };
        self.engine.check(request).await.unwrap()
    }

    async fn passes(&self, route: &'static str) -> bool {
        self.check(route).await.code == Code::Ok
    }

    /// How many of so many calls pass.
    async fn passing(&self, route: &'static str, calls: usize) -> usize {
        let mut passing = 0;
        for _ in 0..calls {
            passing += usize::from(self.passes(route).await);
        }
        passing
    }

    async fn reserve(&self, route: &'static str, usd: &'static str) -> ReserveAnswer {
        let estimate = UsageOf { usd: usd.as_bytes(), ..UsageOf::default() };
        let request = ReserveRequest { subject: Self::subject(route), estimate, ..ReserveRequest::default() };
        let answer = self.engine.reserve(request).await.unwrap();
        // It has come to whoever asked.
        answer.unclaimed.iter().for_each(Unclaimed::claim);
        answer
    }

    async fn settle(&self, held: &ReserveAnswer, usd: &'static str, progress: Progress) -> SettleAnswer {
        let handle = held.handle.as_ref().unwrap().to_string();
        let request = SettleRequest {
            reserved: Named::Handle(handle.as_bytes()),
            used: Some(UsageOf { usd: usd.as_bytes(), ..UsageOf::default() }),
            progress,
            used_at: None,
        };
        self.engine.settle(request).await.unwrap()
    }

    /// Spends after the fact.
    async fn spend(&self, route: &'static str, key: &'static str, usd: &'static str) -> SettleAnswer {
        self.report(route, key, usd, Progress::Done).await
    }

    /// Tells what was spent so far, of which nothing was reserved.
    async fn report(
        &self,
        route: &'static str,
        key: &'static str,
        usd: &'static str,
        progress: Progress,
    ) -> SettleAnswer {
        let request = SettleRequest {
            reserved: Named::Key { subject: Self::subject(route), idempotency_key: key.as_bytes() },
            used: Some(UsageOf { usd: usd.as_bytes(), ..UsageOf::default() }),
            progress,
            used_at: None,
        };
        self.engine.settle(request).await.unwrap()
    }

    async fn state(&self, limit: &'static str) -> BreakerState {
        let which = BreakerOf { domain: None, limit: limit.as_bytes(), subject: Vec::new() };
        self.engine.breaker(which).await.unwrap().breaker.state
    }

    async fn set(&self, limit: &'static str, to: Setting) -> (BreakerState, LimitStanding) {
        let which = BreakerOf { domain: None, limit: limit.as_bytes(), subject: Vec::new() };
        let request = SetBreaker { which, to, reason: "a test" };
        let before = self.engine.set_breaker(&ann(), request).await.unwrap().before;
        (before.breaker.state, before.standing)
    }

    /// How often the breaker of `limit` was opened by a charge that this instance made.
    fn trips(&self, limit: &str) -> u64 {
        let rules = self.limits.load();
        let of_limit = |(_, name, tally): &(&str, &str, _)| (*name == limit).then_some(*tally);
        rules
            .breaker_tallies()
            .iter()
            .find_map(of_limit)
            .map(|tally: &tollgate::limits::BreakerTally| tally.trips())
            .unwrap()
    }

    fn pass(&self, span: Micros) {
        self.clock.advance(span);
    }
}

const fn minutes(minutes: u64) -> Micros {
    Micros::from_secs(minutes * MINUTE)
}

/// What is told of a limit.
fn standing<'s>(standings: &'s [LimitStanding], limit: &str) -> &'s LimitStanding {
    let mut named = standings.iter().filter(|standing| &*standing.limit == limit);
    let found = named.next().unwrap_or_else(|| panic!("no {limit}: {standings:?}"));
    assert!(named.next().is_none(), "{limit} is told of twice: {standings:?}");
    found
}

async fn one_is_open_half_open_and_closed_to_the_microsecond<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    assert_eq!(shop.spend("llm", "a", "19.999999999").await.ruling, Ruling::Allow);
    assert_eq!((shop.passing("other", 20).await, shop.state("stop").await), (20, BreakerState::Closed));
    shop.spend("llm", "b", "0.000000001").await;
    assert_eq!((shop.passing("other", 50).await, shop.state("stop").await), (0, BreakerState::Open));
    shop.pass(Micros(minutes(15).0 - 1));
    assert_eq!((shop.passing("other", 50).await, shop.state("stop").await), (0, BreakerState::Open));
    shop.pass(Micros(1));
    let probes = shop.passing("other", 50).await;
    assert!((1..20).contains(&probes), "{probes}");
    assert_eq!(shop.state("stop").await, BreakerState::HalfOpen);
    shop.pass(Micros(minutes(15).0 - 1));
    assert!(shop.passing("other", 50).await < 20, "looks do not close it");
    shop.pass(Micros(1));
    assert_eq!((shop.passing("other", 50).await, shop.state("stop").await), (50, BreakerState::Closed));
    assert_eq!((shop.trips("stop"), shop.trips("hand")), (1, 0));
}

/// Which ones is drawn by a secret.
async fn a_tenth_of_the_calls_are_probes<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    shop.spend("llm", "a", "20.00").await;
    shop.pass(minutes(20));
    assert_eq!(shop.passing("other", 1_000).await, 96);
    let again = Shop::of(&bench, shop.limits.clone());
    assert_eq!(again.passing("other", 1_000).await, 96, "the same are drawn");
}

async fn what_is_reached_while_it_is_half_open_opens_it_anew<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    shop.spend("llm", "a", "20.00").await;
    shop.pass(minutes(16));
    assert_eq!(shop.state("stop").await, BreakerState::HalfOpen);
    shop.spend("llm", "b", "0.01").await;
    assert_eq!((shop.state("stop").await, shop.trips("stop")), (BreakerState::Open, 2));
    shop.spend("llm", "c", "0.01").await;
    assert_eq!(shop.trips("stop"), 2, "it is open already");
    shop.pass(Micros(minutes(15).0 - 1));
    assert_eq!((shop.passing("other", 50).await, shop.state("stop").await), (0, BreakerState::Open));
    shop.pass(Micros(1));
    assert_eq!(shop.state("stop").await, BreakerState::HalfOpen);
    shop.pass(minutes(15));
    assert_eq!((shop.passing("other", 50).await, shop.state("stop").await), (50, BreakerState::Closed));
}

async fn an_ask_that_is_no_probe_opens_it_anew_too<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    shop.spend("llm", "a", "20.00").await;
    shop.pass(minutes(16));
    assert!(!shop.passes("llm").await);
    assert_eq!((shop.state("stop").await, shop.trips("stop")), (BreakerState::Open, 2));
    shop.pass(Micros::from_secs(86_400 + 3_600));
    assert!(shop.passes("llm").await, "a day later the limit has room again");
}

async fn whoever_began_as_a_probe_goes_on_as_one<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    let before = shop.reserve("other", "1.00").await;
    shop.spend("llm", "a", "20.00").await;
    shop.pass(Micros::from_secs(240));
    assert_eq!(shop.settle(&before, "0.10", Progress::More).await.ruling, Ruling::Deny);
    shop.pass(minutes(12));
    let probe = loop {
        let asked = shop.reserve("other", "0.01").await;
        if asked.ruling == Ruling::Allow {
            break asked;
        }
    };
    for _ in 0..20 {
        assert_eq!(shop.settle(&probe, "0.01", Progress::More).await.ruling, Ruling::Allow);
    }
    shop.set("stop", Setting::Open).await;
    assert_eq!(shop.settle(&probe, "0.01", Progress::More).await.ruling, Ruling::Deny);
}

async fn many_instances_open_it_once<S: Store>(bench: Bench<S>) {
    let shops: Vec<_> = (0..4).map(|_| Shop::on(&bench)).collect();
    shops[0].spend("llm", "a", "19.00").await;
    let mut reaching = tokio::task::JoinSet::new();
    for n in 0..32 {
        let engine = shops[n % shops.len()].engine.clone();
        reaching.spawn(async move {
            let key = format!("k{n}");
            let subject = Shop::<S>::subject("llm");
            let reserved = Named::Key { subject, idempotency_key: key.as_bytes() };
            let used = Some(UsageOf { usd: b"1.00", ..UsageOf::default() });
            let request = SettleRequest { reserved, used, progress: Progress::Done, used_at: None };
            engine.settle(request).await.unwrap();
        });
    }
    reaching.join_all().await;
    assert_eq!(shops.iter().map(|shop| shop.trips("stop")).sum::<u64>(), 1);
}

async fn a_call_that_is_stopped_is_told_so_once<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    let held = shop.reserve("llm", "3.00").await;
    shop.spend("llm", "a", "12.00").await;
    shop.set("stop", Setting::Open).await;
    shop.pass(minutes(1));
    for route in ["llm", "other"] {
        let refused = shop.reserve(route, "1.00").await;
        let told = standing(&refused.standings, "stop");
        assert_eq!((refused.ruling, told.reason), (Ruling::Deny, Some(Reason::BreakerOpen)), "{route}");
        assert_eq!((told.used, told.held, told.most), (12 * DOLLAR, 3 * DOLLAR, Number::AtMost(20 * DOLLAR)));
        assert_eq!(told.retry_after, Some(minutes(14)), "{route}");
        assert!(told.resets_at.is_some_and(|at| at > shop.clock.now()));
        assert_eq!(standing(&refused.standings, "cap").reason, None);
        let refused = shop.check(route).await;
        assert_eq!(refused.code, Code::OverLimit);
        let shown = refused.statuses[0].limit.as_ref().unwrap();
        assert_eq!((&*shown.name, refused.statuses[0].remaining), ("stop", 5_000_000), "in micro-USD");
        assert_eq!(header(&refused, "Retry-After").as_deref(), Some("840"));
        assert_eq!(header(&refused, "X-Tollgate-Limit").as_deref(), Some("stop"));
    }
    shop.set("hand", Setting::Open).await;
    let refused = shop.reserve("other", "1.00").await;
    assert_eq!(standing(&refused.standings, "hand").retry_after, None, "somebody has to close it");
    assert_eq!(header(&shop.check("other").await, "Retry-After"), None);
    assert!(shop.passes("ping").await, "what costs nothing goes on");
    assert_eq!(
        shop.settle(&held, "3.00", Progress::Done).await.charged.unwrap().0,
        3 * DOLLAR,
        "what runs is paid"
    );
}

async fn who_goes_on_is_told_where_the_limit_stands<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    let held = shop.reserve("other", "2.00").await;
    let go_on = shop.settle(&held, "0.50", Progress::More).await;
    let told: Vec<_> = go_on.standings.iter().map(|standing| &*standing.limit).collect();
    assert_eq!(
        (go_on.ruling, told),
        (Ruling::Allow, vec!["cap"]),
        "what it is not charged to is not told of"
    );
    shop.spend("llm", "a", "21.00").await;
    shop.pass(minutes(2));
    let stopped = shop.settle(&held, "0.60", Progress::More).await;
    let stop = standing(&stopped.standings, "stop");
    assert_eq!((stopped.ruling, stop.reason), (Ruling::Deny, Some(Reason::BreakerOpen)));
    assert_eq!((stop.used, stop.most), (21 * DOLLAR, Number::AtMost(20 * DOLLAR)));
    assert!(stop.retry_after >= Some(minutes(13)), "{stop:?}: until it tries again, or has room");
    assert_eq!(standing(&stopped.standings, "cap").used, 21 * DOLLAR + DOLLAR * 6 / 10);
}

async fn what_was_reserved_before_a_number_changed_goes_by_the_new_one<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    let held = shop.reserve("llm", "1.00").await;
    shop.spend("llm", "a", "19.00").await;
    shop.limits.swap(rules(&FILE.replace("stop: {limit: $20.00", "stop: {limit: $40.00")));
    let go_on = shop.settle(&held, "1.50", Progress::More).await;
    let stop = standing(&go_on.standings, "stop");
    assert_eq!((go_on.ruling, stop.reason, stop.used), (Ruling::Allow, None, 20 * DOLLAR + DOLLAR / 2));
    assert_eq!(stop.most, Number::AtMost(40 * DOLLAR));
    assert_eq!((shop.state("stop").await, shop.trips("stop")), (BreakerState::Closed, 0));
    let over = shop.settle(&held, "21.50", Progress::More).await;
    let stop = standing(&over.standings, "stop");
    assert_eq!((over.ruling, stop.reason), (Ruling::Deny, Some(Reason::OverLimit)));
    assert_eq!((shop.state("stop").await, shop.trips("stop")), (BreakerState::Open, 1));
    // Lowered again, it stops who is above it by now.
    let held = shop.reserve("mine", "1.00").await;
    assert_eq!(held.ruling, Ruling::Deny);
    shop.set("stop", Setting::Cleared).await;
    let held = shop.reserve("llm", "30.00").await;
    shop.limits.swap(rules(FILE));
    let go_on = shop.settle(&held, "25.00", Progress::More).await;
    let stop = standing(&go_on.standings, "stop");
    assert_eq!((go_on.ruling, stop.most), (Ruling::Deny, Number::AtMost(20 * DOLLAR)));
    assert_eq!((stop.reason, stop.retry_after), (Some(Reason::OverLimit), None));
    assert_eq!(shop.state("stop").await, BreakerState::Open);
}

async fn what_has_lapsed_and_finds_no_room_does_not_go_on<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    for file in [FILE.to_owned(), FILE.replace("stop: {limit: $20.00", "stop: {limit: $40.00")] {
        let held = shop.reserve("llm", "10.00").await;
        shop.pass(minutes(20));
        let another = shop.reserve("llm", "15.00").await;
        shop.limits.swap(rules(&file));
        let late = shop.settle(&held, "1.00", Progress::More).await;
        let stop = standing(&late.standings, "stop");
        assert_eq!((late.ruling, stop.reason), (Ruling::Deny, Some(Reason::OverLimit)), "{file}");
        assert_eq!((stop.used, stop.held, stop.most), (DOLLAR, 15 * DOLLAR, Number::AtMost(20 * DOLLAR)));
        shop.settle(&another, "0.00", Progress::Done).await;
        shop.pass(Micros::from_secs(2 * 86_400));
    }
}

async fn each_tier_goes_by_its_own_number<S: Store>(bench: Bench<S>) {
    let shop = Shop::of(&bench, LimitsHandle::new(rules(TIERS)));
    let held = shop.reserve("llm", "1.00").await;
    let go_on = shop.settle(&held, "5.50", Progress::More).await;
    let stop = standing(&go_on.standings, "stop");
    assert_eq!((go_on.ruling, stop.most), (Ruling::Deny, Number::AtMost(5 * DOLLAR)));
    assert_eq!(shop.trips("stop"), 1);
}

async fn who_reserves_nothing_is_stopped_too<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    let go_on = shop.report("other", "session", "0.10", Progress::More).await;
    let told: Vec<_> = go_on.standings.iter().map(|standing| &*standing.limit).collect();
    assert_eq!((go_on.ruling, told), (Ruling::Allow, vec!["cap"]));
    shop.spend("llm", "a", "21.00").await;
    for key in ["session", "another"] {
        let stopped = shop.report("other", key, "0.20", Progress::More).await;
        let stop = standing(&stopped.standings, "stop");
        assert_eq!((stopped.ruling, stop.reason), (Ruling::Deny, Some(Reason::BreakerOpen)), "{key}");
        assert_eq!((stop.used, stop.most), (21 * DOLLAR, Number::AtMost(20 * DOLLAR)), "{key}");
        assert_eq!(stopped.charged.unwrap().0, DOLLAR / 5, "what runs is paid");
    }
    let (first, second) =
        (standing(&shop.reserve("other", "0.01").await.standings, "cap").used, 21 * DOLLAR + DOLLAR * 2 / 5);
    assert_eq!(first, second, "a limit that is looked at for it is paid nothing");
    shop.pass(minutes(30));
    let go_on = shop.report("other", "session", "0.30", Progress::Done).await;
    assert_eq!((go_on.ruling, go_on.charged.unwrap().0), (Ruling::Allow, DOLLAR * 3 / 10));
}

async fn a_limit_that_is_looked_at_is_not_paid<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    let held = shop.reserve("other", "2.00").await;
    let settled = shop.settle(&held, "2.00", Progress::Done).await;
    let told: Vec<_> = settled.standings.iter().map(|standing| (&*standing.limit, standing.used)).collect();
    assert_eq!(told, [("cap", 2 * DOLLAR)]);
    let stop = standing(&shop.reserve("llm", "1.00").await.standings, "stop").clone();
    assert_eq!((stop.used, stop.held), (0, DOLLAR));
    // A call that looks at a limit and is charged to it, in whichever order, is charged to it once.
    for routes in [["other", "llm"], ["llm", "other"]] {
        let before = shop.set("stop", Setting::Closed).await.1.used;
        let descriptors = routes.map(|route| {
            let mut entries = Shop::<S>::subject(route).entries;
            entries.push(Entry { key: b"reserve", value: b"$0.50" });
            Descriptor { entries, ..Descriptor::default() }
        });
        let request =
            CheckRequest { domain: b"shop", descriptors: descriptors.into_iter().collect(), hits: 0 };
        let held = shop.engine.check(request).await.unwrap();
        assert_eq!(held.code, Code::Ok);
        held.unclaimed.iter().for_each(Unclaimed::claim);
        let Some(tollgate::limits::Metadata::Text(hold)) = held.metadata.as_ref().unwrap().get("hold") else {
            panic!("{held:?}")
        };
        let reserved = Named::Handle(hold.as_bytes());
        let used = Some(UsageOf { usd: b"0.25", ..UsageOf::default() });
        let request = SettleRequest { reserved, used, progress: Progress::Done, used_at: None };
        shop.engine.settle(request).await.unwrap();
        assert_eq!(shop.set("stop", Setting::Closed).await.1.used - before, DOLLAR / 4, "{routes:?}");
    }
}

/// Room is what is neither used nor held.
async fn holds_alone_open_one<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    let first = shop.reserve("llm", "15.00").await;
    assert_eq!((first.ruling, shop.state("stop").await), (Ruling::Allow, BreakerState::Closed));
    let second = shop.reserve("llm", "15.00").await;
    assert_eq!(standing(&second.standings, "stop").reason, Some(Reason::OverLimit));
    assert_eq!((shop.state("stop").await, shop.trips("stop")), (BreakerState::Open, 1), "nothing was spent");
    assert!(!shop.passes("other").await);
}

async fn a_key_that_is_taken_is_a_conflict_beside_breakers_too<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    let asked = async |usd: &'static [u8]| {
        let estimate = UsageOf { usd, ..UsageOf::default() };
        let subject = Shop::<S>::subject("llm");
        let request =
            ReserveRequest { subject, estimate, idempotency_key: b"k", ..ReserveRequest::default() };
        shop.engine.reserve(request).await.map(|answer| (answer.ruling, answer.done))
    };
    assert_eq!(asked(b"1.00").await, Ok((Ruling::Allow, Done::Now)));
    assert_eq!(asked(b"2.00").await, Err(HoldError::Conflict));
    shop.set("stop", Setting::Open).await;
    assert_eq!(asked(b"1.00").await, Ok((Ruling::Allow, Done::Before)), "it was done before");
}

async fn an_operator_sees_how_each_is<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    shop.spend("llm", "a", "20.50").await;
    let opened = shop.clock.now();
    shop.pass(minutes(16));
    let all = shop.engine.breakers(None).await.unwrap();
    let told: Vec<_> =
        all.iter().map(|status| (&*status.domain, &*status.standing.limit, status.breaker.state)).collect();
    let expected = [("shop", "stop", BreakerState::HalfOpen), ("shop", "hand", BreakerState::Closed)];
    assert_eq!(told, expected, "those that each has for himself are not told of");
    let times = [all[0].breaker.since, all[0].breaker.half_open_at, all[0].breaker.closes_at];
    let expected = [Some(opened), Some(opened.plus(minutes(15))), Some(opened.plus(minutes(30)))];
    assert_eq!(times.map(to_seconds), expected.map(to_seconds));
    assert_eq!((all[0].standing.used, all[1].standing.used), (20 * DOLLAR + DOLLAR / 2, 0));
    assert!(shop.engine.breakers(Some(b"ship")).await.is_err());
    let which = BreakerOf { domain: None, limit: b"mine", subject: Vec::new() };
    let nobody = BreakerError::NoSubject("user".to_owned());
    assert_eq!(
        shop.engine.breaker(which.clone()).await,
        Err(nobody.clone()),
        "calls without one share a counter"
    );
    let request = SetBreaker { which, to: Setting::Open, reason: "a test" };
    assert_eq!(shop.engine.set_breaker(&ann(), request).await, Err(nobody));
}

async fn a_reason_is_one_line_of_a_log<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    let long = "\u{e9}".repeat(513);
    for (reason, expected) in [
        (&long[..1024], None),
        (&long[..], Some(OperateError::LongReason(1026).into())),
        (" \t", Some(BreakerError::NoReason)),
        ("an outage\u{9b}2J", Some(OperateError::ControlInReason.into())),
        (&format!("it is {}", crate::support::admins::TOKEN), Some(OperateError::TokenInReason.into())),
    ] {
        let which = BreakerOf { domain: None, limit: b"stop", subject: Vec::new() };
        let set = shop.engine.set_breaker(&ann(), SetBreaker { which, to: Setting::Open, reason }).await;
        assert_eq!(set.err(), expected);
        let state = if expected.is_none() { BreakerState::Open } else { BreakerState::Closed };
        assert_eq!(shop.state("stop").await, state);
        shop.set("stop", Setting::Closed).await;
    }
}

async fn a_breaker_tells_of_the_counter_of_the_anchor_that_is_asked_for<S: Store>(bench: Bench<S>) {
    let document = "
domains:
  shop:
    per: user
    limits: {month: {limit: $20.00/month per all, on_limit: trip, reset: manual}, day: {limit: $1.00/day per all, on_limit: trip}}
    routes: {llm: month}
";
    let shop = Shop::of(&bench, LimitsHandle::new(rules(document)));
    let anchor = |value: &'static [u8]| Entry { key: b"anchor", value };
    let mut subject = Shop::<S>::subject("llm");
    subject.entries.push(anchor(b"15"));
    let request = SettleRequest {
        reserved: Named::Key { subject, idempotency_key: b"k" },
        used: Some(UsageOf { usd: b"7.00", ..UsageOf::default() }),
        progress: Progress::Done,
        used_at: None,
    };
    shop.engine.settle(request).await.unwrap();
    for (subject, used) in [(vec![], 0), (vec![anchor(b"15")], 7 * DOLLAR), (vec![anchor(b"16")], 0)] {
        let which = BreakerOf { domain: None, limit: b"month", subject };
        assert_eq!(shop.engine.breaker(which).await.unwrap().standing.used, used);
    }
    let which = BreakerOf { domain: None, limit: b"day", subject: vec![anchor(b"15")] };
    let found = shop.engine.breaker(which).await;
    assert!(matches!(found, Err(BreakerError::NotASubject { .. })), "a day has no anchor: {found:?}");
}

fn to_seconds(at: Option<Timestamp>) -> Option<u64> {
    at.map(|at| at.0 / 1_000_000)
}

async fn a_reset_says_that_it_will_not_last<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    shop.spend("day", "a", "50.00").await;
    let (before, standing) = shop.set("hand", Setting::Closed).await;
    assert_eq!(
        (before, standing.reason, standing.used),
        (BreakerState::Open, Some(Reason::OverLimit), 50 * DOLLAR)
    );
    assert!(shop.passes("other").await);
    assert!(!shop.passes("day").await);
    assert_eq!((shop.state("hand").await, shop.trips("hand")), (BreakerState::Open, 2));
}

async fn what_is_cleared_may_be_spent_again<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    let held = shop.reserve("day", "10.00").await;
    shop.spend("day", "a", "50.00").await;
    let (before, standing) = shop.set("hand", Setting::Cleared).await;
    assert_eq!((before, standing.reason), (BreakerState::Open, None));
    assert_eq!((standing.used, standing.held), (0, 10 * DOLLAR), "what is held is not let go");
    assert_eq!(shop.settle(&held, "10.00", Progress::Done).await.ruling, Ruling::Allow);
    assert_eq!(shop.reserve("day", "40.00").await.ruling, Ruling::Allow);
    assert_eq!(shop.reserve("day", "0.01").await.ruling, Ruling::Deny);
}

/// Those of a domain are read in the step that a call takes anyhow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn breakers_take_no_round_trip_of_their_own() {
    let bench = Bench::redis().await;
    let shop = Shop::on(&bench);
    let calls = async || {
        assert!(shop.passes("llm").await);
        let held = shop.reserve("llm", "0.01").await;
        shop.settle(&held, "0.01", Progress::Done).await;
    };
    // Scripts are loaded then.
    calls().await;
    let before = bench.commands()["evalsha"];
    calls().await;
    assert_eq!(bench.commands()["evalsha"] - before, 3);
}
