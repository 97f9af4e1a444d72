//! Room of a period: it is held until that is over at the latest, by every store alike, and what is spent of it is of
//! that period or of the one of now.

use tollgate::algorithm::{Retry, Verdict};
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::{Micros, Timestamp};
use tollgate::limits::{Debt, Window};
use tollgate::store::{Before, Store, Then};

use crate::support::bench::{Bench, START, promises};
use crate::support::holding::{Limited, is_taken, part, tokens};

fn after(seconds: u64) -> Verdict {
    Verdict::Refused(Retry::After(Micros::from_secs(seconds)))
}

/// Windows whose period ends 47 minutes after a bench's time begins.
fn periods(most: u64) -> [Limited; 2] {
    let berlin = Calendar::new(Period::Day, "Europe/Berlin", 1).unwrap();
    let hour = Window::Fixed { length: Micros::from_secs(3600), debt: Debt::Forgiven };
    [Limited::new(hour, most), Limited::new(Window::Calendar(berlin, Debt::Forgiven), most)]
}

const PERIOD_ENDS: u64 = 47 * 60;
const A_DAY: u64 = 86_400;

async fn a_hold_is_room_of_its_period<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(periods(100)) {
        bench.clock.set(START);
        bench.pass(PERIOD_ENDS - 120);
        bench.reserve(id, &[limit.hold(id, 60)]).await;
        let refused = bench.reserve(100 + id, &[limit.hold(id, 50)]).await;
        assert_eq!(refused.answer.outcomes[0].verdict, after(120), "it ends with the period, {limit:?}");
        bench.pass(60);
        assert_eq!(part(&bench.settle(id, tokens(10), Then::More).await), (10, 10, 10, 50), "{limit:?}");
        bench.clock.advance(Micros(59_999_999));
        assert_eq!(part(&bench.settle(id, tokens(15), Then::More).await), (5, 15, 15, 45), "{limit:?}");
        bench.clock.advance(Micros(1));
        assert!(is_taken(&bench.reserve(100 + id, &[limit.hold(id, 100)]).await), "all anew, {limit:?}");
        let settled = bench.settle(id, tokens(30), Then::More).await;
        assert_eq!((settled.before, part(&settled)), (Before::Held, (0, 30, 0, 100)), "{limit:?}");
        assert!(settled.parts[0].outcome.is_admitted(), "that is of the period before, {limit:?}");
        let settled = bench.settle(id, tokens(60), Then::More).await;
        assert_eq!((settled.before, part(&settled)), (Before::Held, (0, 60, 0, 100)), "{limit:?}");
        let settled = bench.settle(id, tokens(70), Then::Done).await;
        assert_eq!((settled.before, part(&settled)), (Before::Held, (10, 70, 10, 100)), "{limit:?}");
    }
}

async fn hits_of_a_period_that_is_over_are_not_given_back<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(periods(5)) {
        bench.clock.set(START);
        bench.pass(PERIOD_ENDS - 1);
        bench.reserve(id, &[limit.take(id, 3)]).await;
        bench.pass(1);
        bench.charge(&[limit.take(id, 2)]).await;
        bench.settle(id, tokens(0), Then::Released).await;
        assert_eq!(bench.used_and_held(limit.take(id, 0)).await, (2, 0), "{limit:?}");
    }
}

/// Usage beyond a grant and a period is charged as that of a call that reserved nothing.
async fn what_is_spent_beyond_a_grant_after_its_period_is_charged_to_the_one_of_now<S: Store>(
    bench: Bench<S>,
) {
    for (id, limit) in (1..).zip(periods(100)) {
        bench.clock.set(START);
        bench.pass(PERIOD_ENDS - 120);
        bench.reserve(id, &[limit.hold(id, 100)]).await;
        let settled = bench.settle(id, tokens(40), Then::More).await;
        assert_eq!(part(&settled), (40, 40, 40, 60), "{limit:?}");
        bench.pass(240);
        for (total, charged, used, fits) in [
            (90, 0, 0, true),
            (100, 0, 0, true),
            (130, 30, 30, true),
            (120, 0, 30, true),
            (200, 70, 100, true),
            (201, 1, 101, false),
            (201, 0, 101, false),
        ] {
            let settled = bench.settle(id, tokens(total), Then::More).await;
            let paid = settled.parts[0].paid;
            assert_eq!(part(&settled), (charged, paid, used, 0), "{total} of {limit:?}");
            assert_eq!(settled.parts[0].outcome.is_admitted(), fits, "{total} of {limit:?}");
            assert!(paid >= total, "{total} of {limit:?}");
        }
        for before in [Before::Held, Before::Settled] {
            let settled = bench.settle(id, tokens(201), Then::Done).await;
            assert_eq!((settled.before, part(&settled)), (before, (0, 201, 101, 0)), "{limit:?}");
        }
        assert!(is_taken(&bench.reserve(100 + id, &[limit.hold(100 + id, 100)]).await), "{limit:?}");
        bench.pass(A_DAY - 1);
        bench.settle(100 + id, tokens(150), Then::Released).await;
        assert_eq!(bench.used_and_held(limit.hold(100 + id, 0)).await, (0, 0), "released, {limit:?}");
    }
}

