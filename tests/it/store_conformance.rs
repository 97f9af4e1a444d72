//! What every store promises, asked of each: in memory, on Redis 6.2, on Valkey 9.
//!
//! Time is set by hand. What is peculiar to one store is tested beside it.

use tollgate::algorithm::{Op, Outcome, Retry, Rule, Verdict};
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::{Micros, Timestamp};
use tollgate::limits::{CounterKey, Debt, MAX_AMOUNT, Number, OnError, Unit, Window};
use tollgate::store::{Admission, Binding, Call, Charge, FreedBy, Store};

use crate::support::bench::{Bench, START, promises};

const MINUTE: Window = Window::Sliding { length: Micros::from_secs(60) };
const FIXED: Window = Window::Fixed { length: Micros::from_secs(10), debt: Debt::Forgiven };
const BUCKET: Window = Window::TokenBucket { length: Micros::from_secs(10), burst: 4 };
const HELD: Window = Window::Concurrent { max_age: Micros::from_secs(30) };
const CAPACITY: Window = Window::Total { forget: None };
const FORGETTING: Window = Window::Total { forget: Some(Micros::from_secs(60)) };

fn day(zone: &str) -> Window {
    Window::Calendar(Calendar::new(Period::Day, zone, 1).unwrap(), Debt::Forgiven)
}

impl<S: Store> Bench<S> {
    async fn call(&self, admission: Admission, charges: &[Charge<'_>]) -> Vec<Outcome> {
        self.store.charge(Call { charges, admission, expenses: &[] }).await.unwrap().outcomes.into_vec()
    }

    async fn all(&self, charges: &[Charge<'_>]) -> Vec<Outcome> {
        self.call(Admission::AllOrNone, charges).await
    }

    async fn one(&self, charge: Charge<'_>) -> Outcome {
        self.all(&[charge]).await[0]
    }

    /// Takes `hits` of counter 1, of which there are `most`.
    async fn take(&self, window: &Window, most: u64, hits: u64) -> Outcome {
        self.one(take(1, window, most, hits)).await
    }

    /// What is used and held of counter `id`.
    async fn spent(&self, id: u128, window: &Window) -> u64 {
        let outcome = self.one(charge(id, window, Number::Unlimited, TAKE_NOTHING)).await;
        outcome.standing.used + outcome.standing.held
    }
}

const TAKE_NOTHING: Op = Op::Take { room: 0, charge: 0 };

fn charge(id: u128, window: &Window, number: Number, op: Op) -> Charge<'_> {
    let key = CounterKey { tag: 1, id };
    Charge {
        key,
        overflow: key.id,
        rule: Rule { window, number },
        op,
        binding: Binding::Enforced,
        on_error: OnError::Deny,
        freed_by: FreedBy::Hand,
        unit: Unit::Hits,
        memo: 0,
    }
}

fn take(id: u128, window: &Window, most: u64, hits: u64) -> Charge<'_> {
    charge(id, window, Number::AtMost(most), Op::Take { room: hits, charge: hits })
}

fn give_back(id: u128, window: &Window, most: u64, units: u64) -> Charge<'_> {
    charge(id, window, Number::AtMost(most), Op::GiveBack { units })
}

fn set(id: u128, window: &Window, most: u64, units: u64) -> Charge<'_> {
    charge(id, window, Number::AtMost(most), Op::Set { units })
}

fn bound(binding: Binding, charge: Charge<'_>) -> Charge<'_> {
    Charge { binding, ..charge }
}

fn admitted(outcomes: &[Outcome]) -> Vec<bool> {
    outcomes.iter().map(Outcome::is_admitted).collect()
}

fn after(micros: u64) -> Verdict {
    Verdict::Refused(Retry::After(Micros(micros)))
}

const NEVER: Verdict = Verdict::Refused(Retry::Never);

async fn of_many_at_once_exactly_n_are_admitted<S: Store>(bench: Bench<S>) {
    let windows = [MINUTE, FIXED, HELD, CAPACITY, FORGETTING, day("Europe/Berlin")];
    let bucket = Window::TokenBucket { length: Micros::from_secs(10), burst: 100 };
    for (id, window) in (10..).zip(windows.into_iter().chain([bucket])) {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let (store, window) = (bench.store.clone(), window.clone());
            tasks.spawn(async move {
                let mut admitted = 0;
                for _ in 0..10 {
                    let charges = [take(id, &window, 100, 1)];
                    let call = Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] };
                    admitted += u64::from(store.charge(call).await.unwrap().outcomes[0].is_admitted());
                }
                admitted
            });
        }
        let admitted: u64 = tasks.join_all().await.into_iter().sum();
        assert_eq!((admitted, bench.spent(id, &window).await), (100, 100), "{window:?}");
    }
}

