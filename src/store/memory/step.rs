//! Several charges in one step: all made in place under the locks of their shards, and taken back if the call is
//! refused.

mod seats;

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use crate::algorithm::{HoldId, Holder, Op, Outcome, Overrun, Share, State};
use crate::clock::Timestamp;
use crate::limits::OnError;
use crate::store::{Admission, Answer, Binding, Call, Charge, Outcomes, StoreError};

use super::reserve::full;
use super::rounds::Round;
use super::shard::Shard;
use super::{MemoryStore, Shared, ask, idle_from};
use seats::{At, Seat};

/// How many charges most calls have at most.
pub(super) const FEW: usize = 8;

/// A call in progress.
pub(super) struct Step<'m, 'c> {
    store: &'m MemoryStore,
    pub(super) call: Call<'c>,
    pub(super) at: Timestamp,
    /// The round that it belongs to with all that it changes.
    pub(super) round: Round,
    /// Whose the holds are that the call takes.
    holder: Holder,
    /// How much of them is granted.
    pub(super) share: Share,
    /// Those that the call touches, in ascending order.
    shards: SmallVec<[(usize, MutexGuard<'m, Shard>); FEW]>,
    shared: Option<MutexGuard<'m, Shared>>,
    /// One a charge.
    seats: SmallVec<[Seat; FEW]>,
    /// What was before each change, and to whose seat it belongs; only kept while the call may be refused.
    undo: SmallVec<[(usize, State); 4]>,
}

/// A look that asks for no room.
pub(super) const NOTHING: Op = Op::Take { room: 0, charge: 0 };
/// Of calls that take no holds.
pub(super) const NOBODY: Holder = Holder { id: HoldId(0), until: Timestamp(0) };

impl<'m, 'c> Step<'m, 'c> {
    /// Does all that `call` asks of `store`.
    #[inline(never)]
    pub(super) fn run(store: &'m MemoryStore, call: Call<'c>, at: Timestamp) -> Answer {
        let mut step = Self::begin(store, call, at, NOBODY);
        let outcomes = step.outcomes();
        if !call.expenses.is_empty() {
            store.trails.spend(at, step.round, call.spent(&outcomes));
        }
        let degraded = step.wants_places();
        step.stand_up();
        Answer { at, outcomes, degraded }
    }

    /// Does all that `call` asks of `store`; or nothing, if there is no place for some of it.
    pub(super) fn run_whole(
        store: &'m MemoryStore,
        call: Call<'c>,
        at: Timestamp,
    ) -> Result<Answer, StoreError> {
        let mut step = Self::begin(store, call, at, NOBODY);
        let wanted = step.wants_places();
        let outcomes = if wanted.is_none() { step.outcomes() } else { Outcomes::new() };
        step.stand_up();
        wanted.map_or(Ok(Answer { at, outcomes, degraded: None }), Err)
    }

    /// Gives every charge of `call` its seat. Whoever begins has to [`stand_up`](Self::stand_up) in the end.
    pub(super) fn begin(store: &'m MemoryStore, call: Call<'c>, at: Timestamp, holder: Holder) -> Self {
        let (mut shards, shared) = (seats::lock(store, call.charges), None);
        // Only now: see there.
        let round = store.rounds.now();
        shards.iter_mut().for_each(|(_, shard)| shard.enter(round));
        let (seats, undo) = (SmallVec::new(), SmallVec::new());
        let mut step =
            Self { store, call, at, round, holder, share: Share::WHOLE, shards, shared, seats, undo };
        step.sit_down();
        step
    }

    fn outcomes(&mut self) -> Outcomes {
        match self.call.admission {
            Admission::AllOrNone => self.all_or_none(),
            Admission::Each => self.each(|_| true),
            Admission::EachUnlessOver => self.each_unless_over(),
        }
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
            let before = self.state(index).map(|state| state.counted().clone());
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
        let charges = self.seats.iter().zip(self.call.charges);
        charges.into_iter().any(|(seat, charge)| matches!(seat.at, At::Nowhere) && is_lost(charge))
    }

    /// Why some outcomes are of no counter: there is no place for one.
    pub(super) fn wants_places(&self) -> Option<StoreError> {
        let mut charges = self.seats.iter().zip(self.call.charges);
        charges.any(|(seat, charge)| matches!(seat.at, At::Nowhere) && charge.op.adds()).then(full)
    }

    /// Does `op` to the counter of the charge at `index`; what it holds is `holder`'s.
    pub(super) fn ask(&mut self, index: usize, op: Op, overrun: Overrun, holder: Holder) -> Outcome {
        let (charge, at) = (&self.call.charges[index], self.at);
        if matches!(op, Op::Hold { .. }) && matches!(self.seats[index].at, At::Fresh) && charge.has_holds() {
            self.welcome_late(index, op, overrun);
        }
        let holder = self.holder_at(index, holder);
        let Self { shards, shared, seats, .. } = self;
        let seat = &mut seats[index];
        if matches!(seat.at, At::Nowhere) {
            return Charge { op, ..*charge }.stand_in();
        }
        let mut fresh = State::Nothing;
        let state = seat.state(shards, shared, charge).unwrap_or_else(|| {
            fresh = State::fresh(charge.rule.window);
            &mut fresh
        });
        // Few counters are ever held of, and only those have something beside them.
        let has_holds = matches!(op, Op::Hold { .. }) || matches!(state, State::Held(_));
        if !charge.has_holds() || !has_holds {
            let outcome = ask(state, charge.rule, op, overrun, at);
            if op.is_made(&outcome, overrun) {
                seat.charged(idle_from(&outcome, state, charge.rule, at));
            }
            return outcome;
        }
        let (state, holds) = state.counted_and_held();
        let were_many = holds.are_many();
        holds.lapse(at);
        let outcome = state.charge_beside(holds, holder, charge.rule, op, overrun, at);
        let is_crowded = holds.are_many() && !were_many;
        if op.is_made(&outcome, overrun) {
            // What is held is spent sooner or later: the place is kept for that.
            let lapse = holds.last_lapse().unwrap_or_default();
            seat.charged(lapse.max(idle_from(&outcome, state, charge.rule, at)));
        }
        if is_crowded {
            seat.note_crowded(shards);
        }
        outcome
    }

    /// Ends the hold of `holder` at the counter of the charge at `index`. Tells whether it was open.
    pub(super) fn end_hold(&mut self, index: usize, holder: Holder) -> bool {
        let holder = self.holder_at(index, holder);
        let at = self.at;
        let Some(holds) = self.state(index).and_then(State::holds) else { return false };
        holds.lapse(at);
        holds.take(holder).is_some()
    }

    /// Who holds what `holder` holds by the charge at `index`: newcomers hold their own of what they share.
    fn holder_at(&self, index: usize, holder: Holder) -> Holder {
        match self.seats[index].at {
            At::Shared => Holder { id: HoldId(holder.id.0 ^ self.call.charges[index].key.id), ..holder },
            _ => holder,
        }
    }

    /// The counter that the charge at `index` is made to, if it is kept.
    fn state(&mut self, index: usize) -> Option<&mut State> {
        self.seats[index].state(&mut self.shards, &mut self.shared, &self.call.charges[index])
    }

    fn take_back(&mut self) {
        for (index, before) in std::mem::take(&mut self.undo).into_iter().rev() {
            if let Some(state) = self.state(index) {
                *state.counted() = before;
            }
        }
        self.seats.iter_mut().for_each(Seat::uncharged);
        let (charges, at) = (self.call.charges, self.at);
        for (index, charge) in charges.iter().enumerate() {
            if matches!(charge.op, Op::Hold { .. }) {
                self.end_hold(index, self.holder.within(charge.rule.window, at));
            }
        }
    }
}
