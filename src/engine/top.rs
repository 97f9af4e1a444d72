//! Who asks each limit the most: a sample of calls, and of each limit the subjects that it meets most often.
//!
//! **Bound.** Of n hits that are looked at, whoever made more than n/128 of them is known, and no count is too high by more
//! than it says, which is n/128 at most. What is told is as many times as much as calls are passed over.
//!
//! **Source.** Space-Saving (Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data
//! Streams", ICDT 2005).
//!
//! Values of subjects stay in this memory, and are told to nobody but operators who ask.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::clock::Timestamp;

use super::operate::{Consumer, SubjectPart};

/// One in so many calls is looked at: to look at one costs nearly as much as half a call does.
pub(super) const ONE_IN: u64 = 256;
/// How many subjects of a limit are counted.
const PLACES: usize = 128;
/// The longest values that are kept, in bytes: who has longer ones is not told of.
const MOST_BYTES: usize = 256;
/// Of how many limits at most.
const MOST_LIMITS: usize = 4096;

/// Which calls are looked at: a thread that decides has one of its own.
#[derive(Debug, Default)]
pub(super) struct Sampler(AtomicU64);

impl Sampler {
    /// Whether the call in hand is. Threads that share it may lose a count, which costs less than to keep it.
    #[inline(always)]
    pub(super) fn takes_this(&self) -> bool {
        let calls = self.0.load(Ordering::Relaxed).wrapping_add(1);
        self.0.store(calls, Ordering::Relaxed);
        calls.is_multiple_of(ONE_IN)
    }
}

/// Who asks which limit the most, by the identity of the limit.
#[derive(Debug, Default)]
pub(super) struct TopSketches(Mutex<HashMap<u128, Sketch>>);

/// Who asks one limit the most.
#[derive(Debug)]
struct Sketch {
    since: Timestamp,
    counts: Vec<Count>,
}

/// How often a subject was met.
#[derive(Debug)]
struct Count {
    /// The keyed hash of the subject.
    hash: u128,
    subject: Vec<SubjectPart>,
    hits: u64,
    over_by: u64,
}

impl TopSketches {
    /// Counts that the limit of this identity was asked for `hits` by the subject of this `hash`, whom `subject` names; if
    /// nobody else is at it.
    pub(super) fn count(
        &self,
        limit: u128,
        hash: u128,
        hits: u64,
        at: Timestamp,
        subject: impl FnOnce() -> Vec<SubjectPart>,
    ) {
        // Whoever decides waits for nobody who looks: a call that is not counted is one more that was passed over.
        let Some(mut sketches) = self.0.try_lock() else { return };
        if sketches.len() == MOST_LIMITS && !sketches.contains_key(&limit) {
            return;
        }
        let fresh = || Sketch { since: at, counts: Vec::new() };
        sketches.entry(limit).or_insert_with(fresh).count(hash, hits, subject);
    }

    /// Who asks the limit of this identity the most, up to `most`, and since when that is counted.
    pub(super) fn of(&self, limit: u128, most: usize) -> Option<(Timestamp, Vec<Consumer>)> {
        let sketches = self.0.lock();
        let sketch = sketches.get(&limit)?;
        let mut counts: Vec<&Count> = sketch.counts.iter().collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.hits));
        let told = counts.into_iter().filter(|count| !count.subject.is_empty()).take(most);
        let told = told.map(|count| Consumer {
            subject: count.subject.clone(),
            hits: count.hits.saturating_mul(ONE_IN),
            over_by: count.over_by.saturating_mul(ONE_IN),
        });
        Some((sketch.since, told.collect()))
    }
}

impl Sketch {
    fn count(&mut self, hash: u128, hits: u64, subject: impl FnOnce() -> Vec<SubjectPart>) {
        if let Some(known) = self.counts.iter_mut().find(|count| count.hash == hash) {
            known.hits = known.hits.saturating_add(hits);
            return;
        }
        let subject = kept(subject());
        if self.counts.len() < PLACES {
            self.counts.push(Count { hash, subject, hits, over_by: 0 });
        } else if let Some(least) = self.counts.iter_mut().min_by_key(|count| count.hits) {
            // It may have been met as often as the one whose place it takes.
            *least = Count { hash, subject, hits: least.hits.saturating_add(hits), over_by: least.hits };
        }
    }
}

/// What is kept of `subject`: all of it, or nothing.
fn kept(subject: Vec<SubjectPart>) -> Vec<SubjectPart> {
    let bytes: usize = subject.iter().map(|part| part.key.len() + part.value.len()).sum();
    if bytes <= MOST_BYTES { subject } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: u128) -> Vec<SubjectPart> {
        vec![SubjectPart { key: (*b"user").into(), value: name.to_string().into_bytes().into() }]
    }

    #[test]
    fn whoever_asks_much_is_known_and_no_count_is_further_off_than_it_says() {
        let (sketches, mut truth) = (TopSketches::default(), HashMap::<u128, u64>::new());
        let mut state = 7_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Subject 0 makes half of the calls, subject 1 a quarter, and so on.
            let name = u128::from((state >> 20).trailing_zeros()) * 1000 + u128::from(state >> 60);
            sketches.count(1, name, 1, Timestamp(5), || named(name));
            *truth.entry(name).or_default() += 1;
        }
        let (since, top) = sketches.of(1, 40).unwrap();
        assert_eq!((since, top.len()), (Timestamp(5), 40));
        for consumer in &top {
            let name: u128 = String::from_utf8_lossy(&consumer.subject[0].value).parse().unwrap();
            let real = truth[&name] * ONE_IN;
            assert!(
                consumer.hits >= real && consumer.hits - consumer.over_by <= real,
                "{consumer:?}: {real}"
            );
        }
        let frequent = truth.iter().filter(|(_, count)| **count > 20_000 / PLACES as u64);
        let (_, all) = sketches.of(1, PLACES).unwrap();
        for (name, _) in frequent {
            assert!(all.iter().any(|consumer| consumer.subject == named(*name)), "{name} is not known");
        }
        assert!(sketches.of(2, 9).is_none());
    }

    #[test]
    fn who_decides_does_not_wait_for_who_looks() {
        let sketches = TopSketches::default();
        let looking = sketches.0.lock();
        sketches.count(1, 7, 1, Timestamp(5), || named(7));
        drop(looking);
        assert!(sketches.of(1, 9).is_none());
    }

    #[test]
    fn one_call_in_so_many_is_looked_at() {
        let sampler = Sampler::default();
        assert_eq!((0..10 * ONE_IN).filter(|_| sampler.takes_this()).count(), 10);
    }
}
