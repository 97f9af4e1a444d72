//! The whole service over the loopback: CPU of the server's process for each call, and its writes.

use std::cell::RefCell;

use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3 as common;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::RateLimitRequest;

use common::RateLimitDescriptor;
use common::rate_limit_descriptor::Entry;

use crate::deciding::LIMITS;
use crate::load::{Callers, Calls, Shape};
use crate::rounds::{Figure, interleave, ratio};
use crate::server::{Server, Under};
use crate::table::{Bound, Row, short};

/// Four sliding limits for each user.
const FOUR: &str = "domains: {bench: {per: user, limits: {a: 1000/1m, b: 10000/1h, c: 100000/1s, d: 1000000/10m}, \
                    routes: {/v1/chat: [a, b, c, d]}}}";
/// The method of Envoy's protocol.
pub(crate) const METHOD: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
/// Eight connections of sixteen calls.
pub(crate) const BUSY: Shape = Shape { connections: 8, streams: 16 };

const USERS: usize = 10_000;
const WARM_UP: usize = 12_000;
const CALLS: usize = 40_000;
const ROUNDS: usize = 7;

/// Calls with `descriptors` descriptors each, of one user after the other of `users`.
pub(crate) fn calls(users: usize, descriptors: usize) -> Calls {
    let messages = (0..users / descriptors).map(|call| RateLimitRequest {
        domain: "bench".into(),
        descriptors: (0..descriptors).map(|at| descriptor(call * descriptors + at)).collect(),
        hits_addend: 0,
    });
    Calls::new(METHOD, messages)
}

fn descriptor(user: usize) -> RateLimitDescriptor {
    let entry = |key: &'static str, value: String| Entry { key: key.into(), value: value.into() };
    let entries = vec![entry("path", "/v1/chat".to_owned()), entry("user", format!("user-{user}"))];
    RateLimitDescriptor { entries, ..RateLimitDescriptor::default() }
}

/// What a call costs `server`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// CPU time, in microseconds.
    pub(crate) cpu: f64,
    /// Writes of a thousand calls.
    pub(crate) writes: f64,
}

/// A server under load.
pub(crate) struct Drive<'a> {
    server: &'a Server,
    callers: Callers,
}

impl<'a> Drive<'a> {
    /// Connects to `server` and makes `count` calls that nobody counts.
    pub(crate) fn warm(server: &'a Server, shape: Shape, calls: &Calls, count: usize) -> Self {
        let mut callers = Callers::connect(server.address(), shape, calls);
        callers.run(count);
        Self { server, callers }
    }

    /// Makes `count` calls: what each of them cost.
    pub(crate) fn cost(&mut self, count: usize) -> Cost {
        let (cpu, writes) = (self.server.cpu(), self.server.writes());
        self.callers.run(count);
        let each = |spent: f64| spent / count as f64;
        Cost { cpu: each(self.server.cpu() - cpu) / 1e3, writes: each(self.server.writes() - writes) * 1e3 }
    }
}

/// T1 and T2, and T6 of the same rounds.
pub(crate) fn against_empty() -> Vec<Row> {
    let calls = calls(USERS, 1);
    let writes = RefCell::new(Vec::new());
    let drive = |server: Server| Drive::warm(&server, BUSY, &calls, WARM_UP).cost(CALLS);
    let mut tollgate = || {
        let cost = drive(Server::tollgate(LIMITS, &[], &Under::default()));
        writes.borrow_mut().push(cost.writes);
        cost.cpu
    };
    let mut empty = || drive(Server::empty(&Under::default())).cpu;
    let mut defaults = || Server::defaults().map_or(f64::NAN, |server| drive(server).cpu);
    let [these, those, defaults] = interleave(ROUNDS, [&mut tollgate, &mut empty, &mut defaults]);
    let both = |those: &[f64]| {
        let [this, that] = [&these, those].map(|values| short(Figure::of(values.iter().copied()).median()));
        format!("{this} against {that} µs a call")
    };
    let what = "CPU of a decision against an empty tonic handler, the same runtime and allocator";
    let first = Row::new("T1", what, Bound::AtMost(0.80), &ratio(&these, &those), "×").noting(both(&those));
    let what = "the same against tonic's and tokio's defaults with glibc's allocator";
    let second = if defaults.iter().any(|value| value.is_nan()) {
        Row::not_measured(
            "T2",
            what,
            "the bench `defaults` is not built: run `cargo bench` without `--bench`",
        )
    } else {
        Row::new("T2", what, Bound::AtMost(0.50), &ratio(&these, &defaults), "×").noting(both(&defaults))
    };
    let what = "write calls (`syscw`) of 1,000 calls, 8 connections × 16 calls";
    let sixth = Row::new("T6", what, Bound::AtMost(100.0), &Figure::of(writes.take()), "");
    vec![first, second, sixth]
}

/// T5: 25 descriptors, each charged to four limits.
pub(crate) fn many_checks() -> Vec<Row> {
    let calls = calls(USERS, 25);
    let mut tollgate = || {
        let server = Server::tollgate(FOUR, &[], &Under::default());
        Drive::warm(&server, BUSY, &calls, 400).cost(2_000).cpu / 100.0
    };
    let [checks] = interleave(ROUNDS, [&mut tollgate]);
    let what = "CPU of a check, 100 in a call: 25 descriptors charged to 4 limits each";
    vec![Row::new("T5", what, Bound::AtMost(1.0), &Figure::of(checks), " µs")]
}
