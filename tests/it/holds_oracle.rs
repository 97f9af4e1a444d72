//! Reservations held against the model: random histories of several callers, under a clock that is set by hand.
//!
//! After every step what is told, of every counter that is touched, is what the model tells: verdicts, what is used
//! and held, and to the microsecond when there is room again. What is used and held is never above a number, but for
//! what was spent beyond a hold or after it, and so is what a period that is over was charged and covers of what was
//! settled since. When all is over, nothing is held.

use std::num::NonZeroU64;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Runtime;
use tollgate::algorithm::{Op, Outcome};
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::{Micros, Timestamp};
use tollgate::limits::{CounterKey, Debt, Window};
use tollgate::store::{
    Admission, Call, Charge, Due, Hold, Life, Reserve, Reserved, Settle, Settled, Spent, Store, Then,
};

use crate::support::bench::{Bench, START};
use crate::support::holding::{Limited, tokens};
use crate::support::holds_model::{Ask, Going, Kind, Lasting, Model, Reserving, Settling, Told};
use crate::support::tools::Tool;

const SECOND: u64 = 1_000_000;
const KINDS: [Kind; 6] = [
    Kind::Sliding(60 * SECOND),
    Kind::Fixed(60 * SECOND),
    Kind::Daily,
    Kind::Total,
    Kind::Concurrent(100 * SECOND),
    Kind::Total,
];
/// The first four count tokens, then there are slots, and last what is owned.
const SLOTS: usize = 4;
const OWNED: usize = 5;
/// How long it is from the start of a bench's time to midnight.
const MIDNIGHT: u64 = 107 * 60 * SECOND;

/// What one caller does.
#[derive(Clone, Debug)]
enum Step {
    Charge(Vec<(usize, Ask)>),
    Reserve { name: u128, body: u64, asks: Vec<(usize, Ask)>, some: Option<u64>, lasting: Lasting },
    Settle { name: u128, spent: Option<u64>, going: Going, otherwise: Vec<usize>, keep: u64 },
}

fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..8_u64, 4 => 0..30_u64, 1 => 30..60_u64]
}

/// Some of the counters, each asked `ask`.
fn of_some(ask: impl Fn(usize) -> BoxedStrategy<Ask>) -> impl Strategy<Value = Vec<(usize, Ask)>> {
    let asks: Vec<_> = (0..KINDS.len()).map(|counter| (Just(counter), ask(counter))).collect();
    (asks, prop::sample::subsequence((0..KINDS.len()).collect::<Vec<_>>(), 1..=KINDS.len()))
        .prop_map(|(asks, some)| some.into_iter().map(|counter| asks[counter]).collect())
}

fn charge() -> impl Strategy<Value = Step> {
    let ask = |counter| match counter {
        SLOTS | OWNED => prop_oneof![
            2 => (0..3_u64).prop_map(Ask::Take),
            2 => (0..4_u64).prop_map(Ask::GiveBack),
            1 => (0..2_u64).prop_map(Ask::Look),
        ]
        .boxed(),
        _ => prop_oneof![2 => amount().prop_map(Ask::Take), 2 => amount().prop_map(Ask::Look)].boxed(),
    };
    of_some(ask).prop_map(Step::Charge)
}

fn lasting() -> impl Strategy<Value = Lasting> {
    let keep = prop_oneof![1 => Just(0), 2 => 0..100 * SECOND, 4 => Just(86_400 * SECOND)];
    (1..60 * SECOND, prop_oneof![1 => 1..30 * SECOND, 3 => Just(200 * SECOND)], keep)
        .prop_map(|(ttl, max_age, keep)| Lasting { ttl, max_age, keep })
}

fn name() -> impl Strategy<Value = u128> {
    prop_oneof![3 => 0..4_u128, 3 => 0..12_u128]
}

fn reserve() -> impl Strategy<Value = Step> {
    let ask = |counter| match counter {
        SLOTS => (0..2_u64).prop_map(|fixed| Ask::Hold { fixed, flexible: 0 }).boxed(),
        OWNED => (0..3_u64).prop_map(Ask::Take).boxed(),
        _ => prop_oneof![
            8 => (amount(), amount()).prop_map(|(fixed, flexible)| Ask::Hold { fixed: fixed / 4, flexible }),
            1 => Just(Ask::Look(1)),
        ]
        .boxed(),
    };
    let some = prop_oneof![2 => Just(None), 3 => (1..70_u64).prop_map(Some)];
    (name(), prop_oneof![8 => Just(1), 1 => Just(2_u64)], of_some(ask), some, lasting())
        .prop_map(|(name, body, asks, some, lasting)| Step::Reserve { name, body, asks, some, lasting })
}

