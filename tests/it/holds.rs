//! Room that is held before it is spent: what every store promises to those who reserve, settle and release.
//!
//! Time is set by hand. `used + held + asked ≤ N` for all that a call touches, in one step; the two are never mixed.

use tollgate::algorithm::{Retry, Verdict};
use tollgate::clock::Micros;
use tollgate::limits::{MAX_AMOUNT, Number, Unit, Window};
use tollgate::store::{Before, Binding, Charge, Due, Grant, Hold, Reserve, Reserved, Spent, Store, Then};

use crate::support::bench::{Bench, START, promises};
use crate::support::holding::{LIFE, Limited, is_taken, name, part, tokens};

fn units(reserved: &Reserved) -> Option<u64> {
    match reserved.hold {
        Hold::Taken(Grant { units, .. }) => Some(units),
        _ => None,
    }
}

const NEVER: Verdict = Verdict::Refused(Retry::Never);

async fn of_many_at_once_as_many_hold_as_there_is_room<S: Store>(bench: Bench<S>) {
    let parent = Limited::new(Window::Total { forget: None }, 1_000_000);
    let concurrent = Limited::new(Window::Concurrent { max_age: Micros::from_secs(3600) }, 100);
    let kinds = Limited::of_every_window(100).into_iter().chain([concurrent]);
    for (round, limit) in (1..).zip(kinds) {
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..50 {
            let (store, limit, parent) = (bench.store.clone(), limit.clone(), parent.clone());
            tasks.spawn(async move {
                let mut taken = 0;
                for attempt in 0..20 {
                    let charges = [limit.hold(round, 10), parent.hold(1000 + round, 10)];
                    let name = name(round * 10_000 + task * 100 + attempt);
                    let call = Reserve {
                        name,
                        body: 1,
                        charges: &charges,
                        accepts_less: None,
                        about: &[],
                        expenses: &[],
                        life: LIFE,
                    };
                    taken += usize::from(is_taken(&store.reserve(call).await.unwrap()));
                }
                taken
            });
        }
        let taken: usize = tasks.join_all().await.into_iter().sum();
        assert_eq!(taken, 10, "{limit:?}");
        assert_eq!(bench.used_and_held(limit.hold(round, 0)).await, (0, 100), "{limit:?}");
        assert_eq!(bench.used_and_held(parent.hold(1000 + round, 0)).await, (0, 100), "{limit:?}");
    }
}

async fn a_call_is_done_once_under_its_name<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(Limited::of_every_window(100)) {
        let hits = Limited::new(Window::Total { forget: None }, 5);
        let charges = [limit.hold(id, 60), hits.take(1000 + id, 1)];
        let first = bench.reserve(id, &charges).await;
        let grant = Grant { units: 1, began: bench.clock.now(), until: bench.clock.now().plus(LIFE.ttl) };
        assert_eq!(first.hold, Hold::Taken(grant), "{limit:?}");
        bench.pass(1);
        let again = bench.reserve(id, &charges).await;
        assert_eq!(again.hold, Hold::Replayed(grant), "{limit:?}");
        assert!(again.answer.outcomes.iter().all(|outcome| outcome.is_admitted()), "it has its answer");
        assert_eq!(again.answer.outcomes[0].standing.held, 60, "{limit:?}");
        let other = Reserve {
            name: name(id),
            body: 99,
            charges: &charges,
            accepts_less: None,
            about: &[],
            expenses: &[],
            life: LIFE,
        };
        let conflict = bench.store.reserve(other).await.unwrap();
        assert_eq!((conflict.hold, conflict.answer.outcomes.len()), (Hold::Conflict, 0), "{limit:?}");
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (0, 60), "{limit:?}");
        assert_eq!(bench.used_and_held(hits.take(1000 + id, 0)).await, (1, 0), "{limit:?}");
        bench.settle(id, tokens(50), Then::Done).await;
        assert_eq!(bench.reserve(id, &charges).await.hold, Hold::Replayed(grant), "settled or not");
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (50, 0), "{limit:?}");
    }
}

async fn a_refusal_holds_nothing_and_is_not_remembered<S: Store>(bench: Bench<S>) {
    let hits = Limited::new(Window::Total { forget: None }, 5);
    for (id, limit) in (1..).zip(Limited::of_every_window(100)) {
        let parent = Limited::new(Window::Total { forget: None }, 1000);
        let charges = |units| [parent.hold(100 + id, units), hits.take(1000 + id, 1), limit.hold(id, units)];
        let refused = bench.reserve(id, &charges(101)).await;
        assert_eq!(refused.hold, Hold::Refused, "{limit:?}");
        assert_eq!(refused.answer.outcomes[2].verdict, NEVER, "{limit:?}");
        for charge in charges(0) {
            assert_eq!(bench.used_and_held(charge).await, (0, 0), "{limit:?}");
        }
        assert_eq!(bench.settle(id, tokens(7), Then::Done).await.before, Before::Unknown);
        let other = charges(100);
        let call = Reserve {
            name: name(id),
            body: 99,
            charges: &other,
            accepts_less: None,
            about: &[],
            expenses: &[],
            life: LIFE,
        };
        assert!(is_taken(&bench.store.reserve(call).await.unwrap()), "{limit:?}");
    }
}

