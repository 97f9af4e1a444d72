//! Refusals that still hold, answered without asking the store again: the deny cache before a shared store.
//!
//! A counter that is exactly full and that nobody gives back to can only be emptied by time. Until the first
//! instant at which a single hit could pass, which the store has told, the answer to a single hit is known, to
//! the microsecond. It counts from before the store was asked, so it never holds longer than the store's own.
//!
//! What is reset here is forgotten before that is answered, also what calls in flight will have been told of the time before.
//! Other instances are not heard of here. What they may do to a full counter within [`LONGEST`] is to reset it;
//! then it is asked for again that much later. A number that has changed is another question. Nothing is known
//! of counters that can be given back to, and nothing of charges that count although they are refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::algorithm::{Op, Outcome, Overrun, Retry, Share, Verdict};
use crate::clock::{Clock, Micros, Timestamp};
use crate::limits::{CounterKey, Number};

use super::{Admission, Answer, Call, Charge, FreedBy, Lanes, Layer, Marked, Outcomes, Store, StoreError};

/// How many refusals are remembered; a newer one takes the place of an older one.
const PLACES: usize = 16 * 1024;
/// How long a refusal holds at most.
const LONGEST: Micros = Micros(250_000);

/// A store that is not asked what it has just answered.
#[derive(Debug)]
pub struct WithRefusals<S> {
    store: S,
    refusals: Arc<Refusals>,
    clock: Clock,
}

impl<S: Store> WithRefusals<S> {
    /// `store`, asked again only once a refusal may have ended; `clock` says how much time has passed.
    pub fn new(store: S, clock: Clock) -> Self {
        Self { store, refusals: Arc::default(), clock }
    }
}

impl<S: Store> Layer for WithRefusals<S> {
    type Inner = S;

    fn inner(&self) -> &S {
        &self.store
    }

    async fn charge(&self, call: Call<'_>) -> Result<Answer, StoreError> {
        let asked = self.clock.steady();
        if let Some(answer) = self.refusals.answer(call, asked) {
            return Ok(answer);
        }
        let answer = self.store.charge(call).await;
        if call.charges.iter().any(is_reset) {
            // Whether or not it is known to be done.
            self.refusals.forget(call, self.clock.steady());
        }
        let answer = answer?;
        self.refusals.learn(call, &answer, asked);
        Ok(answer)
    }

    /// Asks the store itself, always.
    async fn oversee(
        &self,
        call: Call<'_>,
        mark: Option<CounterKey>,
    ) -> Result<(Answer, Option<Marked>), StoreError> {
        let answer = self.store.oversee(call, mark).await;
        if call.charges.iter().any(is_reset) {
            // Whether or not it is known to be done.
            self.refusals.forget(call, self.clock.steady());
        }
        answer
    }
}

impl<S: Lanes> Lanes for WithRefusals<S> {
    fn lane(&self) -> Self {
        Self { store: self.store.lane(), refusals: self.refusals.clone(), clock: self.clock.clone() }
    }

    async fn tried(&self) {
        self.store.tried().await;
    }
}

/// What is known, each refusal in the place of its key.
#[derive(Debug)]
struct Refusals {
    places: Box<[Mutex<Place>]>,
    /// Which places are taken, close together: most keys are refused nothing, and a look at a place of theirs, which
    /// nobody has seen for long, is a wait for memory. Written under the lock of the place.
    taken: Box<[AtomicBool]>,
}

/// Where one refusal is remembered.
#[derive(Debug, Default)]
struct Place {
    refusal: Option<Refusal>,
    /// By the steady clock: what was asked for before then says nothing any more.
    reset: Option<Micros>,
}

/// That a single hit on a counter is refused.
#[derive(Clone, Debug)]
struct Refusal {
    id: u128,
    number: Number,
    most: Number,
    /// By the store's time.
    at: Timestamp,
    outcome: Outcome,
    /// By the steady clock: when the store was asked, and until when the refusal holds.
    asked: Micros,
    until: Micros,
}

impl Default for Refusals {
    fn default() -> Self {
        let places = (0..PLACES).map(|_| Mutex::default()).collect();
        Self { places, taken: (0..PLACES).map(|_| AtomicBool::default()).collect() }
    }
}

