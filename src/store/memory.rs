//! The embedded store: sharded, bounded, in memory.
//!
//! Counters are spread over shards by key. A call locks the shards it touches in ascending order, so two
//! calls never wait for each other in a circle, and does everything under those locks. A counter that has
//! become as good as fresh is idle and its place is reused; a live one is never evicted. When all places are
//! taken, and those of a shard by live counters, a newcomer follows its limit's [`OnError`].
//!
//! Most calls make one charge. Such a call is done in place; several take [`step`]s that can be taken back.

mod changed;
mod crowded;
mod kept;
mod marks;
mod overseen;
mod records;
mod reserve;
mod rounds;
mod settle;
mod shard;
mod step;
mod table;
mod trails;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use smallvec::smallvec;

use crate::algorithm::{Op, Outcome, Overrun, Rule, State};
use crate::clock::{Clock, Micros, Timestamp};
use crate::limits::{CounterKey, KeySecret, OnError, Window};

use super::{
    Admission, Answer, Binding, Call, Charge, FreedBy, Lanes, Mark, Marked, Note, Page, Reserve, Reserved,
    Retention, Settle, Settled, Store, StoreError,
};
use marks::Marks;
use records::Records;
use reserve::full;
use rounds::Rounds;
use shard::{Places, Shard};
use step::Step;
use table::NEVER;
use trails::Trails;

/// How many counters a shard is for. What is done to all of one shard, under its lock, is short then.
const OF_SHARD: usize = 4096;
/// How many shards a store has that has room for them: so many that threads seldom meet.
const SHARDS: usize = 64;
/// So many counters of a shard that chance spreads them evenly enough.
const OF_SMALL_SHARD: usize = 64;

/// By how much time may run backwards and stands still: what would be let go unasked stays for so long.
const STANDSTILL: Micros = Micros::from_secs(60);

/// How much is let go at once at most of what nobody has asked for: the rest goes with later calls.
const LET_GO_AT_ONCE: usize = 512;

/// Counters in this process's memory.
#[derive(Debug)]
pub struct MemoryStore {
    /// A power of two of them.
    shards: Box<[Aligned]>,
    places: Places,
    /// The counters that newcomers share when no place is left, one a limit. Locked after the shards of a call,
    /// and only by a call that needs one: or else every call of a limit would wait for every other.
    shared: Mutex<Shared>,
    /// The records of reservations. Locked before the shards of a call.
    records: Box<[Mutex<Records>]>,
    records_a_shard: usize,
    /// What is known of subjects beside their counters. Locked alone.
    marks: Marks,
    /// What is written down. Locked last, for as long as one note takes.
    trails: Box<Trails>,
    rounds: Rounds,
    clock: Clock,
    secret: KeySecret,
}

/// A shard that has its cache lines for itself.
#[derive(Debug)]
#[repr(align(128))]
struct Aligned(Mutex<Shard>);

/// Counters that newcomers share, by their limits. They have places of their own, beyond the bound.
type Shared = HashMap<u128, State>;

