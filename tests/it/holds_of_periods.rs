//! Room of a period: it is held until that is over at the latest, by every store alike, and what is spent of it is of
//! that period or of the one of now.

use tollgate::algorithm::{Retry, Verdict};
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::Micros;
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

promises!(of [memory, redis, valkey]: {
    a_hold_is_room_of_its_period,
    what_is_spent_beyond_a_grant_after_its_period_is_charged_to_the_one_of_now,
    hits_of_a_period_that_is_over_are_not_given_back,
});
