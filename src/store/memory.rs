//! The embedded store: sharded, bounded, in memory.
//!
//! Counters are spread over shards by key. A call locks the shards it touches in ascending order, so two
//! calls never wait for each other in a circle, and does everything under those locks. A counter that has
//! become as good as fresh is idle and its place is reused; a live one is never evicted. When a shard is
//! full of live counters, a newcomer follows its limit's [`OnError`].

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::algorithm::{Op, Outcome, Overrun, State};
use crate::clock::{Clock, Timestamp};
use crate::limits::{CounterKey, KeySecret, OnError, Window};

use super::{Admission, Answer, Call, Charge, Store, StoreError};

const SHARDS: usize = 64;

/// How many idle counters a newcomer to a full shard looks for at most; keeps the worst case short.
const SWEEP: usize = 64;

/// Counters in this process's memory.
#[derive(Debug)]
pub struct MemoryStore {
    shards: Vec<Mutex<Shard>>,
    clock: Clock,
    secret: KeySecret,
}

/// How a memory store is set up.
#[derive(Clone, Copy, Debug)]
pub struct MemorySettings {
    /// The most counters that are kept. Default 1,000,000.
    pub max_keys: usize,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self { max_keys: 1_000_000 }
    }
}

#[derive(Debug)]
struct Shard {
    counters: HashMap<u128, Counter, BuildHasherDefault<AlreadyHashed>>,
    most: usize,
}

#[derive(Debug)]
struct Counter {
    state: State,
    idle_from: Option<Timestamp>,
}

/// Keys are uniform already; hashing them again would be work for nothing.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = (key >> 64) as u64;
    }
}

impl MemoryStore {
    /// An empty store whose time is `clock` and whose keys are made under `secret`.
    pub fn new(settings: MemorySettings, clock: Clock, secret: KeySecret) -> Self {
        let most = settings.max_keys.div_ceil(SHARDS).max(1);
        let shard = || Mutex::new(Shard { counters: HashMap::default(), most });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), clock, secret }
    }

    /// Does all that `call` asks, now.
    pub fn charge_now(&self, call: Call<'_>) -> Answer {
        let at = self.clock.now();
        let mut shards = self.lock(call.charges);
        let mut step = Step { shards: &mut shards, at, changed: Vec::with_capacity(call.charges.len()) };
        let outcomes = step.run(call);
        Answer { at, outcomes, degraded: None }
    }

    /// How many counters are kept, idle ones included.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().counters.len()).sum()
    }

    /// Whether nothing was ever counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self, charges: &[Charge<'_>]) -> Vec<(usize, MutexGuard<'_, Shard>)> {
        let mut wanted: Vec<usize> =
            charges.iter().flat_map(|charge| [shard_of(charge.key), shard_of(charge.overflow)]).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.into_iter().map(|index| (index, self.shards[index].lock())).collect()
    }
}

fn shard_of(key: CounterKey) -> usize {
    (key.id % SHARDS as u128) as usize
}

impl Store for MemoryStore {
    async fn charge(&self, call: Call<'_>) -> Result<Answer, StoreError> {
        Ok(self.charge_now(call))
    }

    fn key_secret(&self) -> KeySecret {
        self.secret
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// One call in progress: what it changes is kept aside until it is known to pass.
struct Step<'s, 'm> {
    shards: &'s mut [(usize, MutexGuard<'m, Shard>)],
    at: Timestamp,
    changed: Vec<(CounterKey, State, Option<Timestamp>)>,
}

impl Step<'_, '_> {
    fn run(&mut self, call: Call<'_>) -> Vec<Outcome> {
        match call.admission {
            Admission::AllOrNone => self.all_or_none(call),
            Admission::Each => self.each(call, |_| true),
            Admission::EachUnlessOver => {
                let over: Vec<bool> =
                    call.charges.iter().map(|charge| !self.look(charge, charge.op).is_admitted()).collect();
                let any = over.contains(&true);
                self.each(call, |index| !any || over[index])
            }
        }
    }

    fn all_or_none(&mut self, call: Call<'_>) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = call
            .charges
            .iter()
            .map(|charge| self.charge(charge, charge.op, charge.binding.overrun()))
            .collect();
        if call.is_refused(&outcomes) {
            self.changed.clear();
            // The verdicts stand: charges of one counter may find no room only together.
            for (outcome, charge) in outcomes.iter_mut().zip(call.charges) {
                outcome.standing = self.look(charge, charge.op).standing;
            }
            return outcomes;
        }
        self.commit();
        outcomes
    }