impl Refusals {
    /// What the store would answer to `call` at `now`, if every charge of it is known to be refused.
    fn answer(&self, call: Call<'_>, now: Micros) -> Option<Answer> {
        let mut at = None;
        let refused = |charge| {
            let (seen, outcome) = self.of(charge, call.admission, now)?.seen(now);
            at = at.max(Some(seen));
            Some(outcome)
        };
        let mut outcomes = call.charges.iter().map(refused).collect::<Option<Outcomes>>()?;
        call.settle(&mut outcomes, Share::WHOLE);
        Some(Answer { at: at?, outcomes, degraded: None })
    }

    fn of(&self, charge: &Charge<'_>, admission: Admission, now: Micros) -> Option<Refusal> {
        if !is_lasting(charge, admission) {
            return None;
        }
        let index = place_of(charge);
        if !self.taken[index].load(Ordering::Relaxed) {
            return None;
        }
        let mut place = self.places[index].lock();
        if place.refusal.as_ref().is_some_and(|refusal| refusal.until <= now) {
            place.refusal = None;
            self.taken[index].store(false, Ordering::Relaxed);
        }
        place.refusal.as_ref().filter(|refusal| refusal.is_of(charge)).cloned()
    }

    /// Remembers which charges of `call` will be refused again. That waiting never helps one to a counter which has
    /// room in time is for want of room beside the others of its call: alone it is another question.
    fn learn(&self, call: Call<'_>, answer: &Answer, asked: Micros) {
        if answer.degraded.is_some() {
            return;
        }
        for (charge, outcome) in call.charges.iter().zip(&answer.outcomes) {
            if let Verdict::Refused(retry) = outcome.verdict
                && is_lasting(charge, call.admission)
                && charge.rule.most() == Number::AtMost(outcome.standing.used)
                && (retry != Retry::Never || outcome.standing.used == 0)
            {
                self.keep(
                    place_of(charge),
                    Refusal {
                        id: charge.key.id,
                        number: charge.rule.number,
                        most: charge.rule.most(),
                        at: answer.at,
                        outcome: *outcome,
                        asked,
                        until: Micros(asked.0.saturating_add(wait(retry).min(LONGEST).0)),
                    },
                );
            }
        }
    }

    fn keep(&self, index: usize, refusal: Refusal) {
        let mut place = self.places[index].lock();
        if place.reset.is_none_or(|reset| refusal.asked > reset) {
            place.refusal = Some(refusal);
            self.taken[index].store(true, Ordering::Relaxed);
        }
    }

    /// Remembers nothing of the counters that `call` has reset by `now`.
    #[cold]
    fn forget(&self, call: Call<'_>, now: Micros) {
        for charge in call.charges.iter().filter(|charge| is_reset(charge)) {
            let index = place_of(charge);
            let mut place = self.places[index].lock();
            *place = Place { refusal: None, reset: Some(now) };
            self.taken[index].store(false, Ordering::Relaxed);
        }
    }
}

fn place_of(charge: &Charge<'_>) -> usize {
    (charge.key.id % PLACES as u128) as usize
}

impl Refusal {
    fn is_of(&self, charge: &Charge<'_>) -> bool {
        self.id == charge.key.id && self.number == charge.rule.number && self.most == charge.rule.most()
    }

    /// The refusal as the store would tell it at `now`, and the time that the store would have.
    fn seen(&self, now: Micros) -> (Timestamp, Outcome) {
        let passed = Micros(now.0.saturating_sub(self.asked.0));
        let left = |span: Micros| Micros(span.0.saturating_sub(passed.0));
        let mut outcome = self.outcome;
        outcome.standing.reset_after = outcome.standing.reset_after.map(left);
        if let Verdict::Refused(Retry::After(span)) = outcome.verdict {
            outcome.verdict = Verdict::Refused(Retry::After(left(span)));
        }
        (self.at.plus(passed), outcome)
    }
}

/// Whether `charge` may leave more room than time does.
fn is_reset(charge: &Charge<'_>) -> bool {
    matches!(charge.op, Op::Set { .. } | Op::Clear)
}

/// Whether a refusal of `charge` changes nothing and is ended by time alone, and whether it asks for a single
/// unit: of a larger one it would have to be known when that much room is back.
fn is_lasting(charge: &Charge<'_>, admission: Admission) -> bool {
    charge.freed_by == FreedBy::Time
        && charge.overrun(admission) == Overrun::Refuse
        && matches!(charge.op, Op::Take { room: 1, .. })
        && !charge.rule.window.is_held()
}

fn wait(retry: Retry) -> Micros {
    match retry {
        Retry::After(span) => span,
        Retry::Never => LONGEST,
    }
}
