//! Decisions in this process: a call of one descriptor, from request to decision with all that its answer says, without a
//! wire. Shared by `targets`, which takes its CPU time, and `defaults`, whose allocations valgrind counts.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use tollgate::clock::Clock;
use tollgate::config::source::{SameDomain, Source, compile};
use tollgate::engine::{Check, CheckRequest, Descriptor, Engine, EngineSettings};
use tollgate::limits::{Entry, KeySecret, LimitsHandle};
use tollgate::store::memory::{MemorySettings, MemoryStore};

/// One sliding limit for each user.
pub(crate) const LIMITS: &str =
    "domains: {bench: {per: user, limits: {calls: 1000/1m}, routes: {/v1/chat: calls}}}";

/// What each call says beside its user.
pub(crate) const CALL: Entries = &[("path", "/v1/chat")];

/// Keys and values.
pub(crate) type Entries = &'static [(&'static str, &'static str)];

/// An engine over the memory store, and who asks it.
pub(crate) struct Deciding {
    engine: Arc<Engine<MemoryStore>>,
    entries: Entries,
    users: Vec<String>,
    turn: usize,
}

impl Deciding {
    /// By the limits that `text` writes, asked for `users` users in turn, with `entries` in each call.
    pub(crate) fn new(text: &str, entries: Entries, users: usize) -> Self {
        let source = Source { name: "bench.yaml".into(), text: text.to_owned() };
        let rules = compile(&[source], SameDomain::Refuse).expect("right limits").rules;
        let store = MemoryStore::new(MemorySettings::default(), Clock::System, KeySecret([1; 16]));
        let engine = Engine::new(LimitsHandle::new(rules), store, EngineSettings::default());
        let users = (0..users).map(|user| format!("user-{user}")).collect();
        Self { engine: Arc::new(engine), entries, users, turn: 0 }
    }

    /// Decides `count` calls.
    pub(crate) fn decide(&mut self, count: usize) {
        for _ in 0..count {
            let user = &self.users[self.turn % self.users.len()];
            self.turn += 1;
            let said = self.entries.iter().copied().chain([("user", user.as_str())]);
            let entry =
                |(key, value): (&'static str, _)| Entry { key: key.as_bytes(), value: str::as_bytes(value) };
            let entries = said.map(entry).collect();
            let descriptors = [Descriptor { entries, ..Descriptor::default() }].into_iter().collect();
            let decision = self.engine.check(CheckRequest { domain: b"bench", descriptors, hits: 0 });
            let decided = pin!(decision).poll(&mut Context::from_waker(Waker::noop()));
            assert!(black_box(decided).is_ready(), "the memory store never waits");
        }
    }
}
