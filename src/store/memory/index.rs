//! Where the counters of a shard stand, found by their keys.
//!
//! A hash table made for one use: an entry is the number of a place and 16 bits of a hash that was made
//! elsewhere, and is uniform. Entries stand in lines of 16, each line as long as a line of the processor's cache,
//! so that a counter is found with one access to memory, and its own. What a full line has no room for is kept
//! aside; there is little of it before the table grows. Growing takes the hashes from the counters again: a
//! table is for the few thousand counters of one shard.

/// Entries of a line.
const LINE: usize = 16;
/// So many entries a line are kept on average before the table grows. Of that many, one line in 40 is full.
const LOAD: usize = 10;
/// By how much it grows: seldom, because what it grows out of is left behind.
const GROWTH: usize = 4;
/// Lines of the first table.
const FIRST: usize = 8;

/// A table of places.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// A power of two of them, or none.
    lines: Box<[Line]>,
    /// What their lines have no room for.
    aside: Vec<(u16, u16)>,
    entries: usize,
}

#[derive(Clone, Debug, Default)]
#[repr(align(64))]
struct Line {
    /// Of each entry, 0 where there is none.
    tags: [u16; LINE],
    places: [u16; LINE],
}

/// The bits of a hash that an entry keeps: none of those that choose the line, unless there are very many lines.
const fn tag(hash: u64) -> u16 {
    (hash >> 48) as u16 | 1
}

impl Line {
    /// A bit for each entry with `tag`.
    fn with(&self, tag: u16) -> u32 {
        let bit = |(at, other): (u32, &u16)| u32::from(*other == tag) << at;
        (0..).zip(&self.tags).map(bit).fold(0, |bits, bit| bits | bit)
    }
}

impl Index {
    /// How many places are kept.
    pub(super) fn len(&self) -> usize {
        self.entries
    }

    /// The place with `hash` for which `is` holds.
    #[inline(always)]
    pub(super) fn find(&self, hash: u64, is: impl Fn(u16) -> bool) -> Option<u16> {
        let line = self.lines.get(self.line_of(hash))?;
        let mut found = line.with(tag(hash));
        while found != 0 {
            let place = line.places[found.trailing_zeros() as usize % LINE];
            if is(place) {
                return Some(place);
            }
            found &= found - 1;
        }
        let mut aside = self.aside.iter().filter(|(other, _)| *other == tag(hash));
        aside.find(|(_, place)| is(*place)).map(|(_, place)| *place)
    }

    /// Keeps `place` under `hash`. `hash_of` tells the hashes of those that are kept already.
    pub(super) fn insert(&mut self, hash: u64, place: u16, hash_of: impl Fn(u16) -> u64) {
        if self.entries >= self.lines.len() * LOAD {
            self.grow(hash_of);
        }
        self.put(hash, place);
        self.entries += 1;
    }

    /// Forgets `place`, which is kept under `hash`.
    pub(super) fn remove(&mut self, hash: u64, place: u16) {
        let line = self.line_of(hash);
        let Line { tags, places } = &mut self.lines[line];
        match tags.iter_mut().zip(places).find(|(tag, other)| **tag != 0 && **other == place) {
            Some((tag, _)) => *tag = 0,
            None => self.aside.retain(|(_, other)| *other != place),
        }
        self.entries -= 1;
    }

    fn put(&mut self, hash: u64, place: u16) {
        let line = self.line_of(hash);
        let Line { tags, places } = &mut self.lines[line];
        match tags.iter_mut().zip(places).find(|(tag, _)| **tag == 0) {
            Some(free) => (*free.0, *free.1) = (tag(hash), place),
            None => self.aside.push((tag(hash), place)),
        }
    }

    fn grow(&mut self, hash_of: impl Fn(u16) -> u64) {
        let wanted = (self.lines.len() * GROWTH).max(FIRST);
        let before = std::mem::replace(&mut self.lines, vec![Line::default(); wanted].into());
        let aside = std::mem::take(&mut self.aside);
        let in_lines = before.iter().flat_map(|line| line.tags.iter().zip(&line.places));
        let kept = in_lines.filter(|(tag, _)| **tag != 0).map(|(_, place)| *place);
        for place in kept.chain(aside.into_iter().map(|(_, place)| place)) {
            self.put(hash_of(place), place);
        }
    }

    /// Which line is for `hash`; no line's number while there are none.
    #[expect(clippy::cast_possible_truncation, reason = "only the lowest bits are wanted")]
    fn line_of(&self, hash: u64) -> usize {
        hash as usize & self.lines.len().wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::Index;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn what_is_kept_is_found_and_nothing_else(
            // Few hashes, so that lines are full and tags are alike.
            steps in prop::collection::vec((0..6_u64, 0..3_u64, any::<bool>()), 1..400)
        ) {
            let mut index = Index::default();
            let mut hashes: HashMap<u16, u64> = HashMap::new();
            for (place, (low, high, keeps)) in (0_u16..).zip(steps) {
                let hash = high << 62 | low;
                let other = hashes.iter().find(|(_, other)| **other == hash).map(|(place, _)| *place);
                match other {
                    Some(other) if !keeps => {
                        index.remove(hash, other);
                        hashes.remove(&other);
                    }
                    _ => {
                        index.insert(hash, place, |place| hashes[&place]);
                        hashes.insert(place, hash);
                    }
                }
                prop_assert_eq!(index.len(), hashes.len());
                for (place, hash) in &hashes {
                    prop_assert_eq!(index.find(*hash, |other| other == *place), Some(*place));
                }
                prop_assert_eq!(index.find(hash, |_| false), None);
            }
        }
    }

    #[test]
    fn few_uniform_hashes_are_kept_aside() {
        let hash = |place: u16| u64::from(place).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
        let mut index = Index::default();
        for place in 0..5000 {
            index.insert(hash(place), place, hash);
            assert!(index.aside.len() <= 1 + usize::from(place) / 100, "{} at {place}", index.aside.len());
        }
        assert_eq!((size_of_val(&index.lines[0]), index.lines.len()), (64, 512));
    }
}
