//! T14: what it costs to reserve and to settle, by the stores in this process.
//!
//! Money over a month and over an hour: limits that are reserved in earnest. Every reservation has a name of its own, and
//! its settlement says what was spent, with a note of it, as the service does.

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use futures_util::future::join_all;
use tollgate::algorithm::Op;
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::limits::{CounterKey, Debt, KeySecret, MAX_AMOUNT, Unit, Window};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::redis::{RedisSettings, RedisStore};
use tollgate::store::{
    Before, Charge, Due, FreedBy, Hold, Life, Report, Reserve, Settle, Spent, Store, Then,
};

use crate::callgrind::{of_a_step, valgrind};
use crate::cpu;
use crate::hit::{self, key};
use crate::redis::Redis;
use crate::rounds::{Figure, interleave};
use crate::table::{Bound, Row};

const ROUNDS: usize = 5;
const USERS: usize = 10_000;
const IN_MEMORY: usize = 1 << 14;
const OVER_REDIS: usize = 4_096;
/// As many at once as share their way to Redis and back.
const AT_ONCE: usize = 64;
/// So long that no busy machine makes a call fail.
const PATIENCE: Duration = Duration::from_secs(10);
const HOUR: Window = Window::Sliding { length: Micros::from_secs(3600) };
const LIFE: Life =
    Life { ttl: Micros::from_secs(300), max_age: Micros::from_secs(3600), keep: Micros::from_secs(3600) };

/// After so long they are forgotten with the next call, however time runs.
const FORGOTTEN_AFTER: Micros = Micros::from_secs(2 * 3600);

/// Reservations of so many limits each.
struct Turn {
    windows: [Window; 2],
    limits: usize,
    /// Which are made next.
    first: Cell<usize>,
}

impl Turn {
    fn of(limits: usize) -> Self {
        let month = Calendar::new(Period::Month, "Europe/Berlin", 1).expect("a zone");
        Self { windows: [Window::Calendar(month, Debt::Forgiven), HOUR], limits, first: Cell::new(0) }
    }

    /// What the reservation `number` asks for: a hold on each limit of its user.
    fn charges(&self, number: usize) -> Vec<Charge<'_>> {
        let charge = |limit: usize| {
            let counter = key(number % USERS * self.limits + limit);
            let charge = hit::charge(&self.windows[limit % 2], MAX_AMOUNT, counter);
            let op = Op::Hold { fixed: 20_000_000, flexible: 0 };
            Charge { op, freed_by: FreedBy::Holders, unit: Unit::Money, ..charge }
        };
        (0..self.limits).map(charge).collect()
    }

    /// The next so many.
    fn next(&self, count: usize) -> Vec<usize> {
        (self.first.get()..self.first.get() + count).collect()
    }

    async fn reserve(&self, store: &impl Store, number: usize) {
        let charges = self.charges(number);
        let call = Reserve {
            name: name(number),
            body: 1,
            charges: &charges,
            accepts_less: None,
            life: LIFE,
            about: b"bench",
            expenses: &[],
        };
        let reserved = store.reserve(call).await.expect("the store answers");
        assert!(matches!(reserved.hold, Hold::Taken(_)), "{:?}", black_box(reserved.hold));
    }

    async fn settle(&self, store: &impl Store, number: usize) {
        let spent = Spent { tokens: Due::Exactly(1_500), money: Due::Exactly(15_000_000) };
        let report = Report { about: b"", line: b"bench", classes: &[1_000, 500] };
        let (then, keep) = (Then::Done, LIFE.keep);
        let call = Settle { name: name(number), spent, then, otherwise: &[], keep, report: Some(report) };
        let settled = store.settle(call).await.expect("the store answers");
        assert_eq!((settled.before, settled.parts.len()), (Before::Held, self.limits));
    }
}

/// The name of a reservation: never the key of a counter.
fn name(number: usize) -> CounterKey {
    key(usize::MAX / 2 + number)
}

/// What becomes of earlier reservations while others are measured.
#[derive(Clone, Copy)]
enum Earlier {
    /// All are kept, as within the first day of a program: its memory grows with each that comes.
    Kept,
    /// As many are forgotten as come, as ever after.
    Forgotten,
}

/// T14.
pub(crate) fn rows() -> Vec<Row> {
    let both = |limits| [Earlier::Kept, Earlier::Forgotten].map(|earlier| (limits, earlier));
    let cases = [1, 5].into_iter().flat_map(both);
    let mut rows: Vec<Row> = cases.flat_map(|(limits, earlier)| embedded(limits, earlier)).collect();
    rows.extend([1, 5].into_iter().flat_map(instructions));
    if Redis::start().is_none() {
        rows.push(Row::not_measured(
            "T14",
            "CPU of Redis to reserve and settle",
            "redis-server is not there",
        ));
        return rows;
    }
    rows.extend([(1, 25.0), (5, 60.0)].into_iter().flat_map(|(limits, most)| over_redis(limits, most)));
    rows
}

