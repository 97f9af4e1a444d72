//! Several charges in one step: all made in place under the locks of their shards, and taken back if the call is
//! refused.

mod counter;
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
use super::{MemoryStore, Shared};
use counter::Counter;
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
    /// The counter of a charge that has none, as long as it is asked.
    fresh: State,
}

/// A look that asks for no room.
pub(super) const NOTHING: Op = Op::Take { room: 0, charge: 0 };
/// Of calls that take no holds.
pub(super) const NOBODY: Holder = Holder { id: HoldId(0), until: Timestamp(0) };

impl<'m, 'c> Step<'m, 'c> {
    /// Does all that `call` asks of `store`.
    #[inline(never)]
    pub(super) fn run(store: &'m MemoryStore, call: Call<'c>, at: Timestamp) -> Answer {
        let mut step = Self::new(store, call, at, NOBODY);
        step.sit_down();
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
        let mut step = Self::new(store, call, at, NOBODY);
        step.sit_down();
        let wanted = step.wants_places();
        let outcomes = if wanted.is_none() { step.outcomes() } else { Outcomes::new() };
        step.stand_up();
        wanted.map_or(Ok(Answer { at, outcomes, degraded: None }), Err)
    }

    /// For all that `call` asks of `store`. Whoever begins one lets it [`sit_down`](Self::sit_down) first, where it stays
    /// then: it is too large to be moved for nothing. In the end it has to [`stand_up`](Self::stand_up).
    #[inline(always)]
    pub(super) fn new(store: &'m MemoryStore, call: Call<'c>, at: Timestamp, holder: Holder) -> Self {
        Self {
            store,
            call,
            at,
            round: Round::default(),
            holder,
            share: Share::WHOLE,
            shards: SmallVec::new(),
            shared: None,
            seats: SmallVec::new(),
            undo: SmallVec::new(),
            fresh: State::Nothing,
        }
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
        if outcomes.iter().all(Outcome::is_admitted) {
            return outcomes;
        }
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
        let charge = &self.call.charges[index];
        if matches!(op, Op::Hold { .. }) && matches!(self.seats[index].at, At::Fresh) && charge.has_holds() {
            self.welcome_late(index, op, overrun);
        }
        match self.counter(index) {
            Some(mut counter) => counter.ask(op, overrun, holder),
            None => Charge { op, ..*charge }.stand_in(),
        }
    }

    /// The counter of the charge at `index`, or a fresh one; `None` if its policy decides.
    pub(super) fn counter(&mut self, index: usize) -> Option<Counter<'_>> {
        let Self { shards, shared, seats, fresh, call, at, .. } = self;
        let (charge, seat) = (&call.charges[index], &mut seats[index]);
        if matches!(seat.at, At::Nowhere) {
            return None;
        }
        let state = match seat.state(shards, shared, charge) {
            Some(state) => state,
            None => {
                *fresh = State::fresh(charge.rule.window);
                fresh
            }
        };
        Some(Counter { charge, at: *at, seat, state })
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
                let holder = self.holder.within(charge.rule.window, at);
                self.counter(index).map(|mut counter| counter.end_hold(holder));
            }
        }
    }
}
