//! Every algorithm held against a model that is too simple to be wrong: a list of what was admitted and when.
//!
//! Random histories in one counter, in memory and on Redis, under a clock set by hand. For each window its bound
//! is checked over *every* interval, every refusal has to be justified, and every `retry_after` has to be the
//! first microsecond that passes.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tollgate::algorithm::{Op, Outcome, Retry, Rule, Span, Verdict};
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::limits::{CounterKey, Debt, KeySecret, Number, OnError, Unit, Window};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::redis::RedisStore;
use tollgate::store::{Admission, Answer, Binding, Call, Charge, FreedBy, Store, StoreError};

use crate::support::redis::RedisServer;
use crate::support::tools::Tool;

const SECOND: u64 = 1_000_000;

/// A store, the time it goes by, and how many histories it is given.
struct Bench {
    store: Either,
    clock: Clock,
    runtime: tokio::runtime::Runtime,
    cases: u32,
    fresh: std::cell::Cell<u128>,
    _server: Option<RedisServer>,
}

enum Either {
    Memory(MemoryStore),
    Redis(RedisStore),
}

impl Bench {
    fn memory() -> Self {
        let clock = Clock::manual(Timestamp(0));
        let store = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([7; 16]));
        Self::of(Either::Memory(store), clock, 400, runtime(), None)
    }

    fn on(tool: Tool) -> Self {
        let (clock, runtime, server) = (Clock::manual(Timestamp(0)), runtime(), RedisServer::start(tool));
        let store = runtime.block_on(server.store(clock.clone()));
        Self::of(Either::Redis(store), clock, 30, runtime, Some(server))
    }

    fn of(
        store: Either,
        clock: Clock,
        cases: u32,
        runtime: tokio::runtime::Runtime,
        server: Option<RedisServer>,
    ) -> Self {
        Self { store, clock, runtime, cases, fresh: std::cell::Cell::new(0), _server: server }
    }

    /// Gives histories of `steps` to `check`, each with a counter of its own.
    fn histories<S: Strategy>(
        &self,
        steps: S,
        check: impl Fn(&Counter<'_>, S::Value) -> Result<(), TestCaseError>,
    ) {
        let config = Config { cases: self.cases, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new(config);
        let outcome = runner.run(&steps, |steps| {
            self.fresh.set(self.fresh.get() + 1);
            check(&Counter { bench: self, id: self.fresh.get() }, steps)
        });
        if let Err(failure) = outcome {
            panic!("{failure}");
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A counter that nobody else knows.
struct Counter<'a> {
    bench: &'a Bench,
    id: u128,
}

impl Counter<'_> {
    fn ask(&self, at: u64, rule: Rule<'_>, op: Op) -> Outcome {
        let key = CounterKey { tag: 1, id: self.id };
        let charge = Charge {
            key,
            overflow: key.id,
            rule,
            op,
            binding: Binding::Enforced,
            on_error: OnError::Deny,
            freed_by: FreedBy::Hand,
            unit: Unit::Hits,
            memo: 0,
        };
        let charges = [charge];
        let call = Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] };
        self.bench.clock.set(Timestamp(at));
        let answer: Result<Answer, StoreError> = match &self.bench.store {
            Either::Memory(store) => Ok(store.charge_now(call)),
            Either::Redis(store) => self.bench.runtime.block_on(store.charge(call)),
        };
        answer.unwrap().outcomes[0]
    }

    fn take(&self, at: u64, rule: Rule<'_>, hits: u64) -> Outcome {
        self.ask(at, rule, Op::Take { room: hits, charge: hits })
    }

    /// Whoever waits as told is admitted, who comes a microsecond earlier is not.
    fn keeps_its_word(
        &self,
        at: u64,
        rule: Rule<'_>,
        hits: u64,
        refused: Outcome,
    ) -> Result<(), TestCaseError> {
        let Verdict::Refused(retry) = refused.verdict else {
            return Ok(());
        };
        let peek = Op::Take { room: hits, charge: 0 };
        match retry {
            Retry::Never => {
                let far = at + 500 * 86_400 * SECOND;
                prop_assert!(!self.ask(far, rule, peek).is_admitted(), "never came");
            }
            Retry::After(Micros(wait)) => {
                prop_assert!(wait > 0);
                prop_assert!(self.ask(at + wait, rule, peek).is_admitted(), "{wait} µs were not enough");
                prop_assert!(!self.ask(at + wait - 1, rule, peek).is_admitted(), "{wait} µs were too many");
            }
        }
        Ok(())
    }
}

