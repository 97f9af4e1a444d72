//! The open holds of one shard's counters.
//!
//! Few counters have any, so they stand in a map of their own, beside the table. What has lapsed of a counter is let go
//! by whoever asks for it, and what lapsed long ago of others when anyone asks: nothing is left behind for long, and time
//! that runs back a little finds what lapsed unseen as it was.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;

use crate::algorithm::{Holder, Holds};
use crate::clock::Timestamp;

use super::{LET_GO_AT_ONCE, long_before};

/// Holds by counter.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// Where those of a counter stand: they stay there, even when there are none, until they are looked through.
    of: HashMap<u128, Place, RandomState>,
    places: Vec<Holds>,
    free: Vec<Place>,
    /// When the holds of a counter are looked through; once each.
    looked_through: BTreeSet<(Timestamp, u128)>,
}

/// Where the holds of a counter stand, until others are [let go](Open::let_go).
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(usize);

impl Open {
    /// Lets go of what lapsed long before `now`; the rest of very much with later calls.
    pub(super) fn let_go(&mut self, now: Timestamp) {
        let (then, mut gone) = (long_before(now), 0);
        while gone < LET_GO_AT_ONCE
            && let Some((at, id)) = self.looked_through.first().copied().filter(|(at, _)| *at <= then)
        {
            self.looked_through.remove(&(at, id));
            gone += 1;
            let Some(place) = self.find(id) else { continue };
            gone += self.at(place).lapse(then);
            match self.at(place).last_lapse() {
                Some(until) => _ = self.looked_through.insert((until, id)),
                None => self.remove(id, place),
            }
        }
    }

    /// Where the holds of the counter `id` stand; `None` if it has none.
    pub(super) fn find(&self, id: u128) -> Option<Place> {
        self.of.get(&id).copied()
    }

    /// The holds that stand there.
    pub(super) fn at(&mut self, place: Place) -> &mut Holds {
        &mut self.places[place.0]
    }

    /// Keeps `holds`, some, of the counter `id`, which has none yet.
    pub(super) fn keep(&mut self, id: u128, holds: Holds) -> Option<Place> {
        self.looked_through.insert((holds.last_lapse()?, id));
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Holds::default());
            Place(self.places.len() - 1)
        });
        *self.at(place) = holds;
        self.of.insert(id, place);
        Some(place)
    }

    /// Holds `amount` of the counter `id`.
    pub(super) fn hold(&mut self, id: u128, holder: Holder, amount: u64) {
        if let Some(place) = self.find(id) {
            return self.at(place).put(holder, amount);
        }
        let mut holds = Holds::default();
        holds.put(holder, amount);
        self.keep(id, holds);
    }

    fn remove(&mut self, id: u128, place: Place) {
        *self.at(place) = Holds::default();
        self.of.remove(&id);
        self.free.push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::HoldId;
    use crate::store::memory::STANDSTILL;

    /// Holds 1 of the counter `id`.
    fn hold(open: &mut Open, id: u128, holder: u128, until: u64) {
        let holder = Holder { id: HoldId(holder), until: Timestamp(until) };
        open.hold(id, holder, 1);
    }

    fn held(open: &mut Open, id: u128, now: u64) -> u64 {
        let Some(place) = open.find(id) else { return 0 };
        open.at(place).lapse(Timestamp(now));
        open.at(place).held()
    }

    fn sizes(open: &Open) -> [usize; 3] {
        [open.of.len(), open.looked_through.len(), open.places.len() - open.free.len()]
    }

    #[test]
    fn nothing_is_left_of_what_nobody_asks_for_again() {
        let mut open = Open::default();
        let long_after = |at: u64| Timestamp(at + STANDSTILL.0);
        (0..100_u8).for_each(|id| hold(&mut open, id.into(), id.into(), 10 + u64::from(id)));
        open.let_go(long_after(59));
        assert_eq!(sizes(&open), [50; 3]);
        assert_eq!([held(&mut open, 1000, 0), held(&mut open, 49, 0), held(&mut open, 99, 108)], [0, 0, 1]);
        hold(&mut open, 99, 7, 500);
        open.let_go(long_after(499));
        assert_eq!(sizes(&open), [1; 3]);
        open.let_go(long_after(500));
        assert_eq!(sizes(&open), [0; 3]);
        (0..100).for_each(|id| hold(&mut open, id, id, 900));
        assert_eq!(open.places.len(), 100, "places are used again");
    }

    #[test]
    fn what_lapsed_stays_so_where_it_was_seen_and_only_there() {
        let mut open = Open::default();
        [1, 2].into_iter().for_each(|id| hold(&mut open, id, id, 10));
        assert_eq!(held(&mut open, 1, 10), 0);
        assert_eq!([1, 2].map(|id| held(&mut open, id, 9)), [0, 1]);
    }
}
