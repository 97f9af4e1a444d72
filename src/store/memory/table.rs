//! The counters of a shard, in the order of their keys.
//!
//! A hash table made for one use. Keys are hashes already, and uniform, so a key tells about where it stands: at its
//! home, or as near behind it as there is room, in the order of the keys and with no free slot between. So a counter is
//! found with one access to memory, and its own: the slots behind a home lie beside it. Nearly all slots are taken,
//! which makes a counter small; in order, none stands far from its home even so, and a table that grows is read and
//! written from one end to the other.

use std::ops::Range;

use crate::algorithm::{State, Unreadable, read_number, write_number};
use crate::clock::Timestamp;
use crate::store::durable::Changes;

use super::changed::Changed;

/// How many homes a new table has for every four counters.
const HOMES_FOR_FOUR: usize = 5;
/// How many more it has, and how many slots there are as a rule beyond the last home.
const SPARE: usize = 16;
/// One home in so many stays free: the fewer do, the farther counters stand from theirs.
const FREE_ONE_IN: usize = 10;
/// How many homes lie in one stretch.
const STRETCH: usize = 64;
/// The most idle counters that a renewal lets go: what they have on the heap is freed under the lock.
const LET_GO_AT_ONCE: usize = 512;
/// The instant from which a counter is idle that never is by itself, or that a call has in hand.
pub(super) const NEVER: Timestamp = Timestamp(u64::MAX);

/// Slots, most of them taken.
#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Slot>,
    homes: usize,
    taken: usize,
    /// How many counters it is to hold about at last.
    at_last: usize,
    /// What has changed, where somebody keeps track of it.
    pub(super) changed: Option<Box<Changed>>,
}

/// A counter, or room for one.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) id: u128,
    pub(super) idle_from: Timestamp,
    pub(super) state: State,
}

/// Which slot, until a counter comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

impl Slot {
    /// That nobody has taken: behind all keys, and never live.
    const FREE: Self = Self { id: u128::MAX, idle_from: Timestamp(0), state: State::Nothing };

    fn is_free(&self) -> bool {
        matches!(self.state, State::Nothing)
    }

    /// Adds the counter to `changes`: its key, from when on it is idle, and its state.
    pub(super) fn write(&self, changes: &mut Changes) {
        changes.put(&self.id.to_be_bytes(), |bytes| {
            // 0 stands for never.
            write_number(bytes, self.idle_from.0.wrapping_add(1));
            self.state.write(bytes);
        });
    }

    /// Reads what stands behind the key of a counter that was written.
    pub(super) fn read(mut value: &[u8]) -> Result<(Timestamp, State), Unreadable> {
        let idle_from = read_number(&mut value).ok_or(Unreadable::Torn)?.wrapping_sub(1);
        match State::read(value)? {
            // It would be taken for a free slot.
            State::Nothing => Err(Unreadable::Torn),
            state => Ok((Timestamp(idle_from), state)),
        }
    }
}

/// How many homes a new table has that has so many counters.
fn homes_for(counters: usize) -> usize {
    counters * HOMES_FOR_FOUR / 4 + SPARE
}

impl Table {
    /// With nothing in it, to hold about so many counters at last. It has to be renewed before the first comes.
    pub(super) fn for_up_to(counters: usize) -> Self {
        Self { slots: Vec::new(), homes: 0, taken: 0, at_last: counters, changed: None }
    }

    /// Lets go of counters that are idle, of no more than can go at once, and makes room for more beside the others.
    /// Memory is taken once, so that none is left behind where the table stood before, and used as the table grows.
    pub(super) fn renew(&mut self, at: Timestamp) {
        if self.slots.capacity() == 0 {
            self.slots.reserve_exact(homes_for(self.at_last) + SPARE);
        }
        let mut may_go = LET_GO_AT_ONCE;
        self.slots.retain(|slot| {
            let stays = !slot.is_free() && (slot.idle_from > at || may_go == 0);
            if !stays && !slot.is_free() {
                may_go -= 1;
                let_go(&mut self.changed, slot);
            }
            stays
        });
        self.taken = self.slots.len();
        self.homes = homes_for(self.taken);
        let mut free = 0;
        let place = |slot: &Slot| {
            let place = self.home(slot.id).max(free);
            free = place + 1;
            place
        };
        let places: Vec<usize> = self.slots.iter().map(place).collect();
        self.reach(self.homes.max(free));
        for (before, after) in places.into_iter().enumerate().rev() {
            self.slots.swap(before, after);
        }
    }

    /// How many counters there are.
    pub(super) fn len(&self) -> usize {
        self.taken
    }

    /// Whether one more counter would take too long to find.
    pub(super) fn is_full(&self) -> bool {
        self.taken >= self.homes - self.homes / FREE_ONE_IN
    }

