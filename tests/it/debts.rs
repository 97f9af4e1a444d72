//! What is settled beyond a period's number is paid by the periods after it, by every store alike; or forgotten.

use tollgate::algorithm::{Retry, Verdict};
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::Micros;
use tollgate::limits::{Debt, Number, Window};
use tollgate::store::{Before, Charge, FreedBy, Settle, Store, Then};

use crate::support::bench::{Bench, START, promises};
use crate::support::holding::{Limited, is_taken, name, part, tokens};

/// The time until the first period of a bench's time ends.
const PERIOD_ENDS: u64 = 47 * 60;
const A_DAY: u64 = 86_400;

/// Windows with periods, and how long those are in seconds.
fn periods(debt: Debt) -> [(Limited, u64); 2] {
    let berlin = Calendar::new(Period::Day, "Europe/Berlin", 1).unwrap();
    let hour = Window::Fixed { length: Micros::from_secs(3600), debt };
    [(Limited::new(hour, 100), 3600), (Limited::new(Window::Calendar(berlin, debt), 100), A_DAY)]
}

/// Spends 350 where 100 are allowed.
async fn spend<S: Store>(bench: &Bench<S>, id: u128, limit: &Limited) {
    bench.clock.set(START);
    bench.reserve(id, &[limit.hold(id, 60)]).await;
    let settled = bench.settle(id, tokens(350), Then::Done).await;
    assert_eq!(part(&settled), (350, 350, 350, 0), "{limit:?}");
}

async fn each_period_pays_what_it_allows<S: Store>(bench: Bench<S>) {
    for (id, (limit, period)) in (1..).zip(periods(Debt::Carried)) {
        spend(&bench, id, &limit).await;
        for (asked, periods) in [(1, 2), (50, 2), (51, 3), (100, 3)] {
            let refused = bench.reserve(100 + id, &[limit.hold(id, asked)]).await;
            let wait = Micros::from_secs(PERIOD_ENDS + periods * period);
            let outcome = refused.answer.outcomes[0];
            assert_eq!(outcome.verdict, Verdict::Refused(Retry::After(wait)), "{limit:?}");
            let whole = Some(Micros::from_secs(PERIOD_ENDS + 3 * period));
            assert_eq!(outcome.standing.reset_after, whole, "all is paid, {limit:?}");
        }
        bench.pass(PERIOD_ENDS);
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (250, 0), "{limit:?}");
        bench.pass(2 * period);
        assert_eq!(
            bench.used_and_held(limit.hold(id, 0)).await,
            (50, 0),
            "nobody asked in between, {limit:?}"
        );
        assert!(is_taken(&bench.reserve(200 + id, &[limit.hold(id, 50)]).await), "{limit:?}");
        assert!(!is_taken(&bench.reserve(300 + id, &[limit.hold(id, 1)]).await), "{limit:?}");
        bench.settle(200 + id, tokens(50), Then::Done).await;
        bench.pass(period);
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (0, 0), "all is paid, {limit:?}");
    }
}

async fn what_is_forgiven_is_forgotten<S: Store>(bench: Bench<S>) {
    for (id, (limit, _)) in (1..).zip(periods(Debt::Forgiven)) {
        spend(&bench, id, &limit).await;
        bench.pass(PERIOD_ENDS);
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (0, 0), "{limit:?}");
    }
}

async fn what_is_spent_beyond_a_grant_of_before_is_owed_from_now_on<S: Store>(bench: Bench<S>) {
    for (id, (limit, period)) in (1..).zip(periods(Debt::Carried)) {
        bench.clock.set(START);
        bench.pass(PERIOD_ENDS - 60);
        bench.reserve(id, &[limit.hold(id, 60)]).await;
        bench.pass(300);
        let late = bench.settle(id, tokens(350), Then::Done).await;
        assert_eq!((late.before, part(&late)), (Before::Late, (290, 350, 290, 0)), "{limit:?}");
        assert!(!late.parts[0].outcome.is_admitted(), "{limit:?}");
        bench.pass(period);
        assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (190, 0), "{limit:?}");
    }
}

/// A store may know no more of a reservation's calendar than the periods around the last settle.
async fn what_is_spent_days_later_is_charged_to_the_period_of_then<S: Store>(bench: Bench<S>) {
    for (first, debt) in [(1, Debt::Carried), (11, Debt::Forgiven)] {
        for (id, (limit, period)) in (first..).zip(periods(debt)) {
            bench.clock.set(START);
            bench.pass(PERIOD_ENDS - 60);
            bench.reserve(id, &[limit.hold(id, 60)]).await;
            let settle = |total, then| {
                let keep = Micros::from_secs(30 * A_DAY);
                Settle { name: name(id), spent: tokens(total), then, otherwise: &[], report: None, keep }
            };
            let settled = async |total, then| bench.store.settle(settle(total, then)).await.unwrap();
            assert_eq!(part(&settled(10, Then::More).await), (10, 10, 10, 50), "{limit:?}");
            let mut at = 0;
            for (periods, total, charged) in [(5, 60, 0), (5, 90, 30), (6, 100, 10), (9, 300, 200)] {
                bench.pass((periods - at) * period);
                at = periods;
                let used = if periods == 5 { total - 60 } else { charged };
                let told = settled(total, Then::More).await;
                assert_eq!(part(&told), (charged, total, used, 0), "{limit:?} after {periods}");
                assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (used, 0), "{limit:?}");
            }
            let end = settled(300, Then::Done).await;
            assert_eq!((end.before, part(&end)), (Before::Late, (0, 300, 200, 0)), "{limit:?}");
            bench.pass(period);
            let owed = if debt == Debt::Carried { 100 } else { 0 };
            assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (owed, 0), "{limit:?}");
        }
    }
}

