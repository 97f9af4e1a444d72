//! What is answered when the store has no answer: by each limit's policy, and never an error.
//!
//! Around a store that may fail stands a memory of this instance's own. While the store answers, what it
//! admits is counted there too, so that limits which are to be enforced locally know what this instance has
//! let pass when the store goes silent. Each instance then allows its share: the number divided by the
//! instances, rounded up. What is reset here is reset in that memory as well; in those of other instances it is not, so while
//! the store is silent they go on by what they have counted before.
//!
//! The names of counters are the store's. If their secret changes because the store is reached for the first
//! time, what was counted locally under the first one is forgotten; that happens once, at start.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::algorithm::{Op, Overrun, Rule, Verdict};
use crate::clock::Clock;
use crate::limits::{CounterKey, KeySecret, Number, OnError, Window};

use super::memory::{MemorySettings, MemoryStore};
use super::{
    Admission, Answer, Before, Binding, Call, Charge, Hold, Lanes, Layer, Marked, Reserve, Reserved, Settle,
    Settled, Store, StoreError,
};

/// A store that always has an answer.
#[derive(Debug)]
pub struct WithFallback<S> {
    store: S,
    local: Arc<MemoryStore>,
    instances: u64,
}

/// How failures of a store are bridged.
#[derive(Clone, Copy, Debug)]
pub struct FallbackSettings {
    /// How many instances share the store. Default 1: each allows everything on its own.
    pub instances: u32,
    /// How much is remembered locally.
    pub memory: MemorySettings,
}

impl Default for FallbackSettings {
    fn default() -> Self {
        Self { instances: 1, memory: MemorySettings::default() }
    }
}

/// How many charges most calls have at most.
const FEW: usize = 2;

/// Windows that differ from those of their charges.
type Windows = SmallVec<[Option<Window>; FEW]>;

/// Stands for a limit that refuses by policy, and for one that passes by policy.
const BY_POLICY: Window = Window::Request;

impl<S: Store> WithFallback<S> {
    /// `store`, bridged by a memory whose time is `clock`.
    pub fn new(store: S, settings: FallbackSettings, clock: Clock) -> Self {
        let local = MemoryStore::new(settings.memory, clock, KeySecret([0; 16]));
        Self { store, local: Arc::new(local), instances: u64::from(settings.instances.max(1)) }
    }

    /// The store that is bridged.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Counts locally what the store has counted.
    fn keep_warm(&self, call: Call<'_>, answer: &Answer) {
        let windows = self.windows(call.charges);
        let made: SmallVec<[Charge<'_>; FEW]> = made(call, answer)
            .filter(|index| call.charges[*index].on_error == OnError::Local)
            .map(|index| Charge {
                binding: Binding::Counted,
                ..self.share(&call.charges[index], window_of(&windows, index))
            })
            .collect();
        if !made.is_empty() {
            self.local.charge_now(Call { charges: &made, admission: Admission::AllOrNone, expenses: &[] });
        }
    }

    /// Answers without the store. All-or-none holds as ever: what one policy refuses, no local counter pays for.
    fn stand_in(&self, call: Call<'_>, reason: StoreError) -> Answer {
        let windows = self.windows(call.charges);
        let charges: SmallVec<[Charge<'_>; FEW]> = call
            .charges
            .iter()
            .enumerate()
            .map(|(index, charge)| {
                if is_decided_here(charge) {
                    self.share(charge, window_of(&windows, index))
                } else {
                    by_policy(charge)
                }
            })
            .collect();
        let mut answer =
            self.local.charge_now(Call { charges: &charges, admission: call.admission, expenses: &[] });
        for (outcome, charge) in answer.outcomes.iter_mut().zip(call.charges) {
            if !is_decided_here(charge) {
                *outcome = charge.stand_in();
            }
        }
        Answer { degraded: Some(reason), ..answer }
    }

    /// Keeps in mind that what `call` reserves is counted locally as if it was spent already.
    fn remember(&self, call: Reserve<'_>) {
        if call.charges.iter().any(|charge| charge.on_error == OnError::Local) {
            _ = self.local.reserve_now(Reserve { charges: &[], about: &[], expenses: &[], ..call });
        }
    }

    /// Counts locally what nobody has reserved, once under its name, whether or not the store has it already.
    fn settle_here(&self, call: Settle<'_>) {
        let windows = self.windows(call.otherwise);
        let own: SmallVec<[Charge<'_>; FEW]> = (0..)
            .zip(call.otherwise)
            .filter(|(_, charge)| charge.on_error == OnError::Local)
            .map(|(index, charge)| self.share(charge, window_of(&windows, index)))
            .collect();
        if !own.is_empty() {
            _ = self.local.settle_now(Settle { otherwise: &own, report: None, ..call });
        }
    }

    /// For each charge the window with this instance's share of the burst, where that is another; one that shares with
    /// nobody has none.
    fn windows(&self, charges: &[Charge<'_>]) -> Windows {
        if self.instances == 1 {
            return Windows::new();
        }
        let shared = |charge: &Charge<'_>| match charge.rule.window {
            Window::TokenBucket { length, burst } => {
                Some(Window::TokenBucket { length: *length, burst: burst.div_ceil(self.instances) })
            }
            _ => None,
        };
        charges.iter().map(shared).collect()
    }

    /// `charge`, with this instance's share of what its rule allows, and of what it sets.
    fn share<'a>(&self, charge: &Charge<'a>, window: Option<&'a Window>) -> Charge<'a> {
        let number = match charge.rule.number {
            Number::AtMost(most) if !matches!(charge.rule.window, Window::Request) => {
                Number::AtMost(most.div_ceil(self.instances))
            }
            number => number,
        };
        let op = match charge.op {
            // Where each allows as much as all together, what is set is whole as well: it may be no amount.
            Op::Set { units } if number != charge.rule.number => {
                Op::Set { units: units.div_ceil(self.instances) }
            }
            op => op,
        };
        Charge { rule: Rule { window: window.unwrap_or(charge.rule.window), number }, op, ..*charge }
    }
}

fn window_of(windows: &Windows, index: usize) -> Option<&Window> {
    windows.get(index).and_then(Option::as_ref)
}

/// Whether the local memory decides, and no policy: also on the size of a call, which is the same everywhere.
fn is_decided_here(charge: &Charge<'_>) -> bool {
    charge.on_error == OnError::Local || matches!(charge.rule.window, Window::Request)
}

/// `charge` as a charge that no counter decides.
fn by_policy<'a>(charge: &Charge<'a>) -> Charge<'a> {
    let number = if charge.stand_in().is_admitted() { Number::Unlimited } else { Number::AtMost(0) };
    let op = match charge.op {
        Op::Take { .. } | Op::Hold { .. } => Op::Take { room: 1, charge: 0 },
        unasked @ (Op::GiveBack { .. } | Op::Set { .. } | Op::Clear) => unasked,
    };
    Charge { rule: Rule { window: &BY_POLICY, number }, op, ..*charge }
}

/// Which charges of `call` were made, if it was answered like this.
fn made<'a>(call: Call<'a>, answer: &'a Answer) -> impl Iterator<Item = usize> + 'a {
    let refused = call.is_refused(&answer.outcomes);
    let any_over = answer.outcomes.iter().any(|outcome| !outcome.is_admitted());
    call.charges.iter().zip(&answer.outcomes).enumerate().filter_map(move |(index, (charge, outcome))| {
        let over = outcome.verdict != Verdict::Admitted;
        let counts_over = charge.overrun(call.admission) == Overrun::Count;
        let made = match call.admission {
            Admission::AllOrNone => !refused,
            Admission::Each => !over || counts_over,
            Admission::EachUnlessOver if charge.op.room().is_none() => true,
            Admission::EachUnlessOver => over == any_over && (!over || counts_over),
        };
        (made && charge.op.changes()).then_some(index)
    })
}

impl<S: Store> Layer for WithFallback<S> {
    type Inner = S;