    /// The counter `id`: what [`find`](Self::find) finds, without asking for its place again. Most charges are made so.
    #[inline(always)]
    pub(super) fn get(&mut self, id: u128) -> Option<&mut Slot> {
        let home = self.home(id);
        let first = self.slots.get_mut(home..)?.iter_mut().find(|slot| slot.id >= id)?;
        (first.id == id && !first.is_free()).then_some(first)
    }

    /// Where the counter `id` stands.
    pub(super) fn find(&self, id: u128) -> Option<Place> {
        let home = self.home(id);
        let steps = self.slots.get(home..)?.iter().position(|slot| slot.id >= id)?;
        let first = &self.slots[home + steps];
        (first.id == id && !first.is_free()).then_some(Place(home + steps))
    }

    /// The counter at `place`.
    pub(super) fn at(&mut self, place: Place) -> &mut Slot {
        &mut self.slots[place.0]
    }

    /// Whether a newcomer of the key `id` would take over from a counter that is idle.
    pub(super) fn is_taken_over(&self, id: u128, at: Timestamp) -> bool {
        self.slots.get(self.way(id, at).end).is_some_and(|slot| !slot.is_free())
    }

    /// Puts a counter whose key is not there yet where it belongs. Those behind it move by one slot, up to the first
    /// that is free, or whose counter is idle and goes.
    pub(super) fn insert(&mut self, counter: Slot, at: Timestamp) -> Place {
        let Range { start, end } = self.way(counter.id, at);
        self.reach(end + 1);
        if self.slots[end].is_free() {
            self.taken += 1;
        } else {
            let_go(&mut self.changed, &self.slots[end]);
        }
        self.slots[start..=end].rotate_right(1);
        self.slots[start] = counter;
        Place(start)
    }

    /// Lets go of the counter at `place`. Those behind it that are not at home come nearer by one slot.
    pub(super) fn remove(&mut self, place: Place) {
        let start = place.0;
        let_go(&mut self.changed, &self.slots[start]);
        let comes = |(number, slot): &(usize, &Slot)| !slot.is_free() && self.home(slot.id) < *number;
        let behind = self.slots.iter().enumerate().skip(start + 1).take_while(comes).count();
        self.slots[start..=start + behind].rotate_left(1);
        self.slots[start + behind] = Slot::FREE;
        self.taken -= 1;
    }

    /// How many stretches there are.
    pub(super) fn stretches(&self) -> usize {
        self.homes.div_ceil(STRETCH)
    }

    /// In which stretch the counter `id` is at home, wherever it stands.
    pub(super) fn stretch_of(&self, id: u128) -> usize {
        self.home(id) / STRETCH
    }

    /// The counters that are at home in `stretch`, and where they stand.
    pub(super) fn stretch(&self, stretch: usize) -> impl Iterator<Item = (Place, &Slot)> {
        let all = self.slots.iter().enumerate().skip(stretch * STRETCH);
        let counters = all.filter(|(_, slot)| !slot.is_free());
        let from = counters.skip_while(move |(_, slot)| self.stretch_of(slot.id) < stretch);
        let those = from.take_while(move |(_, slot)| self.stretch_of(slot.id) == stretch);
        those.map(|(number, slot)| (Place(number), slot))
    }

    /// The counters with the keys from `first` to `last`, ascending.
    pub(super) fn between(&self, first: u128, last: u128) -> impl Iterator<Item = &Slot> {
        let slots = self.slots.get(self.home(first)..).unwrap_or_default();
        let counters = slots.iter().filter(|slot| !slot.is_free());
        counters.skip_while(move |slot| slot.id < first).take_while(move |slot| slot.id <= last)
    }

    /// How many counters it is to hold about at last.
    pub(super) fn at_last(&self) -> usize {
        self.at_last
    }

    /// Where `id` belongs, and how far those behind it have to move for it.
    fn way(&self, id: u128, at: Timestamp) -> Range<usize> {
        let home = self.home(id);
        let start = home + self.slots.iter().skip(home).take_while(|slot| slot.id < id).count();
        let live = self.slots.iter().skip(start).take_while(|slot| slot.idle_from > at).count();
        start..start + live
    }

    /// Makes sure that there are `wanted` slots. Beyond the last home there are few.
    fn reach(&mut self, wanted: usize) {
        let more = wanted.saturating_sub(self.slots.len());
        self.slots.reserve_exact(more);
        self.slots.extend((0..more).map(|_| Slot::FREE));
    }

    /// The share of the table that `id` has of all keys. The lowest bits choose the shard.
    #[expect(clippy::cast_possible_truncation, reason = "a share of the homes is less than they are")]
    fn home(&self, id: u128) -> usize {
        (((id >> 64) * self.homes as u128) >> 64) as usize
    }
}

