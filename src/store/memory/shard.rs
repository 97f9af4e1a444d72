//! One shard of the embedded store: a map that reuses the places of idle counters.
//!
//! Counters stand in chunks, one after the other; an index finds them by key. A newcomer takes a free place of the
//! last chunk. When all chunks are full it takes the place of an idle counter, if one of the next few is idle;
//! else one more chunk is begun. When no more places are left in the whole store, it takes the place of any
//! counter of its shard that is idle. A live counter is never let go. Whatever is done here is done under the
//! shard's lock, so all of it is short: a shard is small, and a chunk is looked through only when it may hold an
//! idle counter.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::algorithm::State;
use crate::clock::Timestamp;

use super::index::Index;

/// How many counters stand in one chunk.
const CHUNK: usize = 64;
/// How many counters a shard keeps at most: as many as numbers of 16 bits tell apart. It is for far fewer.
const MOST: usize = 1 << 16;
/// How many counters a newcomer looks at before a chunk is begun.
const LOOK: usize = 16;
/// The instant from which a counter is idle that never is by itself, or that a call has in hand.
pub(super) const NEVER: Timestamp = Timestamp(u64::MAX);

/// How many more counters the store may keep.
#[derive(Debug)]
pub(super) struct Places(AtomicUsize);

/// The counters of one shard.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// The places of the counters, by their keys.
    index: Index,
    /// The places, all but those of the last chunk taken.
    #[expect(clippy::vec_box, reason = "a chunk never moves, or growing would copy all of them")]
    chunks: Vec<Box<[Slot; CHUNK]>>,
    /// Of each chunk, the instant before which nothing in it is idle: until then nobody has to look.
    live_until: Vec<Timestamp>,
    /// The place at which the next search for an idle counter begins.
    hand: usize,
}

/// Where in a shard a counter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u16);

/// A counter.
#[derive(Debug)]
struct Slot {
    id: u128,
    idle_from: Timestamp,
    state: State,
}

/// A counter under its shard's lock.
pub(super) struct Counter<'s> {
    slot: &'s mut Slot,
    live_until: &'s mut Timestamp,
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
}

impl Place {
    /// The number of the chunk, and of the slot within.
    fn at(self) -> (usize, usize) {
        let number = usize::from(self.0);
        (number / CHUNK, number % CHUNK)
    }
}

impl Slot {
    /// A place that nobody has taken.
    const FREE: Self = Self { id: 0, idle_from: NEVER, state: State::Nothing };
}

impl<'s> Counter<'s> {
    /// What it remembers.
    pub(super) fn state(&mut self) -> &mut State {
        &mut self.slot.state
    }

    /// What it remembers, for as long as the shard is locked.
    pub(super) fn into_state(self) -> &'s mut State {
        &mut self.slot.state
    }

    /// Notes when it is idle; tells what was noted before.
    pub(super) fn idle_from(&mut self, from: Timestamp) -> Timestamp {
        if from < self.slot.idle_from {
            *self.live_until = from.min(*self.live_until);
        }
        std::mem::replace(&mut self.slot.idle_from, from)
    }
}

/// Keys are uniform already; hashing them again would be work for nothing. The lowest bits choose the shard.
#[expect(clippy::cast_possible_truncation, reason = "both halves are wanted")]
fn hash(id: u128) -> u64 {
    (id >> 64) as u64 ^ (id as u64).rotate_right(8)
}

impl Shard {
    /// How many counters are kept, idle ones included.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Where the counter `id` stands.
    #[inline(always)]
    pub(super) fn find(&self, id: u128) -> Option<Place> {
        let is_wanted = |place| {
            let (chunk, slot) = Place(place).at();
            self.chunks[chunk][slot].id == id
        };
        self.index.find(hash(id), is_wanted).map(Place)
    }

