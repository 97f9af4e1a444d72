//! Where the charges of a step are made: every charge gets a seat, at its counter.
//!
//! A counter that a call sits at is not let go before the call is over, however idle it is: the place of one charge must
//! not go to the newcomer of another. So a call that brings newcomers takes all others in hand first.

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use crate::algorithm::{Op, Overrun, State};
use crate::clock::Timestamp;
use crate::limits::{OnError, Window};
use crate::store::Charge;
use crate::store::memory::shard::Shard;
use crate::store::memory::table::{NEVER, Place};
use crate::store::memory::{MemoryStore, Shared, ask, long_before, shared};

use super::{FEW, Step};

/// Where a charge is made.
pub(super) struct Seat {
    /// The number of its shard among those that are locked.
    shard: usize,
    pub(super) at: At,
}

/// Where in or beside a shard.
pub(super) enum At {
    /// At a counter of the shard.
    Kept {
        place: Place,
        /// From when on it was idle before the call took it in hand, if it did.
        idle_from: Option<Timestamp>,
        /// From when on it is idle now that it was charged.
        charged: Option<Timestamp>,
        /// It has come to have many holds.
        is_crowded: bool,
    },
    /// At the counter that newcomers share.
    Shared,
    /// At a fresh counter that is not kept.
    Fresh,
    /// Nowhere: its policy decides.
    Nowhere,
}

/// The shards that a call touches, in ascending order.
type Locked<'m> = SmallVec<[(usize, MutexGuard<'m, Shard>); FEW]>;

/// Has `locked` be the shards of `charges`.
fn lock<'m>(store: &'m MemoryStore, charges: &[Charge<'_>], locked: &mut Locked<'m>) {
    let mut wanted: SmallVec<[usize; FEW]> = SmallVec::new();
    wanted.extend(charges.iter().map(|charge| store.shard_of(charge.key.id)));
    wanted.sort_unstable();
    wanted.dedup();
    locked.extend(wanted.iter().map(|index| (*index, store.shards[*index].0.lock())));
}

impl Seat {
    /// The counter that `charge` is made to here, if it is kept.
    pub(super) fn state<'s>(
        &self,
        shards: &'s mut [(usize, MutexGuard<'_, Shard>)],
        newcomers: &'s mut Option<MutexGuard<'_, Shared>>,
        charge: &Charge<'_>,
    ) -> Option<&'s mut State> {
        match (&self.at, newcomers) {
            (At::Kept { place, .. }, _) => Some(shards[self.shard].1.state(*place)),
            (At::Shared, Some(newcomers)) => Some(shared(newcomers, charge)),
            _ => None,
        }
    }

    /// Its counter has come to have many holds.
    #[cold]
    pub(super) fn crowded(&mut self) {
        if let At::Kept { is_crowded, .. } = &mut self.at {
            *is_crowded = true;
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

impl Step<'_, '_> {
    /// Locks all that the call touches, and seats every charge, those first whose counters are there.
    #[inline(never)]
    pub(in crate::store::memory) fn sit_down(&mut self) {
        let Self { store, call, shards, seats, .. } = self;
        lock(store, call.charges, shards);
        // Only now: see there.
        self.round = store.rounds.now();
        shards.iter_mut().for_each(|(_, shard)| shard.enter(self.round));
        seats.extend(call.charges.iter().map(|charge| seat(store, shards, charge)));
        let mut newcomers = false;
        for (index, charge) in self.call.charges.iter().enumerate() {
            if matches!(self.seats[index].at, At::Fresh) && !matches!(charge.rule.window, Window::Request) {
                // Another charge of the call may have brought the counter.
                self.seats[index] = seat(self.store, &mut self.shards, charge);
                self.welcome(index, charge.op, charge.overrun(self.call.admission));
                newcomers = true;
            }
        }
        if newcomers {
            self.sit_closer();
        }
        self.let_go();
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

    /// Finds a place for the charge at `index`, which asked for none at first, now that it comes to hold something.
    #[cold]
    pub(super) fn welcome_late(&mut self, index: usize, op: Op, overrun: Overrun) {
        self.seats[index] = seat(self.store, &mut self.shards, &self.call.charges[index]);
        self.welcome(index, op, overrun);
        self.sit_closer();
    }

    /// Finds a place for the charge at `index` to do `op`, if its counter is not there. What cannot change it needs no
    /// place.
    fn welcome(&mut self, index: usize, op: Op, overrun: Overrun) {
        let Seat { shard, at: At::Fresh, .. } = self.seats[index] else { return };
        let (charge, at) = (&self.call.charges[index], self.at);
        let mut fresh = State::fresh(charge.rule.window);
        let outcome = ask(&mut fresh, charge.rule, op.peek(), overrun, at);
        if op.takes_all_off() || !op.is_made(&outcome, overrun) {
            return;
        }
        self.take_in_hand();
        let counters = &mut self.shards[shard].1;
        let place = counters.insert(charge.key.id, fresh, NEVER, at, &self.store.places);
        self.seats[index].at = match (place, charge.on_error) {
            (Some(place), _) => {
                At::Kept { place, idle_from: Some(Timestamp(0)), charged: None, is_crowded: false }
            }
            (None, OnError::Local) => {
                self.shared.get_or_insert_with(|| self.store.shared.lock());
                At::Shared
            }
            (None, OnError::Allow | OnError::Deny) => At::Nowhere,
        };
    }

    /// Takes all counters in hand that the call sits at, so that no newcomer has the place of one.
    fn take_in_hand(&mut self) {
        for seat in &mut self.seats {
            if let At::Kept { place, idle_from: idle_from @ None, .. } = &mut seat.at {
                *idle_from = Some(self.shards[seat.shard].1.note_idle_from(*place, NEVER));
            }
        }
    }

    /// Lets go of what lapsed long ago, where holds are asked for.
    fn let_go(&mut self) {
        if !self.call.charges.iter().any(Charge::has_holds) {
            return;
        }
        self.shards.iter_mut().for_each(|(_, shard)| shard.let_go(self.at));
        for state in self.shared.iter_mut().flat_map(|shared| shared.values_mut()) {
            state.holds().map(|holds| holds.lapse(long_before(self.at)));
        }
    }

    /// Lets go of all counters. The first seat at a counter knows what was before, the last that was charged what is now.
    pub(in crate::store::memory) fn stand_up(&mut self) {
        for seat in &self.seats {
            let At::Kept { place, idle_from, charged, is_crowded } = seat.at else { continue };
            let counters = &mut self.shards[seat.shard].1;
            if let Some(idle_from) = charged {
                counters.note_idle_from(place, idle_from);
                counters.note_changed_at(place);
            } else if let Some(idle_from) = idle_from.filter(|idle_from| *idle_from != NEVER) {
                counters.note_idle_from(place, idle_from);
            }
            if is_crowded {
                counters.note_crowded(place);
            }
        }
        self.shared = None;
        self.shards.clear();
    }
}

/// A seat at the counter of `charge`, or at a fresh one if it has none.
fn seat(store: &MemoryStore, shards: &mut [(usize, MutexGuard<'_, Shard>)], charge: &Charge<'_>) -> Seat {
    let wanted = store.shard_of(charge.key.id);
    let found = shards.binary_search_by_key(&wanted, |(index, _)| *index);
    let shard = found.expect("every shard that a call touches was locked");
    let counters = &mut shards[shard].1;
    counters.tell_before(charge.key.id);
    let at = counters.find(charge.key.id).map_or(At::Fresh, |place| At::Kept {
        place,
        idle_from: None,
        charged: None,
        is_crowded: false,
    });
    Seat { shard, at }
}