async fn what_is_settled_twice_is_charged_once<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(Limited::of_every_window(100)) {
        bench.reserve(id, &[limit.hold(id, 60)]).await;
        let settled = bench.settle(id, tokens(50), Then::Done).await;
        assert_eq!((settled.before, settled.until), (Before::Held, None), "{limit:?}");
        assert_eq!(part(&settled), (50, 50, 50, 0), "{limit:?}");
        for (spent, then) in [(50, Then::Done), (90, Then::Done), (90, Then::More), (0, Then::Released)] {
            let again = bench.settle(id, tokens(spent), then).await;
            assert_eq!((again.before, again.until), (Before::Settled, None), "{limit:?}");
            assert_eq!(part(&again), (0, 50, 50, 0), "{limit:?}");
        }
    }
}

async fn who_settles_late_pays_all_the_same<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(Limited::of_every_window(100)) {
        let (mine, others) = (2 * id, 2 * id + 1);
        bench.clock.set(START);
        bench.reserve(mine, &[limit.hold(id, 60)]).await;
        bench.clock.set(START.plus(LIFE.ttl));
        assert!(is_taken(&bench.reserve(others, &[limit.hold(id, 70)]).await), "it lapsed, {limit:?}");
        let late = bench.settle(mine, tokens(50), Then::Done).await;
        assert_eq!((late.before, part(&late)), (Before::Late, (50, 50, 50, 70)), "{limit:?}");
        assert!(!late.parts[0].outcome.is_admitted(), "it is in debt, {limit:?}");
        assert_eq!(bench.settle(others, tokens(30), Then::Done).await.before, Before::Held);
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (80, 0), "{limit:?}");
        assert_eq!(bench.charge(&[limit.spend(id, 20)]).await, [true], "{limit:?}");
        assert_eq!(bench.charge(&[limit.spend(id, 1)]).await, [false], "{limit:?}");
    }
}

async fn less_is_granted_where_that_is_accepted<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(Limited::of_every_window(100)) {
        bench.reserve(id, &[limit.hold(id, 70)]).await;
        let parent = Limited::new(Window::Total { forget: None }, 1_000_000);
        let hits = Limited::new(Window::Total { forget: None }, 2);
        // A unit is a token here and 250 there.
        let charges = |fixed| {
            let parent = parent.hold_flexibly(100 + id, 1000, 64 * 250);
            [limit.hold_flexibly(id, fixed, 64), parent, hits.take(1000 + id, 2)]
        };
        let none = bench.reserve_some(100 + id, &charges(30), 64).await;
        let refused = none.answer.outcomes[0].verdict;
        assert_eq!(none.hold, Hold::Refused, "not one unit fits, {limit:?}");
        assert!(matches!(refused, Verdict::Refused(Retry::After(_))), "{limit:?}");
        assert_eq!(units(&bench.reserve_some(200 + id, &charges(0), 64).await), Some(30), "{limit:?}");
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (0, 100), "{limit:?}");
        assert_eq!(bench.used_and_held(parent.hold(100 + id, 0)).await, (0, 1000 + 30 * 250), "{limit:?}");
        assert_eq!(bench.used_and_held(hits.take(1000 + id, 0)).await, (2, 0), "{limit:?}");
        bench.settle(200 + id, tokens(0), Then::Done).await;
        let short_of_hits = bench.reserve_some(300 + id, &charges(0), 64).await;
        assert_eq!(short_of_hits.hold, Hold::Refused, "hits are taken whole or not at all");
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (0, 70), "{limit:?}");
        // ⌈10·k/4⌉ of 10 fit into 29 less 24.
        let parts = [limit.hold_flexibly(id, 24, 10)];
        bench.charge(&[limit.spend(id, 1)]).await;
        assert_eq!(units(&bench.reserve_some(400 + id, &parts, 4).await), Some(2), "{limit:?}");
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (1, 99), "{limit:?}");
    }
}

async fn who_accepts_less_waits_for_the_least<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(Limited::of_every_window(100)) {
        bench.reserve(id, &[limit.hold(id, 100)]).await;
        let verdict = |reserved: Reserved| reserved.answer.outcomes[0].verdict;
        let charges = |fixed| [limit.hold_flexibly(id, fixed, 400)];
        let whole = bench.reserve(100 + id, &charges(0)).await;
        assert_eq!(verdict(whole), Verdict::Refused(Retry::Never), "{limit:?}");
        let least = bench.reserve_some(100 + id, &charges(0), 200).await;
        assert_eq!((least.hold, verdict(least)), (Hold::Refused, Verdict::Refused(Retry::After(LIFE.ttl))));
        let least = bench.reserve_some(100 + id, &charges(99), 200).await;
        assert_eq!(verdict(least), Verdict::Refused(Retry::Never), "a unit is two of its own, {limit:?}");
    }
}