    /// The counter at `place`.
    pub(super) fn counter(&mut self, place: Place) -> Counter<'_> {
        let (chunk, slot) = place.at();
        Counter { slot: &mut self.chunks[chunk][slot], live_until: &mut self.live_until[chunk] }
    }

    /// Gives a place to the counter `id`, which has none yet; `None` if all are taken by counters that are live
    /// `at` that instant.
    pub(super) fn insert(
        &mut self,
        id: u128,
        state: State,
        idle_from: Timestamp,
        at: Timestamp,
        places: &Places,
    ) -> Option<Place> {
        let slot = Slot { id, idle_from, state };
        let has_spare = self.len() < self.chunks.len() * CHUNK;
        let nearby = if has_spare { None } else { self.idle_nearby(at) };
        let place = match nearby {
            Some(idle) => idle,
            None if self.len() < MOST && places.take() => self.begin(),
            None => self.idle_anywhere(at)?,
        };
        self.put(place, slot);
        Some(place)
    }

    /// The next place that nobody has taken.
    fn begin(&mut self) -> Place {
        let number = self.len();
        if number == self.chunks.len() * CHUNK {
            self.chunks.push(Box::new([Slot::FREE; CHUNK]));
            self.live_until.push(NEVER);
        }
        Place(u16::try_from(number).expect("there are no more than MOST"))
    }

    /// Puts a counter where nobody is, or where one is idle.
    fn put(&mut self, place: Place, slot: Slot) {
        let (id, counter) = (slot.id, self.counter(place));
        *counter.live_until = slot.idle_from.min(*counter.live_until);
        let before = std::mem::replace(counter.slot, slot);
        if !matches!(before.state, State::Nothing) {
            self.index.remove(hash(before.id), place.0);
            self.hand = usize::from(place.0) + 1;
        }
        let chunks = &self.chunks;
        let hash_of = |other| {
            let (chunk, slot) = Place(other).at();
            hash(chunks[chunk][slot].id)
        };
        self.index.insert(hash(id), place.0, hash_of);
    }

    /// An idle counter among the next few.
    fn idle_nearby(&mut self, at: Timestamp) -> Option<Place> {
        let first = if self.hand < self.len() { self.hand } else { 0 };
        let next = self.len().min(first + LOOK);
        self.hand = next;
        let idle = |number: &usize| self.chunks[number / CHUNK][number % CHUNK].idle_from <= at;
        (first..next).find(idle).map(place_of)
    }

    /// An idle counter, if there is one.
    fn idle_anywhere(&mut self, at: Timestamp) -> Option<Place> {
        let (chunks, first) = (self.chunks.len(), self.hand / CHUNK);
        let slot_in = |chunk: usize| Some((chunk, self.idle_in(chunk, at)?));
        let (chunk, slot) = (first..first + chunks).map(|chunk| chunk % chunks).find_map(slot_in)?;
        Some(place_of(chunk * CHUNK + slot))
    }

    /// The first counter of a chunk that is idle; and for the next search, when there will be another.
    fn idle_in(&mut self, chunk: usize, at: Timestamp) -> Option<usize> {
        if at < self.live_until[chunk] {
            return None;
        }
        let slots = &self.chunks[chunk];
        let found = slots.iter().position(|slot| slot.idle_from <= at);
        let others = slots.iter().enumerate().filter(|(index, _)| Some(*index) != found);
        self.live_until[chunk] = others.map(|(_, slot)| slot.idle_from).min().unwrap_or(NEVER);
        found
    }
}

fn place_of(number: usize) -> Place {
    Place(u16::try_from(number).expect("it was the number of a place before"))
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, NEVER, Place, Places, Shard, Slot};
    use crate::algorithm::State;
    use crate::clock::Timestamp;
    use crate::limits::Window;

    fn insert(shard: &mut Shard, places: &Places, id: u128, idle_from: u64, at: u64) -> Option<Place> {
        shard.insert(
            id,
            State::fresh(&Window::Total { forget: None }),
            Timestamp(idle_from),
            Timestamp(at),
            places,
        )
    }

    #[test]
    fn a_counter_is_small() {
        assert_eq!(size_of::<Slot>(), 48);
    }

    #[test]
    fn a_full_shard_has_a_place_as_soon_as_a_counter_is_idle() {
        let (mut shard, places) = (Shard::default(), Places::new(2));
        let mut keep = |id: u128, idle_from: u64, at: u64| {
            let place = insert(&mut shard, &places, id, idle_from, at);
            (place.is_some(), shard.len())
        };
        for (id, idle_from, at, expected) in [
            (1, NEVER.0, 0, (true, 1)),
            (2, 10, 0, (true, 2)),
            (3, 30, 9, (false, 2)),
            (3, 30, 10, (true, 2)),
            (4, 90, 29, (false, 2)),
            (4, 90, 8, (false, 2)),
            (4, 90, 30, (true, 2)),
        ] {
            assert_eq!(keep(id, idle_from, at), expected, "counter {id} at {at}");
        }
        // What is given back may be idle sooner than it was to be.
        let first = shard.find(1).unwrap();
        assert_eq!(shard.counter(first).idle_from(Timestamp(40)), NEVER);
        assert_eq!(insert(&mut shard, &places, 5, 90, 39), None);
        assert_eq!(insert(&mut shard, &places, 5, 90, 40), Some(first));
        assert_eq!((shard.find(1), shard.find(5)), (None, Some(first)));
    }

    #[test]
    fn a_shard_reuses_what_is_idle_before_it_grows_by_much() {
        let (mut shard, places) = (Shard::default(), Places::new(usize::MAX));
        let per_instant = 10;
        for id in 0..50 * CHUNK {
            let at = (id / per_instant) as u64;
            assert!(insert(&mut shard, &places, id as u128, at + 20, at).is_some());
        }
        assert!(shard.len() < 400, "{} for 200 live ones", shard.len());
        let recent = 50 * CHUNK - 20 * per_instant..50 * CHUNK;
        assert!(recent.into_iter().all(|id| shard.find(id as u128).is_some()), "live ones are kept");
    }

    #[test]
    fn a_search_of_all_finds_what_is_idle_wherever_it_stands() {
        let all = 3 * CHUNK;
        let (mut shard, places) = (Shard::default(), Places::new(all));
        for id in 0..all {
            assert!(insert(&mut shard, &places, id as u128, 1000, 0).is_some());
        }
        for (round, id) in [2 * CHUNK + 5, 7, all - 1, CHUNK].into_iter().enumerate() {
            let place = shard.find(id as u128).unwrap();
            assert_eq!(insert(&mut shard, &places, u128::MAX, 1000, 999), None);
            shard.counter(place).idle_from(Timestamp(500));
            let newcomer = (all + round) as u128;
            assert_eq!(insert(&mut shard, &places, newcomer, 1000, 999), Some(place));
            assert_eq!(shard.len(), all);
        }
    }
}
