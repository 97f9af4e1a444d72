//! A Tollgate in this process: an engine over the memory store, with a clock that the test moves.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::config::source::{Around, SameDomain, Source, compile_in};
use tollgate::engine::{
    Check, CheckRequest, Code, Decision, Descriptor, Direction, Engine, EngineSettings, InvalidRequest,
    Override,
};
use tollgate::limits::{Entry, KeySecret, LimitsHandle, RuleSet, Tallied, TallyLabels, WireUnit};
use tollgate::store::memory::{MemorySettings, MemoryStore};

/// 2026-11-21 12:00:00 UTC, a Saturday.
pub(crate) const NOON: Timestamp = Timestamp(1_795_262_400_000_000);

/// An engine over the memory store.
pub(crate) struct Embedded {
    engine: Arc<Engine<MemoryStore>>,
    pub(crate) clock: Clock,
}

/// A call in the making.
#[derive(Clone, Default)]
pub(crate) struct Ask {
    domain: String,
    hits: u32,
    descriptors: Vec<Asked>,
}

#[derive(Clone, Default)]
struct Asked {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    hits: Option<u64>,
    direction: Direction,
    number: Option<Override>,
}

/// The rules that `document` compiles to.
pub(crate) fn rules(document: &str) -> RuleSet {
    let sources = [Source { name: "test.yaml".into(), text: document.into() }];
    let around = Around { environment: &|_| None, now: Timestamp::default() };
    compile_in(around, &sources, SameDomain::Refuse).unwrap_or_else(|errors| panic!("{errors}")).rules
}

impl Embedded {
    /// Decides by the rules in `document`, at [`NOON`].
    pub(crate) fn new(document: &str) -> Self {
        Self::with(document, EngineSettings::default())
    }

    /// As [`Embedded::new`], with these settings.
    pub(crate) fn with(document: &str, settings: EngineSettings) -> Self {
        let clock = Clock::manual(NOON);
        let store = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([7; 16]));
        let engine = Arc::new(Engine::new(LimitsHandle::new(rules(document)), store, settings));
        Self { engine, clock }
    }

    /// The rules in force.
    pub(crate) fn limits(&self) -> &LimitsHandle {
        self.engine.limits()
    }

    /// Puts the rules in `document` in force.
    pub(crate) fn reload(&self, document: &str) {
        self.engine.limits().swap(rules(document));
    }

    /// What came of asking `limit` of `domain` on `tier`, so often admitted, refused, let pass over its number, and refused
    /// unchecked.
    pub(crate) fn tallied(&self, domain: &str, limit: &str, tier: &str) -> [u64; 4] {
        let rules = self.engine.limits().load();
        let tallies = &rules.tallies()[&TallyLabels { domain, limit, tier }];
        Tallied::ALL.map(|what| tallies.iter().map(|tally| tally.of(what)).sum())
    }

    /// Lets time pass.
    pub(crate) fn wait(&self, seconds: u64) {
        self.clock.advance(Micros::from_secs(seconds));
    }

    /// The answer to `ask`, or what is wrong with it.
    pub(crate) fn try_ask(&self, ask: &Ask) -> Result<Decision, InvalidRequest> {
        match pin!(self.engine.check(ask.request())).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => unreachable!("the memory store never waits"),
        }
    }

    /// The answer to `ask`.
    pub(crate) fn ask(&self, ask: &Ask) -> Decision {
        self.try_ask(ask).unwrap_or_else(|error| panic!("{error}"))
    }

    /// How many of `times` equal calls pass.
    pub(crate) fn passes(&self, ask: &Ask, times: usize) -> usize {
        (0..times).filter(|_| self.ask(ask).code == Code::Ok).count()
    }
}

impl Asked {
    fn borrow(&self) -> Descriptor<'_> {
        let entries = self.entries.iter().map(|(key, value)| Entry { key, value }).collect();
        Descriptor { entries, hits: self.hits, direction: self.direction, number: self.number }
    }
}

impl Ask {
    /// As an engine is asked.
    pub(crate) fn request(&self) -> CheckRequest<'_> {
        let descriptors = self.descriptors.iter().map(Asked::borrow).collect();
        CheckRequest { domain: self.domain.as_bytes(), descriptors, hits: self.hits }
    }

    /// A call to `domain` with one descriptor, written `key=value key=value`.
    pub(crate) fn new(domain: &str, entries: &str) -> Self {
        Self { domain: domain.into(), ..Self::default() }.and(entries)
    }

    /// One more descriptor.
    pub(crate) fn and(mut self, entries: &str) -> Self {
        let entry = |pair: &str| pair.split_once('=').map(|(key, value)| (key.into(), value.into()));
        let entries = entries.split_whitespace().map(|pair| entry(pair).expect("key=value")).collect();
        self.descriptors.push(Asked { entries, ..Asked::default() });
        self
    }

    /// One more entry of the last descriptor, of any bytes.
    pub(crate) fn entry(mut self, key: &[u8], value: &[u8]) -> Self {
        self.last().entries.push((key.into(), value.into()));
        self
    }

    /// Hits of the last descriptor.
    pub(crate) fn hits(mut self, hits: u64) -> Self {
        self.last().hits = Some(hits);
        self
    }

    /// Hits of the call.
    pub(crate) fn call_hits(mut self, hits: u32) -> Self {
        self.hits = hits;
        self
    }

    /// Gives back instead of charging, in the last descriptor.
    pub(crate) fn give_back(mut self) -> Self {
        self.last().direction = Direction::GiveBack;
        self
    }

    /// A number of the caller's own, in the last descriptor.
    pub(crate) fn number(mut self, requests_per_unit: u32, unit: WireUnit, multiplier: u32) -> Self {
        self.last().number = Some(Override { requests_per_unit, unit, multiplier });
        self
    }

    fn last(&mut self) -> &mut Asked {
        self.descriptors.last_mut().expect("there is a descriptor")
    }
}

/// The value of a header, by its name.
pub(crate) fn header(decision: &Decision, name: &str) -> Option<String> {
    decision.headers.iter().find(|header| &*header.name == name).map(|header| header.value.to_string())
}