/// What was admitted, oldest first.
#[derive(Default)]
struct Admits(Vec<(u64, u64)>);

impl Admits {
    fn add(&mut self, at: u64, hits: u64) {
        self.0.push((at, hits));
    }

    /// The sum of what was admitted in `from..=to`.
    fn within(&self, from: u64, to: u64) -> u64 {
        self.0.iter().filter(|(at, _)| (from..=to).contains(at)).map(|(_, hits)| hits).sum()
    }

    /// The most that any closed interval of `length` holds: one that holds the most begins at an admit.
    fn most_within(&self, length: u64) -> u64 {
        let (mut most, mut sum, mut first) = (0, 0, 0);
        for &(at, hits) in &self.0 {
            sum += hits;
            while self.0[first].0 + length < at {
                sum -= self.0[first].1;
                first += 1;
            }
            most = most.max(sum);
        }
        most
    }
}

/// Spans of time that matter to a window of `length`: none, within a cell, about a window, beyond it.
fn spans(length: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => Just(0),
        3 => 0..length / 50,
        4 => 0..length / 5,
        2 => length - length / 50..=length + length / 25,
        1 => 0..3 * length,
    ]
}

type Asks = Vec<(u64, u64)>;

/// An instant to begin at, a number, and what is asked after which span. Time may jump back by `backwards` at most.
fn asks(length: u64) -> impl Strategy<Value = (u64, u64, Asks)> {
    let number = prop_oneof![Just(1_u64), 2..12_u64, Just(100)];
    (0..length, number).prop_flat_map(move |(start, number)| {
        let hits = prop_oneof![4 => Just(1), 2 => 1..=number, 1 => Just(number + 1)];
        let asks = prop::collection::vec((spans(length), hits), 1..120);
        asks.prop_map(move |asks| (1_700_000_000 * SECOND + start, number, asks))
    })
}

fn a_sliding_window_is_exact(bench: &Bench) {
    for length in [SECOND, 60 * SECOND, 86_400 * SECOND] {
        let window = Window::Sliding { length: Micros(length) };
        bench.histories(asks(length), |counter, (mut now, number, asks)| {
            let rule = Rule { window: &window, number: Number::AtMost(number) };
            let mut admits = Admits::default();
            for (span, hits) in asks {
                now += span;
                let outcome = counter.take(now, rule, hits);
                if outcome.is_admitted() {
                    admits.add(now, hits);
                } else {
                    let remembered = admits.within(now - length * 51 / 50 + 1, now);
                    prop_assert!(hits + remembered > number, "refused {hits} beside {remembered}");
                    counter.keeps_its_word(now, rule, hits, outcome)?;
                }
            }
            let most = admits.most_within(length);
            prop_assert!(most <= number, "{most} within {length} µs, {number} allowed");
            Ok(())
        });
    }
}

