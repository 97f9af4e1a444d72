//! The deny cache: what a store has refused is refused again without asking it, with the very answer it would give.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;
use tollgate::algorithm::{Op, Outcome, Retry, Rule, Verdict};
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::limits::{CounterKey, Debt, KeySecret, Number, OnError, Unit, Window};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::refusals::WithRefusals;
use tollgate::store::{self, Admission, Answer, Binding, Call, Charge, FreedBy, Store, StoreError};

use crate::support::gone::Gone;

const START: Timestamp = Timestamp(1_700_000_000_000_000);
const MINUTE: Window = Window::Sliding { length: Micros::from_secs(60) };
const ONE: Op = Op::Take { room: 1, charge: 1 };

/// A store that several instances ask, and that knows how often.
#[derive(Clone)]
struct Shared {
    store: Arc<MemoryStore>,
    asked: Arc<AtomicUsize>,
}

impl Shared {
    fn new(clock: &Clock) -> Self {
        let store = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([7; 16]));
        Self { store: Arc::new(store), asked: Arc::default() }
    }
}

impl store::Layer for Shared {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    async fn charge(&self, call: Call<'_>) -> Result<Answer, StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.store.charge_now(call))
    }
}

/// One instance over a store that others ask as well.
struct Bench {
    clock: Clock,
    shared: Shared,
    cached: WithRefusals<Shared>,
}

impl Bench {
    fn new() -> Self {
        let clock = Clock::manual(START);
        let shared = Shared::new(&clock);
        Self { cached: WithRefusals::new(shared.clone(), clock.clone()), clock, shared }
    }

    fn ask(&self, charges: &[Charge<'_>]) -> Answer {
        now(self.cached.charge(Call { charges, admission: Admission::AllOrNone, expenses: &[] }))
    }

    fn verdict(&self, charge: Charge<'_>) -> Verdict {
        self.ask(&[charge]).outcomes[0].verdict
    }

    /// Asks for one more until `charge` is refused.
    fn fill(&self, charge: Charge<'_>) {
        while self.verdict(charge) == Verdict::Admitted {}
    }

    /// How often the store is asked by `ask`.
    fn asked_by(&self, ask: impl FnOnce(&Self)) -> usize {
        let before = self.shared.asked.load(Ordering::Relaxed);
        ask(self);
        self.shared.asked.load(Ordering::Relaxed) - before
    }

    fn pass(&self, micros: u64) {
        self.clock.advance(Micros(micros));
    }
}

fn now(answer: impl Future<Output = Result<Answer, StoreError>>) -> Answer {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer.unwrap(),
        Poll::Pending => panic!("a store in memory answers at once"),
    }
}

fn charge(id: u128, window: &Window, most: u64, op: Op) -> Charge<'_> {
    let key = CounterKey { tag: 0, id };
    Charge {
        key,
        overflow: key.id,
        rule: Rule { window, number: Number::AtMost(most) },
        op,
        binding: Binding::Enforced,
        on_error: OnError::Deny,
        freed_by: FreedBy::Time,
        unit: Unit::Hits,
        memo: 0,
    }
}

fn take(most: u64) -> Charge<'static> {
    charge(1, &MINUTE, most, ONE)
}

#[test]
fn a_refusal_is_asked_for_once_and_tells_the_time_that_is_left() {
    let bench = Bench::new();
    bench.fill(take(3));
    let Verdict::Refused(Retry::After(wait)) = bench.verdict(take(3)) else { panic!("it was full") };
    let asked = bench.asked_by(|bench| {
        for _ in 0..100 {
            bench.pass(1_000);
            assert!(!bench.ask(&[take(3)]).outcomes[0].is_admitted());
        }
    });
    assert_eq!(asked, 0);
    assert_eq!(bench.verdict(take(3)), Verdict::Refused(Retry::After(Micros(wait.0 - 100_000))));
    bench.pass(wait.0 - 100_000 - 1);
    assert!(!bench.ask(&[take(3)]).outcomes[0].is_admitted(), "a microsecond before room is back");
    bench.pass(1);
    assert_eq!(bench.verdict(take(3)), Verdict::Admitted, "the instant at which it is");
}

