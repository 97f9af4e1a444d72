//! The open holds of one shard's counters.
//!
//! Few counters have any, so they stand in a map of their own, beside the table. What has lapsed is let go whenever a
//! counter with holds is asked for, also where nobody asks for its own: nothing is left behind for long.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;

use crate::algorithm::Holds;
use crate::clock::Timestamp;

/// Holds by counter.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// Those of a counter stay here, even when there are none, until they are looked through.
    of: HashMap<u128, Holds, RandomState>,
    /// When the holds of a counter are looked through; once each.
    looked_through: BTreeSet<(Timestamp, u128)>,
}

impl Open {
    /// Takes out the holds of the counter `id`. They are to be put back.
    pub(super) fn take(&mut self, id: u128, now: Timestamp) -> Holds {
        self.look_through(now);
        self.of.get_mut(&id).map(std::mem::take).unwrap_or_default()
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

    fn look_through(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.looked_through.first().copied().filter(|(at, _)| *at <= now) {
            self.looked_through.remove(&(at, id));
            let Some(holds) = self.of.get_mut(&id) else { continue };
            holds.lapse(now);
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

    #[test]
    fn nothing_is_left_of_what_nobody_asks_for_again() {
        let mut open = Open::default();
        for id in 0..100_u8 {
            let mut holds = open.take(id.into(), Timestamp(0));
            holds.put(Holder { id: HoldId(id.into()), until: Timestamp(10 + u64::from(id)) }, 1);
            open.put_back(id.into(), holds);
        }
        assert_eq!(open.take(1000, Timestamp(59)).held(), 0);
        assert_eq!((open.of.len(), open.looked_through.len()), (50, 50));
        let mut holds = open.take(99, Timestamp(108));
        assert_eq!(holds.held(), 1);
        holds.put(Holder { id: HoldId(7), until: Timestamp(500) }, 1);
        open.put_back(99, holds);
        open.take(7, Timestamp(499));
        assert_eq!((open.of.len(), open.looked_through.len()), (1, 1));
        let holds = open.take(7, Timestamp(500));
        open.put_back(7, holds);
        assert_eq!((open.of.len(), open.looked_through.len()), (0, 0));
    }
}
