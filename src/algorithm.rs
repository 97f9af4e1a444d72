//! The arithmetic of counters: what a charge does to a state at an instant.
//!
//! Pure. No clock, no I/O, no keys, no wire: `now` is an argument, so time that stands still or runs
//! backwards is a test case and not an accident. Each window's file derives its bound. The Lua script of
//! the Redis store is a translation of these files and is tested against them, outcome by outcome.
//!
//! ```
//! use tollgate::algorithm::{Op, Overrun, Rule, State};
//! use tollgate::clock::{Micros, Timestamp};
//! use tollgate::limits::{Number, Window};
//!
//! let window = Window::Sliding { length: Micros::from_secs(60) };
//! let rule = Rule { window: &window, number: Number::AtMost(2) };
//! let take = Op::Take { room: 1, charge: 1 };
//! let mut state = State::fresh(&window);
//! let now = Timestamp(1_700_000_000_000_000);
//! assert!(state.charge(rule, take, Overrun::Refuse, now).is_admitted());
//! assert!(state.charge(rule, take, Overrun::Refuse, now).is_admitted());
//! assert!(!state.charge(rule, take, Overrun::Refuse, now).is_admitted());
//! ```

mod bucket;
mod bytes;
mod cells;
mod counter;
mod debt;
mod held;
mod holds;
mod period;
mod total;

use crate::clock::{Micros, Timestamp};
use crate::limits::{Debt, Number, Window};

use cells::Width;
use counter::{Ask, Nothing};

pub use bucket::{Bucket, Refill};
pub use bytes::{Unreadable, read_number, write_number};
pub use cells::{CELLS, Cells};
pub use debt::{Indebted, boundary_near, carried_every};
pub use held::Held;
pub use holds::{HoldId, Holder, Holds, Share};
pub use period::{PeriodCount, Span};
pub use total::Capacity;

/// What a counter remembers. 24 bytes; only a window with many cells has more, on the heap, and one that is held of.
#[derive(Clone, Debug)]
pub enum State {
    /// Of a sliding window, or of anonymous holds.
    Cells(Cells),
    /// Of a token bucket.
    Bucket(Bucket),
    /// Of a fixed or calendar window.
    Period(PeriodCount),
    /// Of a fixed or calendar window whose debt is carried.
    Indebted(Box<Indebted>),
    /// Of a capacity.
    Total(Capacity),
    /// Of a counter that is held of, and what is held.
    Held(Box<Held>),
    /// Of a limit on the size of one call: nothing.
    Nothing,
}

/// When a counter forgets and how much it allows.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// When it forgets.
    pub window: &'a Window,
    /// How much it allows.
    pub number: Number,
}

impl Rule<'_> {
    /// The most that may be used and held at once: the number, or what a bucket holds.
    pub fn most(&self) -> Number {
        match (self.number, self.window) {
            (Number::AtMost(1..), Window::TokenBucket { burst, .. }) => Number::AtMost(*burst),
            (number, _) => number,
        }
    }

    /// Room that is left once `spent` is used or held; `u64::MAX` if unlimited.
    pub fn left_after(&self, spent: u64) -> u64 {
        self.most().left_after(spent)
    }
}

/// What is done to one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Is admitted while `used + held + room` is within the number, and then adds `charge`.
    Take {
        /// The room that has to be there. 0 is a peek that passes a counter which is exactly full.
        room: u64,
        /// What is added; 0 when only looking.
        charge: u64,
    },
    /// Gives units back, never below 0. Always admitted.
    GiveBack {
        /// How many.
        units: u64,
    },
    /// Sets what is used to the true count, as time counts from then on. Always admitted, above the number too.
    Set {
        /// So many. Of concurrent calls, what is held by name is of them: the others are what is left.
        units: u64,
    },
    /// Has nothing used and nothing held any more, as of a counter that was never charged; who holds something finds that it
    /// has lapsed. Always admitted, and never taken back: it is for calls that nothing refuses.
    Clear,
    /// Is admitted as what takes as much, and then holds it instead of spending it.
    Hold {
        /// As much in any case.
        fixed: u64,
        /// As much more, or less if the holder accepts that.
        flexible: u64,
    },
}