#[test]
fn what_another_instance_resets_is_seen_within_a_quarter_of_a_second() {
    let bench = Bench::new();
    bench.fill(take(3));
    let back = Charge { op: Op::GiveBack { units: 3 }, freed_by: FreedBy::Hand, ..take(3) };
    bench.shared.store.charge_now(Call { charges: &[back], admission: Admission::AllOrNone, expenses: &[] });
    assert_ne!(bench.verdict(take(3)), Verdict::Admitted);
    bench.pass(250_000);
    assert_eq!(bench.verdict(take(3)), Verdict::Admitted);
}

/// A store that is late with its answers: it has done what was asked a poll before it says so.
struct Late(Arc<MemoryStore>);

impl store::Layer for Late {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.0
    }

    async fn charge(&self, call: Call<'_>) -> Result<Answer, StoreError> {
        let answer = self.0.charge_now(call);
        let mut is_late = true;
        std::future::poll_fn(|_| if std::mem::take(&mut is_late) { Poll::Pending } else { Poll::Ready(()) })
            .await;
        Ok(answer)
    }
}

#[test]
fn what_is_reset_is_not_refused_by_what_was_asked_before() {
    let clock = Clock::manual(START);
    let shared = Shared::new(&clock);
    let cached = WithRefusals::new(Late(shared.store.clone()), clock.clone());
    let ask = |charges| cached.charge(Call { charges, admission: Admission::AllOrNone, expenses: &[] });
    let mut context = Context::from_waker(Waker::noop());
    let (full, reset) = ([take(3)], [Charge { op: Op::Set { units: 0 }, ..take(3) }]);
    for _ in 0..3 {
        shared.store.charge_now(Call { charges: &full, admission: Admission::AllOrNone, expenses: &[] });
    }
    let mut before = pin!(ask(&full));
    assert!(before.as_mut().poll(&mut context).is_pending(), "it was refused, and has not heard of it");
    let mut resetting = pin!(ask(&reset));
    assert!(resetting.as_mut().poll(&mut context).is_pending());
    clock.advance(Micros(1));
    assert!(resetting.as_mut().poll(&mut context).is_ready());
    assert!(before.as_mut().poll(&mut context).is_ready());
    let mut after = pin!(ask(&full));
    assert!(after.as_mut().poll(&mut context).is_pending(), "the store is asked");
    let Poll::Ready(Ok(answer)) = after.as_mut().poll(&mut context) else { panic!("it is late by one poll") };
    assert!(answer.outcomes[0].is_admitted());
}

#[test]
fn another_number_is_another_question() {
    let bench = Bench::new();
    bench.fill(take(3));
    assert_eq!(bench.verdict(take(4)), Verdict::Admitted);
}

/// Every refusal of `charge` is asked for again.
fn is_never_remembered(charge: Charge<'_>, admission: Admission) -> bool {
    let bench = Bench::new();
    let ask = |bench: &Bench| now(bench.cached.charge(Call { charges: &[charge], admission, expenses: &[] }));
    for _ in 0..5 {
        ask(&bench);
    }
    let asked = bench.asked_by(|bench| {
        assert!(!ask(bench).outcomes[0].is_admitted());
        ask(bench);
    });
    asked == 2
}

#[test]
fn nothing_is_remembered_that_may_change_unseen() {
    let fixed = Window::Fixed { length: Micros::from_secs(60), debt: Debt::Forgiven };
    let held = Window::Concurrent { max_age: Micros::from_secs(60) };
    let total = Window::Total { forget: None };
    let all = Admission::AllOrNone;
    for (what, charge, admission) in [
        ("can be given back", Charge { freed_by: FreedBy::Hand, ..take(3) }, all),
        ("holds", charge(1, &held, 3, ONE), all),
        ("a capacity", charge(1, &total, 3, ONE), all),
        ("counts over its number", charge(1, &fixed, 3, ONE), Admission::Each),
        ("is only counted", Charge { binding: Binding::Counted, ..take(3) }, all),
        ("wants more than a unit", charge(1, &MINUTE, 3, Op::Take { room: 2, charge: 2 }), all),
    ] {
        assert!(is_never_remembered(charge, admission), "{what}");
    }
    assert!(!is_never_remembered(take(3), all), "and what may not, is");
    assert!(!is_never_remembered(charge(1, &fixed, 3, ONE), all));
    assert!(!is_never_remembered(take(0), all), "blocked");
}

