//! T9 to T12: decisions over Redis, through the real service and by the clients in this process.

use std::cell::RefCell;

use crate::clients::{Driven, multiplexed, store};
use crate::deciding::LIMITS;
use crate::load::Shape;
use crate::redis::{Redis, Spent};
use crate::rounds::{Figure, interleave, ratio};
use crate::server::{Server, Under};
use crate::table::{Bound, Row, short};
use crate::wire::{Cost, Drive, calls};

const ROUNDS: usize = 5;
const USERS: usize = 10_000;
const ALONE: Shape = Shape { connections: 1, streams: 1 };
const SIXTY_FOUR: Shape = Shape { connections: 8, streams: 8 };
/// More and more calls at once.
const WIDER: [usize; 8] = [8, 12, 16, 20, 24, 32, 40, 48];
const NO_REDIS: &str = "redis-server is not there";

/// What the service and its Redis spend on a decision.
struct Shared {
    server: Cost,
    redis: Spent,
}

/// Drives the real service over a Redis of its own.
fn through_service(shape: Shape, count: usize) -> Shared {
    let redis = Redis::start().expect("it was looked for");
    let server = Server::over(&redis, LIMITS);
    through(&redis, &server, shape, count)
}

/// Drives `server`, which counts in `redis`.
fn through(redis: &Redis, server: &Server, shape: Shape, count: usize) -> Shared {
    let calls = calls(USERS, 1);
    // Every counter once.
    Drive::warm(server, SIXTY_FOUR, &calls, USERS);
    let mut drive = Drive::warm(server, shape, &calls, count / 4);
    let before = redis.spent();
    let server = drive.cost(count);
    Shared { server, redis: redis.spent().each(before, count) }
}

/// T9 and T10, through the real service.
pub(crate) fn redis() -> Vec<Row> {
    if Redis::start().is_none() {
        return ["T9", "T10"]
            .map(|target| Row::not_measured(target, "decisions over Redis", NO_REDIS))
            .into();
    }
    let mut rows = scripts();
    rows.push(alone());
    rows.extend(batches());
    rows
}

fn scripts() -> Vec<Row> {
    let cases = [("alone", ALONE, 2_000, 1.0), ("64 at once", SIXTY_FOUR, 30_000, 0.1)];
    let row = |(name, shape, count, most)| {
        let [scripts] = interleave(3, [&mut || through_service(shape, count).redis.scripts]);
        Row::new(
            "T9",
            format!("EVALSHA calls for a decision, {name}"),
            Bound::AtMost(most),
            &Figure::of(scripts),
            "",
        )
    };
    cases.map(row).into()
}

fn alone() -> Row {
    let count = 4_000;
    let mut exact = || through_service(ALONE, count).redis.cpu;
    let mut approximate = || multiplexed(&Redis::start().expect("it was there"), 1, count).redis.cpu;
    let [these, those] = interleave(ROUNDS, [&mut exact, &mut approximate]);
    let both = [&these, &those].map(|values| short(Figure::of(values.iter().copied()).median()));
    let what = "CPU of Redis for a decision alone against an approximate script of two buckets";
    let row = Row::new("T10", what, Bound::AtMost(1.2), &ratio(&these, &those), "×");
    row.noting(format!("{} against {} µs", both[0], both[1]))
}

/// With as many calls at once as make batches of ten, and of fifty.
fn batches() -> Vec<Row> {
    [(10.0, 4.5), (50.0, 3.0)].map(|(wanted, most)| batch(wanted, most)).into()
}

fn batch(wanted: f64, most: f64) -> Row {
    let what = format!("CPU of Redis for a decision in batches of {wanted}");
    let streams = WIDER.into_iter().find(|streams| {
        let shape = shape(wanted, *streams);
        1.0 / through_service(shape, 10_000).redis.scripts >= wanted * 0.95
    });
    let Some(streams) = streams else {
        return Row::not_measured("T10", what, "no number of callers makes batches as large");
    };
    let sizes = RefCell::new(Vec::new());
    let mut round = || {
        let shared = through_service(shape(wanted, streams), 30_000);
        sizes.borrow_mut().push(1.0 / shared.redis.scripts);
        shared.redis.cpu
    };
    let [cpu] = interleave(ROUNDS, [&mut round]);
    let size = short(Figure::of(sizes.take()).median());
    let row = Row::new("T10", what, Bound::AtMost(most), &Figure::of(cpu), " µs");
    row.noting(format!("{size} a batch, {} calls at once", shape(wanted, streams).at_once()))
}

fn shape(wanted: f64, streams: usize) -> Shape {
    Shape { connections: if wanted > 10.0 { 8 } else { 2 }, streams }
}

/// T11.
pub(crate) fn own_cpu() -> Vec<Row> {
    if Redis::start().is_none() {
        return vec![Row::not_measured("T11", "Tollgate's own CPU of a decision over Redis", NO_REDIS)];
    }
    let count = 30_000;
    let calls = calls(USERS, 1);
    let embedded = |server: Server| Drive::warm(&server, SIXTY_FOUR, &calls, USERS).cost(count).cpu;
    let mut over_redis = || through_service(SIXTY_FOUR, count).server.cpu;
    let mut in_memory = || embedded(Server::tollgate(LIMITS, &[], &Under::default()));
    let mut plain = || {
        let redis = Redis::start().expect("it was there");
        through(&redis, &Server::relay(&redis), SIXTY_FOUR, count).server.cpu
    };
    let mut empty = || embedded(Server::empty(&Under::default()));
    let costs = interleave(ROUNDS, [&mut over_redis, &mut in_memory, &mut plain, &mut empty]);
    let [beyond, plain] = [[&costs[0], &costs[1]], [&costs[2], &costs[3]]].map(|[over, without]| {
        over.iter().zip(without).map(|(over, without)| over - without).collect::<Vec<_>>()
    });
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
    let redis = || Redis::start().expect("it was there");
    let count = 60_000;
    let mut batched = || keep(&mut runs.borrow_mut().0, store(&redis(), callers, count));
    let mut plain = || keep(&mut runs.borrow_mut().1, multiplexed(&redis(), callers, count));
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
