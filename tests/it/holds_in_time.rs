//! How long room is held: until it is let go, or its time or its age is over, by every store alike.

use tollgate::algorithm::{Op, Retry, Verdict};
use tollgate::clock::{Micros, Timestamp};
use tollgate::limits::Window;
use tollgate::store::{Before, Charge, Due, FreedBy, Hold, Life, Reserve, Settle, Spent, Store, Then};

use crate::support::bench::{Bench, START, promises};
use crate::support::holding::{KEEP, LIFE, Limited, is_taken, name, part, tokens};

const CAPACITY: Window = Window::Total { forget: None };

fn after(seconds: u64) -> Verdict {
    Verdict::Refused(Retry::After(Micros::from_secs(seconds)))
}

async fn a_hold_lives_while_it_is_renewed<S: Store>(bench: Bench<S>) {
    let limits = Limited::of_every_window(10);
    for (id, limit) in (1..).zip(&limits) {
        bench.clock.set(START);
        bench.reserve(id, &[limit.hold(id, 10)]).await;
        for _ in 0..5 {
            bench.pass(299);
            let settled = bench.settle(id, tokens(0), Then::More).await;
            assert_eq!((settled.before, part(&settled)), (Before::Held, (0, 0, 0, 10)), "{limit:?}");
            let refused = bench.reserve(100 + id, &[limit.hold(id, 1)]).await;
            assert_eq!(refused.answer.outcomes[0].verdict, after(300), "{limit:?}");
        }
        bench.clock.advance(Micros(299_999_999));
        let refused = bench.reserve(100 + id, &[limit.hold(id, 1)]).await;
        assert_eq!(refused.answer.outcomes[0].verdict, Verdict::Refused(Retry::After(Micros(1))));
        bench.clock.advance(Micros(1));
        assert!(is_taken(&bench.reserve(100 + id, &[limit.hold(id, 10)]).await), "{limit:?}");
        let late = bench.settle(id, tokens(0), Then::More).await;
        assert_eq!((late.before, part(&late)), (Before::Late, (0, 0, 0, 10)), "that is another's, {limit:?}");
    }
}

async fn a_hold_is_renewed_by_its_own_time<S: Store>(bench: Bench<S>) {
    let limit = Limited::new(CAPACITY, 100);
    let charges = [limit.hold(1, 1)];
    for seconds in [1, 90, 1200] {
        let ttl = Micros::from_secs(seconds);
        let life = Life { ttl, ..LIFE };
        let name = name(seconds.into());
        let call =
            Reserve { name, body: 1, charges: &charges, accepts_less: None, about: &[], expenses: &[], life };
        bench.store.reserve(call).await.unwrap();
        for after in [0, 1, seconds - 1, seconds] {
            bench.pass(after);
            let settled = bench.settle(seconds.into(), tokens(0), Then::More).await;
            assert_eq!(settled.until, Some(bench.clock.now().plus(ttl)), "{seconds} after {after}");
        }
    }
    let call = Settle {
        name: name(2),
        spent: tokens(1),
        then: Then::More,
        otherwise: &charges,
        report: None,
        keep: Micros::from_secs(7),
    };
    for before in [Before::Unheld, Before::Held] {
        let settled = bench.store.settle(call).await.unwrap();
        let until = bench.clock.now().plus(Micros::from_secs(7));
        assert_eq!((settled.before, settled.until), (before, Some(until)), "as long as it is kept");
        bench.pass(6);
    }
}

