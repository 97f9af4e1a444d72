//! T9 to T12: decisions over Redis, through the real service, or by the clients in this process.

use std::cell::RefCell;

use crate::clients::{Driven, batches, multiplexed, ping, store};
use crate::deciding::LIMITS;
use crate::load::Shape;
use crate::redis::{Redis, Spent};
use crate::rounds::{Figure, interleave, ratio};
use crate::server::{Server, Under};
use crate::table::{Bound, Row, short};
use crate::wire::{Drive, calls, side_by_side};

const ROUNDS: usize = 5;
const USERS: usize = 10_000;
const ALONE: Shape = Shape { connections: 1, streams: 1 };
const SIXTY_FOUR: Shape = Shape { connections: 8, streams: 8 };
/// More and more callers at once.
const CALLERS: [usize; 12] = [10, 14, 20, 24, 32, 48, 64, 80, 100, 120, 160, 240];
const NO_REDIS: &str = "redis-server is not there";

/// What Redis spends on a decision of the real service.
fn through_service(shape: Shape, count: usize) -> Spent {
    let redis = fresh();
    let server = Server::over(&redis, LIMITS);
    let mut drive = Drive::warm(&server, shape, &calls(USERS, 1), count / 4);
    let before = redis.spent();
    drive.cost(count);
    redis.spent().each(before, count)
}

/// T9, through the real service.
pub(crate) fn scripts() -> Vec<Row> {
    if Redis::start().is_none() {
        return vec![Row::not_measured("T9", "EVALSHA calls for a decision", NO_REDIS)];
    }
    let cases = [("alone", ALONE, 2_000, 1.0), ("64 at once", SIXTY_FOUR, 30_000, 0.1)];
    let row = |(name, shape, count, most)| {
        let [scripts] = interleave(3, [&mut || through_service(shape, count).scripts]);
        let what = format!("EVALSHA calls for a decision, {name}");
        Row::new("T9", what, Bound::AtMost(most), &Figure::of(scripts), "")
    };
    cases.map(row).into()
}

/// T10, by the store in this process.
pub(crate) fn redis() -> Vec<Row> {
    if Redis::start().is_none() {
        return vec![Row::not_measured("T10", "CPU of Redis for a decision", NO_REDIS)];
    }
    [vec![alone()], batch(10, 4.5), batch(50, 3.0)].concat()
}

fn fresh() -> Redis {
    Redis::start().expect("it was looked for")
}

fn alone() -> Row {
    let count = 10_000;
    let mut exact = || store(&fresh(), 1, count).redis.cpu;
    let mut approximate = || multiplexed(&fresh(), 1, count).redis.cpu;
    let mut nothing = || ping(&fresh(), count);
    let [these, those, nothing] = interleave(ROUNDS, [&mut exact, &mut approximate, &mut nothing]);
    let what = "CPU of Redis for a decision alone against an approximate script of two buckets";
    let row = Row::new("T10", what, Bound::AtMost(1.2), &ratio(&these, &those), "×");
    let [these, those, nothing] = [&these, &those, &nothing].map(|values| middle(values));
    row.noting(format!("{these} against {those} µs, a PING {nothing}"))
}

fn middle(values: &[f64]) -> String {
    short(Figure::of(values.iter().copied()).median())
}

/// With as many callers as make batches of `wanted`; and against the approximate script in such batches, which this
/// machine slows down alike.
fn batch(wanted: usize, most: f64) -> Vec<Row> {
    let what = format!("CPU of Redis for a decision in batches of {wanted}");
    let size = |callers| 1.0 / store(&fresh(), callers, 20_000).redis.scripts;
    let Some(callers) = CALLERS.into_iter().find(|callers| size(*callers) >= wanted as f64 * 0.95) else {
        return vec![Row::not_measured("T10", what, "no number of callers makes batches as large")];
    };
    let (count, sizes) = (60_000, RefCell::new(Vec::new()));
    let mut exact = || {
        let redis = store(&fresh(), callers, count).redis;
        sizes.borrow_mut().push(1.0 / redis.scripts);
        redis.cpu
    };
    let mut approximate = || batches(&fresh(), (callers / wanted).max(1), wanted, count);
    let mut nothing = || ping(&fresh(), 10_000);
    let [cpu, those, nothing] = interleave(ROUNDS, [&mut exact, &mut approximate, &mut nothing]);
    let of_both = format!("{} against {} µs, a PING {}", middle(&cpu), middle(&those), middle(&nothing));
    let row = Row::new("T10", &what, Bound::AtMost(most), &Figure::of(cpu.iter().copied()), " µs");
    let row = row.noting(format!("{} a batch, {callers} callers", middle(&sizes.take())));
    let what = format!("{what} against the approximate script in such batches");
    vec![row, Row::new("T10", what, Bound::None, &ratio(&cpu, &those), "×").noting(of_both)]
}

