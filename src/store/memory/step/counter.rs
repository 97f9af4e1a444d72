//! The counter that a charge of a step is made to: what may be done to it, once it is found.

use crate::algorithm::{HoldId, Holder, Op, Outcome, Overrun, State};
use crate::clock::Timestamp;
use crate::store::Charge;
use crate::store::memory::{ask, idle_from};

use super::seats::{At, Seat};

/// A counter in the hand of a step.
pub(in crate::store::memory) struct Counter<'s> {
    pub(super) charge: &'s Charge<'s>,
    pub(super) at: Timestamp,
    pub(super) seat: &'s mut Seat,
    pub(super) state: &'s mut State,
}

impl Counter<'_> {
    /// Does `op`; what it holds is `holder`'s.
    pub(in crate::store::memory) fn ask(&mut self, op: Op, overrun: Overrun, holder: Holder) -> Outcome {
        // Few counters are ever held of, and only those have something beside them.
        let has_holds = matches!(op, Op::Hold { .. }) || matches!(self.state, State::Held(_));
        if has_holds && self.charge.has_holds() {
            return self.ask_beside(op, overrun, holder);
        }
        let rule = self.charge.rule;
        let outcome = ask(self.state, rule, op, overrun, self.at);
        if op.is_made(&outcome, overrun) {
            self.seat.charged(idle_from(&outcome, self.state, rule, self.at));
        }
        outcome
    }

    /// As [`ask`](Self::ask), where something may be held.
    fn ask_beside(&mut self, op: Op, overrun: Overrun, holder: Holder) -> Outcome {
        let (rule, at, holder) = (self.charge.rule, self.at, self.own(holder));
        let (state, holds) = self.state.counted_and_held();
        let were_many = holds.are_many();
        holds.lapse(at);
        let outcome = state.charge_beside(holds, holder, rule, op, overrun, at);
        if op.is_made(&outcome, overrun) {
            // What is held is spent sooner or later: the place is kept for that.
            let lapse = holds.last_lapse().unwrap_or_default();
            self.seat.charged(lapse.max(idle_from(&outcome, state, rule, at)));
        }
        if holds.are_many() && !were_many {
            self.seat.crowded();
        }
        outcome
    }

    /// Ends the hold of `holder`. Tells whether it was open.
    pub(in crate::store::memory) fn end_hold(&mut self, holder: Holder) -> bool {
        let holder = self.own(holder);
        let Some(holds) = self.state.holds() else { return false };
        holds.lapse(self.at);
        holds.take(holder).is_some()
    }

    /// Who holds here what `holder` holds: newcomers hold their own of what they share.
    fn own(&self, holder: Holder) -> Holder {
        match self.seat.at {
            At::Shared => Holder { id: HoldId(holder.id.0 ^ self.charge.key.id), ..holder },
            _ => holder,
        }
    }
}