async fn the_last_nano_dollar_counts<S: Store>(bench: Bench<S>) {
    const FIVE_DOLLARS: u64 = 5_000_000_000;
    for (id, limit) in (1..).zip(Limited::of_every_window(FIVE_DOLLARS)) {
        let hold = |units| [Charge { unit: Unit::Money, ..limit.hold(id, units) }];
        let spent = |units| Spent { tokens: Due::Exactly(0), money: Due::Exactly(units) };
        assert!(is_taken(&bench.reserve(id, &hold(FIVE_DOLLARS)).await), "{limit:?}");
        assert_eq!(bench.reserve(100 + id, &hold(1)).await.hold, Hold::Refused, "{limit:?}");
        let settled = bench.settle(id, spent(FIVE_DOLLARS), Then::Done).await;
        assert!(settled.parts[0].outcome.is_admitted(), "exactly full is no debt, {limit:?}");
        assert_eq!(bench.reserve(100 + id, &hold(1)).await.hold, Hold::Refused, "{limit:?}");
        assert_eq!(bench.standing(hold(0)[0]).await.remaining, 0, "{limit:?}");
    }
}

async fn what_is_spent_beyond_a_hold_is_debt<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(Limited::of_every_window(5)) {
        bench.reserve(id, &[limit.hold(id, 5)]).await;
        let settled = bench.settle(id, tokens(6), Then::Done).await;
        assert_eq!(part(&settled), (6, 6, 6, 0), "{limit:?}");
        assert!(!settled.parts[0].outcome.is_admitted(), "{limit:?}");
        let next = bench.reserve(100 + id, &[limit.hold(id, 1)]).await;
        assert_eq!((next.hold, next.answer.outcomes[0].standing.remaining), (Hold::Refused, 0), "{limit:?}");
        assert_eq!(bench.charge(&[limit.spend(id, 1)]).await, [false], "{limit:?}");
    }
}

async fn a_stream_pays_as_it_goes<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(Limited::of_every_window(1000)) {
        bench.reserve(id, &[limit.hold(id, 1000)]).await;
        let totals = [(200, 200, 200), (400, 200, 400), (400, 0, 400), (300, 0, 400), (600, 200, 600)];
        for (total, charged, paid) in totals {
            bench.pass(10);
            let settled = bench.settle(id, tokens(total), Then::More).await;
            assert_eq!(part(&settled), (charged, paid, paid, 1000 - paid), "{limit:?}");
            assert_eq!(settled.until, Some(bench.clock.now().plus(LIFE.ttl)), "{limit:?}");
            assert!(settled.parts[0].outcome.is_admitted(), "{limit:?}");
            assert_eq!(bench.reserve(100 + id, &[limit.hold(id, 1)]).await.hold, Hold::Refused);
        }
        let settled = bench.settle(id, tokens(777), Then::Done).await;
        assert_eq!(part(&settled), (177, 777, 777, 0), "{limit:?}");
        assert!(is_taken(&bench.reserve(100 + id, &[limit.hold(id, 223)]).await), "{limit:?}");
    }
}

async fn what_was_held_may_be_taken_as_what_was_spent<S: Store>(bench: Bench<S>) {
    let as_held = Spent { tokens: Due::AsHeld, money: Due::AsHeld };
    for (id, limit) in (1..).zip(Limited::of_every_window(1000)) {
        bench.reserve(id, &[limit.hold(id, 600)]).await;
        assert_eq!(part(&bench.settle(id, tokens(100), Then::More).await), (100, 100, 100, 500), "{limit:?}");
        assert_eq!(part(&bench.settle(id, as_held, Then::Done).await), (500, 600, 600, 0), "{limit:?}");
    }
}

async fn what_is_spent_in_part_is_no_less_than_was_held<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(Limited::of_every_window(1000)) {
        bench.reserve(id, &[limit.hold(id, 300)]).await;
        for (least, then, expected) in [
            (299, Then::More, (300, 300, 300, 0)),
            (310, Then::More, (10, 310, 310, 0)),
            (0, Then::Done, (0, 310, 310, 0)),
        ] {
            let spent = Spent { tokens: Due::AtLeast(least), money: Due::Exactly(0) };
            assert_eq!(part(&bench.settle(id, spent, then).await), expected, "{limit:?}");
        }
    }
}

