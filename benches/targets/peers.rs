//! T13: other rate limiters, each under the load that its own protocol has for one decision, beside Tollgate in the same
//! rounds. A peer is measured where a variable of the environment says where its program is.

mod gubernator;
mod limitador;
mod ratelimit;
mod throttlecrab;

use std::path::Path;

use tempfile::TempDir;

use crate::deciding::LIMITS;
use crate::load::Calls;
use crate::redis::Redis;
use crate::rounds::{Figure, interleave, ratio};
use crate::server::{Server, Under, named};
use crate::table::{Bound, Row, short};
use crate::wire::{BUSY, Drive, calls};

const ROUNDS: usize = 5;
const USERS: usize = 10_000;
const COUNT: usize = 20_000;

/// Another rate limiter, in one way of running it.
struct Peer {
    name: &'static str,
    /// Where the environment says where its program is.
    variable: &'static str,
    store: Kept,
    /// How many limits its domain has.
    limits: usize,
    /// How many times as many decisions Tollgate is to make in the same CPU time.
    least: f64,
    /// Starts the program, over the Redis of the case if it has one.
    start: fn(&Path, &Case) -> Server,
    /// What it is asked.
    calls: fn() -> Calls,
}

/// Where counters are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    InMemory,
    InRedis,
}

/// What a program is started with.
struct Case {
    redis: Option<Redis>,
    limits: usize,
}

const PEERS: [Peer; 6] = [
    Peer {
        name: "throttlecrab (memory)",
        variable: "PEER_THROTTLECRAB",
        store: Kept::InMemory,
        limits: 1,
        least: 2.0,
        start: throttlecrab::start,
        calls: throttlecrab::calls,
    },
    Peer {
        name: "Limitador (memory)",
        variable: "PEER_LIMITADOR",
        store: Kept::InMemory,
        limits: 1,
        least: 4.0,
        start: limitador::start,
        calls: asked,
    },
    Peer {
        name: "Limitador (memory), 100 limits in the domain",
        variable: "PEER_LIMITADOR",
        store: Kept::InMemory,
        limits: 100,
        least: 25.0,
        start: limitador::start,
        calls: asked,
    },
    Peer {
        name: "Limitador (Redis)",
        variable: "PEER_LIMITADOR",
        store: Kept::InRedis,
        limits: 1,
        least: 8.0,
        start: limitador::start,
        calls: asked,
    },
    Peer {
        name: "gubernator, one node",
        variable: "PEER_GUBERNATOR",
        store: Kept::InMemory,
        limits: 1,
        least: 6.0,
        start: gubernator::start,
        calls: gubernator::calls,
    },
    Peer {
        name: "envoyproxy/ratelimit (Redis)",
        variable: "PEER_RATELIMIT",
        store: Kept::InRedis,
        limits: 1,
        least: 5.0,
        start: ratelimit::start,
        calls: asked,
    },
];

/// T13: a row for each peer, and one for what limits cost that a call does not meet.
pub(crate) fn rows() -> Vec<Row> {
    [more_limits()].into_iter().chain(PEERS.iter().map(Peer::row)).collect()
}

fn more_limits() -> Row {
    let mut with = [100, 1].map(|limits| move || drive(&Case { redis: None, limits }, tollgate, &asked()));
    let [hundred, one] = &mut with;
    let [these, those] = interleave(ROUNDS, [hundred, one]);
    let what = "CPU of a decision in a domain of 100 limits against one of 1";
    Row::new("T13", what, Bound::None, &ratio(&these, &those), "×")
}

impl Peer {
    fn row(&self) -> Row {
        let what = format!("decisions of a CPU second against {}", self.name);
        let Some(program) = named(self.variable) else {
            return Row::not_measured("T13", what, format!("no program in {}", self.variable));
        };
        let case = || {
            let redis = (self.store == Kept::InRedis).then(|| Redis::start().expect("redis-server is there"));
            Case { redis, limits: self.limits }
        };
        let mut tollgate = || drive(&case(), tollgate, &asked());
        let mut peer = || drive(&case(), |case| (self.start)(&program, case), &(self.calls)());
        let [these, those] = interleave(ROUNDS, [&mut tollgate, &mut peer]);
        let both = [&these, &those].map(|costs| short(Figure::of(costs.iter().copied()).median()));
        let row = Row::new("T13", what, Bound::AtLeast(self.least), &ratio(&those, &these), "×");
        row.noting(format!("{} against {} µs a decision", both[0], both[1]))
    }
}

/// The CPU of a decision in microseconds, server and Redis together.
fn drive(case: &Case, start: impl FnOnce(&Case) -> Server, calls: &Calls) -> f64 {
    let server = start(case);
    let mut drive = Drive::warm(&server, BUSY, calls, USERS);
    let before = case.redis.as_ref().map(Redis::spent);
    let spent = drive.cost(COUNT).cpu;
    let redis = case.redis.as_ref().zip(before);
    spent + redis.map_or(0.0, |(redis, before)| redis.spent().each(before, COUNT).cpu)
}

fn tollgate(case: &Case) -> Server {
    let more = (1..case.limits).map(|other| format!("calls{other}: 1000/1m, "));
    let limits = LIMITS.replace("limits: {", &format!("limits: {{{}", more.collect::<String>()));
    let more = (1..case.limits).map(|other| format!("/v1/chat/{other}: calls{other}, "));
    let limits = limits.replace("routes: {", &format!("routes: {{{}", more.collect::<String>()));
    match &case.redis {
        None => Server::tollgate(&limits, &[], &Under::default()),
        Some(redis) => Server::over(redis, &limits),
    }
}

fn asked() -> Calls {
    calls(USERS, 1)
}

/// A folder with `text` in the file `name`.
fn folder(name: &str, text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(name);
    std::fs::create_dir_all(file.parent().expect("a folder")).expect("make a folder");
    std::fs::write(file, text).expect("write a file");
    folder
}
