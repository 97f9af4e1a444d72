//! The open holds of one shard's counters.
//!
//! Few counters have any, so they stand in a map of their own, beside the table. What has lapsed of a counter is let go
//! when it is asked for, and what lapsed long ago of others when anyone asks: nothing is left behind for long, and time
//! that runs back a little finds what lapsed unseen as it was.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;

use crate::algorithm::Holds;
use crate::clock::Timestamp;

use super::{LET_GO_AT_ONCE, long_before};

/// Holds by counter.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// Those of a counter stay here, even when there are none, until they are looked through.
    of: HashMap<u128, Holds, RandomState>,
    /// When the holds of a counter are looked through; once each.
    looked_through: BTreeSet<(Timestamp, u128)>,
}

impl Open {
    /// Takes out the holds of the counter `id` that have not lapsed. They are to be put back.
    pub(super) fn take(&mut self, id: u128, now: Timestamp) -> Holds {
        self.look_through(long_before(now));
        let mut holds = self.of.get_mut(&id).map(std::mem::take).unwrap_or_default();
        holds.lapse(now);
        holds
    }

    /// Puts the holds of the counter `id` back.
    pub(super) fn put_back(&mut self, id: u128, holds: Holds) {
        if let Some(place) = self.of.get_mut(&id) {
            *place = holds;
        } else if let Some(until) = holds.last_lapse() {
            self.of.insert(id, holds);
            self.looked_through.insert((until, id));
        }
    }

    /// Lets go of what lapsed by `then`; the rest of very much with later calls.
    fn look_through(&mut self, then: Timestamp) {
        let mut gone = 0;
        while gone < LET_GO_AT_ONCE
            && let Some((at, id)) = self.looked_through.first().copied().filter(|(at, _)| *at <= then)
        {
            self.looked_through.remove(&(at, id));
            gone += 1;
            let Some(holds) = self.of.get_mut(&id) else { continue };
            gone += holds.lapse(then);
            match holds.last_lapse() {
                Some(until) => _ = self.looked_through.insert((until, id)),
                None => _ = self.of.remove(&id),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::{HoldId, Holder};
    use crate::store::memory::STANDSTILL;

    #[test]
    fn nothing_is_left_of_what_nobody_asks_for_again() {
        let mut open = Open::default();
        let long_after = |at: u64| Timestamp(at + STANDSTILL.0);
        for id in 0..100_u8 {
            let mut holds = open.take(id.into(), Timestamp(0));
            holds.put(Holder { id: HoldId(id.into()), until: Timestamp(10 + u64::from(id)) }, 1);
            open.put_back(id.into(), holds);
        }
        assert_eq!(open.take(1000, long_after(59)).held(), 0);
        assert_eq!((open.of.len(), open.looked_through.len()), (50, 50));
        let mut holds = open.take(99, Timestamp(108));
        assert_eq!(holds.held(), 1);
        holds.put(Holder { id: HoldId(7), until: Timestamp(500) }, 1);
        open.put_back(99, holds);
        open.take(7, long_after(499));
        assert_eq!((open.of.len(), open.looked_through.len()), (1, 1));
        let holds = open.take(7, long_after(500));
        open.put_back(7, holds);
        assert_eq!((open.of.len(), open.looked_through.len()), (0, 0));
    }

    #[test]
    fn what_lapsed_stays_so_where_it_was_seen_and_only_there() {
        let mut open = Open::default();
        for id in [1, 2] {
            let mut holds = open.take(id, Timestamp(0));
            holds.put(Holder { id: HoldId(id), until: Timestamp(10) }, 1);
            open.put_back(id, holds);
        }
        let holds = open.take(1, Timestamp(10));
        open.put_back(1, holds);
        assert_eq!([1, 2].map(|id| open.take(id, Timestamp(9)).held()), [0, 1]);
    }
}
