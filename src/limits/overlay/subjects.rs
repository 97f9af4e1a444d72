//! What is set of single subjects, of which there may be many: a copy costs nothing, a change the part that it is in, and to
//! look for the next end a step for each part.
//!
//! Whoever puts something in force keeps what was set before, and each record that changes one subject makes a copy.

use std::array;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::clock::Timestamp;

use super::{Placed, Target};

/// Into how many parts they fall, by their hashes.
const PARTS: usize = 256;
/// How much that was taken back is remembered of each part: 4,096 in all.
const MOST_TAKEN_BACK: usize = 16;

/// What is set of single subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OfSubjects {
    parts: [Arc<Part>; PARTS],
    count: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Part {
    placed: BTreeMap<Target, Placed>,
    /// How many come to their end when.
    ends: BTreeMap<Timestamp, usize>,
    /// By which records something was taken back of late that is not set again.
    taken_back: BTreeMap<Target, u64>,
    /// The newest record that took back what is not among those any more.
    forgotten: u64,
}

impl Default for OfSubjects {
    fn default() -> Self {
        let empty = Arc::default();
        Self { parts: array::from_fn(|_| Arc::clone(&empty)), count: 0 }
    }
}

impl OfSubjects {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn get(&self, target: &Target) -> Option<&Placed> {
        self.parts[part_of(target)].placed.get(target)
    }

    pub(super) fn insert(&mut self, target: Target, placed: Placed) {
        self.remove(&target);
        let part = Arc::make_mut(&mut self.parts[part_of(&target)]);
        if let Some(until) = placed.until {
            *part.ends.entry(until).or_default() += 1;
        }
        part.taken_back.remove(&target);
        part.placed.insert(target, placed);
        self.count += 1;
    }

    /// Removes `target`, if it is there, as the record with the number `version` says.
    pub(super) fn take_back(&mut self, target: &Target, version: u64) {
        if self.remove(target) {
            Arc::make_mut(&mut self.parts[part_of(target)]).remember(target, version);
        }
    }

    /// The number of the record that took back `target`, or of a newer one; 0 if it never was set.
    pub(super) fn last_taken_back(&self, target: &Target) -> u64 {
        let part = &self.parts[part_of(target)];
        part.taken_back.get(target).copied().unwrap_or(part.forgotten)
    }

    /// Whether it was there.
    fn remove(&mut self, target: &Target) -> bool {
        let part = &mut self.parts[part_of(target)];
        if !part.placed.contains_key(target) {
            return false;
        }
        let part = Arc::make_mut(part);
        let removed = part.placed.remove(target);
        if let Some(until) = removed.and_then(|placed| placed.until)
            && let Some(count) = part.ends.get_mut(&until)
        {
            *count -= 1;
            if *count == 0 {
                part.ends.remove(&until);
            }
        }
        self.count -= 1;
        true
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Target, &Placed)> {
        self.parts.iter().flat_map(|part| part.placed.iter())
    }

    /// Those of subjects the second half of whose keyed hash is `half`.
    pub(super) fn about(&self, half: u64) -> impl Iterator<Item = (&Target, &Placed)> {
        let is_of =
            move |target: &Target| target.subject().is_some_and(|subject| second_half(subject.hash) == half);
        self.parts[part(half)].placed.iter().filter(move |(target, _)| is_of(target))
    }

    /// The next end after `after`.
    pub(super) fn next_end(&self, after: Timestamp) -> Option<Timestamp> {
        let later = (Bound::Excluded(after), Bound::Unbounded);
        self.parts.iter().filter_map(|part| part.ends.range(later).next()).map(|(end, _)| *end).min()
    }
}

impl Part {
    fn remember(&mut self, target: &Target, version: u64) {
        self.taken_back.insert(target.clone(), version);
        if self.taken_back.len() > MOST_TAKEN_BACK
            && let Some(oldest) = self.taken_back.values().min().copied()
        {
            self.taken_back.retain(|_, version| *version > oldest);
            self.forgotten = self.forgotten.max(oldest);
        }
    }
}

fn part_of(target: &Target) -> usize {
    target.subject().map_or(0, |subject| part(second_half(subject.hash)))
}

#[expect(clippy::cast_possible_truncation, reason = "some bits of a hash are wanted")]
const fn part(half: u64) -> usize {
    half as usize % PARTS
}

#[expect(clippy::cast_possible_truncation, reason = "half of a hash is wanted")]
const fn second_half(hash: u128) -> u64 {
    hash as u64
}