    /// Charges one by one; those that do not `count` are only looked at.
    fn each(&mut self, call: Call<'_>, counts: impl Fn(usize) -> bool) -> Vec<Outcome> {
        let outcomes = call
            .charges
            .iter()
            .enumerate()
            .map(|(index, charge)| {
                let overrun = match charge.rule.window {
                    Window::Fixed { .. } => Overrun::Count,
                    _ => charge.binding.overrun(),
                };
                if counts(index) {
                    self.charge(charge, charge.op, overrun)
                } else {
                    self.look(charge, NOTHING)
                }
            })
            .collect();
        self.commit();
        outcomes
    }

    fn charge(&mut self, charge: &Charge<'_>, op: Op, overrun: Overrun) -> Outcome {
        let Some((key, mut state)) = self.find(charge) else {
            return charge.stand_in();
        };
        let outcome = state.charge(charge.rule, op, overrun, self.at);
        if op.changes() && (outcome.is_admitted() || overrun == Overrun::Count) {
            let idle_from = state.idle_from(charge.rule);
            self.changed.retain(|(other, ..)| *other != key);
            self.changed.push((key, state, idle_from));
        }
        outcome
    }

    /// What a charge would come to, with nothing changed.
    fn look(&mut self, charge: &Charge<'_>, op: Op) -> Outcome {
        self.find(charge).map_or_else(
            || charge.stand_in(),
            |(_, mut state)| state.charge(charge.rule, op.peek(), Overrun::Refuse, self.at),
        )
    }

    /// The counter that `charge` is made to, as this call has left it so far; `None` if it has no place.
    fn find(&mut self, charge: &Charge<'_>) -> Option<(CounterKey, State)> {
        let at = self.at;
        let kept = |step: &mut Self, key: CounterKey| {
            let changed = step.changed.iter().find(|(other, ..)| *other == key);
            if let Some((_, state, _)) = changed {
                return Some(state.clone());
            }
            step.shard(key).counters.get(&key.id).map(|counter| counter.state.clone())
        };
        let keyless = matches!(charge.rule.window, Window::Request);
        if keyless {
            return Some((charge.key, State::Nothing));
        }
        if let Some(state) = kept(self, charge.key) {
            return Some((charge.key, state));
        }
        let fresh = State::fresh(charge.rule.window);
        if !charge.op.changes() || self.shard(charge.key).make_room(at) {
            return Some((charge.key, fresh));
        }
        // The one shared counter of newcomers has a place of its own, beyond the bound: there is one a limit.
        (charge.on_error == OnError::Local)
            .then(|| (charge.overflow, kept(self, charge.overflow).unwrap_or(fresh)))
    }

    fn shard(&mut self, key: CounterKey) -> &mut Shard {
        let wanted = shard_of(key);
        let found = self.shards.binary_search_by_key(&wanted, |(index, _)| *index);
        &mut self.shards[found.expect("every shard that a call touches was locked")].1
    }

    fn commit(&mut self) {
        for (key, state, idle_from) in std::mem::take(&mut self.changed) {
            let counters = &mut self.shard(key).counters;
            if state == State::Nothing {
                continue;
            }
            counters.insert(key.id, Counter { state, idle_from });
        }
    }
}

const NOTHING: Op = Op::Take { room: 0, charge: 0 };

impl super::Binding {
    fn overrun(self) -> Overrun {
        match self {
            Self::Enforced => Overrun::Refuse,
            Self::Quota | Self::Counted => Overrun::Count,
        }
    }
}

impl Shard {
    /// Whether one more counter has a place, after a few idle ones have been let go.
    fn make_room(&mut self, at: Timestamp) -> bool {
        if self.counters.len() < self.most {
            return true;
        }
        let idle: Vec<u128> = self
            .counters
            .iter()
            .filter(|(_, counter)| counter.idle_from.is_some_and(|idle| idle <= at))
            .map(|(key, _)| *key)
            .take(SWEEP)
            .collect();
        for key in idle {
            self.counters.remove(&key);
        }
        self.counters.len() < self.most
    }
}
