//! One shard of the embedded store: a map that reuses the places of idle counters.
//!
//! A newcomer takes over from a counter that is idle, if one stands on its way. Else it takes a free slot and one more
//! of the store's places; a table that is full by then is renewed, without counters that are idle, as large as
//! the others need. When no place is left in the whole store, it takes the place of any counter of its shard that is
//! idle. A live counter is never let go. Whatever is done here is done under the shard's lock, so all of it is short: a
//! shard is small, and a stretch of it is looked through only when it may hold an idle counter.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::algorithm::{Holder, Holds, State};
use crate::clock::Timestamp;
use crate::store::durable::Changes;

use super::changed::{Changed, Ended, Keys};
use super::crowded::Crowded;
use super::rounds::Round;
use super::table::{NEVER, Place, Slot, Table};
use super::{LET_GO_AT_ONCE, long_before};

/// How many more counters the store may keep.
#[derive(Debug)]
pub(super) struct Places(AtomicUsize);

/// The counters of one shard.
#[derive(Debug)]
pub(super) struct Shard {
    table: Table,
    /// Of each stretch, the instant before which nothing in it is idle: until then nobody has to look.
    live_until: Vec<Timestamp>,
    /// Those of which many holds are open.
    crowded: Crowded,
}

impl Places {
    /// So many.
    pub(super) fn new(most: usize) -> Self {
        Self(AtomicUsize::new(most))
    }

    /// Takes one, if there is one.
    fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    /// Gives `places` back.
    fn give_back(&self, places: usize) {
        self.0.fetch_add(places, Ordering::Relaxed);
    }
}

impl Shard {
    /// With nothing in it, to hold about so many counters at last.
    pub(super) fn for_up_to(counters: usize) -> Self {
        Self { table: Table::for_up_to(counters), live_until: Vec::new(), crowded: Crowded::default() }
    }

    /// How many counters are kept, idle ones included.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// The counter `id`. Whoever brings forward when it is idle, tells so by [`look_from`](Self::look_from).
    #[inline(always)]
    pub(super) fn get(&mut self, id: u128) -> Option<&mut Slot> {
        self.table.get(id)
    }

    /// Where the counter `id` stands.
    pub(super) fn find(&self, id: u128) -> Option<Place> {
        self.table.find(id)
    }

    /// What the counter at `place` remembers.
    pub(super) fn state(&mut self, place: Place) -> &mut State {
        &mut self.table.at(place).state
    }

    /// Holds `amount` for `holder` of the counter `id`, which is `fresh` if it is not there and there is a place for it.
    pub(super) fn hold(
        &mut self,
        id: u128,
        fresh: State,
        (holder, amount): (Holder, u64),
        at: Timestamp,
        places: &Places,
    ) {
        let Some(place) = self.find(id).or_else(|| self.insert(id, fresh, holder.until, at, places)) else {
            return;
        };
        let slot = self.table.at(place);
        slot.idle_from = slot.idle_from.max(holder.until);
        let (_, holds) = slot.state.counted_and_held();
        let were_many = holds.are_many();
        holds.put(holder, amount);
        if holds.are_many() && !were_many {
            self.crowded.note(id, holds);
        }
    }

    /// The counter at `place` has come to have many holds.
    #[cold]
    pub(super) fn note_crowded(&mut self, place: Place) {
        let slot = self.table.at(place);
        if let Some(holds) = slot.state.holds() {
            self.crowded.note(slot.id, holds);
        }
    }

    /// Lets go of what lapsed long before `now` where many holds are open; the rest of very much with later calls.
    pub(super) fn let_go(&mut self, now: Timestamp) {
        let (then, mut gone) = (long_before(now), 0);
        while gone < LET_GO_AT_ONCE
            && let Some(id) = self.crowded.take_next(then)
        {
            gone += 1;
            let Some(holds) = self.table.get(id).and_then(|slot| slot.state.holds()) else { continue };
            gone += holds.lapse(then);
            if holds.is_empty() {
                *holds = Holds::default();
            } else {
                self.crowded.note(id, holds);
            }
        }
    }