async fn what_is_only_counted_holds_beyond_its_number<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(Limited::of_every_window(10)) {
        let shadow = |units| [Charge { binding: Binding::Counted, ..limit.hold(id, units) }];
        let reserved = bench.reserve(id, &shadow(25)).await;
        assert!(is_taken(&reserved), "{limit:?}");
        let outcome = reserved.answer.outcomes[0];
        assert_eq!((outcome.verdict, outcome.standing.held), (NEVER, 25), "{limit:?}");
        assert_eq!(part(&bench.settle(id, tokens(5), Then::More).await), (5, 5, 5, 20), "{limit:?}");
        assert!(is_taken(&bench.reserve(100 + id, &shadow(1)).await), "{limit:?}");
        assert_eq!(part(&bench.settle(id, tokens(12), Then::Done).await), (7, 12, 12, 1), "{limit:?}");
    }
}

async fn a_counter_may_stand_twice_in_a_reservation<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(Limited::of_every_window(10)) {
        let both = |first, second| [limit.hold(id, first), limit.hold(id, second)];
        assert_eq!(bench.reserve(id, &both(6, 5)).await.hold, Hold::Refused, "each has room, but not both");
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (0, 0), "{limit:?}");
        assert!(is_taken(&bench.reserve(id, &both(4, 4)).await), "{limit:?}");
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (0, 8), "{limit:?}");
        let settled = bench.settle(id, tokens(3), Then::More).await;
        assert_eq!((part(&settled), settled.parts.len()), ((3, 3, 3, 5), 1), "paid once, {limit:?}");
        assert_eq!(part(&bench.settle(id, tokens(3), Then::Done).await), (0, 3, 3, 0), "{limit:?}");
    }
}

async fn numbers_at_the_edges_are_held<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(Limited::of_every_window(MAX_AMOUNT)) {
        let unlimited = Limited { number: Number::Unlimited, ..limit.clone() };
        assert!(is_taken(&bench.reserve(10 * id, &[limit.hold(id, MAX_AMOUNT)]).await), "{limit:?}");
        assert_eq!(bench.reserve(10 * id + 1, &[limit.hold(id, 1)]).await.hold, Hold::Refused, "{limit:?}");
        for more in 2..5 {
            let reserved = bench.reserve(10 * id + more, &[unlimited.hold(id, MAX_AMOUNT)]).await;
            assert!(is_taken(&reserved), "{limit:?}");
        }
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (0, MAX_AMOUNT), "{limit:?}");
        for settled in (0..5).filter(|number| *number != 1) {
            bench.settle(10 * id + settled, tokens(MAX_AMOUNT), Then::Done).await;
        }
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (MAX_AMOUNT, 0), "{limit:?}");
    }
    let blocked = Limited::new(Window::Sliding { length: Micros::from_secs(60) }, 0);
    let refused = bench.reserve(900, &[blocked.hold(100, 1)]).await;
    assert_eq!((refused.hold, refused.answer.outcomes[0].verdict), (Hold::Refused, NEVER));
    assert!(is_taken(&bench.reserve(901, &[blocked.hold(100, 0)]).await), "nothing asked of nothing");
    assert!(is_taken(&bench.reserve(902, &[]).await), "nothing asked at all");
    assert_eq!(bench.settle(902, tokens(5), Then::Done).await.before, Before::Held);
}

async fn what_lapses_with_very_many_is_let_go_little_by_little<S: Store>(bench: Bench<S>) {
    let limit = Limited::new(Window::Total { forget: None }, 2000);
    for number in 0..1300 {
        bench.reserve(number, &[limit.hold(1, 1)]).await;
    }
    let standing = async || bench.used_and_held(limit.hold(1, 0)).await;
    assert_eq!(standing().await, (0, 1300));
    bench.pass(300);
    assert_eq!([standing().await, standing().await, standing().await], [(0, 788), (0, 276), (0, 0)]);
    assert!(is_taken(&bench.reserve(2000, &[limit.hold(1, 2000)]).await));
}

promises!(of [memory, redis, valkey]: {
    of_many_at_once_as_many_hold_as_there_is_room,
    a_call_is_done_once_under_its_name,
    a_refusal_holds_nothing_and_is_not_remembered,
    what_is_settled_twice_is_charged_once,
    who_settles_late_pays_all_the_same,
    less_is_granted_where_that_is_accepted,
    who_accepts_less_waits_for_the_least,
    the_last_nano_dollar_counts,
    what_is_spent_beyond_a_hold_is_debt,
    a_stream_pays_as_it_goes,
    what_was_held_may_be_taken_as_what_was_spent,
    what_is_spent_in_part_is_no_less_than_was_held,
    what_is_only_counted_holds_beyond_its_number,
    a_counter_may_stand_twice_in_a_reservation,
    numbers_at_the_edges_are_held,
    what_lapses_with_very_many_is_let_go_little_by_little,
});
