//! The memory store and the script are one algorithm: random histories come out alike, outcome by outcome.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tollgate::algorithm::{Op, Rule};
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::limits::{CounterKey, Debt, KeySecret, MAX_AMOUNT, Number, OnError, Unit, Window};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{Admission, Answer, Binding, Call, Charge, FreedBy, Store};

use crate::support::redis::RedisServer;
use crate::support::together::together;
use crate::support::tools::Tool;

/// A charge to one of [`windows`].
#[derive(Clone, Debug)]
struct Asked {
    counter: usize,
    number: Number,
    op: Op,
    binding: Binding,
}

/// All that one call asks.
#[derive(Clone, Debug)]
struct Asking {
    charges: Vec<Asked>,
    admission: Admission,
}

/// What happens at one moment.
#[derive(Clone, Debug)]
struct Moment {
    /// Microseconds since the moment before; time may run backwards.
    after: i64,
    /// Calls that travel together.
    calls: Vec<Asking>,
}

fn windows() -> Vec<Window> {
    let second = Micros::from_secs;
    let owing =
        |period, zone, anchor, debt| Window::Calendar(Calendar::new(period, zone, anchor).unwrap(), debt);
    let calendar = |period, zone, anchor| owing(period, zone, anchor, Debt::Forgiven);
    vec![
        Window::Sliding { length: second(1) },
        Window::Sliding { length: second(60) },
        Window::Sliding { length: second(86_400) },
        Window::Fixed { length: second(1), debt: Debt::Forgiven },
        Window::Fixed { length: second(3600), debt: Debt::Forgiven },
        Window::TokenBucket { length: second(1), burst: 5 },
        Window::TokenBucket { length: second(7 * 3600), burst: 1_000_000 },
        Window::TokenBucket { length: second(366 * 86_400), burst: MAX_AMOUNT },
        calendar(Period::Day, "Europe/Berlin", 1),
        calendar(Period::Week, "America/St_Johns", 1),
        calendar(Period::Month, "Asia/Kolkata", 31),
        calendar(Period::Year, "UTC", 29),
        Window::Fixed { length: second(1), debt: Debt::Carried },
        Window::Fixed { length: second(3600), debt: Debt::Carried },
        owing(Period::Day, "Europe/Berlin", 1, Debt::Carried),
        owing(Period::Month, "Asia/Kolkata", 31, Debt::Carried),
        Window::Concurrent { max_age: second(30) },
        Window::Total { forget: None },
        Window::Total { forget: Some(second(120)) },
        Window::Request,
    ]
}

fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => 0..4_u64,
        4 => 1..2000_u64,
        1 => Just(MAX_AMOUNT),
        1 => MAX_AMOUNT - 5..MAX_AMOUNT,
        1 => 1_u64 << 40..1 << 45,
    ]
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        8 => (1..8_u64).prop_map(Number::AtMost),
        3 => amount().prop_map(Number::AtMost),
        1 => Just(Number::Unlimited),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => amount().prop_map(|hits| Op::Take { room: hits, charge: hits }),
        1 => (amount(), amount()).prop_map(|(room, charge)| Op::Take { room, charge }),
        1 => amount().prop_map(|room| Op::Take { room, charge: 0 }),
        2 => amount().prop_map(|units| Op::GiveBack { units }),
        1 => amount().prop_map(|units| Op::Set { units }),
    ]
}

fn binding() -> impl Strategy<Value = Binding> {
    prop_oneof![5 => Just(Binding::Enforced), 2 => (0..3_u16).prop_map(|group| Binding::Quota { group }), 2 => Just(Binding::Counted)]
}

fn asked() -> impl Strategy<Value = Asked> {
    (0..windows().len(), number(), op(), binding()).prop_map(|(counter, number, op, binding)| Asked {
        counter,
        number,
        op,
        binding,
    })
}

fn jump() -> impl Strategy<Value = i64> {
    const SECOND: i64 = 1_000_000;
    prop_oneof![
        4 => Just(0),
        8 => 0..SECOND,
        4 => 0..90 * SECOND,
        2 => 0..3 * 86_400 * SECOND,
        1 => 0..400 * 86_400 * SECOND,
        2 => -5 * SECOND..0,
        1 => -40 * 86_400 * SECOND..0,
    ]
}

fn asking() -> impl Strategy<Value = Asking> {
    let admission = prop_oneof![
        4 => Just(Admission::AllOrNone),
        2 => Just(Admission::Each),
        2 => Just(Admission::EachUnlessOver),
    ];
    let charges = prop_oneof![
        2 => prop::collection::vec(asked(), 1..6),
        // Few counters, often: what is rare above happens here.
        1 => (0..windows().len(), prop::collection::vec(asked(), 1..4)).prop_map(|(counter, mut charges)| {
            charges.iter_mut().for_each(|asked| asked.counter = counter);
            charges
        }),
    ];
    (charges, admission).prop_map(|(charges, admission)| Asking { charges, admission })
}