    /// Notes from when on the counter at `place` is idle; tells what was noted before.
    pub(super) fn note_idle_from(&mut self, place: Place, from: Timestamp) -> Timestamp {
        let slot = self.table.at(place);
        let before = std::mem::replace(&mut slot.idle_from, from);
        if from < before {
            let id = slot.id;
            self.look_from(id, from);
        }
        before
    }

    /// Gives a place to the counter `id`, which has none yet, if there is one: all may be taken by counters that are
    /// live `at` that instant.
    #[must_use]
    pub(super) fn insert(
        &mut self,
        id: u128,
        state: State,
        idle_from: Timestamp,
        at: Timestamp,
        places: &Places,
    ) -> Option<Place> {
        self.tell_before(id);
        let has_place = self.table.is_taken_over(id, at) || self.begin(at, places) || self.let_one_go(at);
        has_place.then(|| {
            let place = self.table.insert(Slot { id, idle_from, state }, at);
            self.look_from(id, idle_from);
            self.note_changed(id);
            place
        })
    }

    /// Keeps track of what changes, from here on, which is in `round`.
    pub(super) fn keep_track(&mut self, round: Round) {
        self.table.changed = Some(Box::new(Changed::for_up_to(self.table.at_last(), round)));
    }

    /// What changes from here on belongs to `round`.
    pub(super) fn enter(&mut self, round: Round) {
        if let Some(changed) = &mut self.table.changed {
            changed.enter(round);
        }
    }

    /// The counter `id` is about to change: how it was is told first, if that is still to be told.
    #[inline(always)]
    pub(super) fn tell_before(&mut self, id: u128) {
        if let Some(changed) = &mut self.table.changed
            && let Some(keys) = changed.take_range_of(id)
        {
            self.tell_range(keys);
        }
    }

    #[cold]
    fn tell_range(&mut self, (first, last): Keys) {
        let Some(mut changed) = self.table.changed.take() else { return };
        self.table.between(first, last).for_each(|counter| changed.tell(counter));
        self.table.changed = Some(changed);
    }

    /// Notes that the counter `id` is another than it was, where somebody keeps track of it.
    #[inline(always)]
    pub(super) fn note_changed(&mut self, id: u128) {
        if let Some(changed) = &mut self.table.changed {
            changed.mark(id);
        }
    }

    /// Notes that the counter at `place` is another than it was, where somebody keeps track of it.
    pub(super) fn note_changed_at(&mut self, place: Place) {
        if self.table.changed.is_some() {
            let id = self.table.at(place).id;
            self.note_changed(id);
        }
    }

    /// Adds what changed in the round that has ended to `changes`, at most so many ranges of it. Tells whether more may
    /// be left.
    pub(super) fn tell(&mut self, ranges: usize, changes: &mut Changes) -> bool {
        let Some(mut changed) = self.table.changed.take() else { return false };
        let next = (0..ranges).map_while(|_| changed.take_next_range());
        let told = next.map(|(first, last)| {
            self.table.between(first, last).for_each(|counter| counter.write(changes));
        });
        let more = told.count() == ranges;
        self.table.changed = Some(changed);
        more
    }

    /// What is left of the round that has ended, once all its ranges are told.
    pub(super) fn end_telling(&mut self) -> Option<Box<Ended>> {
        self.table.changed.as_mut()?.end_telling()
    }

    /// Notes once more that the counter `id` was let go.
    pub(super) fn note_gone(&mut self, id: u128) {
        if let Some(changed) = &mut self.table.changed {
            changed.let_go(id);
        }
    }

    /// Notes that not all that were let go are known.
    pub(super) fn lose_track(&mut self) {
        if let Some(changed) = &mut self.table.changed {
            changed.lose_track();
        }
    }

