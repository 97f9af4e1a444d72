//! Settles that are made even if nobody waits for them, or the store does not answer at once.
//!
//! A settle has a name, so it does no harm to ask again. It is asked until the store knows the name, for a minute: what is
//! asked of a store may be done after whoever asked has given up.
//!
//! So many settles wait for a store at once, and no more: a newer one is given up, as is one that has no answer for a
//! minute. That is counted, if it was to charge anything: that is lost. What is held lapses in its time, so those that only
//! let go of something leave half of the places to the others.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::sync::Semaphore;

use crate::algorithm::{Op, Rule};
use crate::clock::{Micros, Timestamp};
use crate::limits::{CounterKey, Number, OnError, RuleSet, Unit, Window};
use crate::store::{Before, Binding, Charge, Due, FreedBy, Settle, Settled, Spent, Store, StoreError, Then};

use super::hold::{Told, count, make, tell};
use super::native::Bill;
use super::unclaimed::Unclaimed;
use super::{Engine, unpriced};

/// How long it is waited before each try but the first.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(30),
    Duration::from_millis(300),
    Duration::from_secs(3),
    Duration::from_secs(12),
    Duration::from_secs(45),
];

/// How many settles may wait for the store at once. Each takes about 2 kB.
const MOST: usize = 10_000;

/// How many of them ask the store at once: a store that is back answers these within its deadline, and then others.
const ASKING: usize = 64;

/// The settles that wait for the store, on whichever thread.
#[derive(Debug)]
pub(super) struct Insisted {
    waiting: AtomicUsize,
    asking: Semaphore,
    given_up: AtomicU64,
}

impl Default for Insisted {
    fn default() -> Self {
        Self { waiting: AtomicUsize::new(0), asking: Semaphore::new(ASKING), given_up: AtomicU64::new(0) }
    }
}

/// The place of one that waits.
struct Waiting(Arc<Insisted>);

impl Insisted {
    /// A place for one more, which goes on as `then` says; `None` if all that it may have are taken.
    fn wait(self: &Arc<Self>, then: Then) -> Option<Waiting> {
        let most = if then == Then::Released { MOST / 2 } else { MOST };
        let waiting = Waiting(Arc::clone(self));
        (self.waiting.fetch_add(1, Ordering::Relaxed) < most).then_some(waiting)
    }

    /// One is given up, which would have gone on as `then` says.
    fn give_up(&self, then: Then) {
        if then == Then::Released {
            return;
        }
        let times = self.given_up.fetch_add(1, Ordering::Relaxed) + 1;
        if times.is_power_of_two() {
            tracing::error!(
                times,
                "a settle is given up, since the store has no answer: what it was to charge is lost"
            );
        }
    }

    /// How many were given up that were to charge something.
    pub(super) fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a store says to a settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// It is done.
    Done,
    /// Nothing was ever done under its name; that may yet come.
    Unknown,
    /// Nothing.
    Nothing,
}

/// A settle that needs nothing of whoever asked for it.
#[derive(Clone, Debug)]
pub(super) struct Closing {
    pub(super) name: CounterKey,
    pub(super) spent: Spent,
    pub(super) then: Then,
    pub(super) keep: Micros,
    /// What is written down with it.
    pub(super) told: Option<Told>,
    /// What was used by the prices of which time; `None`, if nobody told.
    pub(super) priced: Option<(Bill, Timestamp)>,
    /// What is charged if nothing was reserved.
    pub(super) otherwise: Vec<Owed>,
}

/// A counter that is charged after the fact, for as long as it takes.
#[derive(Clone, Debug)]
pub(super) struct Owed {
    key: CounterKey,
    identity: u128,
    window: Window,
    number: Number,
    on_error: OnError,
    freed_by: FreedBy,
    unit: Unit,
    memo: u64,
}

/// A settle that is made when this is dropped, unless it is said to be done.
#[derive(Debug)]
pub(super) struct Insistence<S: Store> {
    engine: Arc<Engine<S>>,
    closing: Closing,
    is_done: bool,
}

impl<S: Store> Insistence<S> {
    /// On `closing`.
    pub(super) fn on(engine: &Arc<Engine<S>>, closing: Closing) -> Self {
        Self { engine: Arc::clone(engine), closing, is_done: false }
    }

    /// Makes the settle that is insisted on.
    pub(super) async fn settle(&self) -> Result<Settled, StoreError> {
        self.closing.settle(&self.engine).await
    }

    /// Has counts, estimates and alerts know what it came to.
    pub(super) fn heard(&self, rules: &RuleSet, settled: &Settled) {
        self.closing.heard(&self.engine, rules, settled);
    }

    /// The settle is made unless whoever is told of what it ends claims that.
    pub(super) fn unless_claimed(self) -> Unclaimed {
        let (engine, closing) = (Arc::clone(&self.engine), self.closing.clone());
        self.done();
        Unclaimed::new(move || insist(&engine, closing.clone()))
    }

    /// There is nothing left to do.
    pub(super) fn done(mut self) {
        self.is_done = true;
    }
}

impl<S: Store> Drop for Insistence<S> {
    fn drop(&mut self) {
        if !self.is_done {
            insist(&self.engine, self.closing.clone());
        }
    }
}