#[test]
fn a_call_is_answered_from_memory_only_as_a_whole() {
    let bench = Bench::new();
    let (full, free) = (take(3), charge(2, &MINUTE, 3, ONE));
    bench.fill(full);
    assert_eq!(bench.asked_by(|bench| _ = bench.ask(&[full, free])), 1);
    bench.fill(free);
    assert_eq!(bench.asked_by(|bench| assert_eq!(bench.ask(&[full, free]).outcomes.len(), 2)), 0);
    assert_eq!(bench.asked_by(|bench| _ = bench.ask(&[])), 1, "nor is one that asks for nothing");
}

#[test]
fn a_counter_that_a_call_asks_twice_is_refused_as_the_store_refuses_it() {
    let bench = Bench::new();
    let (once, twice) = ([take(1)], [take(1), take(1)]);
    let of_store = |bench: &Bench, charges: &[Charge<'_>]| {
        bench.shared.store.charge_now(Call { charges, admission: Admission::AllOrNone, expenses: &[] })
    };
    bench.fill(take(1));
    assert_eq!(bench.ask(&twice), of_store(&bench, &twice));
    assert_eq!(bench.ask(&twice).outcomes[1].verdict, Verdict::Refused(Retry::Never), "not with the first");
    bench.pass(250_000);
    assert_eq!(bench.ask(&twice), of_store(&bench, &twice));
    assert_eq!(bench.ask(&once), of_store(&bench, &once), "alone it may wait");
}

#[test]
fn a_failure_is_not_remembered() {
    struct Failing(Gone);
    impl store::Layer for Failing {
        type Inner = Gone;

        fn inner(&self) -> &Gone {
            &self.0
        }

        async fn charge(&self, call: Call<'_>) -> Result<Answer, StoreError> {
            let refused = Outcome { verdict: Verdict::Refused(Retry::Never), ..call.charges[0].stand_in() };
            Ok(Answer {
                at: START,
                outcomes: [refused].into_iter().collect(),
                degraded: Some(StoreError::Timeout),
            })
        }
    }
    let cached = WithRefusals::new(Failing(Gone::default()), Clock::manual(START));
    for _ in 0..2 {
        let answer =
            now(cached.charge(Call { charges: &[take(0)], admission: Admission::AllOrNone, expenses: &[] }));
        assert_eq!(answer.degraded, Some(StoreError::Timeout));
    }
}

fn windows() -> [Window; 5] {
    [
        MINUTE,
        Window::Sliding { length: Micros::from_secs(1) },
        Window::Fixed { length: Micros::from_secs(5), debt: Debt::Forgiven },
        Window::TokenBucket { length: Micros::from_secs(10), burst: 4 },
        Window::Calendar(Calendar::new(Period::Day, "Europe/Berlin", 1).unwrap(), Debt::Forgiven),
    ]
}

/// One step of a history: how much time passes, who asks, and for which counter how much.
fn step() -> impl Strategy<Value = (u64, bool, usize, u64)> {
    let pause = prop_oneof![5 => 0..2_000_u64, 3 => 0..400_000_u64, 1 => 0..70_000_000_u64];
    (pause, any::<bool>(), 0..windows().len(), 0..3_u64)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Two instances over one store, one of them with the cache, answer as one would without it.
    #[test]
    fn answers_are_those_of_the_store(history in prop::collection::vec(step(), 1..200)) {
        let bench = Bench::new();
        let plain = Shared::new(&bench.clock);
        let windows = windows();
        for (pause, through_the_cache, window, units) in history {
            bench.pass(pause);
            let op = Op::Take { room: units, charge: units };
            let charges = [charge(window as u128, &windows[window], 5, op)];
            let call = Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] };
            let expected = plain.store.charge_now(call);
            let answer = if through_the_cache {
                now(bench.cached.charge(call))
            } else {
                bench.shared.store.charge_now(call)
            };
            prop_assert_eq!(answer, expected);
        }
    }
}