    /// Takes one more of the store's places, if there is one, and sees to it that the table has a slot for it.
    fn begin(&mut self, at: Timestamp, places: &Places) -> bool {
        let has_place = places.take();
        if has_place && self.table.is_full() {
            self.renew(at, places);
        }
        has_place
    }

    /// Renews the table. The places of counters that were idle are given back.
    fn renew(&mut self, at: Timestamp, places: &Places) {
        let before = self.table.len();
        self.table.renew(at);
        places.give_back(before - self.table.len());
        self.live_until.clear();
        self.live_until.extend((0..self.table.stretches()).map(|stretch| live_until(&self.table, stretch)));
    }

    /// Lets go of an idle counter, if there is one.
    fn let_one_go(&mut self, at: Timestamp) -> bool {
        let idle = (0..self.live_until.len()).find_map(|stretch| self.idle_in(stretch, at));
        if let Some(place) = idle {
            self.table.remove(place);
        }
        idle.is_some()
    }

    /// A counter of a stretch that is idle. If there is none, nobody looks again before there may be one.
    fn idle_in(&mut self, stretch: usize, at: Timestamp) -> Option<Place> {
        if at < self.live_until[stretch] {
            return None;
        }
        let idle = self.table.stretch(stretch).find(|(_, counter)| counter.idle_from <= at);
        let idle = idle.map(|(place, _)| place);
        if idle.is_none() {
            self.live_until[stretch] = live_until(&self.table, stretch);
        }
        idle
    }

    /// Sees to it that the counter `id` is looked at once it is idle.
    #[cold]
    pub(super) fn look_from(&mut self, id: u128, idle_from: Timestamp) {
        let live_until = &mut self.live_until[self.table.stretch_of(id)];
        *live_until = idle_from.min(*live_until);
    }
}