fn a_bucket_admits_its_burst_and_its_rate(bench: &Bench) {
    for (length, burst) in [(SECOND, 3), (3600 * SECOND, 50), (7 * SECOND, 1)] {
        let window = Window::TokenBucket { length: Micros(length), burst };
        bench.histories(asks(length), |counter, (mut now, number, asks)| {
            let rule = Rule { window: &window, number: Number::AtMost(number) };
            let mut admits = Admits::default();
            for (span, hits) in asks {
                now += span;
                let outcome = counter.take(now, rule, hits);
                if outcome.is_admitted() {
                    admits.add(now, hits);
                } else {
                    counter.keeps_its_word(now, rule, hits, outcome)?;
                    // The level is whole: a part of a unit may still be counted, and a microsecond a drain.
                    let late = u128::from(length) + u128::from(number) * admits.0.len() as u128;
                    let level = ideal_level(&admits, number, length, now) + late;
                    let asked = u128::from(hits) * u128::from(length);
                    prop_assert!(asked + level > u128::from(burst) * u128::from(length), "refused {hits}");
                }
            }
            for (index, (from, _)) in admits.0.iter().enumerate() {
                let mut sum = 0_u128;
                for (to, hits) in &admits.0[index..] {
                    sum += u128::from(*hits);
                    let refilled = u128::from(number) * u128::from(to - from);
                    let allowed = u128::from(burst) * u128::from(length) + refilled;
                    prop_assert!(sum * u128::from(length) <= allowed, "{sum} within {} µs", to - from);
                }
            }
            Ok(())
        });
    }
}

/// The level of a bucket that loses nothing to rounding, in units times `length`.
fn ideal_level(admits: &Admits, number: u64, length: u64, now: u64) -> u128 {
    let (mut level, mut since) = (0_u128, 0);
    let leak = |level: u128, span: u64| level.saturating_sub(u128::from(number) * u128::from(span));
    for &(at, hits) in &admits.0 {
        level = leak(level, at - since) + u128::from(hits) * u128::from(length);
        since = at;
    }
    leak(level, now - since)
}

fn a_period_admits_its_number(bench: &Bench) {
    let day = 86_400 * SECOND;
    let calendar =
        |period, zone, anchor| Window::Calendar(Calendar::new(period, zone, anchor).unwrap(), Debt::Forgiven);
    let windows = [
        (Window::Fixed { length: Micros(SECOND), debt: Debt::Forgiven }, SECOND),
        (Window::Fixed { length: Micros(3600 * SECOND), debt: Debt::Forgiven }, 3600 * SECOND),
        (calendar(Period::Day, "America/New_York", 1), day),
        (calendar(Period::Week, "Australia/Lord_Howe", 1), 7 * day),
        (calendar(Period::Month, "Europe/Berlin", 31), 30 * day),
    ];
    for (window, length) in &windows {
        bench.histories(asks(*length), |counter, (mut now, number, asks)| {
            let rule = Rule { window, number: Number::AtMost(number) };
            let mut admits = Admits::default();
            for (span, hits) in asks {
                now += span;
                let period = Span::holding(window, Timestamp(now));
                let used = admits.within(period.start.0, period.end.0 - 1);
                let outcome = counter.take(now, rule, hits);
                prop_assert_eq!(outcome.is_admitted(), used + hits <= number);
                if outcome.is_admitted() {
                    admits.add(now, hits);
                }
                counter.keeps_its_word(now, rule, hits, outcome)?;
            }
            if matches!(window, Window::Fixed { .. }) {
                prop_assert!(admits.most_within(*length - 1) <= 2 * number);
            }
            Ok(())
        });
    }
}

/// What is done to room that is held: taken, or given back.
fn holdings(length: u64) -> impl Strategy<Value = (u64, u64, Vec<(u64, Op)>)> {
    doing(length, |number| taken_or_given_back(number).boxed())
}

/// What is done to a capacity: the same, and set.
fn capacities(length: u64) -> impl Strategy<Value = (u64, u64, Vec<(u64, Op)>)> {
    let set = |number: u64| (0..=number + 2).prop_map(|units| Op::Set { units });
    doing(length, move |number| prop_oneof![5 => taken_or_given_back(number), 1 => set(number)].boxed())
}

fn taken_or_given_back(number: u64) -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (1..=number + 1).prop_map(|hits| Op::Take { room: hits, charge: hits }),
        2 => (0..=number).prop_map(|units| Op::GiveBack { units }),
    ]
}