fn settle() -> impl Strategy<Value = Step> {
    let spent = prop_oneof![6 => amount().prop_map(Some), 1 => Just(None)];
    let going = prop_oneof![
        4 => Just(Going::More),
        3 => Just(Going::Done),
        2 => Just(Going::Released),
    ];
    let otherwise = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::sample::subsequence((0..KINDS.len()).collect::<Vec<_>>(), 1..3),
    ];
    (name(), spent, going, otherwise, lasting()).prop_map(|(name, spent, going, otherwise, lasting)| {
        Step::Settle { name, spent, going, otherwise, keep: lasting.keep }
    })
}

fn gap() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0), 8 => 0..3 * SECOND, 4 => 0..30 * SECOND, 1 => 0..200 * SECOND]
}

/// What may be used and held of each counter, and what happens after which time.
fn history() -> impl Strategy<Value = (Vec<u64>, u64, Vec<(u64, Step)>)> {
    let most = vec![1..40_u64, 1..40, 1..40, 1..40, 1..4, 1..6];
    let step = prop_oneof![2 => charge(), 4 => reserve(), 5 => settle()];
    let start = prop_oneof![0..120 * SECOND, MIDNIGHT - 120 * SECOND..MIDNIGHT];
    (most, start, prop::collection::vec((gap(), step), 1..80))
}

/// The counters of one history in a store.
struct Counters {
    limits: Vec<Limited>,
    /// Before their numbers, and the names of reservations.
    tag: u128,
}

impl Counters {
    fn of(most: &[u64], tag: u128) -> Self {
        let window = |kind| match kind {
            Kind::Sliding(length) => Window::Sliding { length: Micros(length) },
            Kind::Fixed(length) => Window::Fixed { length: Micros(length), debt: Debt::Forgiven },
            Kind::Daily => Window::Calendar(Calendar::new(Period::Day, "UTC", 1).unwrap(), Debt::Forgiven),
            Kind::Total => Window::Total { forget: None },
            Kind::Concurrent(max_age) => Window::Concurrent { max_age: Micros(max_age) },
        };
        let limits = KINDS.iter().zip(most).map(|(kind, most)| Limited::new(window(*kind), *most));
        Self { limits: limits.collect(), tag: tag << 64 }
    }

    fn charge(&self, counter: usize, ask: Ask) -> Charge<'_> {
        let (limit, id) = (&self.limits[counter], self.tag | counter as u128);
        let charge = match counter {
            SLOTS => limit.slot(id),
            OWNED => limit.take(id, 0),
            _ => limit.hold(id, 0),
        };
        let op = match ask {
            Ask::Hold { fixed, flexible } => Op::Hold { fixed, flexible },
            Ask::Take(units) => Op::Take { room: units, charge: units },
            Ask::GiveBack(units) => Op::GiveBack { units },
            Ask::Look(room) => Op::Take { room, charge: 0 },
        };
        Charge { op, ..charge }
    }

    fn charges(&self, asks: &[(usize, Ask)]) -> Vec<Charge<'_>> {
        asks.iter().map(|(counter, ask)| self.charge(*counter, *ask)).collect()
    }

    fn name(&self, number: u128) -> CounterKey {
        CounterKey { tag: 1, id: self.tag | (1 << 32) | number }
    }
}

fn told(outcomes: &[Outcome]) -> Vec<Told> {
    let told = |outcome: &Outcome| {
        let standing = outcome.standing;
        (outcome.verdict, standing.used, standing.held, standing.remaining)
    };
    outcomes.iter().map(told).collect()
}

fn reserving(reserved: &Reserved) -> Reserving {
    match reserved.hold {
        Hold::Taken(grant) => Reserving::Taken(grant.units, grant.began.0, grant.until.0),
        Hold::Replayed(grant) => Reserving::Replayed(grant.units, grant.began.0, grant.until.0),
        Hold::Refused => Reserving::Refused,
        Hold::Conflict => Reserving::Conflict,
        Hold::Unheld => panic!("the store has answers"),
    }
}

fn settling(settled: &Settled) -> Settling {
    let parts = settled.parts.iter();
    let parts = parts.map(|part| (part.granted, part.paid, part.charged, told(&[part.outcome])[0]));
    (settled.before, settled.until.map(|until| until.0), parts.collect())
}