/// A store may know no more of a reservation's calendar than the periods around it.
async fn who_settles_days_later_is_told_what_is_owed<S: Store>(bench: Bench<S>) {
    for (id, (limit, period)) in (1..).zip(periods(Debt::Carried)) {
        bench.clock.set(START);
        let charges = [limit.spend(id, 0)];
        let keep = Micros::from_secs(30 * A_DAY);
        let call = Settle {
            name: name(id),
            spent: tokens(1050),
            then: Then::Done,
            otherwise: &charges,
            report: None,
            keep,
        };
        assert_eq!(part(&bench.store.settle(call).await.unwrap()), (1050, 1050, 1050, 0), "{limit:?}");
        for (periods, owed) in [(2, 850), (3, 750), (7, 350), (10, 50), (11, 0)] {
            bench.clock.set(START);
            bench.pass(periods * period);
            let again = bench.store.settle(call).await.unwrap();
            assert_eq!((again.before, part(&again)), (Before::Settled, (0, 1050, owed, 0)), "{limit:?}");
            let outcome = again.parts[0].outcome;
            assert_eq!(outcome.is_admitted(), owed <= 100, "{limit:?} after {periods}");
            let more = owed.div_ceil(100).max(1) - 1;
            let whole = Some(Micros::from_secs(PERIOD_ENDS + more * period));
            assert_eq!(outcome.standing.reset_after, whole, "{limit:?} after {periods}");
        }
    }
}

/// Charges so much by each number, one after the other, to counter `id`.
async fn charge<S: Store>(bench: &Bench<S>, id: u128, window: &Window, charges: &[(Number, u64)]) {
    for (nth, (number, units)) in (1..).zip(charges) {
        let limit = Limited { window: window.clone(), number: *number };
        let charges = [limit.spend(id, 0)];
        let call = Settle {
            name: name(id << 32 | u128::from(bench.clock.now().0 % 1_000_003) << 8 | nth),
            spent: tokens(*units),
            then: Then::Done,
            otherwise: &charges,
            report: None,
            keep: Micros::from_secs(1),
        };
        assert_eq!(part(&bench.store.settle(call).await.unwrap()).0, *units, "{limit:?}");
    }
}

async fn a_period_pays_the_largest_number_it_was_charged_by<S: Store>(bench: Bench<S>) {
    use Number::{AtMost, Unlimited};
    let histories = [
        ([(AtMost(100), 50), (AtMost(10), 1)], 0),
        ([(AtMost(10), 30), (AtMost(20), 5)], 15),
        ([(Unlimited, 1), (AtMost(10), 30)], 0),
        ([(AtMost(0), 7), (AtMost(10), 30)], 27),
    ];
    let mut id = 0;
    for (limit, period) in periods(Debt::Carried) {
        let window = &limit.window;
        for (history, owed) in histories {
            for history in [history, [history[1], history[0]]] {
                id += 1;
                bench.clock.set(START);
                charge(&bench, id, window, &history).await;
                bench.pass(PERIOD_ENDS);
                assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (owed, 0), "{window:?} {history:?}");
                charge(&bench, id, window, &[(AtMost(3), 1)]).await;
                bench.pass(period);
                let owed = (owed + 1u64).saturating_sub(3);
                let anew = "each period goes by its own numbers";
                assert_eq!(bench.used_and_held(limit.hold(id, 0)).await, (owed, 0), "{anew}: {history:?}");
            }
        }
    }
}

async fn what_was_forgiven_meanwhile_pays_by_what_it_is_charged_by_since<S: Store>(bench: Bench<S>) {
    let windows = periods(Debt::Carried).into_iter().zip(periods(Debt::Forgiven));
    for (id, ((carried, _), (forgiven, _))) in (1..).zip(windows) {
        for (id, freed_by) in [(id, FreedBy::Holders), (100 + id, FreedBy::Time)] {
            bench.clock.set(START);
            charge(&bench, id, &carried.window, &[(carried.number, 50)]).await;
            bench.charge(&[Charge { freed_by, ..forgiven.spend(id, 10) }]).await;
            // A second later its settle has another name.
            bench.pass(1);
            charge(&bench, id, &carried.window, &[(Number::AtMost(10), 1)]).await;
            bench.pass(PERIOD_ENDS);
            assert_eq!(bench.used_and_held(carried.hold(id, 0)).await, (51, 0), "{carried:?} {freed_by:?}");
        }
    }
}

promises!(of [memory, redis]: {
    each_period_pays_what_it_allows,
    a_period_pays_the_largest_number_it_was_charged_by,
    what_is_forgiven_is_forgotten,
    what_was_forgiven_meanwhile_pays_by_what_it_is_charged_by_since,
    what_is_spent_beyond_a_grant_of_before_is_owed_from_now_on,
    what_is_spent_days_later_is_charged_to_the_period_of_then,
    who_settles_days_later_is_told_what_is_owed,
});