/// Whoever came after a hold had lapsed may have had its room.
async fn what_lapsed_in_its_period_is_charged_to_the_one_of_now<S: Store>(bench: Bench<S>) {
    for (first, limit) in [10, 20].into_iter().zip(periods(100)) {
        bench.clock.set(START);
        for id in 0..4 {
            assert!(is_taken(&bench.reserve(first + id, &[limit.hold(first, 100)]).await), "{limit:?}");
            bench.pass(300);
        }
        bench.pass(PERIOD_ENDS - 1200 + 60);
        for (id, used) in [(0, 100), (1, 200), (2, 300)] {
            let settled = bench.settle(first + id, tokens(100), Then::Done).await;
            let charged = (Before::Late, (100, 100, used, 0));
            assert_eq!((settled.before, part(&settled)), charged, "{limit:?}");
        }
        for (before, total, used) in [(Before::Late, 40, 340), (Before::Held, 100, 400)] {
            let settled = bench.settle(first + 3, tokens(total), Then::More).await;
            let charged = used - if before == Before::Late { 300 } else { 340 };
            let told = (before, (charged, total, used, 0));
            assert_eq!((settled.before, part(&settled)), told, "it is never had again, {limit:?}");
        }
    }
}

async fn what_was_held_to_the_end_of_its_period_is_covered<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(periods(100)) {
        bench.clock.set(START);
        bench.pass(PERIOD_ENDS - 300);
        bench.clock.set(Timestamp(bench.clock.now().0 - 1));
        bench.reserve(10 + id, &[limit.hold(id, 40)]).await;
        bench.clock.advance(Micros(1));
        bench.reserve(20 + id, &[limit.hold(id, 40)]).await;
        bench.pass(400);
        let settled = bench.settle(10 + id, tokens(40), Then::Done).await;
        assert_eq!(part(&settled), (40, 40, 40, 0), "it lapsed a microsecond before, {limit:?}");
        let settled = bench.settle(20 + id, tokens(40), Then::Done).await;
        assert_eq!(part(&settled), (0, 40, 40, 0), "it lapsed as its period ended, {limit:?}");
    }
}

async fn what_is_released_has_no_room_in_a_period_that_is_over<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(periods(100)) {
        bench.clock.set(START);
        bench.pass(PERIOD_ENDS - 60);
        bench.reserve(10 + id, &[limit.hold(id, 60)]).await;
        bench.settle(10 + id, tokens(0), Then::Released).await;
        bench.reserve(20 + id, &[limit.hold(id, 100)]).await;
        bench.settle(20 + id, tokens(30), Then::More).await;
        bench.pass(120);
        bench.settle(20 + id, tokens(0), Then::Released).await;
        let settled = bench.settle(10 + id, tokens(60), Then::Done).await;
        assert_eq!((settled.before, part(&settled)), (Before::Late, (60, 60, 60, 0)), "{limit:?}");
        let settled = bench.settle(20 + id, tokens(100), Then::Done).await;
        assert_eq!((settled.before, part(&settled)), (Before::Late, (70, 100, 130, 0)), "{limit:?}");
    }
}

async fn what_went_on_late_is_covered_where_it_found_room<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(periods(100)) {
        bench.clock.set(START);
        bench.pass(PERIOD_ENDS - 500);
        bench.reserve(10 + id, &[limit.hold(id, 60)]).await;
        bench.pass(300);
        bench.reserve(20 + id, &[limit.hold(id, 90)]).await;
        let late = bench.settle(10 + id, tokens(10), Then::More).await;
        assert_eq!((late.before, part(&late)), (Before::Late, (10, 10, 10, 90)), "{limit:?}");
        bench.settle(20 + id, tokens(20), Then::Done).await;
        bench.reserve(30 + id, &[limit.hold(id, 20)]).await;
        bench.pass(250);
        for (total, charged, used) in [(30, 20, 20), (60, 30, 50)] {
            let settled = bench.settle(10 + id, tokens(total), Then::More).await;
            assert_eq!(part(&settled), (charged, total, used, 0), "it found no room, {limit:?}");
        }
        let settled = bench.settle(30 + id, tokens(25), Then::Done).await;
        assert_eq!(part(&settled), (5, 25, 55, 0), "{limit:?}");
    }
}

async fn what_was_held_again_is_covered<S: Store>(bench: Bench<S>) {
    for (id, limit) in (1..).zip(periods(100)) {
        bench.clock.set(START);
        bench.pass(PERIOD_ENDS - 500);
        bench.reserve(10 + id, &[limit.hold(id, 60)]).await;
        bench.reserve(20 + id, &[limit.hold(id, 40)]).await;
        bench.settle(20 + id, tokens(0), Then::Released).await;
        bench.pass(300);
        for (number, total, used) in [(10 + id, 10, 10), (20 + id, 20, 30)] {
            let late = bench.settle(number, tokens(total), Then::More).await;
            assert_eq!((late.before, late.parts[0].outcome.standing.used), (Before::Late, used), "{limit:?}");
        }
        bench.pass(250);
        for (number, total, charged, used) in [(10 + id, 60, 0, 0), (20 + id, 40, 0, 0), (20 + id, 45, 5, 5)]
        {
            let settled = bench.settle(number, tokens(total), Then::More).await;
            assert_eq!(part(&settled), (charged, total, used, 0), "{limit:?}");
        }
    }
}

promises!(of [memory, redis, valkey]: {
    a_hold_is_room_of_its_period,
    what_is_spent_beyond_a_grant_after_its_period_is_charged_to_the_one_of_now,
    hits_of_a_period_that_is_over_are_not_given_back,
    what_lapsed_in_its_period_is_charged_to_the_one_of_now,
    what_was_held_to_the_end_of_its_period_is_covered,
    what_is_released_has_no_room_in_a_period_that_is_over,
    what_went_on_late_is_covered_where_it_found_room,
    what_was_held_again_is_covered,
});
