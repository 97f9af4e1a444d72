//! Counters, and the only owner of their time: the seam between what is decided and where it is kept.
//!
//! A store is handed everything that one call charges and does it in one atomic step. It knows no domain,
//! no tier and no wire; whether a charge refuses is a [`Binding`], nothing more. Both stores pass one
//! conformance suite, and random histories driven through both come out alike.

pub mod durable;
pub mod fallback;
pub mod flushed;
mod layer;
pub mod ledger;
mod mark;
pub mod memory;
pub mod redis;
pub mod refusals;
mod reservation;
mod usage;

use std::collections::BTreeSet;
use std::future::Future;

use smallvec::SmallVec;

use crate::algorithm::{Op, Outcome, Overrun, Retry, Rule, Share, Standing, Verdict};
use crate::clock::{Micros, Timestamp};
use crate::limits::{CounterKey, KeySecret, Number, OnError, Unit, Window};

pub use layer::Layer;
pub use ledger::{Ledger, LedgerError};
pub use mark::{KEPT, Mark, MarkAge, Marked, RECENT};
pub use reservation::{
    Before, Due, Grant, Hold, Life, Part, Reserve, Reserved, Settle, Settled, Spent, Then,
};
pub use usage::{Expense, Note, Page, Place, Report, Retention, Spending, Trail};

/// What one call does to one counter.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'a> {
    /// The counter.
    pub key: CounterKey,
    /// The identity of the limit: newcomers share one counter of this name when the store is full and the limit is
    /// to be enforced locally. It is never the name of a counter of anybody's own.
    pub overflow: u128,
    /// When it forgets and how much it allows.
    pub rule: Rule<'a>,
    /// What is done.
    pub op: Op,
    /// Whether it can refuse the call.
    pub binding: Binding,
    /// What stands in for an outcome when the store has none.
    pub on_error: OnError,
    /// What brings room back.
    pub freed_by: FreedBy,
    /// What is counted.
    pub unit: Unit,
    /// What whoever settles it later is to know again: [`Part::memo`]. It says nothing to a store.
    pub memo: u64,
}

/// What brings room back to a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FreedBy {
    /// Time alone.
    Time,
    /// Time, and whoever gives back.
    Hand,
    /// Time, whoever gives back, and the end of holds: these counters have some.
    Holders,
}

/// Whether a charge can refuse its call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// A refusal of this charge refuses the call.
    Enforced,
    /// The call is refused if in every group of quotas one refuses.
    Quota {
        /// Which group: a descriptor may have several limits, and is over when one of them is.
        group: u16,
    },
    /// Counted and reported; never refuses.
    Counted,
}

/// How the charges of one call depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Every charge is made, or none. Charges that do not bind are made exactly when the others are, beyond
    /// their number if need be.
    AllOrNone,
    /// Each charge is made on its own. In fixed windows also when it is over: the reference's counting.
    Each,
    /// As [`Admission::Each`]; but once a charge is over, only those that are over are counted: the
    /// reference's `STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT`. What is given back or set is so all the same.
    EachUnlessOver,
}

/// Everything that one call charges.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// In the order in which the outcomes are wanted. A counter may stand here more than once.
    pub charges: &'a [Charge<'a>],
    /// How they depend on each other.
    pub admission: Admission,
    /// What it spends, written down in the same step if it passes: of calls that are [`Admission::AllOrNone`], which are
    /// done or not. Of others nothing is.
    pub expenses: &'a [Expense<'a>],
}

/// One outcome a charge, in their order. Of few charges, they need no heap.
pub type Outcomes = SmallVec<[Outcome; 2]>;

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The instant of the step, by the store's time.
    pub at: Timestamp,
    /// One outcome a charge, in their order.
    pub outcomes: Outcomes,
    /// Why it is a stand-in, or some of its refusals are, made by each limit's failure policy; `None` where the store
    /// itself answered.
    pub degraded: Option<StoreError>,
}