async fn a_refusal_costs_nothing_anywhere<S: Store>(bench: Bench<S>) {
    let berlin = day("Europe/Berlin");
    let windows = [&MINUTE, &FIXED, &BUCKET, &HELD, &CAPACITY, &berlin];
    let mut charges: Vec<Charge<'_>> =
        (1..).zip(windows).map(|(id, window)| take(id, window, 4, 2)).collect();
    charges.push(take(9, &MINUTE, 1, 2));
    let refused = bench.all(&charges).await;
    assert_eq!(admitted(&refused), [true, true, true, true, true, true, false]);
    assert!(refused[..6].iter().all(|outcome| outcome.standing.used + outcome.standing.held == 0));
    for (id, window) in (1..).zip(windows) {
        assert_eq!(bench.spent(id, window).await, 0, "{window:?}");
    }
    charges.pop();
    assert_eq!(admitted(&bench.all(&charges).await), [true; 6]);
    for (id, window) in (1..).zip(windows) {
        assert_eq!(bench.spent(id, window).await, 2, "{window:?}");
    }
}

async fn a_counter_may_stand_twice_in_a_call<S: Store>(bench: Bench<S>) {
    let twice = [take(1, &MINUTE, 3, 2), take(1, &MINUTE, 3, 2)];
    let refused = bench.all(&twice).await;
    assert_eq!(admitted(&refused), [true, false], "each alone has room, but not both");
    assert_eq!(refused[1].verdict, NEVER, "and both never will");
    assert_eq!(refused.iter().map(|outcome| outcome.standing.used).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(bench.spent(1, &MINUTE).await, 0);
    let fits = [take(1, &MINUTE, 4, 2), take(1, &MINUTE, 4, 2)];
    let outcomes = bench.all(&fits).await;
    assert_eq!(outcomes.iter().map(|outcome| outcome.standing.used).collect::<Vec<_>>(), [2, 4]);
    let mixed = [give_back(1, &MINUTE, 4, 3), take(1, &MINUTE, 4, 3)];
    assert_eq!(bench.all(&mixed).await[1].standing.used, 4);
    let alone = [take(2, &MINUTE, 3, 2), take(2, &MINUTE, 3, 2)];
    assert_eq!(admitted(&bench.call(Admission::Each, &alone).await), [true, false]);
    assert_eq!(bench.spent(2, &MINUTE).await, 2);
}

async fn what_is_only_counted_is_counted_when_the_call_passes<S: Store>(bench: Bench<S>) {
    let counted = || bound(Binding::Counted, take(1, &MINUTE, 1, 2));
    let passes = bench.all(&[counted(), take(2, &MINUTE, 1, 1)]).await;
    assert_eq!((passes[0].verdict, passes[0].standing.used), (NEVER, 2));
    assert!(passes[1].is_admitted());
    let refused = bench.all(&[counted(), take(2, &MINUTE, 1, 1)]).await;
    assert_eq!(admitted(&refused), [false, false]);
    assert_eq!(bench.spent(1, &MINUTE).await, 2);
    assert_eq!(bench.all(&[counted()]).await[0].standing.used, 4);
}

async fn quotas_refuse_only_together<S: Store>(bench: Bench<S>) {
    let quota = |id: u16, most| bound(Binding::Quota { group: id }, take(id.into(), &MINUTE, most, 1));
    assert_eq!(admitted(&bench.all(&[quota(1, 1), quota(2, 2)]).await), [true, true]);
    assert_eq!(admitted(&bench.all(&[quota(1, 1), quota(2, 2)]).await), [false, true]);
    assert_eq!((bench.spent(1, &MINUTE).await, bench.spent(2, &MINUTE).await), (2, 2), "one had room");
    assert!(admitted(&bench.all(&[quota(1, 1), quota(2, 2), take(3, &MINUTE, 9, 1)]).await)[2]);
    assert_eq!((bench.spent(1, &MINUTE).await, bench.spent(3, &MINUTE).await), (2, 0), "none had room");
    let in_group = |group, id, most| bound(Binding::Quota { group }, take(id, &MINUTE, most, 1));
    let groups = |two| [in_group(7, 4, 1), in_group(7, 5, 9), in_group(300, 6, two)];
    assert_eq!(admitted(&bench.all(&groups(2)).await), [true; 3]);
    assert_eq!(admitted(&bench.all(&groups(2)).await), [false, true, true], "the second group passes");
    assert_eq!(admitted(&bench.all(&groups(2)).await), [false, true, false], "one is over in each");
    assert_eq!((bench.spent(4, &MINUTE).await, bench.spent(5, &MINUTE).await), (2, 2), "it costs nothing");
}

async fn charges_may_be_made_each_alone<S: Store>(bench: Bench<S>) {
    let charges = [take(1, &FIXED, 1, 2), take(2, &FIXED, 9, 2), take(3, &MINUTE, 1, 2)];
    let outcomes = bench.call(Admission::Each, &charges).await;
    assert_eq!(admitted(&outcomes), [false, true, false]);
    assert_eq!(outcomes.iter().map(|outcome| outcome.standing.used).collect::<Vec<_>>(), [2, 2, 0]);
    let outcomes = bench.call(Admission::EachUnlessOver, &charges).await;
    assert_eq!(outcomes.iter().map(|outcome| outcome.standing.used).collect::<Vec<_>>(), [4, 2, 0]);
    let fits = [take(2, &FIXED, 9, 2), take(3, &MINUTE, 1, 1)];
    assert_eq!(admitted(&bench.call(Admission::EachUnlessOver, &fits).await), [true, true]);
    assert_eq!((bench.spent(2, &FIXED).await, bench.spent(3, &MINUTE).await), (4, 1));
}

async fn a_call_may_ask_hundreds_of_counters_and_one_hundreds_of_times<S: Store>(bench: Bench<S>) {
    let charges: Vec<_> = (0..600_u128).map(|id| take(id % 2 * id, &FIXED, 299, 1)).collect();
    let outcomes = bench.call(Admission::Each, &charges).await;
    assert_eq!(admitted(&outcomes).iter().position(|admitted| !admitted), Some(598), "the last of one");
    assert_eq!((bench.spent(0, &FIXED).await, bench.spent(599, &FIXED).await), (300, 1));
}

async fn what_is_given_back_is_not_stopped_by_what_is_over<S: Store>(bench: Bench<S>) {
    bench.one(take(1, &FIXED, 9, 5)).await;
    let charges = [give_back(1, &FIXED, 9, 2), take(2, &FIXED, 1, 2), take(3, &FIXED, 9, 1)];
    let outcomes = bench.call(Admission::EachUnlessOver, &charges).await;
    assert_eq!(admitted(&outcomes), [true, false, true]);
    assert_eq!(outcomes.iter().map(|outcome| outcome.standing.used).collect::<Vec<_>>(), [3, 2, 0]);
    assert_eq!(bench.spent(1, &FIXED).await, 3);
}

async fn counters_forget_in_time_and_say_when<S: Store>(bench: Bench<S>) {
    for (id, window, wait) in [(1, MINUTE, 61_200_000), (2, FIXED, 10_000_000), (3, HELD, 30_600_000)] {
        let ask = || take(id, &window, 2, 2);
        let reset = bench.one(ask()).await.standing.reset_after;
        assert_eq!(reset, Some(Micros(wait)), "{window:?}");
        assert_eq!(bench.one(ask()).await.verdict, after(wait), "{window:?}");
        bench.clock.advance(Micros(wait - 1));
        assert_eq!(bench.one(ask()).await.verdict, after(1), "{window:?}");
        bench.clock.advance(Micros(1));
        assert!(bench.one(ask()).await.is_admitted(), "{window:?}");
        bench.clock.set(START);
    }
}

async fn a_bucket_is_refilled_evenly<S: Store>(bench: Bench<S>) {
    // Holds 4 and gets 2 in 10 s.
    assert!(bench.take(&BUCKET, 2, 4).await.is_admitted());
    assert_eq!(bench.take(&BUCKET, 2, 1).await.verdict, after(5_000_000));
    assert_eq!(bench.take(&BUCKET, 2, 5).await.verdict, NEVER, "more than the bucket ever holds");
    bench.pass(7);
    let outcome = bench.take(&BUCKET, 2, 1).await;
    assert!(outcome.is_admitted());
    assert_eq!(outcome.standing.remaining, 0);
    assert_eq!(bench.take(&BUCKET, 2, 1).await.verdict, after(3_000_000), "two seconds were not lost");
}

async fn capacity_comes_back_only_when_given_back_or_forgotten<S: Store>(bench: Bench<S>) {
    assert!(bench.take(&CAPACITY, 2, 2).await.is_admitted());
    bench.pass(400 * 86_400);
    let refused = bench.take(&CAPACITY, 2, 1).await;
    assert_eq!((refused.verdict, refused.standing.reset_after), (NEVER, None));
    bench.one(give_back(1, &CAPACITY, 2, 1)).await;
    assert!(bench.take(&CAPACITY, 2, 1).await.is_admitted());

    assert!(bench.one(take(2, &FORGETTING, 2, 2)).await.is_admitted());
    bench.pass(59);
    assert!(!bench.one(take(2, &FORGETTING, 2, 1)).await.is_admitted());
    bench.one(give_back(2, &FORGETTING, 2, 1)).await;
    bench.pass(59);
    assert_eq!(bench.spent(2, &FORGETTING).await, 1, "touched a minute less a second ago");
    bench.pass(1);
    assert_eq!(bench.spent(2, &FORGETTING).await, 0);
}

async fn what_is_given_back_stops_at_nothing<S: Store>(bench: Bench<S>) {
    for (id, window) in (1..).zip([MINUTE, FIXED, BUCKET, HELD, CAPACITY, day("UTC")]) {
        bench.one(take(id, &window, 4, 3)).await;
        assert_eq!(bench.one(give_back(id, &window, 4, 1)).await.standing.remaining, 2, "{window:?}");
        assert!(bench.one(give_back(id, &window, 4, 5)).await.is_admitted(), "{window:?}");
        assert_eq!(bench.spent(id, &window).await, 0, "{window:?}");
        assert!(bench.one(take(id, &window, 4, 4)).await.is_admitted(), "{window:?}");
        assert!(!bench.one(take(id, &window, 4, 1)).await.is_admitted(), "{window:?}");
    }
}

async fn what_is_used_can_be_set_to_the_true_count<S: Store>(bench: Bench<S>) {
    for (id, window) in (1..).zip([MINUTE, FIXED, BUCKET, HELD, CAPACITY, FORGETTING, day("UTC")]) {
        bench.one(take(id, &window, 4, 1)).await;
        for units in [3, 2, 6, 0, 3] {
            let outcome = bench.one(set(id, &window, 4, units)).await;
            assert_eq!(
                (outcome.is_admitted(), outcome.standing.remaining),
                (true, 4_u64.saturating_sub(units))
            );
            assert_eq!(bench.spent(id, &window).await, units, "{window:?}");
        }
        let refused = bench.all(&[set(id, &window, 4, 1), take(id, &window, 4, 4)]).await;
        assert_eq!(admitted(&refused), [true, false], "{window:?}");
        assert_eq!(bench.spent(id, &window).await, 3, "{window:?}");
        let over = [take(id, &window, 4, 2), set(id + 100, &window, 4, 2), take(id + 100, &window, 4, 1)];
        bench.call(Admission::EachUnlessOver, &over).await;
        assert_eq!(bench.spent(id + 100, &window).await, 2, "{window:?}");
    }
}

async fn the_oldest_is_given_back_first<S: Store>(bench: Bench<S>) {
    bench.take(&MINUTE, 9, 2).await;
    bench.pass(30);
    bench.take(&MINUTE, 9, 3).await;
    bench.one(give_back(1, &MINUTE, 9, 3)).await;
    bench.pass(32);
    assert_eq!(bench.spent(1, &MINUTE).await, 2, "what is left was made later");
    bench.pass(30);
    assert_eq!(bench.spent(1, &MINUTE).await, 0);
}

async fn peeks_change_nothing<S: Store>(bench: Bench<S>) {
    for (id, window) in (1..).zip([MINUTE, FIXED, BUCKET, HELD, CAPACITY, FORGETTING, day("UTC")]) {
        let peek = |room| charge(id, &window, Number::AtMost(4), Op::Take { room, charge: 0 });
        bench.one(take(id, &window, 4, 4)).await;
        assert!(bench.one(peek(0)).await.is_admitted(), "exactly full, {window:?}");
        assert!(!bench.one(peek(1)).await.is_admitted(), "{window:?}");
        assert!(bench.one(give_back(id, &window, 4, 0)).await.is_admitted(), "{window:?}");
        assert_eq!(bench.spent(id, &window).await, 4, "{window:?}");
    }
}

async fn numbers_at_the_edges_hold<S: Store>(bench: Bench<S>) {
    assert_eq!(bench.take(&MINUTE, 3, 4).await.verdict, NEVER, "more than is ever allowed");
    assert_eq!(bench.take(&MINUTE, 0, 1).await.verdict, NEVER);
    assert!(bench.take(&MINUTE, 0, 0).await.is_admitted(), "nothing asked of nothing");
    let unlimited = |id, hits| charge(id, &MINUTE, Number::Unlimited, Op::Take { room: hits, charge: hits });
    let outcome = bench.one(unlimited(2, 5)).await;
    assert_eq!((outcome.standing.used, outcome.standing.remaining), (5, u64::MAX));
    for (id, window) in (10..).zip([MINUTE, FIXED, HELD, CAPACITY, day("UTC")]) {
        assert!(bench.one(take(id, &window, MAX_AMOUNT, MAX_AMOUNT)).await.is_admitted(), "{window:?}");
        assert!(!bench.one(take(id, &window, MAX_AMOUNT, 1)).await.is_admitted(), "{window:?}");
        let beyond = bound(Binding::Counted, take(id, &window, MAX_AMOUNT, MAX_AMOUNT));
        assert!(!bench.one(beyond).await.is_admitted(), "{window:?}");
        assert_eq!(bench.spent(id, &window).await, MAX_AMOUNT, "it saturates, {window:?}");
    }
    let request = take(3, &Window::Request, 10, 10);
    assert_eq!(admitted(&bench.all(&[request, request]).await), [true, true], "nothing is stored");
    assert_eq!(bench.one(take(3, &Window::Request, 10, 11)).await.verdict, NEVER);
}

async fn time_that_runs_backwards_stands_still<S: Store>(bench: Bench<S>) {
    let windows = [MINUTE, FIXED, BUCKET, day("Europe/Berlin")];
    for (id, window) in (1..).zip(&windows) {
        bench.one(take(id, window, 4, 4)).await;
    }
    bench.clock.set(Timestamp(START.0 - 3 * 86_400_000_000));
    for (id, window) in (1..).zip(&windows) {
        let refused = bench.one(take(id, window, 4, 1)).await;
        assert!(
            matches!(refused.verdict, Verdict::Refused(Retry::After(wait)) if wait > Micros(0)),
            "{window:?}"
        );
    }
    bench.clock.set(START);
    for (id, window) in (1..).zip(&windows) {
        assert_eq!(bench.spent(id, window).await, 4, "{window:?}");
    }
    assert!(bench.take(&MINUTE, 5, 1).await.is_admitted());
}

async fn ten_thousand_counters_do_not_mix<S: Store>(bench: Bench<S>) {
    for round in 0..2 {
        for hundred in 0..100_u128 {
            let charges: Vec<Charge<'_>> =
                (0..100).map(|one| take(1000 + hundred * 100 + one, &MINUTE, 2, 1)).collect();
            let outcomes = bench.all(&charges).await;
            assert!(outcomes.iter().all(|outcome| outcome.standing.used == round + 1));
        }
    }
}

async fn a_day_is_a_day_where_clocks_change<S: Store>(bench: Bench<S>) {
    let berlin = day("Europe/Berlin");
    let hour = 3_600_000_000_u64;
    // 2024-03-31 00:00 in Berlin begins a day of 23 hours, 2024-10-27 00:00 one of 25.
    for (id, midnight, hours) in [(1, 1_711_839_600_000_000, 23), (2, 1_729_980_000_000_000, 25)] {
        let ask = || take(id, &berlin, 1, 1);
        bench.clock.set(Timestamp(midnight - 1));
        assert!(bench.one(ask()).await.is_admitted());
        assert_eq!(bench.one(ask()).await.verdict, after(1));
        bench.clock.set(Timestamp(midnight));
        assert!(bench.one(ask()).await.is_admitted());
        assert_eq!(bench.one(ask()).await.verdict, after(hours * hour));
        bench.clock.set(Timestamp(midnight + hours * hour - 1));
        assert_eq!(bench.one(ask()).await.verdict, after(1));
        bench.clock.set(Timestamp(midnight + hours * hour));
        assert!(bench.one(ask()).await.is_admitted());
    }
}

async fn a_month_begins_on_its_anchor<S: Store>(bench: Bench<S>) {
    let day = 86_400_000_000_u64;
    // 2024-01-31 and, clamped, the 29th of February and the 31st of March.
    let starts = [1_706_659_200_000_000, 1_709_164_800_000_000, 1_711_843_200_000_000];
    let anchored = |day| Window::Calendar(Calendar::new(Period::Month, "UTC", day).unwrap(), Debt::Forgiven);
    let last = anchored(31);
    let ask = || take(1, &last, 1, 1);
    for (start, days) in starts.into_iter().zip([29, 31, 30]) {
        bench.clock.set(Timestamp(start));
        assert!(bench.one(ask()).await.is_admitted());
        assert_eq!(bench.one(ask()).await.verdict, after(days * day));
        bench.clock.set(Timestamp(start + days * day - 1));
        assert_eq!(bench.one(ask()).await.verdict, after(1));
    }
    let (first, middle) = (anchored(1), anchored(15));
    let both = [take(2, &first, 1, 1), take(3, &middle, 1, 1)];
    bench.clock.set(Timestamp(starts[0]));
    assert_eq!(admitted(&bench.all(&both).await), [true, true]);
    let waits: Vec<Verdict> = bench.all(&both).await.iter().map(|outcome| outcome.verdict).collect();
    assert_eq!(waits, [after(day), after(15 * day)]);
}

async fn numbers_may_change_under_a_counter<S: Store>(bench: Bench<S>) {
    for (id, window) in (1..).zip([MINUTE, FIXED, HELD, CAPACITY]) {
        bench.one(take(id, &window, 5, 5)).await;
        assert!(!bench.one(take(id, &window, 3, 1)).await.is_admitted(), "{window:?}");
        let outcome = bench.one(take(id, &window, 7, 1)).await;
        assert_eq!((outcome.standing.used + outcome.standing.held, outcome.standing.remaining), (6, 1));
    }
}

async fn a_call_without_charges_is_answered<S: Store>(bench: Bench<S>) {
    assert_eq!(bench.all(&[]).await, []);
}

promises!(of [memory, redis, valkey]: {
    of_many_at_once_exactly_n_are_admitted,
    a_refusal_costs_nothing_anywhere,
    a_counter_may_stand_twice_in_a_call,
    what_is_only_counted_is_counted_when_the_call_passes,
    quotas_refuse_only_together,
    charges_may_be_made_each_alone,
    a_call_may_ask_hundreds_of_counters_and_one_hundreds_of_times,
    what_is_given_back_is_not_stopped_by_what_is_over,
    counters_forget_in_time_and_say_when,
    a_bucket_is_refilled_evenly,
    capacity_comes_back_only_when_given_back_or_forgotten,
    what_is_given_back_stops_at_nothing,
    what_is_used_can_be_set_to_the_true_count,
    the_oldest_is_given_back_first,
    peeks_change_nothing,
    numbers_at_the_edges_hold,
    time_that_runs_backwards_stands_still,
    ten_thousand_counters_do_not_mix,
    a_day_is_a_day_where_clocks_change,
    a_month_begins_on_its_anchor,
    numbers_may_change_under_a_counter,
    a_call_without_charges_is_answered,
});