async fn a_hold_lives_no_longer_than_it_may<S: Store>(bench: Bench<S>) {
    let (short, age) = (Micros::from_secs(300), Micros::from_secs(700));
    for (id, limit) in (1..).zip(Limited::of_every_window(10)) {
        bench.clock.set(START);
        let charges = [limit.hold(id, 10)];
        let life = Life { ttl: age, max_age: short, keep: KEEP };
        let call = Reserve {
            name: name(100 + id),
            body: 1,
            charges: &charges,
            accepts_less: None,
            about: &[],
            expenses: &[],
            life,
        };
        let Hold::Taken(grant) = bench.store.reserve(call).await.unwrap().hold else { panic!("{limit:?}") };
        assert_eq!(grant.until, START.plus(short), "not beyond its age, {limit:?}");
        bench.settle(100 + id, tokens(0), Then::Released).await;
        let life = Life { ttl: short, max_age: age, keep: KEEP };
        bench.store.reserve(Reserve { name: name(id), life, ..call }).await.unwrap();
        for until in [580, 700, 700] {
            bench.pass(if until == 580 { 280 } else { 200 });
            let settled = bench.settle(id, tokens(1), Then::More).await;
            assert_eq!(settled.until, Some(START.plus(Micros::from_secs(until))), "{limit:?}");
            assert_eq!(settled.parts[0].outcome.standing.held, 9, "{limit:?}");
        }
        bench.pass(20);
        let late = bench.settle(id, tokens(2), Then::More).await;
        assert_eq!((late.before, late.until), (Before::Late, None), "{limit:?}");
        assert_eq!(part(&late), (1, 2, 2, 0), "{limit:?}");
    }
}

async fn what_was_let_go_is_held_on_only_where_there_is_room<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(Limited::of_every_window(100)) {
        bench.clock.set(START);
        bench.reserve(id, &[limit.hold(id, 60)]).await;
        bench.pass(300);
        bench.reserve(100 + id, &[limit.hold(id, 100)]).await;
        for (total, before) in [(10, Before::Late), (20, Before::Held)] {
            let settled = bench.settle(id, tokens(total), Then::More).await;
            assert_eq!((settled.before, part(&settled)), (before, (10, total, total, 100)), "{limit:?}");
            assert!(!settled.parts[0].outcome.is_admitted(), "{limit:?}");
        }
        bench.settle(100 + id, tokens(0), Then::Released).await;
        let settled = bench.settle(id, tokens(20), Then::More).await;
        assert_eq!(part(&settled), (0, 20, 20, 40), "{limit:?}");
        assert!(settled.parts[0].outcome.is_admitted(), "{limit:?}");
    }
}

async fn what_is_released_is_given_back_once<S: Store>(bench: Bench<S>) {
    let (assets, per_day) = (Limited::new(CAPACITY, 5), Limited::new(CAPACITY, 5));
    for (id, limit) in (1..).zip(Limited::of_every_window(100)) {
        let by_time = Charge { freed_by: FreedBy::Time, ..per_day.take(2000 + id, 1) };
        bench.clock.set(START);
        bench.reserve(id, &[limit.hold(id, 60), assets.take(1000 + id, 3), by_time]).await;
        bench.charge(&[assets.take(1000 + id, 2)]).await;
        assert_eq!(bench.charge(&[assets.take(1000 + id, 1)]).await, [false], "{limit:?}");
        let released = bench.settle(id, tokens(50), Then::Released).await;
        assert_eq!((released.before, released.until), (Before::Held, None), "{limit:?}");
        assert_eq!(part(&released), (0, 0, 0, 0), "nothing was done after all, {limit:?}");
        assert_eq!(released.parts[1].outcome.standing.used, 2, "{limit:?}");
        assert_eq!(bench.settle(id, tokens(50), Then::Released).await.before, Before::Settled);
        let after_all = bench.settle(id, tokens(10), Then::More).await;
        assert_eq!((after_all.before, part(&after_all)), (Before::Late, (10, 10, 10, 50)), "{limit:?}");
        assert_eq!(part(&bench.settle(id, tokens(10), Then::Released).await), (0, 10, 10, 0), "{limit:?}");
        assert_eq!(
            bench.used_and_held(assets.take(1000 + id, 0)).await,
            (2, 0),
            "others' are not, {limit:?}"
        );
        assert_eq!(bench.used_and_held(by_time).await, (1, 0), "time gives it back, {limit:?}");
    }
}

async fn what_has_lapsed_can_still_be_released<S: Store>(bench: Bench<S>) {
    let (assets, limit) = (Limited::new(CAPACITY, 5), Limited::new(CAPACITY, 100));
    bench.reserve(1, &[limit.hold(1, 60), assets.take(2, 3)]).await;
    bench.pass(300);
    bench.reserve(2, &[limit.hold(1, 60)]).await;
    let released = bench.settle(1, tokens(0), Then::Released).await;
    assert_eq!((released.before, part(&released)), (Before::Late, (0, 0, 0, 60)));
    assert_eq!(bench.used_and_held(assets.take(2, 0)).await, (0, 0));
}