/// How a memory store is set up.
#[derive(Clone, Copy, Debug)]
pub struct MemorySettings {
    /// The most counters that are kept, apart from one a limit that newcomers share, and about the most reservations that
    /// hold something; of half as many subjects at most it is known on which tier they were seen. Default 1,000,000.
    ///
    /// The record of a reservation is kept for a day as a rule, so that it is done once however often it is asked. Once
    /// there are as many as this, an eighth more of those that hold nothing, those that hold nothing are
    /// [forgotten](MemoryStore::forgotten) early, the oldest first. One that holds something never is.
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
        let most = settings.max_keys.max(1);
        let few = (most / OF_SMALL_SHARD).clamp(1, SHARDS);
        let shards = few.max(most / OF_SHARD).next_power_of_two();
        // Chance gives some shards a little more than their share.
        let share = |shards| most / shards + most / shards / 16;
        let for_up_to = share(shards);
        let shards = (0..shards).map(|_| Aligned(Mutex::new(Shard::for_up_to(for_up_to)))).collect();
        Self {
            shards,
            places: Places::new(most),
            shared: Mutex::default(),
            records: (0..few).map(|_| Mutex::default()).collect(),
            records_a_shard: share(few),
            marks: Marks::for_up_to(most / 2),
            trails: Box::default(),
            rounds: Rounds::default(),
            clock,
            secret,
        }
    }

    /// The same, which keeps as much as `retention` says of what is written down.
    #[must_use]
    pub fn keeping(mut self, retention: Retention) -> Self {
        self.trails.retention = retention;
        self
    }

    /// Does all that `call` asks, now.
    #[inline(always)]
    pub fn charge_now(&self, call: Call<'_>) -> Answer {
        let at = self.clock.now();
        match (call.charges, call.expenses) {
            ([charge], []) if charge.freed_by != FreedBy::Holders => {
                self.charge_one(charge, call.admission, at)
            }
            _ => Step::run(self, call, at),
        }
    }

    /// How many counters are kept, idle ones included.
    pub fn len(&self) -> usize {
        let in_shards: usize = self.shards.iter().map(|shard| shard.0.lock().len()).sum();
        in_shards + self.shared.lock().len()
    }

    /// How many records of reservations were forgotten while they might still have been asked for, since there were too
    /// many.
    pub fn forgotten(&self) -> u64 {
        self.records.iter().map(|records| records.lock().forgotten()).sum()
    }

    /// Whether nothing was ever counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which shard the counter `id` belongs to.
    fn shard_of(&self, id: u128) -> usize {
        id as usize & (self.shards.len() - 1)
    }

    /// The records among which the one of this name is.
    fn records(&self, name: u128) -> MutexGuard<'_, Records> {
        self.records[name as usize % self.records.len()].lock()
    }

    /// Does a call of one charge. The answer is written down under the lock: it is read in other pieces than it is
    /// written in, so it has to reach the cache first, and unlocking waits for that anyway.
    #[inline(always)]
    fn charge_one(&self, charge: &Charge<'_>, admission: Admission, at: Timestamp) -> Answer {
        let answer = |outcome| Answer { at, outcomes: smallvec![outcome], degraded: None };
        let overrun = match (admission, charge.binding) {
            // Alone, it refuses the call.
            (Admission::AllOrNone, Binding::Quota { .. }) => Overrun::Refuse,
            _ => charge.overrun(admission),
        };
        if matches!(charge.rule.window, Window::Request) {
            return answer(ask(&mut State::Nothing, charge.rule, charge.op, overrun, at));
        }
        let mut shard = self.shards[self.shard_of(charge.key.id)].0.lock();
        shard.tell_before(charge.key.id);
        let Some(counter) = shard.get(charge.key.id) else {
            return self.welcome(&mut shard, charge, overrun, at);
        };
        let outcome = counter.state.charge(charge.rule, charge.op, overrun, at);
        if charge.op.is_made(&outcome, overrun) {
            let idle_from = idle_from(&outcome, &counter.state, charge.rule, at);
            let before = std::mem::replace(&mut counter.idle_from, idle_from);
            if idle_from < before {
                shard.look_from(charge.key.id, idle_from);
            }
            shard.note_changed(charge.key.id);
        }
        answer(outcome)
    }

    /// Charges a counter that is not there. What does not change it needs no place.
    #[cold]
    fn welcome(&self, shard: &mut Shard, charge: &Charge<'_>, overrun: Overrun, at: Timestamp) -> Answer {
        let answer = |outcome| Answer { at, outcomes: smallvec![outcome], degraded: None };
        let mut state = State::fresh(charge.rule.window);
        let outcome = ask(&mut state, charge.rule, charge.op, overrun, at);
        if charge.op.takes_all_off() || !charge.op.is_made(&outcome, overrun) {
            return answer(outcome);
        }
        let idle_from = idle_from(&outcome, &state, charge.rule, at);
        if shard.insert(charge.key.id, state, idle_from, at, &self.places).is_some() {
            return answer(outcome);
        }
        match charge.on_error {
            OnError::Local => {
                let mut newcomers = self.shared.lock();
                answer(ask(shared(&mut newcomers, charge), charge.rule, charge.op, overrun, at))
            }
            OnError::Allow | OnError::Deny => {
                Answer { degraded: charge.op.adds().then(full), ..answer(charge.stand_in()) }
            }
        }
    }
}

