//! Which counters of a shard have changed since somebody looked, for whoever writes them down.
//!
//! Keys are uniform, so all keys are cut into as many equal ranges as there are marks, and a charge marks the range of
//! its counter. That is one bit to set under the shard's lock, wherever the counter stands in its table and wherever it
//! moves to; the few others of a marked range are taken for changed as well. A counter that is let go leaves its key
//! behind, because nobody could find it any more.

use crate::store::durable::Track;

/// How many marks there are for each counter that a shard is for.
const MARKS_EACH: usize = 4;
/// The most keys of counters let go that are kept for each counter that a shard is for. Beyond, track is lost of them.
const GONE_EACH: usize = 4;

/// What has changed in a shard.
#[derive(Debug)]
pub(super) struct Changed {
    /// A bit for each range of keys. A power of two of words.
    words: Box<[u64]>,
    gone: Vec<u128>,
    most_gone: usize,
    track: Track,
}

/// What had changed in a shard when somebody looked.
#[derive(Debug)]
pub(super) struct Marked {
    words: Box<[u64]>,
    /// The keys of counters that were let go. Some may have come back.
    pub(super) gone: Vec<u128>,
    /// Whether that is all of them.
    pub(super) track: Track,
}

impl Changed {
    /// In a shard for so many counters.
    pub(super) fn for_up_to(counters: usize) -> Self {
        let words = (counters * MARKS_EACH).div_ceil(64).next_power_of_two();
        let most_gone = counters.max(64) * GONE_EACH;
        Self { words: empty(words), gone: Vec::new(), most_gone, track: Track::Kept }
    }

    /// The counter `id` has changed, or come.
    #[inline(always)]
    pub(super) fn mark(&mut self, id: u128) {
        let mark = mark_of(id, self.words.len());
        self.words[mark / 64] |= 1 << (mark % 64);
    }

    /// The counter `id` was let go.
    pub(super) fn let_go(&mut self, id: u128) {
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

    /// What has changed; from here on, nothing has.
    pub(super) fn take(&mut self) -> Marked {
        let words = empty(self.words.len());
        Marked {
            words: std::mem::replace(&mut self.words, words),
            gone: std::mem::take(&mut self.gone),
            track: std::mem::replace(&mut self.track, Track::Kept),
        }
    }
}

impl Marked {
    /// The first keys of the ranges that are marked, ascending, each with the last one of its range.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (u128, u128)> {
        let length = u128::MAX / (self.words.len() as u128 * 64) + 1;
        (0_u128..).step_by(64).zip(&self.words).filter(|(_, word)| **word != 0).flat_map(
            move |(first, word)| {
                let marked = (0..64).filter(move |bit| word >> bit & 1 == 1);
                marked.map(move |bit| ((first + bit) * length, (first + bit) * length + (length - 1)))
            },
        )
    }
}

fn empty(words: usize) -> Box<[u64]> {
    vec![0; words].into()
}

/// Which of the marks in so many words, a power of two, is that of `id`.
fn mark_of(id: u128, words: usize) -> usize {
    let marks = words.trailing_zeros() + u64::BITS.trailing_zeros();
    (id >> (u128::BITS - marks)) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Changed;
    use crate::store::durable::Track;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn every_marked_key_lies_in_a_range_and_few_others_do(
            counters in 0..5000_usize,
            keys in prop::collection::vec(prop_oneof![8 => any::<u128>(), 1 => Just(0), 1 => Just(u128::MAX)], 0..50),
        ) {
            let mut changed = Changed::for_up_to(counters);
            keys.iter().for_each(|key| changed.mark(*key));
            let ranges: Vec<_> = changed.take().ranges().collect();
            prop_assert!(ranges.is_sorted());
            let holding = |key: u128| ranges.iter().filter(|(first, last)| (*first..=*last).contains(&key)).count();
            prop_assert!(keys.iter().all(|key| holding(*key) == 1));
            prop_assert!(ranges.len() <= keys.len());
            let most = u128::MAX / (4 * counters.max(16) as u128) + 1;
            prop_assert!(ranges.iter().all(|(first, last)| last - first < most));
            prop_assert_eq!(changed.take().ranges().count(), 0, "what was taken has not changed since");
        }
    }

    #[test]
    fn too_many_that_were_let_go_are_not_kept_and_that_is_told() {
        let mut changed = Changed::for_up_to(100);
        (0..400).for_each(|id| changed.let_go(id));
        assert_eq!(changed.take().track, Track::Kept);
        (0..401).for_each(|id| changed.let_go(id));
        let marked = changed.take();
        assert_eq!((marked.gone.len(), marked.track), (400, Track::Lost));
        assert_eq!(changed.take().track, Track::Kept);
    }
}