async fn the_true_count_of_slots_is_that_of_the_named_ones_too<S: Store>(bench: Bench<S>) {
    let streams = Limited::new(Window::Concurrent { max_age: Micros::from_secs(3600) }, 5);
    let anonymous = |op| Charge { op, ..streams.slot(1) };
    let held = async || bench.used_and_held(streams.slot(1)).await;
    for id in 1..=3 {
        assert!(is_taken(&bench.reserve(id, &[streams.slot(1)]).await));
    }
    let taken = [anonymous(Op::Take { room: 1, charge: 1 })];
    assert_eq!((bench.charge(&taken).await, held().await), (vec![true], (0, 4)));
    for (units, left) in [(5, 5), (4, 4), (7, 7), (3, 3), (2, 3), (0, 3)] {
        let set = [anonymous(Op::Set { units })];
        assert_eq!((bench.charge(&set).await, held().await), (vec![true], (0, left)), "{units}");
    }
    bench.settle(1, tokens(0), Then::Done).await;
    let set = [anonymous(Op::Set { units: 4 }), anonymous(Op::Take { room: 1, charge: 1 })];
    assert_eq!((bench.charge(&set).await, held().await), (vec![true, true], (0, 5)), "two are named");
    bench.pass(300);
    assert_eq!(held().await, (0, 3), "those have lapsed");
    let set = [anonymous(Op::Set { units: 2 })];
    assert_eq!((bench.charge(&set).await, held().await), (vec![true], (0, 2)));
}

async fn a_slot_is_free_when_its_holder_lets_go<S: Store>(bench: Bench<S>) {
    let streams = Limited::new(Window::Concurrent { max_age: Micros::from_secs(3600) }, 3);
    let anonymous = |op| Charge { op, ..streams.slot(1) };
    let held = async || bench.used_and_held(streams.slot(1)).await;
    assert!(is_taken(&bench.reserve(1, &[streams.slot(1)]).await));
    bench.pass(100);
    assert!(is_taken(&bench.reserve(2, &[streams.slot(1)]).await));
    assert_eq!(bench.charge(&[anonymous(Op::Take { room: 1, charge: 1 })]).await, [true]);
    assert_eq!(held().await, (0, 3), "named or not");
    let refused = bench.reserve(3, &[streams.slot(1)]).await;
    assert_eq!((refused.hold, refused.answer.outcomes[0].verdict), (Hold::Refused, after(200)));
    assert_eq!(
        bench.settle(1, tokens(500), Then::More).await.parts[0].outcome.standing.held,
        3,
        "a heartbeat"
    );
    let refused = bench.reserve(3, &[streams.slot(1)]).await;
    assert_eq!(refused.answer.outcomes[0].verdict, after(300));
    bench.charge(&[anonymous(Op::GiveBack { units: 9 })]).await;
    assert_eq!(held().await, (0, 2), "only what nobody named");
    let as_held = Spent { tokens: Due::AsHeld, money: Due::AsHeld };
    assert_eq!(bench.settle(1, as_held, Then::Done).await.parts[0].outcome.standing.held, 1);
    assert_eq!(bench.settle(1, as_held, Then::Done).await.before, Before::Settled);
    assert_eq!(held().await, (0, 1));
    bench.pass(300);
    assert_eq!(held().await, (0, 0), "nobody has to act");
}

