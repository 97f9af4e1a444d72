//! Amounts in the order in which they lapse: few stand in a row, many in a tree.
//!
//! Most counters have one hold or two at a time, and a row of so few needs no heap. Knows nothing of what the amounts are.

use std::collections::BTreeMap;

use smallvec::SmallVec;

use crate::clock::Timestamp;

use super::Holder;

/// How many stand in a row at most: moving them is quicker than finding one in a tree.
const FEW: usize = 16;
/// How many have room in the row by itself.
const BY_ITSELF: usize = 2;

/// Amounts of holders, by the time of their lapse.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    /// All of them, or none if they are many.
    row: SmallVec<[(Place, u64); BY_ITSELF]>,
    /// All of them, once they were too many for the row and until none is left.
    tree: BTreeMap<Place, u64>,
}

/// When somebody lapses, and who that is: as bytes, since a number would leave gaps.
type Place = (Timestamp, [u8; 16]);

fn place(holder: Holder) -> Place {
    (holder.until, holder.id.0.to_be_bytes())
}

impl Line {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.row.len() + self.tree.len()
    }

    /// When the last of them lapses.
    pub(super) fn last(&self) -> Option<Timestamp> {
        let place = self.row.last().map(|(place, _)| place);
        place.or_else(|| self.tree.last_key_value().map(|(place, _)| place)).map(|(until, _)| *until)
    }

    /// Whether they take more room than a line has by itself.
    pub(super) fn is_long(&self) -> bool {
        self.row.spilled() || !self.tree.is_empty()
    }

    /// When each of them lapses and how much it is, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Timestamp, u64)> {
        let row = self.row.iter().map(|((until, _), amount)| (*until, *amount));
        row.chain(self.tree.iter().map(|((until, _), amount)| (*until, *amount)))
    }

    /// Takes the first away, if it has lapsed by `now`. Tells how much it was.
    #[inline]
    pub(super) fn take_first(&mut self, now: Timestamp) -> Option<u64> {
        if let Some(((until, _), _)) = self.row.first() {
            return (*until <= now).then(|| self.row.remove(0).1);
        }
        let first = self.tree.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    /// Adds `amount` to what `holder` has.
    pub(super) fn add(&mut self, holder: Holder, amount: u64) {
        let place = place(holder);
        if !self.tree.is_empty() {
            *self.tree.entry(place).or_default() += amount;
            return;
        }
        match self.find(place) {
            Ok(index) => self.row[index].1 += amount,
            Err(index) if self.row.len() < FEW => self.row.insert(index, (place, amount)),
            Err(_) => {
                self.tree.extend(self.row.drain(..));
                self.tree.insert(place, amount);
            }
        }
    }

    /// Takes away what `holder` has; `None` if it has nothing.
    pub(super) fn take(&mut self, holder: Holder) -> Option<u64> {
        let place = place(holder);
        match self.find(place) {
            Ok(index) => Some(self.row.remove(index).1),
            Err(_) => self.tree.remove(&place),
        }
    }

    /// Where in the row `place` is, or belongs.
    fn find(&self, place: Place) -> Result<usize, usize> {
        self.row.binary_search_by_key(&place, |(place, _)| *place)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::algorithm::HoldId;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn few_and_many_stand_in_the_same_order(
            steps in prop::collection::vec((0..60_u64, 0..3_u128, 0..9_u64, 0..8_u8), 1..400)
        ) {
            let (mut line, mut all) = (Line::default(), BTreeMap::<Place, u64>::new());
            for (until, id, amount, what) in steps {
                let holder = Holder { id: HoldId(id), until: Timestamp(until) };
                let place = place(holder);
                match what {
                    0..6 => {
                        line.add(holder, amount);
                        *all.entry(place).or_default() += amount;
                    }
                    6 => prop_assert_eq!(line.take(holder), all.remove(&place)),
                    _ => {
                        let lapsed = Timestamp(until / 4);
                        let first = all.first_entry().filter(|first| first.key().0 <= lapsed);
                        prop_assert_eq!(line.take_first(lapsed), first.map(|first| first.remove()));
                    }
                }
                let expected: Vec<_> = all.iter().map(|((until, _), amount)| (*until, *amount)).collect();
                prop_assert_eq!(line.iter().collect::<Vec<_>>(), expected);
                prop_assert_eq!(line.len(), all.len());
                prop_assert_eq!(line.last(), all.last_key_value().map(|(place, _)| place.0));
                prop_assert!(line.row.is_empty() || line.tree.is_empty());
            }
        }
    }

    #[test]
    fn a_row_that_is_short_needs_no_heap() {
        let mut line = Line::default();
        for id in 0..BY_ITSELF as u128 {
            line.add(Holder { id: HoldId(id), until: Timestamp(1) }, 1);
        }
        assert!(!line.is_long());
        line.add(Holder { id: HoldId(9), until: Timestamp(1) }, 1);
        assert!(line.is_long());
    }
}
