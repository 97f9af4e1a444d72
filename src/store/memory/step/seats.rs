//! Where the charges of a step are made: every charge gets a seat, at its counter.
//!
//! A counter that a call sits at is not let go before the call is over, however idle it is: the place of one charge must
//! not go to the newcomer of another. What is held beside the counters is in hand until then.

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use crate::algorithm::{Holds, State};
use crate::clock::Timestamp;
use crate::limits::{OnError, Window};
use crate::store::Charge;
use crate::store::memory::open::{self, Open};
use crate::store::memory::shard::Shard;
use crate::store::memory::table::{NEVER, Place};
use crate::store::memory::{MemoryStore, Shared, ask, shared};

use super::{FEW, Step};

/// Where a charge is made.
pub(super) struct Seat {
    /// The number of its shard among those that are locked.
    shard: usize,
    pub(super) at: At,
    /// The number of what is held beside its counter, where anything may be.
    pub(super) hand: Option<usize>,
}

/// Where in or beside a shard.
pub(super) enum At {
    /// At a counter of the shard.
    Kept {
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
    Nowhere,
}

/// What is held beside a counter.
pub(super) struct Hand {
    id: u128,
    /// Whether it is held beside a counter that newcomers share.
    is_shared: bool,
    /// Where it stands, if there is any.
    place: Option<open::Place>,
}

/// The shards that a call touches, in ascending order.
type Locked<'m> = SmallVec<[(usize, MutexGuard<'m, Shard>); FEW]>;

pub(super) fn lock<'m>(store: &'m MemoryStore, charges: &[Charge<'_>]) -> Locked<'m> {
    let mut wanted: SmallVec<[usize; FEW]> =
        charges.iter().map(|charge| store.shard_of(charge.key.id)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted.into_iter().map(|index| (index, store.shards[index].0.lock())).collect()
}

impl Seat {
    /// The counter that `charge` is made to here, if it is kept, and where what is held beside it stands.
    pub(super) fn state<'s>(
        &self,
        shards: &'s mut [(usize, MutexGuard<'_, Shard>)],
        newcomers: &'s mut Option<MutexGuard<'_, Shared>>,
        charge: &Charge<'_>,
    ) -> (Option<&'s mut State>, &'s mut Open) {
        let shard = &mut *shards[self.shard].1;
        match (&self.at, newcomers) {
            (At::Kept { place, .. }, _) => {
                let (state, open) = shard.state_and_open(*place);
                (Some(state), open)
            }
            (At::Shared, Some(newcomers)) => {
                let Shared { states, open } = &mut **newcomers;
                (Some(shared(states, charge)), open)
            }
            _ => (None, &mut shard.open),
        }
    }

    /// Its counter was charged and is idle from then on.
    pub(super) fn charged(&mut self, idle_from: Timestamp) {
        if let At::Kept { charged, .. } = &mut self.at {
            *charged = Some(idle_from);
        }
    }

    /// Its counter was not charged after all.
    pub(super) fn uncharged(&mut self) {
        if let At::Kept { charged, .. } = &mut self.at {
            *charged = None;
        }
    }
}

impl Hand {
    /// Has `act` act on the holds, which stand in `open`, without those that have lapsed by `now`. Tells when the last of
    /// them lapses then.
    pub(super) fn act<T>(
        &mut self,
        open: &mut Open,
        now: Timestamp,
        act: impl FnOnce(&mut Holds) -> T,
    ) -> (T, Option<Timestamp>) {
        if let Some(place) = self.place {
            let holds = open.at(place);
            holds.lapse(now);
            return (act(holds), holds.last_lapse());
        }
        let mut holds = Holds::default();
        let (done, last_lapse) = (act(&mut holds), holds.last_lapse());
        if last_lapse.is_some() {
            self.place = open.keep(self.id, holds);
        }
        (done, last_lapse)
    }
}

impl Step<'_, '_> {
    /// Seats every charge, those first whose counters are there, and takes in hand what is held beside them.
    pub(super) fn sit_down(&mut self) {
        for charge in self.call.charges {
            let seat = self.seat(charge);
            self.seats.push(seat);
        }
        let mut newcomers = false;
        for (index, charge) in self.call.charges.iter().enumerate() {
            if matches!(self.seats[index].at, At::Fresh) && !matches!(charge.rule.window, Window::Request) {
                // Another charge of the call may have brought the counter.
                self.seats[index] = self.seat(charge);
                self.welcome(index);
                newcomers = true;
            }
        }
        if newcomers {
            self.sit_closer();
        }
        self.take_in_hand();
    }