/// Notes that the counter in `slot` is let go, where somebody keeps track of it.
fn let_go(changed: &mut Option<Box<Changed>>, slot: &Slot) {
    if let Some(changed) = changed {
        changed.let_go(slot.id);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{LET_GO_AT_ONCE, Place, SPARE, Slot, Table};
    use crate::algorithm::State;
    use crate::clock::Timestamp;
    use crate::limits::Window;

    fn counter(id: u128, idle_from: u64) -> Slot {
        let state = State::fresh(&Window::Total { forget: None });
        Slot { id, idle_from: Timestamp(idle_from), state }
    }

    fn renewed(mut table: Table, at: Timestamp) -> Table {
        table.renew(at);
        table
    }

    /// A key of the few that share so many homes, some at either end of all keys.
    fn key() -> impl Strategy<Value = u128> {
        let high =
            prop_oneof![0..12_u128, 0..3_u128, 10..12_u128].prop_map(|share| ((share << 64) / 12) << 64);
        let low = prop_oneof![0..3_u128, Just(u128::MAX)];
        (high, low).prop_map(|(high, low)| high | low)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

        #[test]
        fn what_is_kept_is_found_and_nothing_else(
            steps in prop::collection::vec((key(), 0..20_u64, 0..10_u8), 1..300)
        ) {
            let (mut table, mut kept, at) = (renewed(Table::for_up_to(0), Timestamp(0)), HashMap::new(), Timestamp(10));
            for (id, idle_from, op) in steps {
                match (table.find(id), op) {
                    (Some(place), 0..5) => {
                        table.remove(place);
                        kept.remove(&id);
                    }
                    (None, 0..9) => {
                        let is_taken_over = table.is_taken_over(id, at);
                        table.insert(counter(id, idle_from), at);
                        let goes = |other: &u128| table.find(*other).is_none();
                        let gone: Vec<u128> = kept.keys().copied().filter(goes).collect();
                        prop_assert_eq!(gone.len(), usize::from(is_taken_over));
                        prop_assert!(gone.iter().all(|id| kept.remove(id).is_some_and(|from| from <= at.0)));
                        kept.insert(id, idle_from);
                    }
                    _ => {
                        table = renewed(table, at);
                        kept.retain(|_, idle_from| *idle_from > at.0);
                    }
                }
                prop_assert_eq!(table.len(), kept.len());
                for (id, idle_from) in &kept {
                    let place = table.find(*id);
                    prop_assert!(place.is_some_and(|place| table.at(place).idle_from.0 == *idle_from));
                }
                let stretches = (0..table.stretches()).flat_map(|stretch| table.stretch(stretch));
                let places: Vec<(Place, u128)> = stretches.map(|(place, slot)| (place, slot.id)).collect();
                prop_assert_eq!(places.len(), kept.len());
                prop_assert!(places.iter().all(|(place, id)| table.find(*id) == Some(*place)));
                let (first, last) = (u128::MAX / 3, u128::MAX / 4 * 3);
                let between: Vec<u128> = table.between(first, last).map(|slot| slot.id).collect();
                let expected = places.iter().map(|(_, id)| *id).filter(|id| (first..=last).contains(id));
                prop_assert_eq!(between, expected.collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_renewal_lets_go_of_no_live_counter_and_of_few_idle_ones() {
        let all = 4 * LET_GO_AT_ONCE;
        let key = |number: usize| (number as u128) << 117;
        let is_live = |number: usize| number.is_multiple_of(4);
        let mut table = renewed(Table::for_up_to(all), Timestamp(0));
        for number in 0..all {
            table.insert(counter(key(number), if is_live(number) { 20 } else { 10 }), Timestamp(0));
        }
        for kept in [3, 2, 1, 1].map(|parts| parts * LET_GO_AT_ONCE) {
            table = renewed(table, Timestamp(10));
            let found: Vec<usize> = (0..all).filter(|number| table.find(key(*number)).is_some()).collect();
            assert_eq!((table.len(), found.len()), (kept, kept));
            assert!((0..all).filter(|number| is_live(*number)).all(|number| found.contains(&number)));
        }
    }

    #[test]
    fn a_full_table_is_small_and_its_counters_stand_near_their_homes() {
        let key = |number: u128| number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        assert_eq!(size_of::<Slot>(), 48);
        let mut table = Table::for_up_to(0);
        for number in 1..5000 {
            if table.is_full() {
                let slots = table.slots.len();
                assert!(slots < 1 + 2 * SPARE + table.len() * 5 / 4, "{slots} slots for {number}");
                table = renewed(table, Timestamp(0));
            }
            table.insert(counter(key(number), 1), Timestamp(0));
        }
        let far =
            |(number, slot): (usize, &Slot)| if slot.is_free() { 0 } else { number - table.home(slot.id) };
        let sum: usize = table.slots.iter().enumerate().map(far).sum();
        assert!(sum < 5 * table.len(), "{sum} slots beyond their homes");
    }
}