/// What becomes of a charge that finds no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overrun {
    /// It is not made.
    Refuse,
    /// It is made all the same, beyond the number: shadow limits, and the reference's counting.
    Count,
}

/// Whether a charge found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It did.
    Admitted,
    /// It did not, and may come back then.
    Refused(Retry),
}

/// When a refused charge would pass if nobody else asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Retry {
    /// After this span.
    After(Micros),
    /// Waiting does not help.
    Never,
}

/// Where one counter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Spent.
    pub used: u64,
    /// Reserved and not yet spent.
    pub held: u64,
    /// Room that is left; `u64::MAX` if unlimited.
    pub remaining: u64,
    /// Until the counter is whole again; `None` if time alone never brings it there.
    pub reset_after: Option<Micros>,
}

/// What a charge came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether it found room.
    pub verdict: Verdict,
    /// The counter, with the charge if it was made.
    pub standing: Standing,
}

impl Op {
    /// The same question, with nothing changed by the answer.
    pub fn peek(self) -> Self {
        match self {
            Self::Take { room, .. } => Self::Take { room, charge: 0 },
            Self::GiveBack { .. } | Self::Set { .. } | Self::Clear => Self::GiveBack { units: 0 },
            Self::Hold { fixed, flexible } => Self::Take { room: fixed.saturating_add(flexible), charge: 0 },
        }
    }

    /// The same, of which only `share` is held.
    pub fn granted(self, share: Share) -> Self {
        match self {
            Self::Hold { fixed, flexible } => Self::Hold { fixed, flexible: share.part_of(flexible) },
            op => op,
        }
    }

    /// The same, but what would be held is spent at once.
    pub fn spending(self) -> Self {
        match self {
            Self::Hold { fixed, flexible } => {
                let units = fixed.saturating_add(flexible);
                Self::Take { room: units, charge: units }
            }
            op => op,
        }
    }

    /// Whether the state of the counter may be another afterwards. What is held stands beside it.
    pub fn changes(self) -> bool {
        !matches!(self, Self::Take { charge: 0, .. } | Self::GiveBack { units: 0 } | Self::Hold { .. })
    }

    /// The room that has to be there; `None` if none has to.
    pub fn room(self) -> Option<u64> {
        match self {
            Self::Take { room, .. } => Some(room),
            Self::Hold { fixed, flexible } => Some(fixed.saturating_add(flexible)),
            Self::GiveBack { .. } | Self::Set { .. } | Self::Clear => None,
        }
    }
}

impl Outcome {
    /// Whether the charge found room.
    pub fn is_admitted(&self) -> bool {
        self.verdict == Verdict::Admitted
    }

    /// What a look that asks for no room comes to right after it, if that is admitted by `rule`: no other than that is
    /// known without looking.
    pub fn looked_at(&self, rule: Rule<'_>) -> Option<Self> {
        let Standing { used, held, .. } = self.standing;
        let is_within = match rule.most() {
            Number::AtMost(most) => used.saturating_add(held) <= most,
            Number::Unlimited => true,
        };
        is_within.then_some(Self { verdict: Verdict::Admitted, ..*self })
    }
}

impl State {
    /// The state of a counter of `window` to which nothing was ever charged.
    pub fn fresh(window: &Window) -> Self {
        match window {
            Window::Sliding { .. } | Window::Concurrent { .. } => Self::Cells(Cells::default()),
            Window::TokenBucket { .. } => Self::Bucket(Bucket::default()),
            Window::Fixed { .. } | Window::Calendar(..) => match window.debt() {
                Debt::Forgiven => Self::Period(PeriodCount::default()),
                Debt::Carried => Self::Indebted(Box::default()),
            },
            Window::Total { .. } => Self::Total(Capacity::default()),
            Window::Request => Self::Nothing,
        }
    }