/// The first instant at which a counter of `stretch` is idle, if none is charged before.
fn live_until(table: &Table, stretch: usize) -> Timestamp {
    table.stretch(stretch).map(|(_, counter)| counter.idle_from).min().unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::{LET_GO_AT_ONCE, NEVER, Ordering, Places, Shard};
    use crate::algorithm::{HoldId, Holder, State};
    use crate::clock::Timestamp;
    use crate::limits::Window;
    use crate::store::memory::STANDSTILL;

    const FOREVER: Window = Window::Total { forget: None };

    /// A key as uniform as real ones are.
    fn key(number: usize) -> u128 {
        (number as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)
    }

    fn insert(shard: &mut Shard, places: &Places, number: usize, idle_from: u64, at: u64) -> bool {
        let fresh = State::fresh(&FOREVER);
        shard.insert(key(number), fresh, Timestamp(idle_from), Timestamp(at), places).is_some()
    }

    #[test]
    fn a_full_shard_has_a_place_as_soon_as_a_counter_is_idle() {
        let (mut shard, places) = (Shard::for_up_to(0), Places::new(2));
        let mut keep = |number: usize, idle_from: u64, at: u64| {
            (insert(&mut shard, &places, number, idle_from, at), shard.len())
        };
        for (number, idle_from, at, expected) in [
            (1, NEVER.0, 0, (true, 1)),
            (2, 10, 0, (true, 2)),
            (3, 30, 9, (false, 2)),
            (3, 30, 10, (true, 2)),
            (4, 90, 29, (false, 2)),
            (4, 90, 8, (false, 2)),
            (4, 90, 30, (true, 2)),
        ] {
            assert_eq!(keep(number, idle_from, at), expected, "counter {number} at {at}");
        }
        // What is given back may be idle sooner than it was to be.
        let first = shard.find(key(1)).unwrap();
        assert_eq!(shard.note_idle_from(first, Timestamp(40)), NEVER);
        assert!(!insert(&mut shard, &places, 5, 90, 39));
        assert!(insert(&mut shard, &places, 5, 90, 40));
        assert_eq!((shard.find(key(1)), shard.find(key(5)).is_some()), (None, true));
    }

    #[test]
    fn a_shard_reuses_what_is_idle_before_it_grows_by_much() {
        let (mut shard, places) = (Shard::for_up_to(0), Places::new(1000));
        let per_instant = 10;
        for number in 0..4000 {
            let at = (number / per_instant) as u64;
            assert!(insert(&mut shard, &places, number, at + 20, at));
            assert!(shard.len() < 400, "{} for 200 live ones", shard.len());
            assert_eq!(shard.len() + places.0.load(Ordering::Relaxed), 1000);
        }
        let recent = 4000 - 20 * per_instant..4000;
        assert!(recent.into_iter().all(|number| shard.find(key(number)).is_some()), "live ones are kept");
    }

    #[test]
    fn a_search_of_all_finds_what_is_idle_wherever_it_stands() {
        let all = 200;
        let (mut shard, places) = (Shard::for_up_to(0), Places::new(all));
        for number in 0..all {
            assert!(insert(&mut shard, &places, number, 1000, 0));
        }
        for (round, number) in [133, 7, all - 1, 64].into_iter().enumerate() {
            let place = shard.find(key(number)).unwrap();
            assert!(!insert(&mut shard, &places, 999, 1000, 999));
            shard.note_idle_from(place, Timestamp(500));
            assert!(insert(&mut shard, &places, all + round, 1000, 999));
            assert_eq!(shard.find(key(number)), None);
            assert_eq!(shard.len(), all);
        }
    }

    /// Holds 1 of counter `number` until then, for so many holders.
    fn hold(shard: &mut Shard, places: &Places, number: usize, until: u64, holders: u128) {
        for id in 0..holders {
            let holder = Holder { id: HoldId(id), until: Timestamp(until) };
            shard.hold(key(number), State::fresh(&FOREVER), (holder, 1), Timestamp(0), places);
        }
    }

    fn held(shard: &mut Shard, number: usize) -> u64 {
        let counter = shard.get(key(number)).unwrap();
        counter.state.holds().unwrap().held()
    }

    #[test]
    fn many_holds_that_lapsed_long_ago_are_let_go_whoever_asks() {
        let (mut shard, places) = (Shard::for_up_to(0), Places::new(1000));
        (0..100).for_each(|number| hold(&mut shard, &places, number, 10 + number as u64, 100));
        hold(&mut shard, &places, 100, 10, 2);
        let mut after = |at: u64| {
            (0..100).for_each(|_| shard.let_go(Timestamp(at + STANDSTILL.0)));
            [9, 50, 99, 100].map(|number| held(&mut shard, number))
        };
        assert_eq!(after(9), [100, 100, 100, 2]);
        assert_eq!(after(59), [0, 100, 100, 2], "few take little, and wait for whoever asks");
        assert_eq!(after(200), [0, 0, 0, 2]);
        assert_eq!(shard.crowded.take_next(NEVER), None);
    }

    #[test]
    fn of_very_many_holds_some_are_let_go_at_a_time() {
        let (mut shard, places) = (Shard::for_up_to(0), Places::new(1000));
        hold(&mut shard, &places, 1, 10, 1000);
        let mut left = || {
            shard.let_go(Timestamp(10 + STANDSTILL.0));
            held(&mut shard, 1)
        };
        assert_eq!([left(), left()], [1000 - LET_GO_AT_ONCE as u64, 0]);
    }

    #[test]
    fn what_is_held_keeps_the_place_of_its_counter() {
        let (mut shard, places) = (Shard::for_up_to(0), Places::new(1));
        hold(&mut shard, &places, 1, 10, 1);
        assert!(!insert(&mut shard, &places, 2, 90, 9));
        assert!(insert(&mut shard, &places, 2, 90, 10));
        hold(&mut shard, &places, 3, 50, 1);
        assert_eq!((shard.find(key(1)), shard.find(key(3))), (None, None), "there is no place for another");
    }
}