/// Takes `step` in the store and in the model, and compares what both tell.
async fn take<S: Store>(
    store: &S,
    counters: &Counters,
    model: &mut Model,
    at: u64,
    step: &Step,
) -> Result<(), TestCaseError> {
    match step {
        Step::Charge(asks) => {
            let charges = counters.charges(asks);
            let call = Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] };
            let answer = store.charge(call).await.unwrap();
            prop_assert_eq!(told(&answer.outcomes), model.charge(at, asks));
        }
        Step::Reserve { name, body, asks, some, lasting } => {
            let charges = counters.charges(asks);
            let call = Reserve {
                name: counters.name(*name),
                body: *body,
                charges: &charges,
                accepts_less: some.and_then(NonZeroU64::new),
                about: &[],
                expenses: &[],
                life: Life {
                    ttl: Micros(lasting.ttl),
                    max_age: Micros(lasting.max_age),
                    keep: Micros(lasting.keep),
                },
            };
            let reserved = store.reserve(call).await.unwrap();
            let expected = model.reserve(at, (*name, *body), asks, *some, *lasting);
            prop_assert_eq!((reserving(&reserved), told(&reserved.answer.outcomes)), expected);
        }
        Step::Settle { name, spent, going, otherwise, keep } => {
            let charges = otherwise.iter().map(|counter| counters.charge(*counter, Ask::Look(0)));
            let charges: Vec<_> = charges.collect();
            let due = spent.map_or(Due::AsHeld, Due::Exactly);
            let call = Settle {
                name: counters.name(*name),
                spent: Spent { tokens: due, money: Due::Exactly(0) },
                then: match *going {
                    Going::More => Then::More,
                    Going::Done => Then::Done,
                    Going::Released => Then::Released,
                },
                otherwise: &charges,
                report: None,
                keep: Micros(*keep),
            };
            let settled = store.settle(call).await.unwrap();
            let of_counter = |counter| if counter < SLOTS { *spent } else { Some(0) };
            let expected = model.settle(at, *name, of_counter, *going, otherwise, *keep);
            prop_assert_eq!(settling(&settled), expected);
        }
    }
    Ok(())
}

/// Goes through one history.
async fn relive<S: Store>(
    bench: &Bench<S>,
    counters: &Counters,
    model: &mut Model,
    start: u64,
    steps: &[(u64, Step)],
) -> Result<(), TestCaseError> {
    let mut at = START.0 + start;
    for (gap, step) in steps {
        at += gap;
        bench.clock.set(Timestamp(at));
        take(&*bench.store, counters, model, at, step).await?;
        prop_assert!(model.is_within_bounds(at), "{:?}", model);
        let all: Vec<(usize, Ask)> = (0..KINDS.len()).map(|counter| (counter, Ask::Look(0))).collect();
        take(&*bench.store, counters, model, at, &Step::Charge(all)).await?;
    }
    // Longer than anything is kept, and so held on.
    at += 86_400 * SECOND;
    bench.clock.set(Timestamp(at));
    for counter in 0..KINDS.len() {
        let charges = [counters.charge(counter, Ask::Look(0))];
        let call = Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] };
        prop_assert_eq!(bench.store.charge(call).await.unwrap().outcomes[0].standing.held, 0);
    }
    Ok(())
}

fn histories_come_out_as_the_model_has_them<S: Store>(runtime: &Runtime, bench: &Bench<S>, cases: u32) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let tag = std::cell::Cell::new(0);
    let outcome = runner.run(&history(), |(most, start, steps)| {
        tag.set(tag.get() + 1);
        let limits: Vec<_> = KINDS.into_iter().zip(most.iter().copied()).collect();
        let (counters, mut model) = (Counters::of(&most, tag.get()), Model::new(&limits));
        runtime.block_on(relive(bench, &counters, &mut model, start, &steps))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn in_memory() {
    let runtime = runtime();
    let bench = runtime.block_on(Bench::memory());
    histories_come_out_as_the_model_has_them(&runtime, &bench, 500);
}

fn over(tool: Tool) {
    let runtime = runtime();
    let bench = runtime.block_on(Bench::on(tool));
    let limit = Limited::new(Window::Total { forget: None }, 1);
    runtime.block_on(bench.reserve(1, &[limit.hold(1, 1)]));
    assert!(bench.keys_like("*:[ho]") > 0, "so they are called");
    runtime.block_on(bench.settle(1, tokens(0), Then::Released));
    histories_come_out_as_the_model_has_them(&runtime, &bench, 60);
    assert_eq!(bench.keys_like("*:[ho]"), 0, "nothing is left of what is held");
}

#[test]
fn over_redis() {
    over(Tool::Redis);
}

#[test]
fn over_valkey() {
    over(Tool::Valkey);
}