fn row(act: &str, limits: usize, whose: &str, most: f64, spent: &[f64]) -> Row {
    let what = format!("CPU of {whose} to {act}, limits: {limits}");
    Row::new("T14", what, Bound::AtMost(most), &Figure::of(spent.iter().copied()), " µs")
}

fn embedded(limits: usize, earlier: Earlier) -> [Row; 2] {
    let clock = Clock::manual(Timestamp(1_800_000_000_000_000));
    let store = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([1; 16]));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let turn = Turn::of(limits);
    let run = |reserves: Vec<usize>, settles: Vec<usize>| {
        let before = cpu::of_thread();
        runtime.block_on(async {
            for number in reserves {
                turn.reserve(&store, number).await;
            }
            for number in settles {
                turn.settle(&store, number).await;
            }
        });
        (cpu::of_thread() - before) / 1e3 / IN_MEMORY as f64
    };
    let mut reserve = || run(turn.next(IN_MEMORY), Vec::new());
    let mut settle = || {
        let spent = run(Vec::new(), turn.next(IN_MEMORY));
        turn.first.update(|first| first + IN_MEMORY);
        if matches!(earlier, Earlier::Forgotten) {
            clock.advance(FORGOTTEN_AFTER);
        }
        spent
    };
    let whose = match earlier {
        Earlier::Kept => "the embedded store",
        Earlier::Forgotten => {
            // Until memory is used again.
            (0..2).for_each(|_| _ = (reserve(), settle()));
            "the embedded store that forgets as many"
        }
    };
    let [reserved, settled] = interleave(ROUNDS, [&mut reserve, &mut settle]);
    [row("reserve", limits, whose, 2.0, &reserved), row("settle", limits, whose, 2.0, &settled)]
}

/// Instructions of the embedded store, which no other work on the machine moves.
fn instructions(limits: usize) -> Vec<Row> {
    let what = |act| format!("instructions of the embedded store to {act}, limits: {limits}");
    let Some(valgrind) = valgrind() else {
        return vec![Row::not_measured("T14", what("reserve"), "valgrind is not there")];
    };
    let counted =
        |act| of_a_step(&valgrind, &["hold", &limits.to_string(), act], [USERS + 1_000, USERS + 5_000]);
    let reserved = counted("reserve");
    let settled = counted("settle") - reserved;
    let row = |act, count| Row::new("T14", what(act), Bound::None, &Figure::of([count]), "");
    vec![row("reserve", reserved), row("settle", settled)]
}

/// The role that reserves for so many limits, and then settles if that is the act, as often as it is told.
pub(crate) fn hold(arguments: &[String]) {
    let [limits, act, steps] = arguments else { panic!("limits, act, and steps: {arguments:?}") };
    let clock = Clock::manual(Timestamp(1_800_000_000_000_000));
    let store = MemoryStore::new(MemorySettings::default(), clock, KeySecret([1; 16]));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let turn = Turn::of(limits.parse().expect("a number of limits"));
    runtime.block_on(async {
        for number in 0..steps.parse().expect("a number of steps") {
            turn.reserve(&store, number).await;
            if act == "settle" {
                turn.settle(&store, number).await;
            }
        }
    });
}

fn over_redis(limits: usize, most: f64) -> [Row; 2] {
    let redis = Redis::start().expect("it was looked for");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut settings = RedisSettings::new(redis.url());
    (settings.op_timeout, settings.connect_timeout) = (PATIENCE, PATIENCE);
    let store = runtime.block_on(async { RedisStore::start(settings, Clock::System).expect("a URL") });
    runtime.block_on(async {
        while store.ready().await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let turn = Turn::of(limits);
    let mut reserve = || {
        let before = redis.spent();
        for numbers in turn.next(OVER_REDIS).chunks(AT_ONCE) {
            runtime.block_on(join_all(numbers.iter().map(|number| turn.reserve(&store, *number))));
        }
        redis.spent().each(before, OVER_REDIS).cpu
    };
    let mut settle = || {
        let before = redis.spent();
        for numbers in turn.next(OVER_REDIS).chunks(AT_ONCE) {
            runtime.block_on(join_all(numbers.iter().map(|number| turn.settle(&store, *number))));
        }
        turn.first.update(|first| first + OVER_REDIS);
        redis.spent().each(before, OVER_REDIS).cpu
    };
    let [reserved, settled] = interleave(ROUNDS, [&mut reserve, &mut settle]);
    let whose = "Redis";
    [row("reserve", limits, whose, most, &reserved), row("settle", limits, whose, most, &settled)]
}