async fn what_nobody_reserved_is_charged_after_the_fact<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(Limited::of_every_window(100)) {
        let otherwise = [limit.hold(id, 7)];
        let settle = async |number, spent, then| {
            let call =
                Settle { name: name(number), spent, then, otherwise: &otherwise, report: None, keep: KEEP };
            bench.store.settle(call).await.unwrap()
        };
        assert_eq!(bench.settle(id, tokens(30), Then::Done).await.before, Before::Unknown, "{limit:?}");
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (0, 0), "{limit:?}");
        let settled = settle(id, tokens(30), Then::Done).await;
        assert_eq!((settled.before, part(&settled)), (Before::Unheld, (30, 30, 30, 0)), "{limit:?}");
        let again = settle(id, tokens(30), Then::Done).await;
        assert_eq!((again.before, part(&again)), (Before::Settled, (0, 30, 30, 0)), "{limit:?}");
        let growing = 100 + id;
        for (total, charged, used) in [(10, 10, 40), (10, 0, 40), (25, 15, 55), (200, 175, 230)] {
            let settled = settle(growing, tokens(total), Then::More).await;
            assert_eq!(part(&settled), (charged, total, used, 0), "{limit:?}");
            assert_eq!(settled.parts[0].outcome.is_admitted(), used <= 100, "{limit:?}");
        }
        let as_held = Spent { tokens: Due::AsHeld, money: Due::AsHeld };
        let nothing = settle(200 + id, as_held, Then::Done).await;
        assert_eq!((nothing.before, part(&nothing)), (Before::Unheld, (0, 0, 230, 0)), "{limit:?}");
        let released = settle(300 + id, tokens(9), Then::Released).await;
        assert_eq!((released.before, part(&released)), (Before::Unheld, (0, 0, 230, 0)), "{limit:?}");
    }
}

async fn a_reservation_is_forgotten_when_it_was_kept<S: Store>(bench: Bench<S>) {
    let limit = Limited::new(CAPACITY, 100);
    let reserve = async |number, keep| {
        let life = Life { keep, ..LIFE };
        let charges = [limit.hold(1, 1)];
        let call = Reserve {
            name: name(number),
            body: 1,
            charges: &charges,
            accepts_less: None,
            about: &[],
            expenses: &[],
            life,
        };
        bench.store.reserve(call).await.unwrap()
    };
    let (nothing, hour) = (Micros(0), Micros::from_secs(3600));
    assert!(is_taken(&reserve(1, nothing).await));
    assert!(is_taken(&reserve(2, hour).await));
    bench.clock.advance(Micros(299_999_999));
    assert!(!is_taken(&reserve(1, nothing).await), "at least while it is held");
    bench.clock.advance(Micros(1));
    assert!(is_taken(&reserve(1, nothing).await));
    bench.pass(3299);
    assert!(!is_taken(&reserve(2, hour).await));
    bench.pass(1);
    assert_eq!(bench.settle(2, tokens(1), Then::Done).await.before, Before::Unknown);
    assert!(is_taken(&reserve(2, hour).await));
    let otherwise = [limit.hold(1, 0)];
    let call = Settle {
        name: name(3),
        spent: tokens(5),
        then: Then::Done,
        otherwise: &otherwise,
        report: None,
        keep: nothing,
    };
    for _ in 0..2 {
        assert_eq!(bench.store.settle(call).await.unwrap().before, Before::Unheld, "not kept at all");
    }
}

async fn time_that_runs_backwards_lets_nothing_go<S: Store>(bench: Bench<S>) {
    let back = |seconds: u64| bench.clock.set(Timestamp(START.0 - seconds * 1_000_000));
    for (id, limit) in (1..).zip(Limited::of_every_window(100)) {
        bench.clock.set(START);
        bench.reserve(id, &[limit.hold(id, 60)]).await;
        back(600);
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (0, 60), "{limit:?}");
        let settled = bench.settle(id, tokens(20), Then::More).await;
        assert_eq!((settled.before, part(&settled)), (Before::Held, (20, 20, 20, 40)), "{limit:?}");
        bench.clock.set(START);
        let settled = bench.settle(id, tokens(30), Then::Done).await;
        assert_eq!(part(&settled), (10, 30, 30, 0), "{limit:?}");
    }
}

promises!(of [memory, redis, valkey]: {
    a_hold_lives_while_it_is_renewed,
    a_hold_is_renewed_by_its_own_time,
    a_hold_lives_no_longer_than_it_may,
    what_was_let_go_is_held_on_only_where_there_is_room,
    what_is_released_is_given_back_once,
    what_has_lapsed_can_still_be_released,
    a_slot_is_free_when_its_holder_lets_go,
    the_true_count_of_slots_is_that_of_the_named_ones_too,
    what_nobody_reserved_is_charged_after_the_fact,
    a_reservation_is_forgotten_when_it_was_kept,
    time_that_runs_backwards_lets_nothing_go,
});
