//! Several charges in one step: all made in place under the locks of their shards, and taken back if the call is
//! refused.
//!
//! First every charge gets a seat, at its counter. A counter that a call sits at is not let go before the call is
//! over, however idle it is: the place of one charge must not go to the newcomer of another.

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use crate::algorithm::{HoldId, Holder, Op, Outcome, Overrun, Share, State};
use crate::clock::Timestamp;
use crate::limits::{CounterKey, OnError, Window};
use crate::store::{Admission, Binding, Call, Charge, Outcomes};

use super::open::Open;
use super::shard::Shard;
use super::table::{NEVER, Place};
use super::{MemoryStore, Shared, ask, idle_from, shared};

/// A call in progress.
pub(super) struct Step<'m, 'c> {
    store: &'m MemoryStore,
    pub(super) call: Call<'c>,
    pub(super) at: Timestamp,
    /// Whose the holds are that the call takes.
    holder: Holder,
    /// How much of them is granted.
    pub(super) share: Share,
    /// Those that the call touches, in ascending order.
    shards: SmallVec<[(usize, MutexGuard<'m, Shard>); 4]>,
    shared: Option<MutexGuard<'m, Shared>>,
    /// One a charge.
    seats: SmallVec<[Seat; 4]>,
    /// What was before each change, and to whose seat it belongs; only kept while the call may be refused.
    undo: SmallVec<[(usize, State); 4]>,
}

/// Where a charge is made.
enum Seat {
    /// At a counter of the shard with this number among those that are locked.
    Kept {
        shard: usize,
        place: Place,
        /// From when on it was idle before the call.
        idle_from: Timestamp,
        /// From when on it is idle now that it was charged.
        charged: Option<Timestamp>,
    },
    /// At the counter that newcomers share.
    Shared,
    /// At a fresh counter that is not kept.
    Fresh,
    /// Nowhere: its policy decides.
    None,
}

const NOTHING: Op = Op::Take { room: 0, charge: 0 };
/// Of calls that take no holds.
const NOBODY: Holder = Holder { id: HoldId(0), until: Timestamp(0) };

impl<'m, 'c> Step<'m, 'c> {
    /// Does all that `call` asks of `store`.
    #[inline(never)]
    pub(super) fn run(store: &'m MemoryStore, call: Call<'c>, at: Timestamp) -> Outcomes {
        let mut step = Self::begin(store, call, at, NOBODY);
        let outcomes = match call.admission {
            Admission::AllOrNone => step.all_or_none(),
            Admission::Each => step.each(|_| true),
            Admission::EachUnlessOver => step.each_unless_over(),
        };
        step.stand_up();
        outcomes
    }

    /// Gives every charge of `call` its seat. Whoever begins has to [`stand_up`](Self::stand_up) in the end.
    pub(super) fn begin(store: &'m MemoryStore, call: Call<'c>, at: Timestamp, holder: Holder) -> Self {
        let (shards, shared) = (lock(store, call.charges), None);
        let (seats, undo) = (SmallVec::new(), SmallVec::new());
        let mut step = Self { store, call, at, holder, share: Share::WHOLE, shards, shared, seats, undo };
        step.sit_down();
        step
    }

    pub(super) fn all_or_none(&mut self) -> Outcomes {
        let call = self.call;
        let mut outcomes: Outcomes = (0..call.charges.len()).map(|index| self.charge(index)).collect();
        call.settle(&mut outcomes, self.share.least());
        if call.is_refused(&outcomes) {
            self.take_back();
            // The verdicts stand: charges of one counter may find no room only together.
            for (index, outcome) in outcomes.iter_mut().enumerate() {
                outcome.standing = self.look(index, call.charges[index].op).standing;
            }
        }
        outcomes
    }

    /// As much of `share` as all holds of the call have room for, and at least the least: that is what is refused then.
    pub(super) fn fitting(&mut self, share: Share) -> Share {
        let mut fitting = share;
        for (index, charge) in self.call.charges.iter().enumerate() {
            if let (Op::Hold { fixed, flexible }, Binding::Enforced) = (charge.op, charge.binding) {
                let room = self.look(index, NOTHING).standing.remaining;
                fitting = fitting.within(room, fixed, flexible);
            }
        }
        if fitting.granted == 0 { share.least() } else { fitting }
    }

    fn each_unless_over(&mut self) -> Outcomes {
        let charges = self.call.charges;
        let over: SmallVec<[bool; 8]> =
            (0..charges.len()).map(|index| !self.look(index, charges[index].op).is_admitted()).collect();
        let any = over.contains(&true);
        let never_over = |index: usize| charges[index].op.room().is_none();
        self.each(|index| !any || over[index] || never_over(index))
    }

    /// Charges one by one; those that do not `count` are only looked at.
    fn each(&mut self, counts: impl Fn(usize) -> bool) -> Outcomes {
        (0..self.call.charges.len())
            .map(|index| if counts(index) { self.charge(index) } else { self.look(index, NOTHING) })
            .collect()
    }

    fn charge(&mut self, index: usize) -> Outcome {
        let call = self.call;
        let charge = &call.charges[index];
        if charge.op.changes() && call.admission == Admission::AllOrNone {
            let before = self.state(index).map(|state| state.clone());
            self.undo.extend(before.map(|state| (index, state)));
        }
        self.ask(index, charge.op.granted(self.share), charge.overrun(call.admission), self.holder)
    }

    /// What a charge would come to, with nothing changed.
    fn look(&mut self, index: usize, op: Op) -> Outcome {
        self.ask(index, op.peek(), Overrun::Refuse, self.holder)
    }

    /// Whether there is no place for what is to be charged to a limit that lets nothing pass uncounted.
    pub(super) fn loses_charges(&self) -> bool {
        let is_lost = |charge: &Charge<'_>| charge.op.changes() && charge.on_error == OnError::Deny;
        self.seats
            .iter()
            .zip(self.call.charges)
            .any(|(seat, charge)| matches!(seat, Seat::None) && is_lost(charge))
    }

    /// Does `op` to the counter of the charge at `index`; what it holds is `holder`'s.
    pub(super) fn ask(&mut self, index: usize, op: Op, overrun: Overrun, holder: Holder) -> Outcome {
        let (charge, at) = (Charge { op, ..self.call.charges[index] }, self.at);
        if matches!(self.seats[index], Seat::None) {
            return charge.stand_in();
        }
        if !charge.has_holds() {
            return self.on_state(index, op, overrun, |state| ask(state, &charge, overrun, at));
        }
        let holder = self.holder_at(index, holder);
        let (open, id) = self.open(index);
        let mut holds = open.take(id, at);
        let outcome = self.on_state(index, op, overrun, |state| {
            state.charge_beside(&mut holds, holder, charge.rule, op, overrun, at)
        });
        // What is held is spent sooner or later: the place is kept for that.
        if let (Seat::Kept { charged: Some(idle_from), .. }, Some(lapse)) =
            (&mut self.seats[index], holds.last_lapse())
        {
            *idle_from = lapse.max(*idle_from);
        }
        self.open(index).0.put_back(id, holds);
        outcome
    }

    /// Does `act`, which is to do `op`, to the state that the charge at `index` is made to.
    fn on_state(
        &mut self,
        index: usize,
        op: Op,
        overrun: Overrun,
        act: impl FnOnce(&mut State) -> Outcome,
    ) -> Outcome {
        let (rule, at) = (self.call.charges[index].rule, self.at);
        let Some(state) = self.state(index) else {
            return act(&mut State::fresh(rule.window));
        };
        let outcome = act(state);
        let idle_from = idle_from(&outcome, state, rule, at);
        if let Seat::Kept { charged, .. } = &mut self.seats[index]
            && op.is_made(&outcome, overrun)
        {
            *charged = Some(idle_from);
        }
        outcome
    }

    /// Ends the hold of `holder` at the counter of the charge at `index`. Tells whether it was open.
    pub(super) fn end_hold(&mut self, index: usize, holder: Holder) -> bool {
        let (at, holder) = (self.at, self.holder_at(index, holder));
        let (open, id) = self.open(index);
        let mut holds = open.take(id, at);
        let was_open = holds.take(holder).is_some();
        open.put_back(id, holds);
        was_open
    }

    /// Where the holds of the counter are that the charge at `index` is made to, and under which name.
    fn open(&mut self, index: usize) -> (&mut Open, u128) {
        let charge = &self.call.charges[index];
        match self.seats[index] {
            Seat::Shared => (&mut self.lock_shared().open, charge.overflow),
            _ => (&mut self.shard(charge.key).1.open, charge.key.id),
        }
    }

    /// Who holds what `holder` holds by the charge at `index`: newcomers hold their own of what they share.
    fn holder_at(&self, index: usize, holder: Holder) -> Holder {
        match self.seats[index] {
            Seat::Shared => Holder { id: HoldId(holder.id.0 ^ self.call.charges[index].key.id), ..holder },
            _ => holder,
        }
    }

    fn lock_shared(&mut self) -> &mut Shared {
        self.shared.get_or_insert_with(|| self.store.shared.lock())
    }

    /// The counter that the charge at `index` is made to, if it is kept.
    fn state(&mut self, index: usize) -> Option<&mut State> {
        match self.seats[index] {
            Seat::Kept { shard, place, .. } => Some(self.shards[shard].1.state(place)),
            Seat::Shared => {
                let charge = &self.call.charges[index];
                Some(shared(self.lock_shared(), charge))
            }
            Seat::Fresh | Seat::None => None,
        }
    }

    fn take_back(&mut self) {
        for (index, before) in std::mem::take(&mut self.undo).into_iter().rev() {
            if let Some(state) = self.state(index) {
                *state = before;
            }
        }
        for seat in &mut self.seats {
            if let Seat::Kept { charged, .. } = seat {
                *charged = None;
            }
        }
        let (charges, at) = (self.call.charges, self.at);
        for (index, charge) in charges.iter().enumerate() {
            if matches!(charge.op, Op::Hold { .. }) {
                self.end_hold(index, self.holder.within(charge.rule.window, at));
            }
        }
    }

    /// Seats every charge, those first whose counters are there.
    fn sit_down(&mut self) {
        let charges = self.call.charges;
        self.seats = charges.iter().map(|charge| self.seat(charge).unwrap_or(Seat::Fresh)).collect();
        let mut newcomers = false;
        for (index, charge) in charges.iter().enumerate() {
            if matches!(self.seats[index], Seat::Fresh) && !matches!(charge.rule.window, Window::Request) {
                self.seats[index] = self.seat(charge).unwrap_or_else(|| self.newcomer(charge));
                newcomers = true;
            }
        }
        if newcomers {
            self.sit_closer();
        }
    }

    /// Finds all counters once more: newcomers have moved others.
    fn sit_closer(&mut self) {
        for (seat, charge) in self.seats.iter_mut().zip(self.call.charges) {
            if let Seat::Kept { shard, place, .. } = seat {
                let counters = &self.shards[*shard].1;
                *place = counters.find(charge.key.id).expect("a counter in hand is not let go");
            }
        }
    }

    /// At the counter of `charge`, if it has one.
    fn seat(&mut self, charge: &Charge<'_>) -> Option<Seat> {
        let (shard, counters) = self.shard(charge.key);
        let place = counters.find(charge.key.id)?;
        let idle_from = counters.note_idle_from(place, NEVER);
        Some(Seat::Kept { shard, place, idle_from, charged: None })
    }

    /// For a charge whose counter is not there. What cannot change it needs no place.
    fn newcomer(&mut self, charge: &Charge<'_>) -> Seat {
        let (mut fresh, at, places) = (State::fresh(charge.rule.window), self.at, &self.store.places);
        let overrun = charge.overrun(self.call.admission);
        let outcome = ask(&mut fresh, &Charge { op: charge.op.peek(), ..*charge }, overrun, at);
        if !charge.op.is_made(&outcome, overrun) {
            return Seat::Fresh;
        }
        let (shard, counters) = self.shard(charge.key);
        if let Some(place) = counters.insert(charge.key.id, fresh, NEVER, at, places) {
            Seat::Kept { shard, place, idle_from: Timestamp(0), charged: None }
        } else if charge.on_error == OnError::Local {
            Seat::Shared
        } else {
            Seat::None
        }
    }

    /// Lets go of all counters. The first seat at a counter knows what was before, the last what is now.
    pub(super) fn stand_up(&mut self) {
        let kept = |seat: &Seat| match *seat {
            Seat::Kept { shard, place, idle_from, charged } => Some((shard, place, idle_from, charged)),
            _ => None,
        };
        for (shard, place, idle_from, _) in self.seats.iter().rev().filter_map(kept) {
            self.shards[shard].1.note_idle_from(place, idle_from);
        }
        for (shard, place, _, charged) in self.seats.iter().filter_map(kept) {
            if let Some(idle_from) = charged {
                let counters = &mut self.shards[shard].1;
                counters.note_idle_from(place, idle_from);
                counters.note_changed_at(place);
            }
        }
    }

    fn shard(&mut self, key: CounterKey) -> (usize, &mut Shard) {
        let wanted = self.store.shard_of(key.id);
        let found = self.shards.binary_search_by_key(&wanted, |(index, _)| *index);
        let found = found.expect("every shard that a call touches was locked");
        (found, &mut self.shards[found].1)
    }
}

fn lock<'m>(store: &'m MemoryStore, charges: &[Charge<'_>]) -> SmallVec<[(usize, MutexGuard<'m, Shard>); 4]> {
    let mut wanted: SmallVec<[usize; 8]> =
        charges.iter().map(|charge| store.shard_of(charge.key.id)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted.into_iter().map(|index| (index, store.shards[index].0.lock())).collect()
}
