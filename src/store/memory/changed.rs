//! Which counters of a shard have changed, for whoever writes them down.
//!
//! Keys are uniform, so all keys are cut into as many equal ranges as there are marks, and a charge marks the range of
//! its counter. That is one bit to set under the shard's lock, wherever the counter stands in its table and wherever it
//! moves to; the few others of a marked range are taken for changed as well. A counter that is let go leaves its key
//! behind, because nobody could find it any more.
//!
//! Changes belong to [rounds](super::rounds). Once a round has ended, its marks are set aside to be told, and whoever
//! changes a counter in one of their ranges before it was told writes down how it was: so what is told is the shard as
//! it was when the round ended.

use crate::store::durable::{Changes, Track};

use super::rounds::Round;
use super::table::Slot;

/// How many marks there are for each counter that a shard is for.
const MARKS_EACH: usize = 4;
/// The most keys of counters let go that are kept for each counter that a shard is for. Beyond, track is lost of them.
const GONE_EACH: usize = 4;

/// What has changed in a shard.
#[derive(Debug)]
pub(super) struct Changed {
    round: Round,
    marks: Marks,
    gone: Vec<u128>,
    most_gone: usize,
    track: Track,
    /// What changed in the round that has ended.
    ended: Option<Box<Ended>>,
}

/// What changed in a round that has ended, as long as it is being told.
#[derive(Debug)]
pub(super) struct Ended {
    /// Of ranges that were not told yet.
    marks: Marks,
    /// The word of the marks before which all were told.
    next: usize,
    /// The keys of counters that were let go. Some may have come back.
    gone: Vec<u128>,
    /// How counters were that have changed since.
    told: Changes,
}

/// A bit for each range of keys. A power of two of words.
#[derive(Debug)]
struct Marks(Box<[u64]>);

/// A range of keys: the first and the last.
pub(super) type Keys = (u128, u128);

impl Changed {
    /// In a shard for so many counters, from the round `round` on.
    pub(super) fn for_up_to(counters: usize, round: Round) -> Self {
        let marks = Marks::none((counters * MARKS_EACH).div_ceil(64).next_power_of_two());
        let most_gone = counters.max(64) * GONE_EACH;
        Self { round, marks, gone: Vec::new(), most_gone, track: Track::Kept, ended: None }
    }

    /// The counter `id` has changed, or come.
    #[inline(always)]
    pub(super) fn mark(&mut self, id: u128) {
        let (word, bit) = self.marks.of(id);
        self.marks.0[word] |= bit;
    }

    /// The counter `id` was let go, which was idle.
    pub(super) fn let_go(&mut self, id: u128) {
        if let Some(ended) = &mut self.ended
            && ended.marks.has(id)
        {
            ended.gone.push(id);
        }
        if self.gone.len() < self.most_gone {
            self.gone.push(id);
        } else {
            self.lose_track();
        }
    }

    /// Somebody was let go who is not known.
    pub(super) fn lose_track(&mut self) {
        self.track = Track::Lost;
    }

    /// What changes from here on belongs to `round`. All of the round before the last is told by then.
    pub(super) fn enter(&mut self, round: Round) {
        if self.round == round {
            return;
        }
        self.round = round;
        let none = Marks::none(self.marks.0.len());
        let mut told = Changes::default();
        if std::mem::take(&mut self.track) == Track::Lost {
            told.lose_track();
        }
        let (marks, gone) = (std::mem::replace(&mut self.marks, none), std::mem::take(&mut self.gone));
        self.ended = Some(Box::new(Ended { marks, next: 0, gone, told }));
    }

    /// The range in which `id` is, if that was not told yet of the round that has ended: who changes a counter in it
    /// [tells](Self::tell) it before.
    #[inline(always)]
    pub(super) fn take_range_of(&mut self, id: u128) -> Option<Keys> {
        let ended = self.ended.as_mut()?;
        let (word, bit) = ended.marks.of(id);
        let is_marked = ended.marks.0[word] & bit != 0;
        ended.marks.0[word] &= !bit;
        is_marked.then(|| ended.marks.keys(word, bit))
    }

    /// Writes down `counter` as it was when the round ended.
    pub(super) fn tell(&mut self, counter: &Slot) {
        if let Some(ended) = &mut self.ended {
            counter.write(&mut ended.told);
        }
    }

    /// The next range that was not told yet of the round that has ended.
    pub(super) fn take_next_range(&mut self) -> Option<Keys> {
        let ended = self.ended.as_mut()?;
        let rest = ended.marks.0.get(ended.next..)?;
        ended.next += rest.iter().take_while(|word| **word == 0).count();
        let word = ended.marks.0.get_mut(ended.next)?;
        let bit = *word & word.wrapping_neg();
        *word &= !bit;
        Some(ended.marks.keys(ended.next, bit))
    }