/// Takes from few sliding and fixed windows on few terms, alone or each for itself: what is asked most, and what runs
/// are made of.
fn plain() -> impl Strategy<Value = Asking> {
    let binding = prop_oneof![4 => Just(Binding::Enforced), 1 => Just(Binding::Counted)];
    let asked = (0..5_usize, 1..4_u64, 1..3_u64, binding).prop_map(|(counter, most, hits, binding)| {
        let op = Op::Take { room: hits, charge: hits };
        Asked { counter, number: Number::AtMost(most * 4), op, binding }
    });
    let admission = prop_oneof![
        3 => Just(Admission::AllOrNone),
        2 => Just(Admission::Each),
        1 => Just(Admission::EachUnlessOver),
    ];
    let alone = (prop::collection::vec(asked.clone(), 1..2), admission);
    let several = (prop::collection::vec(asked, 2..6), Just(Admission::Each));
    prop_oneof![2 => alone, 1 => several].prop_map(|(charges, admission)| Asking { charges, admission })
}

/// Takes from several sliding windows, all or none, or from one: what steps are made of.
fn step() -> impl Strategy<Value = Asking> {
    let limits = prop::collection::vec((1..4_u64, 1..3_u64), 3);
    (prop::sample::subsequence(vec![0, 1, 2], 1..4), limits).prop_map(|(counters, limits)| {
        let take = |(counter, (most, hits)): (usize, (u64, u64))| Asked {
            counter,
            number: Number::AtMost(most * 3),
            op: Op::Take { room: hits, charge: hits },
            binding: Binding::Enforced,
        };
        Asking {
            charges: counters.into_iter().zip(limits).map(take).collect(),
            admission: Admission::AllOrNone,
        }
    })
}

fn moment() -> impl Strategy<Value = Moment> {
    let calls = prop_oneof![
        1 => prop::collection::vec(step(), 1..8),
        2 => prop::collection::vec(asking(), 1..2),
        2 => prop::collection::vec(plain(), 1..12),
        1 => prop::collection::vec(prop_oneof![asking(), plain()], 2..8),
    ];
    (jump(), calls).prop_map(|(after, calls)| Moment { after, calls })
}

fn charges<'a>(windows: &'a [Window], tag: u64, asked: &[Asked]) -> Vec<Charge<'a>> {
    asked
        .iter()
        .map(|asked| {
            let key = CounterKey { tag, id: (u128::from(tag) << 64) + asked.counter as u128 };
            Charge {
                key,
                overflow: key.id,
                rule: Rule { window: &windows[asked.counter], number: asked.number },
                op: asked.op,
                binding: asked.binding,
                on_error: OnError::Local,
                freed_by: FreedBy::Hand,
                unit: Unit::Hits,
                memo: 0,
            }
        })
        .collect()
}

fn histories_come_out_alike(tool: Tool, cases: u32) {
    static TAG: AtomicU64 = AtomicU64::new(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = RedisServer::start(tool);
    let clock = Clock::manual(Timestamp(0));
    let script = runtime.block_on(server.store(clock.clone()));
    let windows = windows();
    let history = (0..200_000_000_u64, prop::collection::vec(moment(), 1..60));
    let asks = std::cell::Cell::new(0_u64);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&history, |(start, moments)| {
        let tag = TAG.fetch_add(1, Ordering::Relaxed);
        let memory = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([0; 16]));
        let mut now = 1_700_000_000_000_000 + start;
        for (step, moment) in moments.iter().enumerate() {
            now = now.saturating_add_signed(moment.after);
            clock.set(Timestamp(now));
            let charges: Vec<Vec<Charge<'_>>> =
                moment.calls.iter().map(|asking| charges(&windows, tag, &asking.charges)).collect();
            let calls = charges.iter().zip(&moment.calls);
            let calls: Vec<Call<'_>> = calls
                .map(|(charges, asking)| Call { charges, admission: asking.admission, expenses: &[] })
                .collect();
            let expected: Vec<Answer> = calls.iter().map(|call| memory.charge_now(*call)).collect();
            let asked = calls.iter().map(|call| script.charge(*call)).collect();
            let answers = runtime.block_on(together(asked));
            for (answer, expected) in answers.iter().zip(&expected) {
                prop_assert_eq!(answer.as_ref(), Ok(expected), "at step {} of {}: {:?}", step, now, moment);
            }
            asks.set(asks.get() + 1);
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut server.connection()).unwrap();
    let run = stats.split_once("cmdstat_evalsha:calls=").unwrap().1.split(',').next().unwrap();
    let run: u64 = run.parse().unwrap();
    // The store's own looks, at start and once a minute, are some ten calls each.
    assert!(
        run <= asks.get() * 11 / 10 + 20,
        "{run} calls for {} moments: they did not travel together",
        asks.get()
    );
}

#[test]
fn redis_agrees_with_memory() {
    histories_come_out_alike(Tool::Redis, 256);
}

#[test]
fn valkey_agrees_with_memory() {
    histories_come_out_alike(Tool::Valkey, 256);
}