fn doing(
    length: u64,
    op: impl Fn(u64) -> BoxedStrategy<Op>,
) -> impl Strategy<Value = (u64, u64, Vec<(u64, Op)>)> {
    (0..length, 1..8_u64).prop_flat_map(move |(start, number)| {
        let op = op(number);
        let ops = prop::collection::vec((spans(length), op), 1..120);
        ops.prop_map(move |ops| (1_700_000_000 * SECOND + start, number, ops))
    })
}

fn holds_are_held_until_given_back_or_abandoned(bench: &Bench) {
    let length = 30 * SECOND;
    let window = Window::Concurrent { max_age: Micros(length) };
    let width = length / 50;
    bench.histories(holdings(length), |counter, (mut now, number, ops)| {
        let rule = Rule { window: &window, number: Number::AtMost(number) };
        // When each hold is taken for abandoned, oldest first.
        let mut holds: Vec<u64> = Vec::new();
        for (span, op) in ops {
            now += span;
            holds.retain(|abandoned| *abandoned > now);
            let outcome = counter.ask(now, rule, op);
            match op {
                Op::GiveBack { units } => {
                    let ended = usize::try_from(units).unwrap().min(holds.len());
                    holds.drain(..ended);
                    prop_assert!(outcome.is_admitted());
                }
                Op::Take { charge: hits, .. } => {
                    let fits = holds.len() as u64 + hits <= number;
                    prop_assert_eq!(outcome.is_admitted(), fits, "{} asked beside {}", hits, holds.len());
                    let abandoned = (now / width + 51) * width;
                    prop_assert!((now + length + 1..=now + length * 51 / 50).contains(&abandoned));
                    holds.extend((0..hits).filter(|_| fits).map(|_| abandoned));
                    counter.keeps_its_word(now, rule, hits, outcome)?;
                }
                Op::Hold { .. } | Op::Set { .. } | Op::Clear => unreachable!("nobody asked for that"),
            }
            prop_assert_eq!(outcome.standing.held, holds.len() as u64);
        }
        Ok(())
    });
}

fn capacity_is_what_was_taken_less_what_was_given_back(bench: &Bench) {
    let length = 60 * SECOND;
    for forget in [None, Some(Micros(length))] {
        let window = Window::Total { forget };
        bench.histories(capacities(length), |counter, (mut now, number, ops)| {
            let rule = Rule { window: &window, number: Number::AtMost(number) };
            let (mut used, mut touched) = (0_u64, 0_u64);
            for (span, op) in ops {
                now += span;
                if forget.is_some() && now >= touched + length {
                    used = 0;
                }
                let outcome = counter.ask(now, rule, op);
                let changed = match op {
                    Op::GiveBack { units } => {
                        used = used.saturating_sub(units);
                        units > 0
                    }
                    Op::Take { charge: hits, .. } => {
                        let fits = used + hits <= number;
                        prop_assert_eq!(outcome.is_admitted(), fits);
                        prop_assert!(fits || outcome.verdict == Verdict::Refused(Retry::Never));
                        used += if fits { hits } else { 0 };
                        fits
                    }
                    Op::Set { units } => {
                        used = units;
                        prop_assert!(outcome.is_admitted());
                        true
                    }
                    Op::Hold { .. } | Op::Clear => unreachable!("nobody asked for a hold with a name"),
                };
                if changed {
                    touched = now;
                }
                prop_assert_eq!(outcome.standing.used, used);
            }
            Ok(())
        });
    }
}

macro_rules! against_the_oracle {
    ($($promise:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $promise() { super::$promise(&super::Bench::memory()); })*
        }
        mod redis {
            $(#[test] fn $promise() { super::$promise(&super::Bench::on(super::Tool::Redis)); })*
        }
        mod valkey {
            $(#[test] fn $promise() { super::$promise(&super::Bench::on(super::Tool::Valkey)); })*
        }
    };
}

against_the_oracle!(
    a_sliding_window_is_exact,
    a_bucket_admits_its_burst_and_its_rate,
    a_period_admits_its_number,
    holds_are_held_until_given_back_or_abandoned,
    capacity_is_what_was_taken_less_what_was_given_back,
);