    /// Does `op` at `now`. Time that runs backwards is taken to stand still. A charge that is not made changes
    /// nothing, not even what time would.
    #[inline(always)]
    pub fn charge(&mut self, rule: Rule<'_>, op: Op, overrun: Overrun, now: Timestamp) -> Outcome {
        self.ask(rule, Ask { most: rule.most(), op, overrun, now, holds: None })
    }

    /// As [`charge`](Self::charge), for a counter beside which `holds` are open: what has lapsed of them was let go
    /// before. A hold is `holder`'s, and lapses at the latest when its period ends: it is room of that period.
    pub fn charge_beside(
        &mut self,
        holds: &mut Holds,
        holder: Holder,
        rule: Rule<'_>,
        op: Op,
        overrun: Overrun,
        now: Timestamp,
    ) -> Outcome {
        let op = match (op, rule.window) {
            // Slots that are held by name are there too, and end by themselves.
            (Op::Set { units }, Window::Concurrent { .. }) => {
                Op::Set { units: units.saturating_sub(holds.held()) }
            }
            (op, _) => op,
        };
        if op == Op::Clear {
            *holds = Holds::default();
        }
        let most = rule.most();
        let mut outcome = self.ask(rule, Ask { most, op, overrun, now, holds: Some(holds) });
        if let Op::Hold { fixed, flexible } = op
            && (outcome.is_admitted() || overrun == Overrun::Count)
        {
            let before = holds.held();
            holds.put(holder.within(rule.window, now), fixed.saturating_add(flexible));
            let standing = &mut outcome.standing;
            standing.held += holds.held() - before;
            standing.remaining = most.left_after(standing.used + standing.held);
        }
        outcome
    }

    #[inline(always)]
    fn ask(&mut self, rule: Rule<'_>, ask: Ask<'_>) -> Outcome {
        match (self, rule.window) {
            (Self::Cells(cells), Window::Sliding { length }) => {
                counter::charge(cells, Width::of(*length), ask)
            }
            (Self::Cells(cells), Window::Concurrent { max_age }) => {
                let outcome = counter::charge(cells, Width::of(*max_age), ask);
                let Standing { used, held, .. } = outcome.standing;
                let standing = Standing { used: 0, held: used + held, ..outcome.standing };
                Outcome { standing, ..outcome }
            }
            (Self::Bucket(bucket), window) => counter::charge(bucket, Refill::of(window, rule.number), ask),
            (Self::Period(count), window) if window.debt() == Debt::Forgiven => {
                counter::charge(count, window, ask)
            }
            (state @ (Self::Period(_) | Self::Held(_)), _) => state.charged().ask(rule, ask),
            (Self::Indebted(count), _) => counter::charge(&mut **count, rule, ask),
            (Self::Total(capacity), Window::Total { forget }) => counter::charge(capacity, *forget, ask),
            _ => counter::charge(&mut Nothing, (), ask),
        }
    }

    /// The instant from which the state is as good as fresh; `None` if it never is by itself.
    pub fn idle_from(&self, rule: Rule<'_>) -> Option<Timestamp> {
        match (self, rule.window) {
            (Self::Cells(cells), Window::Sliding { length } | Window::Concurrent { max_age: length }) => {
                Some(cells.idle_from(Width::of(*length)))
            }
            (Self::Bucket(bucket), window) => bucket.idle_from(Refill::of(window, rule.number)),
            (Self::Period(count), _) => Some(count.idle_from()),
            (Self::Indebted(count), window) => Some(count.idle_from(window)),
            (Self::Held(held), _) => held.idle_from(rule),
            (Self::Total(capacity), Window::Total { forget }) => capacity.idle_from(*forget),
            _ => Some(Timestamp(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn a_state_is_small() {
        assert_eq!(size_of::<State>(), 24);
    }
}
