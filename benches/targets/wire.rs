//! The whole service over the loopback: CPU of the server's process for each call, and its writes.

use prost::Message;
use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3 as common;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::RateLimitRequest;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::rate_limit_response::Code;

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
/// In how many bursts each server gets them.
const BURSTS: usize = 20;
const ROUNDS: usize = 7;

/// Calls with `descriptors` descriptors each, of one user after the other of `users`.
pub(crate) fn calls(users: usize, descriptors: usize) -> Calls {
    let messages = (0..users / descriptors).map(|call| RateLimitRequest {
        domain: "bench".into(),
        descriptors: (0..descriptors).map(|at| descriptor(call * descriptors + at)).collect(),
        hits_addend: 0,
    });
    Calls::new(METHOD, messages, is_allowed)
}

/// The first field of an answer in Envoy's protocol. What a whole answer takes to decode would be the load's.
#[derive(Message)]
struct Verdict {
    #[prost(enumeration = "Code", tag = "1")]
    overall_code: i32,
}

fn is_allowed(answer: &[u8]) -> bool {
    Verdict::decode(answer).is_ok_and(|verdict| verdict.overall_code() == Code::Ok)
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

/// What a call costs each of `servers`, warm and driven in turn by bursts that are short against what else the machine does.
pub(crate) fn side_by_side<const N: usize>(servers: &[Server; N], shape: Shape, calls: &Calls) -> [Cost; N] {
    let mut drives = servers.each_ref().map(|server| Drive::warm(server, shape, calls, WARM_UP));
    let mut costs = [Cost { cpu: 0.0, writes: 0.0 }; N];
    for _ in 0..BURSTS {
        for (cost, drive) in costs.iter_mut().zip(&mut drives) {
            let burst = drive.cost(CALLS / BURSTS);
            cost.cpu += burst.cpu / BURSTS as f64;
            cost.writes += burst.writes / BURSTS as f64;
        }
    }
    costs
}

/// T1 and T2, and T6 of the same rounds.
pub(crate) fn against_empty() -> Vec<Row> {
    let calls = calls(USERS, 1);
    let [mut these, mut those, mut defaults] = [const { Vec::new() }; 3];
    let mut writes = Vec::new();
    for _ in 0..ROUNDS {
        let tollgate = Server::tollgate(LIMITS, &[], &Under::default());
        let empty = Server::empty(&Under::default());
        let costs = match Server::defaults() {
            None => side_by_side(&[tollgate, empty], BUSY, &calls).to_vec(),
            Some(default) => side_by_side(&[tollgate, empty, default], BUSY, &calls).to_vec(),
        };
        these.push(costs[0].cpu);
        those.push(costs[1].cpu);
        defaults.extend(costs.get(2).map(|cost| cost.cpu));
        writes.push(costs[0].writes);
    }
    let both = |those: &[f64]| {
        let [this, that] = [&these, those].map(|values| short(Figure::of(values.iter().copied()).median()));
        format!("{this} against {that} µs a call")
    };
    let what = "CPU of a decision against an empty tonic handler, the same runtime and allocator";
    let first = Row::new("T1", what, Bound::AtMost(0.80), &ratio(&these, &those), "×").noting(both(&those));
    let what = "the same against tonic's and tokio's defaults with glibc's allocator";
    let second = if defaults.is_empty() {
        Row::not_measured(
            "T2",
            what,
            "the bench `defaults` is not built: run `cargo bench` without `--bench`",
        )
    } else {
        Row::new("T2", what, Bound::AtMost(0.50), &ratio(&these, &defaults), "×").noting(both(&defaults))
    };
    let what = "write calls (`syscw`) of 1,000 calls, 8 connections × 16 calls";
    let sixth = Row::new("T6", what, Bound::AtMost(100.0), &Figure::of(writes), "");
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