/// Makes the settle `closing`, beside whatever else is done, unless too many wait for that.
pub(super) fn insist<S: Store>(engine: &Arc<Engine<S>>, closing: Closing) {
    let then = closing.then;
    let Some(waiting) = engine.insisted.wait(then) else { return engine.insisted.give_up(then) };
    let engine = Arc::clone(engine);
    let mut closing = Box::pin(async move {
        if ask_again(&engine, &closing).await == Said::Nothing {
            engine.insisted.give_up(then);
        }
        drop(waiting);
    });
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => _ = runtime.spawn(closing),
        // Where there is no runtime, nothing waits: the store is in this process.
        Err(_) => _ = poll_once(closing.as_mut()),
    }
}

/// Asks for the settle `closing` until it is done, for a minute. What the store said last.
async fn ask_again<S: Store>(engine: &Engine<S>, closing: &Closing) -> Said {
    let mut said = ask(engine, closing).await;
    for pause in PAUSES {
        if said == Said::Done {
            break;
        }
        tokio::time::sleep(pause).await;
        said = ask(engine, closing).await;
    }
    said
}

/// Asks for the settle `closing`, and does what follows.
async fn ask<S: Store>(engine: &Engine<S>, closing: &Closing) -> Said {
    let settled = {
        let _turn = engine.insisted.asking.acquire().await;
        closing.settle(engine).await
    };
    let Ok(settled) = settled else { return Said::Nothing };
    let rules = engine.limits.load();
    closing.heard(engine, &rules, &settled);
    tell(engine, &rules, &settled).await;
    if settled.before == Before::Unknown { Said::Unknown } else { Said::Done }
}

fn poll_once(future: Pin<&mut (impl Future + ?Sized)>) -> Poll<()> {
    future.poll(&mut Context::from_waker(Waker::noop())).map(|_| ())
}

impl Closing {
    /// What gives back what is held under `name`.
    pub(super) fn release(name: CounterKey, keep: Micros) -> Self {
        let spent = Spent { tokens: Due::Exactly(0), money: Due::Exactly(0) };
        Self { name, spent, then: Then::Released, keep, told: None, priced: None, otherwise: Vec::new() }
    }

    async fn settle<S: Store>(&self, engine: &Engine<S>) -> Result<Settled, StoreError> {
        let otherwise: SmallVec<[Charge<'_>; 2]> = self.otherwise.iter().map(Owed::charge).collect();
        let Self { name, spent, then, keep, ref told, .. } = *self;
        let report = told.as_ref().map(Told::report);
        make(engine, Settle { name, spent, then, otherwise: &otherwise, keep, report }).await
    }

    /// Has the counts of `engine`, its estimates and alerts know what it came to once it is `settled`.
    fn heard<S: Store>(&self, engine: &Engine<S>, rules: &RuleSet, settled: &Settled) {
        let Some((bill, at)) = &self.priced else {
            count(engine, rules, (self.name, settled, self.then), &[], settled.at);
            return;
        };
        let before = count(engine, rules, (self.name, settled, self.then), &bill.usages(), *at);
        if !matches!(before, Before::Settled | Before::Unknown) {
            let unpaid = settled.unheld_money();
            let unpriced = bill.unpriced(&rules.prices, *at);
            unpriced.for_each(|model| unpriced::raise(engine, rules, settled.at, &unpaid, model));
            bill.teach(&mut engine.estimates.lock(), &rules.prices, settled);
        }
    }
}

impl Owed {
    /// What `charges` charge of tokens and money. Hits are charged when they are asked for.
    pub(super) fn of(charges: &[Charge<'_>]) -> Vec<Self> {
        charges.iter().filter(|charge| charge.unit != Unit::Hits).map(Self::of_one).collect()
    }

    fn of_one(charge: &Charge<'_>) -> Self {
        let Charge { key, overflow: identity, rule, on_error, freed_by, unit, memo, .. } = *charge;
        let (window, number) = (rule.window.clone(), rule.number);
        Self { key, identity, window, number, on_error, freed_by, unit, memo }
    }

    /// It, of as much as the settle says.
    fn charge(&self) -> Charge<'_> {
        let Self { key, identity, ref window, number, on_error, freed_by, unit, memo } = *self;
        let (rule, op) = (Rule { window, number }, Op::Take { room: 0, charge: 0 });
        let binding = Binding::Counted;
        Charge { key, overflow: identity, rule, op, binding, on_error, freed_by, unit, memo }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_wait_and_no_more() {
        for (then, most) in [(Then::Done, MOST), (Then::Released, MOST / 2)] {
            let insisted = Arc::<Insisted>::default();
            let mut waiting: Vec<_> = (0..most).map(|_| insisted.wait(then).unwrap()).collect();
            assert!(insisted.wait(then).is_none());
            assert!(insisted.wait(then).is_none(), "whoever found no place took none");
            waiting.pop();
            let another = insisted.wait(then);
            assert!(another.is_some() && insisted.wait(then).is_none());
        }
    }

    #[test]
    fn what_is_only_let_go_takes_no_place_of_what_is_charged_and_is_no_loss() {
        let insisted = Arc::<Insisted>::default();
        let let_go: Vec<_> = std::iter::from_fn(|| insisted.wait(Then::Released)).collect();
        assert!(let_go.len() < MOST && insisted.wait(Then::Done).is_some());
        [Then::Released, Then::Done].into_iter().for_each(|then| insisted.give_up(then));
        assert_eq!(insisted.given_up(), 1);
    }
}
