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
mod cells;
mod period;
mod total;

use crate::clock::{Micros, Timestamp};
use crate::limits::{Number, Window};

pub use bucket::{Bucket, Refill};
pub use cells::{CELLS, Cells};
pub use period::{PeriodCount, Span};
pub use total::Capacity;

/// What a counter remembers.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Of a sliding window, or of anonymous holds.
    Cells(Cells),
    /// Of a token bucket.
    Bucket(Bucket),
    /// Of a fixed or calendar window.
    Period(PeriodCount),
    /// Of a capacity.
    Total(Capacity),
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
            Self::GiveBack { .. } => Self::GiveBack { units: 0 },
        }
    }

    /// Whether the counter may be another afterwards.
    pub fn changes(self) -> bool {
        !matches!(self, Self::Take { charge: 0, .. } | Self::GiveBack { units: 0 })
    }
}

impl Outcome {
    /// Whether the charge found room.
    pub fn is_admitted(&self) -> bool {
        self.verdict == Verdict::Admitted
    }
}

impl State {
    /// The state of a counter of `window` to which nothing was ever charged.
    pub fn fresh(window: &Window) -> Self {
        match window {
            Window::Sliding { .. } | Window::Concurrent { .. } => Self::Cells(Cells::default()),
            Window::TokenBucket { .. } => Self::Bucket(Bucket::default()),
            Window::Fixed { .. } | Window::Calendar(_) => Self::Period(PeriodCount::default()),
            Window::Total { .. } => Self::Total(Capacity::default()),
            Window::Request => Self::Nothing,
        }
    }

    /// Does `op` at `now`. Time that runs backwards is taken to stand still.
    pub fn charge(&mut self, rule: Rule<'_>, op: Op, overrun: Overrun, now: Timestamp) -> Outcome {
        self.advance(rule, now);
        let verdict = match op {
            Op::GiveBack { units } => {
                self.give_back(rule, units, now);
                Verdict::Admitted
            }
            Op::Take { room, charge } => {
                let verdict = self.admit(rule, room, now);
                if verdict == Verdict::Admitted || overrun == Overrun::Count {
                    self.add(rule, charge, now);
                }
                verdict
            }
        };
        Outcome { verdict, standing: self.standing(rule, now) }
    }

    /// The instant from which the state is as good as fresh; `None` if it never is by itself.
    pub fn idle_from(&self, rule: Rule<'_>) -> Option<Timestamp> {
        match (self, rule.window) {
            (Self::Cells(cells), Window::Sliding { length } | Window::Concurrent { max_age: length }) => {
                Some(cells.idle_from(*length))
            }
            (Self::Bucket(bucket), window) => bucket.idle_from(Refill::of(window, rule.number)),
            (Self::Period(count), window) => Some(Span::holding(window, count.start()).end),
            (Self::Total(capacity), Window::Total { forget }) => capacity.idle_from(*forget),
            _ => Some(Timestamp(0)),
        }
    }

    fn advance(&mut self, rule: Rule<'_>, now: Timestamp) {
        match (self, rule.window) {
            (Self::Cells(cells), Window::Sliding { length } | Window::Concurrent { max_age: length }) => {
                cells.advance(*length, now);
            }
            (Self::Bucket(bucket), window) => bucket.advance(Refill::of(window, rule.number), now),
            (Self::Period(count), window) => count.advance(Span::holding(window, now.max(count.start()))),
            (Self::Total(capacity), Window::Total { forget }) => capacity.advance(*forget, now),
            _ => {}
        }
    }

    /// What is used and what is held.
    fn amounts(&self, rule: Rule<'_>) -> (u64, u64) {
        match (self, rule.window) {
            (Self::Cells(cells), Window::Concurrent { .. }) => (0, cells.total()),
            (Self::Cells(cells), _) => (cells.total(), 0),
            (Self::Bucket(bucket), _) => (bucket.level(), 0),
            (Self::Period(count), _) => (count.used(), 0),
            (Self::Total(capacity), _) => (capacity.used(), 0),
            (Self::Nothing, _) => (0, 0),
        }
    }

    fn admit(&self, rule: Rule<'_>, room: u64, now: Timestamp) -> Verdict {
        let Number::AtMost(most) = rule.most() else {
            return Verdict::Admitted;
        };
        let (used, held) = self.amounts(rule);
        let asked = used.saturating_add(held).saturating_add(room);
        if asked <= most {
            Verdict::Admitted
        } else if room > most {
            Verdict::Refused(Retry::Never)
        } else {
            Verdict::Refused(self.retry(rule, asked - most, now))
        }
    }

    /// When `excess` units will have been forgotten.
    fn retry(&self, rule: Rule<'_>, excess: u64, now: Timestamp) -> Retry {
        match (self, rule.window) {
            (Self::Cells(cells), Window::Sliding { length } | Window::Concurrent { max_age: length }) => {
                Retry::After(cells.freed_at(*length, excess).since(now))
            }
            (Self::Bucket(bucket), window) => {
                bucket.freed_after(Refill::of(window, rule.number), excess, now)
            }
            (Self::Period(count), window) => {
                Retry::After(Span::holding(window, count.start()).end.since(now))
            }
            _ => Retry::Never,
        }
    }

    fn add(&mut self, rule: Rule<'_>, charge: u64, now: Timestamp) {
        match (self, rule.window) {
            (Self::Cells(cells), Window::Sliding { length } | Window::Concurrent { max_age: length }) => {
                cells.add(*length, charge, now);
            }
            (Self::Bucket(bucket), window) => bucket.add(Refill::of(window, rule.number), charge, now),
            (Self::Period(count), _) => count.add(charge),
            (Self::Total(capacity), _) => capacity.add(charge, now),
            _ => {}
        }
    }

    fn give_back(&mut self, rule: Rule<'_>, units: u64, now: Timestamp) {
        match self {
            Self::Cells(cells) => cells.give_back(units),
            Self::Bucket(bucket) => bucket.give_back(Refill::of(rule.window, rule.number), units, now),
            Self::Period(count) => count.give_back(units),
            Self::Total(capacity) => capacity.give_back(units, now),
            Self::Nothing => {}
        }
    }

    fn standing(&self, rule: Rule<'_>, now: Timestamp) -> Standing {
        let (used, held) = self.amounts(rule);
        let remaining = rule.left_after(used.saturating_add(held));
        Standing { used, held, remaining, reset_after: self.reset_after(rule, now) }
    }

    fn reset_after(&self, rule: Rule<'_>, now: Timestamp) -> Option<Micros> {
        match (self, rule.window) {
            (Self::Total(_), _) => None,
            (Self::Period(count), window) => Some(Span::holding(window, count.start()).end.since(now)),
            _ => self.idle_from(rule).map(|idle| idle.since(now)),
        }
    }
}