    /// What is left of the round that has ended, once all ranges are told.
    pub(super) fn end_telling(&mut self) -> Option<Box<Ended>> {
        self.ended.take()
    }
}

impl Ended {
    /// Adds whom the round let go, and how those were that have changed since, to `changes`. Those who are told by their
    /// ranges come after these: some of whom was let go have come back.
    pub(super) fn add_to(&self, changes: &mut Changes) {
        self.gone.iter().for_each(|id| changes.remove(&id.to_be_bytes()));
        changes.append(&self.told);
    }
}

impl Marks {
    fn none(words: usize) -> Self {
        Self(vec![0; words].into())
    }

    /// The word and the bit of the range in which `id` is.
    #[inline(always)]
    fn of(&self, id: u128) -> (usize, u64) {
        let mark = mark_of(id, self.0.len());
        (mark / 64, 1 << (mark % 64))
    }

    fn has(&self, id: u128) -> bool {
        let (word, bit) = self.of(id);
        self.0[word] & bit != 0
    }

    /// The range that is marked by `bit` of `word`.
    fn keys(&self, word: usize, bit: u64) -> Keys {
        let length = u128::MAX / (self.0.len() as u128 * 64) + 1;
        let first = (word as u128 * 64 + u128::from(bit.trailing_zeros())) * length;
        (first, first + (length - 1))
    }
}

/// Which of the marks in so many words, a power of two, is that of `id`.
fn mark_of(id: u128, words: usize) -> usize {
    let marks = words.trailing_zeros() + u64::BITS.trailing_zeros();
    (id >> (u128::BITS - marks)) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Changed, Changes, Keys, Round};
    use crate::store::durable::Track;

    /// Ends the round, and tells its ranges.
    fn told(changed: &mut Changed) -> (Vec<Keys>, Changes) {
        changed.enter(changed.round.next());
        let ranges = std::iter::from_fn(|| changed.take_next_range()).collect();
        let mut changes = Changes::default();
        changed.end_telling().unwrap().add_to(&mut changes);
        (ranges, changes)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn every_marked_key_lies_in_a_range_and_few_others_do(
            counters in 0..5000_usize,
            keys in prop::collection::vec(prop_oneof![8 => any::<u128>(), 1 => Just(0), 1 => Just(u128::MAX)], 0..50),
        ) {
            let mut changed = Changed::for_up_to(counters, Round::default());
            keys.iter().for_each(|key| changed.mark(*key));
            let (ranges, _) = told(&mut changed);
            prop_assert!(ranges.is_sorted());
            let holding = |key: u128| ranges.iter().filter(|(first, last)| (*first..=*last).contains(&key)).count();
            prop_assert!(keys.iter().all(|key| holding(*key) == 1));
            prop_assert!(ranges.len() <= keys.len());
            let most = u128::MAX / (4 * counters.max(16) as u128) + 1;
            prop_assert!(ranges.iter().all(|(first, last)| last - first < most));
            prop_assert_eq!(told(&mut changed).0, [], "what was taken has not changed since");
        }

        #[test]
        fn a_range_is_told_once_by_whoever_comes_first(
            keys in prop::collection::vec(any::<u128>(), 1..50), early in any::<prop::sample::Index>(),
        ) {
            let mut changed = Changed::for_up_to(100, Round::default());
            keys.iter().for_each(|key| changed.mark(*key));
            let all = told(&mut changed).0;
            keys.iter().for_each(|key| changed.mark(*key));
            changed.enter(changed.round.next());
            let key = keys[early.index(keys.len())];
            let range = changed.take_range_of(key).unwrap();
            prop_assert_eq!(changed.take_range_of(key), None);
            let mut ranges: Vec<_> = std::iter::from_fn(|| changed.take_next_range()).chain([range]).collect();
            ranges.sort_unstable();
            prop_assert_eq!(ranges, all);
        }
    }

    #[test]
    fn too_many_that_were_let_go_are_not_kept_and_that_is_told() {
        let mut changed = Changed::for_up_to(100, Round::default());
        let mut gone = |all: u128| {
            (0..all).for_each(|id| changed.let_go(id));
            let changes = told(&mut changed).1;
            (changes.len(), changes.track())
        };
        assert_eq!(gone(400), (400, Track::Kept));
        assert_eq!(gone(401), (400, Track::Lost));
        assert_eq!(gone(0), (0, Track::Kept));
    }

    #[test]
    fn who_is_let_go_before_it_was_told_is_gone() {
        let mut changed = Changed::for_up_to(100, Round::default());
        changed.mark(7);
        changed.enter(changed.round.next());
        [7, u128::MAX].into_iter().for_each(|id| changed.let_go(id));
        let mut changes = Changes::default();
        changed.end_telling().unwrap().add_to(&mut changes);
        let told: Vec<_> = changes.iter().collect();
        assert_eq!(told, [(&7_u128.to_be_bytes()[..], None)]);
    }
}