/// What ended by then is let go at `now`, also where nobody asks for it.
fn long_before(now: Timestamp) -> Timestamp {
    Timestamp(now.0.saturating_sub(STANDSTILL.0))
}

/// Does `op` to a counter, off the common path.
#[inline(never)]
fn ask(state: &mut State, rule: Rule<'_>, op: Op, overrun: Overrun, at: Timestamp) -> Outcome {
    state.charge(rule, op, overrun, at)
}

/// The counter that newcomers of the limit of `charge` share.
fn shared<'s>(states: &'s mut Shared, charge: &Charge<'_>) -> &'s mut State {
    states.entry(charge.overflow).or_insert_with(|| State::fresh(charge.rule.window))
}

/// From when on `state` is idle, to which a charge has come to `outcome`. Where time alone makes a counter whole
/// it is idle when it is whole, and that has been worked out.
fn idle_from(outcome: &Outcome, state: &State, rule: Rule<'_>, at: Timestamp) -> Timestamp {
    match outcome.standing.reset_after {
        Some(reset_after) => at.plus(reset_after),
        None => state.idle_from(rule).unwrap_or(NEVER),
    }
}

impl Store for MemoryStore {
    async fn charge(&self, call: Call<'_>) -> Result<Answer, StoreError> {
        Ok(self.charge_now(call))
    }

    async fn reserve(&self, call: Reserve<'_>) -> Result<Reserved, StoreError> {
        self.reserve_now(call)
    }

    async fn settle(&self, call: Settle<'_>) -> Result<Settled, StoreError> {
        self.settle_now(call)
    }

    async fn oversee(
        &self,
        call: Call<'_>,
        mark: Option<CounterKey>,
    ) -> Result<(Answer, Option<Marked>), StoreError> {
        self.oversee_now(call, mark)
    }

    async fn mark(&self, marks: &[Mark]) -> Result<(), StoreError> {
        self.marks.leave(marks, self.clock.now());
        Ok(())
    }

    fn note_refusal(&self, at: Timestamp, about: &[u8], line: &[u8]) {
        self.trails.write(at, self.rounds.now(), None, about, line);
    }

