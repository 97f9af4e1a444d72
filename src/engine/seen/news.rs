//! What is new of the tiers of users, until it is written down in the store: off the path of decisions, some at a time.
//!
//! Bounded: what finds no room is new again at the next call. What the store does not take is tried again. Users of whom this
//! instance has told nothing before are told a few at a time, however many come: a store keeps what it is told for long, and
//! whoever brings users that do not exist is not to fill it, nor to keep back what is new of others.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use crate::engine::Engine;
use crate::limits::CounterKey;
use crate::store::{Mark, Store};

use super::PLACES;

/// How much may wait.
const MOST: usize = 1024;
/// How often what is new is written down.
const INTERVAL: Duration = Duration::from_millis(250);
/// How much of that at most at one time.
const EACH_TIME: usize = 256;
/// How many newcomers are told each time: 64 a second.
const NEWCOMERS_EACH_TIME: usize = 16;
/// How many are written down in one step: it is short, since others wait for it.
const AT_ONCE: usize = 64;
/// How many places are due each time: all of them within seventeen minutes, so that what others have seen since, and what
/// was lost, is soon as it was seen last, and what the store is about to forget is left anew.
const DUE_EACH_TIME: usize = 16;

/// Of whom something is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Of somebody this instance has told of before.
    Known,
    /// Of anybody else.
    Newcomer,
}

/// What is to be written down.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Whether anybody writes.
    is_wanted: AtomicBool,
    is_full: AtomicBool,
    /// How many newcomers may still be told until it is next written.
    newcomers_left: AtomicUsize,
    waiting: Mutex<Vec<Mark>>,
    /// Held by whoever writes.
    writing: tokio::sync::Mutex<()>,
}

impl News {
    /// From now on somebody writes.
    fn begin(&self) {
        if !self.is_wanted.swap(true, Ordering::Relaxed) {
            self.let_newcomers_in();
        }
    }

    /// Has `news` of `whom` written down, if there are any. Whether they will be, as far as they are to be.
    pub(super) fn tell(&self, whom: Whom, news: impl FnOnce() -> Option<Mark>) -> bool {
        if !self.is_wanted.load(Ordering::Relaxed) {
            return true;
        }
        if self.is_full.load(Ordering::Relaxed) || self.newcomers_left(whom).is_none() {
            return false;
        }
        let Some(mark) = news() else { return true };
        // Whoever decides waits for nobody.
        let Some(mut waiting) = self.waiting.try_lock() else { return false };
        if waiting.len() >= MOST {
            self.is_full.store(true, Ordering::Relaxed);
            return false;
        }
        let Some(left) = self.newcomers_left(whom) else { return false };
        self.newcomers_left.store(left, Ordering::Relaxed);
        waiting.push(mark);
        true
    }

    /// How many newcomers may be told once `whom` is; `None` if that is one too many. It changes under the lock alone.
    fn newcomers_left(&self, whom: Whom) -> Option<usize> {
        let left = self.newcomers_left.load(Ordering::Relaxed);
        match whom {
            Whom::Known => Some(left),
            Whom::Newcomer => left.checked_sub(1),
        }
    }

    /// From now on some newcomers are told, as far as there is room beside what is new of others.
    fn let_newcomers_in(&self) {
        let waiting = self.waiting.lock();
        let room = (MOST / 2).saturating_sub(waiting.len());
        self.newcomers_left.store(room.min(NEWCOMERS_EACH_TIME), Ordering::Relaxed);
    }

    /// What is to be written down under `key`, and is not yet.
    pub(super) fn waiting(&self, key: CounterKey) -> Option<u32> {
        let waiting = self.waiting.lock();
        waiting.iter().rev().find(|mark| mark.key == key).map(|mark| mark.value)
    }

    fn first(&self) -> Vec<Mark> {
        self.waiting.lock().iter().take(AT_ONCE).copied().collect()
    }

    /// The first `count` are written down.
    fn written(&self, count: usize) {
        self.waiting.lock().drain(..count);
        self.is_full.store(false, Ordering::Relaxed);
    }
}

impl<S: Store> Engine<S> {
    /// Writes down on which tiers users are seen, for as long as it is polled.
    pub fn keep_writing_tiers(self: Arc<Self>) -> impl Future<Output = Infallible> + Send {
        self.seen.news.begin();
        async move {
            let mut ticks = tokio::time::interval(INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut due = 0;
            loop {
                ticks.tick().await;
                self.write_tiers(EACH_TIME).await;
                self.seen.make_due(due, DUE_EACH_TIME);
                due = (due + DUE_EACH_TIME) % PLACES;
            }
        }
    }

    /// Writes down what is new of the tiers of users since it was last written, up to `most` of it; how much that was.
    pub async fn write_tiers(&self, most: usize) -> usize {
        let news = &self.seen.news;
        news.begin();
        let _writing = news.writing.lock().await;
        let mut count = 0;
        while count < most {
            let marks = news.first();
            if marks.is_empty() {
                break;
            }
            if let Err(error) = self.store.mark(&marks).await {
                tracing::debug!(%error, "tiers of users are not written down yet");
                break;
            }
            news.written(marks.len());
            count += marks.len();
        }
        news.let_newcomers_in();
        count
    }
}
