//! What a decision costs in this process: each window in the memory store, and a whole call through the engine.
//!
//! Run with `cargo bench`. Figures are CPU time of this thread, so a busy machine changes them little; compare
//! rows of one run, not runs. The best of several rounds is printed, in nanoseconds.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and ends where it cannot measure"
)]

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use smallvec::smallvec;
use tollgate::algorithm::{Op, Rule};
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::{Clock, Micros};
use tollgate::config::source::{SameDomain, Source, compile};
use tollgate::engine::{Check, CheckRequest, Descriptor, Engine, EngineSettings};
use tollgate::limits::{CounterKey, Entry, KeySecret, LimitsHandle, MAX_AMOUNT, Number, OnError, Window};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{Admission, Binding, Call, Charge, FreedBy};

const ROUNDS: usize = 7;
const DECISIONS: u64 = 100_000;
/// How many counters are asked in turn.
const COUNTERS: u128 = 10_000;

fn main() {
    let minute = Micros::from_secs(60);
    let windows = [
        ("sliding", Window::Sliding { length: minute }),
        ("fixed", Window::Fixed { length: minute }),
        ("token bucket", Window::TokenBucket { length: minute, burst: MAX_AMOUNT }),
        ("calendar", Window::Calendar(Calendar::new(Period::Month, "Europe/Berlin", 1).unwrap())),
        ("concurrent", Window::Concurrent { max_age: minute }),
        ("total", Window::Total { forget: None }),
    ];
    for (name, window) in windows {
        println!("store, {name:<14} {:>7.0} ns a charge", charge(&window));
    }
    println!("engine, one limit     {:>7.0} ns a call", call());
}

/// The cost of one charge to a counter of `window`.
fn charge(window: &Window) -> f64 {
    let store = MemoryStore::new(MemorySettings::default(), Clock::System, KeySecret([1; 16]));
    let rule = Rule { window, number: Number::AtMost(MAX_AMOUNT) };
    best(|turn| {
        let id = (u128::from(turn) % COUNTERS).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let key = CounterKey { tag: 0, id };
        let op = Op::Take { room: 1, charge: 1 };
        let (binding, on_error) = (Binding::Enforced, OnError::Local);
        let charges =
            [Charge { key, overflow: key.id, rule, op, binding, on_error, freed_by: FreedBy::Time }];
        black_box(store.charge_now(Call { charges: &charges, admission: Admission::AllOrNone }));
    })
}

/// The cost of one call of a native domain, from request to decision, headers included.
fn call() -> f64 {
    let text = "domains: {d: {per: user, limits: {l: 1M/1m}, routes: {/x: l}}}".to_owned();
    let rules = compile(&[Source { name: "bench.yaml".into(), text }], SameDomain::Refuse).unwrap().rules;
    let store = MemoryStore::new(MemorySettings::default(), Clock::System, KeySecret([1; 16]));
    let engine = Arc::new(Engine::new(LimitsHandle::new(rules), store, EngineSettings::default()));
    let users: Vec<String> = (0..COUNTERS).map(|user| format!("user-{user}")).collect();
    best(|turn| {
        let user = &users[usize::try_from(turn).unwrap() % users.len()];
        let entries =
            smallvec![Entry { key: b"path", value: b"/x" }, Entry { key: b"user", value: user.as_bytes() }];
        let descriptors = smallvec![Descriptor { entries, ..Descriptor::default() }];
        let decision = engine.check(CheckRequest { domain: b"d", descriptors, hits: 0 });
        _ = black_box(pin!(decision).poll(&mut Context::from_waker(Waker::noop())));
    })
}

/// The least CPU time of one `step` over all rounds, in nanoseconds.
fn best(mut step: impl FnMut(u64)) -> f64 {
    let mut round = || {
        let before = cpu_nanos();
        (0..DECISIONS).for_each(&mut step);
        (cpu_nanos() - before) / DECISIONS as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// The CPU time this thread has had, in nanoseconds, as Linux accounts for it.
fn cpu_nanos() -> f64 {
    let accounts = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    accounts.split_whitespace().next().unwrap().parse().unwrap()
}