    async fn notes(&self, page: Page) -> Result<Vec<Note>, StoreError> {
        Ok(self.trails.read(page, self.clock.now()))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn key_secret(&self) -> KeySecret {
        self.secret
    }

    async fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Lanes for Arc<MemoryStore> {
    fn lane(&self) -> Self {
        self.clone()
    }

    async fn tried(&self) {}
}

impl Op {
    /// Whether the counter is another, now that this came to `outcome`, or something is held of it.
    fn is_made(self, outcome: &Outcome, overrun: Overrun) -> bool {
        let only_looks = matches!(self, Self::Take { charge: 0, .. } | Self::GiveBack { units: 0 });
        !only_looks && (outcome.is_admitted() || overrun == Overrun::Count)
    }

    /// Whether nothing is used afterwards: a counter that is not there stays so.
    fn takes_all_off(self) -> bool {
        matches!(self, Self::Set { units: 0 } | Self::Clear)
    }

    /// Whether anything is to be counted or held by it. What takes off does nothing to a counter that is not there.
    fn adds(self) -> bool {
        matches!(self, Self::Take { charge: 1.., .. } | Self::Set { units: 1.. } | Self::Hold { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::{Retry, Verdict};
    use crate::clock::Micros;
    use crate::limits::{CounterKey, Number, Unit};

    const MINUTE: Window = Window::Sliding { length: Micros::from_secs(60) };

    fn store(max_keys: usize) -> (MemoryStore, Clock) {
        let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
        (MemoryStore::new(MemorySettings { max_keys }, clock.clone(), KeySecret([0; 16])), clock)
    }

    /// One of nine of counter `id`, whose key is as uniform as real ones are.
    fn take(id: u128) -> Charge<'static> {
        let id = id.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).rotate_left(61);
        Charge {
            key: CounterKey { tag: 0, id },
            overflow: 0,
            rule: Rule { window: &MINUTE, number: Number::AtMost(9) },
            op: Op::Take { room: 1, charge: 1 },
            binding: Binding::Enforced,
            on_error: OnError::Deny,
            freed_by: FreedBy::Time,
            unit: Unit::Hits,
            memo: 0,
        }
    }

    /// What is used of each counter once all are charged; nothing where the policy decided.
    fn charge(store: &MemoryStore, admission: Admission, charges: &[Charge<'_>]) -> Vec<Option<u64>> {
        let answer = store.charge_now(Call { charges, admission, expenses: &[] });
        let by_policy = Verdict::Refused(Retry::After(Micros::from_secs(1)));
        let used = |outcome: &Outcome| (outcome.verdict != by_policy).then_some(outcome.standing.used);
        answer.outcomes.iter().map(used).collect()
    }

    #[test]
    fn as_many_counters_are_kept_as_may_be_and_no_live_one_is_let_go() {
        for most in [1, 100, 10_000] {
            let (store, clock) = store(most);
            let all = 0..most as u128;
            for round in 1..3 {
                for id in all.clone() {
                    assert_eq!(charge(&store, Admission::AllOrNone, &[take(id)]), [Some(round)]);
                }
                for id in all.clone() {
                    let newcomer = [take(id + 1_000_000)];
                    assert_eq!(charge(&store, Admission::AllOrNone, &newcomer), [None], "{id} of {most}");
                }
                assert_eq!(store.len(), most);
            }
            clock.advance(Micros::from_secs(62));
            let kept = |id: &u128| charge(&store, Admission::AllOrNone, &[take(id + 2_000_000)]) == [Some(1)];
            // Chance has it that a shard gets more newcomers than it has places.
            assert!(all.filter(kept).count() * 10 >= most * 9);
            assert_eq!(store.len(), most);
        }
    }

    #[test]
    fn newcomers_of_one_call_share_the_places_that_are_left() {
        let (store, _) = store(3);
        let five = [0, 1, 2, 3, 4].map(take);
        assert_eq!(charge(&store, Admission::Each, &five), [Some(1), Some(1), Some(1), None, None]);
        assert_eq!(store.len(), 3);
    }

    #[test]
    fn every_charge_meets_its_own_counter_however_many_newcomers_come_with_it() {
        let (store, _) = store(100);
        for round in 1..=9 {
            let charges: Vec<_> = (0..10 * u128::from(round)).map(take).collect();
            let used: Vec<_> = (0..10 * round).map(|id| Some(round - id / 10)).collect();
            assert_eq!(charge(&store, Admission::AllOrNone, &charges), used);
        }
    }

    #[test]
    fn a_call_does_not_take_the_places_of_its_own_counters() {
        let (store, clock) = store(2);
        charge(&store, Admission::Each, &[take(0), take(1)]);
        clock.advance(Micros::from_secs(62));
        let three = [take(0), take(2), take(1), take(0)];
        assert_eq!(charge(&store, Admission::Each, &three), [Some(1), None, Some(1), Some(2)]);
        assert_eq!(charge(&store, Admission::Each, &[take(0), take(1)]), [Some(3), Some(2)]);
        clock.advance(Micros::from_secs(62));
        assert_eq!(charge(&store, Admission::Each, &[take(3), take(2)]), [Some(1), Some(1)]);
    }

    #[test]
    fn a_newcomer_whose_call_is_refused_leaves_its_place() {
        let (store, _) = store(2);
        let never = Charge { op: Op::Take { room: 10, charge: 10 }, ..take(0) };
        for id in 1..20 {
            assert_eq!(charge(&store, Admission::AllOrNone, &[take(id), never]), [Some(0), Some(0)]);
        }
        assert_eq!(charge(&store, Admission::AllOrNone, &[take(30), take(31)]), [Some(1), Some(1)]);
    }
}