/// T11.
pub(crate) fn own_cpu() -> Vec<Row> {
    if Redis::start().is_none() {
        return vec![Row::not_measured("T11", "Tollgate's own CPU of a decision over Redis", NO_REDIS)];
    }
    let calls = calls(USERS, 1);
    let [mut beyond, mut plain] = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        let redis = [fresh(), fresh()];
        let servers = [
            Server::over(&redis[0], LIMITS),
            Server::tollgate(LIMITS, &[], &Under::default()),
            Server::relay(&redis[1]),
            Server::empty(&Under::default()),
        ];
        let [over, within, relay, empty] = side_by_side(&servers, SIXTY_FOUR, &calls).map(|cost| cost.cpu);
        beyond.push(over - within);
        plain.push(relay - empty);
    }
    let what = "CPU of Tollgate for a decision over Redis beyond one in memory, 64 calls at once";
    let first = Row::new("T11", what, Bound::AtMost(4.0), &Figure::of(beyond.iter().copied()), " µs");
    let what =
        "the same against an empty handler with one EVALSHA over redis-rs multiplexed, beyond one without";
    let note = format!("{} µs there", short(Figure::of(plain.iter().copied()).median()));
    vec![first, Row::new("T11", what, Bound::AtMost(0.5), &ratio(&beyond, &plain), "×").noting(note)]
}

/// T12.
pub(crate) fn rates() -> Vec<Row> {
    if Redis::start().is_none() {
        return vec![Row::not_measured("T12", "decisions a second over Redis", NO_REDIS)];
    }
    [(64, 1.5), (512, 2.0)].into_iter().flat_map(|(callers, least)| rate(callers, least)).collect()
}

fn rate(callers: usize, least: f64) -> [Row; 2] {
    let runs = RefCell::new((Vec::new(), Vec::new()));
    let count = 60_000;
    let mut batched = || keep(&mut runs.borrow_mut().0, store(&fresh(), callers, count));
    let mut plain = || keep(&mut runs.borrow_mut().1, multiplexed(&fresh(), callers, count));
    let [these, those] = interleave(ROUNDS, [&mut batched, &mut plain]);
    let (batched, plain) = runs.take();
    let what =
        format!("decisions a second, {callers} callers, against one EVALSHA each over redis-rs multiplexed");
    let both = [&batched, &plain].map(|runs| short(median(runs, |run| run.ran.rate() / 1e3)));
    let rate = Row::new("T12", what, Bound::AtLeast(least), &ratio(&these, &those), "×");
    let cpu = [&batched, &plain].map(|runs| short(median(runs, |run| run.cpu)));
    let rate = rate.noting(format!("{} against {} thousand", both[0], both[1]));
    let rate = rate.noting(format!("CPU of the client {} against {} µs", cpu[0], cpu[1]));
    let [slow, other] =
        [&batched, &plain].map(|runs| runs.iter().map(|run| run.ran.p99()).collect::<Vec<_>>());
    let what = format!("time within which 99 of 100 of them came, {callers} callers");
    let late = Row::new("T12", what, Bound::AtMost(1.0), &ratio(&slow, &other), "×");
    let both = [&batched, &plain].map(|runs| short(median(runs, |run| run.ran.p99())));
    [rate, late.noting(format!("{} against {} µs", both[0], both[1]))]
}

fn keep(runs: &mut Vec<Driven>, run: Driven) -> f64 {
    let rate = run.ran.rate();
    runs.push(run);
    rate
}

fn median(runs: &[Driven], of: impl Fn(&Driven) -> f64) -> f64 {
    Figure::of(runs.iter().map(of)).median()
}