    /// Finds all counters once more: newcomers have moved others.
    fn sit_closer(&mut self) {
        for (seat, charge) in self.seats.iter_mut().zip(self.call.charges) {
            if let At::Kept { place, .. } = &mut seat.at {
                let counters = &self.shards[seat.shard].1;
                *place = counters.find(charge.key.id).expect("a counter in hand is not let go");
            }
        }
    }

    /// At the counter of `charge`, or at a fresh one if it has none.
    fn seat(&mut self, charge: &Charge<'_>) -> Seat {
        let shard = self.shard_of(charge);
        let counters = &mut self.shards[shard].1;
        counters.tell_before(charge.key.id);
        let at = match counters.find(charge.key.id) {
            Some(place) => {
                let idle_from = counters.note_idle_from(place, NEVER);
                At::Kept { place, idle_from, charged: None }
            }
            None => At::Fresh,
        };
        Seat { shard, at, hand: None }
    }

    /// Finds a place for the charge at `index`, if its counter is not there. What cannot change it needs no place.
    fn welcome(&mut self, index: usize) {
        let Seat { shard, at: At::Fresh, .. } = self.seats[index] else { return };
        let (charge, at) = (&self.call.charges[index], self.at);
        let (mut fresh, overrun) = (State::fresh(charge.rule.window), charge.overrun(self.call.admission));
        let outcome = ask(&mut fresh, charge.rule, charge.op.peek(), overrun, at);
        if !charge.op.is_made(&outcome, overrun) {
            return;
        }
        let counters = &mut self.shards[shard].1;
        let place = counters.insert(charge.key.id, fresh, NEVER, at, &self.store.places);
        self.seats[index].at = match (place, charge.on_error) {
            (Some(place), _) => At::Kept { place, idle_from: Timestamp(0), charged: None },
            (None, OnError::Local) => {
                self.shared.get_or_insert_with(|| self.store.shared.lock());
                At::Shared
            }
            (None, OnError::Allow | OnError::Deny) => At::Nowhere,
        };
    }

    /// Finds what is held beside the counters, of each once.
    fn take_in_hand(&mut self) {
        if !self.call.charges.iter().any(Charge::has_holds) {
            return;
        }
        // Places are good only once nobody else is let go.
        self.shards.iter_mut().for_each(|(_, shard)| shard.open.let_go(self.at));
        self.shared.iter_mut().for_each(|shared| shared.open.let_go(self.at));
        for (seat, charge) in self.seats.iter_mut().zip(self.call.charges) {
            if !charge.has_holds() {
                continue;
            }
            let is_shared = matches!(seat.at, At::Shared);
            let id = if is_shared { charge.overflow } else { charge.key.id };
            let known = self.hands.iter().position(|hand| hand.id == id && hand.is_shared == is_shared);
            seat.hand = known.or(Some(self.hands.len()));
            if known.is_none() {
                let (_, open) = seat.state(&mut self.shards, &mut self.shared, charge);
                self.hands.push(Hand { id, is_shared, place: open.find(id) });
            }
        }
    }

    /// Lets go of all counters. The first seat at a counter knows what was before, the last that was charged what is now.
    pub(in crate::store::memory) fn stand_up(mut self) {
        for seat in &self.seats {
            let At::Kept { place, idle_from, charged } = seat.at else { continue };
            let counters = &mut self.shards[seat.shard].1;
            if let Some(idle_from) = charged {
                counters.note_idle_from(place, idle_from);
                counters.note_changed_at(place);
            } else if idle_from != NEVER {
                counters.note_idle_from(place, idle_from);
            }
        }
    }

    /// The number of the shard of `charge` among those that are locked.
    fn shard_of(&self, charge: &Charge<'_>) -> usize {
        let wanted = self.store.shard_of(charge.key.id);
        let found = self.shards.binary_search_by_key(&wanted, |(index, _)| *index);
        found.expect("every shard that a call touches was locked")
    }
}