    fn inner(&self) -> &S {
        &self.store
    }

    /// Never fails.
    async fn charge(&self, call: Call<'_>) -> Result<Answer, StoreError> {
        match self.store.charge(call).await {
            Ok(answer) => {
                self.keep_warm(call, &answer);
                Ok(answer)
            }
            Err(reason) => Ok(self.stand_in(call, reason)),
        }
    }

    /// Never fails. Without an answer of the store nothing is held: what passes is counted where that is done locally,
    /// as if it was spent already. So is what the store holds, since nobody tells this memory what it came to.
    async fn reserve(&self, call: Reserve<'_>) -> Result<Reserved, StoreError> {
        let spent: SmallVec<[Charge<'_>; FEW]> =
            call.charges.iter().map(|charge| Charge { op: charge.op.spending(), ..*charge }).collect();
        let spent = Call { charges: &spent, admission: Admission::AllOrNone, expenses: &[] };
        match self.store.reserve(call).await {
            Ok(reserved) => {
                if matches!(reserved.hold, Hold::Taken(_)) {
                    self.keep_warm(spent, &reserved.answer);
                    self.remember(call);
                }
                Ok(reserved)
            }
            Err(reason) => {
                let answer = self.stand_in(spent, reason);
                if spent.is_refused(&answer.outcomes) {
                    return Ok(Reserved { answer, hold: Hold::Refused });
                }
                self.remember(call);
                Ok(Reserved { answer, hold: Hold::Unheld })
            }
        }
    }

    /// Fails as the store does: people are told that nobody knows.
    async fn oversee(
        &self,
        call: Call<'_>,
        mark: Option<CounterKey>,
    ) -> Result<(Answer, Option<Marked>), StoreError> {
        let answered = self.store.oversee(call, mark).await?;
        self.keep_warm(call, &answered.0);
        Ok(answered)
    }

    /// Fails as the store does: what is spent is to be told again.
    async fn settle(&self, call: Settle<'_>) -> Result<Settled, StoreError> {
        let settled = self.store.settle(call).await;
        if settled.as_ref().map_or(true, |settled| settled.before == Before::Unheld) {
            self.settle_here(call);
        }
        settled
    }
}

impl<S: Lanes> Lanes for WithFallback<S> {
    fn lane(&self) -> Self {
        Self { store: self.store.lane(), local: self.local.clone(), instances: self.instances }
    }

    async fn tried(&self) {
        self.store.tried().await;
    }
}