/// Why a store has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or is known not to answer.
    #[error("the store cannot be reached")]
    Unavailable,
    /// It did not answer in time. The call may have been counted.
    #[error("the store did not answer in time")]
    Timeout,
    /// It answered with an error of its own.
    #[error("the store refused the call: {code}")]
    Refused {
        /// The first word of its answer, such as `OOM` or `READONLY`; of `NOPERM` the command as well, where that is what its
        /// user may not: `NOPERM xadd`.
        code: String,
    },
    /// It answered something that is no answer.
    #[error("the store's answer makes no sense")]
    Corrupt,
}

impl StoreError {
    /// Whether it says that nothing was done, nor will be.
    pub fn is_definite(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// Counters, and the only owner of their time.
pub trait Store: Send + Sync + 'static {
    /// Does all that `call` asks, in one step that no other call sees half done.
    fn charge(&self, call: Call<'_>) -> impl Future<Output = Result<Answer, StoreError>> + Send;

    /// Does a call once, under the name of a reservation, and holds what it asks to hold; all of it or nothing.
    fn reserve(&self, call: Reserve<'_>) -> impl Future<Output = Result<Reserved, StoreError>> + Send;

    /// Tells what a reservation has come to: charges that, and holds the rest on or lets it go.
    fn settle(&self, call: Settle<'_>) -> impl Future<Output = Result<Settled, StoreError>> + Send;

    /// As [`charge`](Self::charge), for people who look at counters or set them: they wait longer, and no policy answers for
    /// the store, nor for a counter that has no place: nothing is done then. Tells in the same step what is known of whom
    /// the mark of this key is.
    fn oversee(
        &self,
        call: Call<'_>,
        mark: Option<CounterKey>,
    ) -> impl Future<Output = Result<(Answer, Option<Marked>), StoreError>> + Send;

    /// Leaves these marks, in place of those that are there.
    fn mark(&self, marks: &[Mark]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes down that a call was refused at `at`: whose it was, and what else is to be known. That is done later, and
    /// if it can be; nobody waits for it.
    fn note_refusal(&self, at: Timestamp, about: &[u8], line: &[u8]);

    /// What is written down, from the first of `page` on.
    fn notes(&self, page: Page) -> impl Future<Output = Result<Vec<Note>, StoreError>> + Send;

    /// What its clock shows, as far as that is known without asking it: what was agreed on by time is looked up by it.
    fn now(&self) -> Timestamp;

    /// The secret under which keys of this store are made. It may change once a store is first reached.
    fn key_secret(&self) -> KeySecret;

    /// The same, once it is the one that all who share the store go by, and does not change any more: what is hashed under it
    /// may be kept. `None` until a store is first reached.
    fn agreed_secret(&self) -> Option<KeySecret> {
        Some(self.key_secret())
    }

    /// Waits until what has changed by now outlives the process, where things are meant to; or why they do not yet, in words:
    /// that is tried again.
    fn flush(&self) -> impl Future<Output = Result<(), String>> + Send {
        async { Ok(()) }
    }

    /// Whether the store answers now.
    fn ready(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Counters that several threads ask, each in its own way.
pub trait Lanes: Store {
    /// The same counters, for the thread of the Tokio runtime that this is called within: that runtime keeps
    /// whatever is needed to reach them, so that a decision never crosses threads. All that is known about them
    /// is shared. The store is ready once all lanes are.
    fn lane(&self) -> Self;

    /// Waits until each lane has found its way, or has tried once in vain: from then on it waits for nothing.
    fn tried(&self) -> impl Future<Output = ()> + Send;
}

impl Answer {
    /// Whether a limit with this policy refuses or passes by it, since the store has no answer: nothing is known to be used or
    /// held by `standing`. One that is decided locally goes by no policy.
    pub fn is_policy_of(&self, on_error: OnError, standing: Standing) -> bool {
        let is_counted = standing.used > 0 || standing.held > 0;
        self.degraded.is_some() && on_error != OnError::Local && !is_counted
    }
}

impl Charge<'_> {
    /// Whether holds may stand beside its counter. Of the size of one call nothing is held: it is nobody else's room.
    fn has_holds(&self) -> bool {
        self.freed_by == FreedBy::Holders && !matches!(self.rule.window, Window::Request)
    }

    /// What becomes of it when it finds no room.
    fn overrun(&self, admission: Admission) -> Overrun {
        match (admission, self.binding, self.rule.window) {
            (Admission::Each | Admission::EachUnlessOver, _, Window::Fixed { .. })
            | (_, Binding::Quota { .. } | Binding::Counted, _) => Overrun::Count,
            (_, Binding::Enforced, _) => Overrun::Refuse,
        }
    }

    /// What stands in for an outcome when no counter has one, by the limit's policy. A number that needs no counter
    /// has its way: nothing is refused without bound, and everything where nothing is allowed. `local` passes:
    /// those who can count locally have done so before.
    pub fn stand_in(&self) -> Outcome {
        let verdict = match (self.op, self.rule.number, self.on_error) {
            // What is given back or set is never refused, even where it is lost.
            (Op::GiveBack { .. } | Op::Set { .. } | Op::Clear, ..) | (_, Number::Unlimited, _) => {
                Verdict::Admitted
            }
            (op, Number::AtMost(0), _) if op.room() != Some(0) => Verdict::Refused(Retry::Never),
            (_, _, OnError::Deny) => Verdict::Refused(Retry::After(Micros::from_secs(1))),
            _ => Verdict::Admitted,
        };
        let left = self.rule.number.left_after(0);
        let remaining = if verdict == Verdict::Admitted { left } else { 0 };
        Outcome { verdict, standing: Standing { used: 0, held: 0, remaining, reset_after: None } }
    }
}

impl<'a> Call<'a> {
    /// Tells those that can never pass with the others of their call that waiting does not help: of a counter
    /// that stands here more than once, all of them have to fit, and of what is flexible `least`.
    fn settle(&self, outcomes: &mut [Outcome], least: Share) {
        if self.admission != Admission::AllOrNone {
            return;
        }
        for (index, outcome) in outcomes.iter_mut().enumerate() {
            if matches!(outcome.verdict, Verdict::Refused(Retry::After(_))) && !self.ever_fits(index, least) {
                outcome.verdict = Verdict::Refused(Retry::Never);
            }
        }
    }

    /// Whether the charge at `index` would find room in a fresh counter, after those before it.
    fn ever_fits(&self, index: usize, least: Share) -> bool {
        let charge = &self.charges[index];
        let room = charge.op.granted(least).room();
        let (Number::AtMost(most), Some(room)) = (charge.rule.most(), room) else {
            return true;
        };
        let before = self.charges[..index].iter().filter(|other| other.key == charge.key);
        let spent = before.fold(0_u64, |spent, other| match other.op.granted(least) {
            Op::Take { charge, .. } => spent.saturating_add(charge),
            Op::GiveBack { units } => spent.saturating_sub(units),
            Op::Set { units } => units,
            Op::Clear => 0,
            Op::Hold { fixed, flexible } => spent.saturating_add(fixed).saturating_add(flexible),
        });
        spent.saturating_add(room) <= most
    }

    /// What is to be written down of it, which came to `outcomes`.
    fn spent(&self, outcomes: &[Outcome]) -> &'a [Expense<'a>] {
        let is_done = self.admission == Admission::AllOrNone && !self.is_refused(outcomes);
        if is_done { self.expenses } else { &[] }
    }

    /// Whether `outcomes` of the charges refuse the call as a whole.
    pub fn is_refused(&self, outcomes: &[Outcome]) -> bool {
        if outcomes.iter().all(Outcome::is_admitted) {
            return false;
        }
        let mut quotas = false;
        for (charge, outcome) in self.charges.iter().zip(outcomes) {
            match charge.binding {
                Binding::Enforced if !outcome.is_admitted() => return true,
                Binding::Quota { .. } => quotas = true,
                Binding::Enforced | Binding::Counted => {}
            }
        }
        quotas && self.is_over_quota(outcomes)
    }

    /// Whether there are groups of quotas, and in each of them one refuses.
    fn is_over_quota(&self, outcomes: &[Outcome]) -> bool {
        let (mut passing, mut over) = (BTreeSet::new(), BTreeSet::new());
        for (charge, outcome) in self.charges.iter().zip(outcomes) {
            if let Binding::Quota { group } = charge.binding {
                _ = if outcome.is_admitted() { passing.insert(group) } else { over.insert(group) };
            }
        }
        !over.is_empty() && passing.is_subset(&over)
    }
}
