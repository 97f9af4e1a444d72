//! The embedded store: sharded, bounded, in memory.
//!
//! Counters are spread over shards by key. A call locks the shards it touches in ascending order, so two
//! calls never wait for each other in a circle, and does everything under those locks. A counter that has
//! become as good as fresh is idle and its place is reused; a live one is never evicted. When a shard is
//! full of live counters, a newcomer follows its limit's [`OnError`].

mod shard;

use parking_lot::{Mutex, MutexGuard};

use crate::algorithm::{Op, Outcome, Overrun, State};
use crate::clock::{Clock, Timestamp};
use crate::limits::{CounterKey, KeySecret, OnError, Window};

use super::{Admission, Answer, Call, Charge, Outcomes, Store, StoreError};
use shard::{Counter, Counters, Shard};

const SHARDS: usize = 64;

/// Counters in this process's memory.
#[derive(Debug)]
pub struct MemoryStore {
    shards: Vec<Mutex<Shard>>,
    /// The counters that newcomers of full shards share, one a limit. Locked after the shards of a call, and
    /// only by a call that needs one: or else every call of a limit would wait for every other.
    overflow: Mutex<Counters>,
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

impl MemoryStore {
    /// An empty store whose time is `clock` and whose keys are made under `secret`.
    pub fn new(settings: MemorySettings, clock: Clock, secret: KeySecret) -> Self {
        let most = settings.max_keys.div_ceil(SHARDS).max(1);
        let shard = || Mutex::new(Shard::new(most));
        let shards = (0..SHARDS).map(|_| shard()).collect();
        Self { shards, overflow: Mutex::default(), clock, secret }
    }

    /// Does all that `call` asks, now.
    pub fn charge_now(&self, call: Call<'_>) -> Answer {
        let at = self.clock.now();
        let shards = self.lock(call.charges);
        let overflow = Overflow { mutex: &self.overflow, locked: None };
        let changed = Vec::with_capacity(call.charges.len());
        let mut step = Step { shards, overflow, at, changed };
        let outcomes = step.run(call);
        Answer { at, outcomes, degraded: None }
    }

    /// How many counters are kept, idle ones included.
    pub fn len(&self) -> usize {
        let in_shards: usize = self.shards.iter().map(|shard| shard.lock().len()).sum();
        in_shards + self.overflow.lock().len()
    }

    /// Whether nothing was ever counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self, charges: &[Charge<'_>]) -> Vec<(usize, MutexGuard<'_, Shard>)> {
        let mut wanted: Vec<usize> = charges.iter().map(|charge| shard_of(charge.key)).collect();
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
struct Step<'m> {
    shards: Vec<(usize, MutexGuard<'m, Shard>)>,
    overflow: Overflow<'m>,
    at: Timestamp,
    changed: Vec<(Place, Counter)>,
}

/// Where a counter is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the shard of its key.
    Own(CounterKey),
    /// Among those that newcomers share, one a limit.
    Shared(u128),
}

/// The shared counters, locked by the first who needs one.
struct Overflow<'m> {
    mutex: &'m Mutex<Counters>,
    locked: Option<MutexGuard<'m, Counters>>,
}

impl Overflow<'_> {
    fn counters(&mut self) -> &mut Counters {
        let mutex = self.mutex;
        self.locked.get_or_insert_with(|| mutex.lock())
    }
}

impl Step<'_> {
    fn run(&mut self, call: Call<'_>) -> Outcomes {
        match call.admission {
            Admission::AllOrNone => self.all_or_none(call),
            Admission::Each => self.each(call, |_| true),
            Admission::EachUnlessOver => {
                let over: Vec<bool> =
                    call.charges.iter().map(|charge| !self.look(charge, charge.op).is_admitted()).collect();
                let any = over.contains(&true);
                let back = |index: usize| matches!(call.charges[index].op, Op::GiveBack { .. });
                self.each(call, |index| !any || over[index] || back(index))
            }
        }
    }

    fn all_or_none(&mut self, call: Call<'_>) -> Outcomes {
        let mut outcomes: Outcomes = call
            .charges
            .iter()
            .map(|charge| self.charge(charge, charge.op, charge.binding.overrun()))
            .collect();
        call.settle(&mut outcomes);
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
    fn each(&mut self, call: Call<'_>, counts: impl Fn(usize) -> bool) -> Outcomes {
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
        let Some((place, mut state)) = self.find(charge) else {
            return charge.stand_in();
        };
        let outcome = state.charge(charge.rule, op, overrun, self.at);
        if op.changes() && (outcome.is_admitted() || overrun == Overrun::Count) {
            let idle_from = state.idle_from(charge.rule);
            self.changed.retain(|(other, _)| *other != place);
            self.changed.push((place, Counter { state, idle_from }));
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
    fn find(&mut self, charge: &Charge<'_>) -> Option<(Place, State)> {
        let own = Place::Own(charge.key);
        if matches!(charge.rule.window, Window::Request) {
            return Some((own, State::Nothing));
        }
        if let Some(state) = self.kept(own) {
            return Some((own, state));
        }
        let (fresh, at) = (State::fresh(charge.rule.window), self.at);
        if !charge.op.changes() || self.shard(charge.key).make_room(at) {
            return Some((own, fresh));
        }
        // The one shared counter of newcomers has a place of its own, beyond the bound: there is one a limit.
        let shared = Place::Shared(charge.overflow);
        (charge.on_error == OnError::Local).then(|| (shared, self.kept(shared).unwrap_or(fresh)))
    }

    /// The counter at `place`, as this call has left it so far.
    fn kept(&mut self, place: Place) -> Option<State> {
        if let Some((_, counter)) = self.changed.iter().find(|(other, _)| *other == place) {
            return Some(counter.state.clone());
        }
        let counter = match place {
            Place::Own(key) => self.shard(key).get(key),
            Place::Shared(limit) => self.overflow.counters().get(&limit),
        };
        counter.map(|counter| counter.state.clone())
    }

    fn shard(&mut self, key: CounterKey) -> &mut Shard {
        let wanted = shard_of(key);
        let found = self.shards.binary_search_by_key(&wanted, |(index, _)| *index);
        &mut self.shards[found.expect("every shard that a call touches was locked")].1
    }

    fn commit(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        for (place, counter) in changed.into_iter().filter(|(_, counter)| counter.state != State::Nothing) {
            match place {
                Place::Own(key) => self.shard(key).keep(key, counter),
                Place::Shared(limit) => _ = self.overflow.counters().insert(limit, counter),
            }
        }
    }
}

const NOTHING: Op = Op::Take { room: 0, charge: 0 };

impl super::Binding {
    fn overrun(self) -> Overrun {
        match self {
            Self::Enforced => Overrun::Refuse,
            Self::Quota { .. } | Self::Counted => Overrun::Count,
        }
    }
}
