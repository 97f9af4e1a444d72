//! What was spent and what was refused, written down: the trail that a bill is checked by.
//!
//! What is spent is written down in the very step that charges it: nothing is charged without a note of it, and nothing
//! is noted twice. A refusal charges nothing; it is noted once it is answered, if that can be done, and nobody waits for
//! it. The two have trails of their own, so that whoever is refused in a loop pushes out nobody's spending.
//!
//! Whose usage it is and of what is opaque here. A store adds its time, and by how much the usage grew: callers tell
//! running totals, and only the record of a reservation knows what was told before.

mod bytes;
mod totals;

use crate::clock::{Micros, Timestamp};

use super::Before;

pub(super) use totals::Totals;

/// One of the trails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trail {
    /// Of what was spent.
    Spent,
    /// Of what was refused.
    Refused,
}

/// What a settle says about usage, to be written down when it is charged.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Whose it is if nothing was reserved: else [`Reserve::about`](super::Reserve::about) says so.
    pub about: &'a [u8],
    /// What else is to be known of it.
    pub line: &'a [u8],
    /// As [`Spent`](super::Spent), by the classes that callers tell apart, always in the same order.
    pub classes: &'a [u64],
}

/// What a call spends without a hold, to be written down in the step that charges it.
#[derive(Clone, Copy, Debug)]
pub struct Expense<'a> {
    /// As [`Report::about`].
    pub about: &'a [u8],
    /// Tokens of whatever class.
    pub tokens: u64,
    /// Nano-USD.
    pub money: u64,
}

/// What was written down at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Where it stands.
    pub place: Place,
    /// When it was done, by the store's time.
    pub at: Timestamp,
    /// What was spent; `None` of a refusal.
    pub spending: Option<Spending>,
    /// As [`Report::about`].
    pub about: Box<[u8]>,
    /// As [`Report::line`].
    pub line: Box<[u8]>,
}

/// What one settle has charged.
#[derive(Clone, Debug, PartialEq)]
pub struct Spending {
    /// How its reservation was found.
    pub found: Before,
    /// By how much the tokens grew: in all classes, or as many as were held, if nobody knows.
    pub tokens: u64,
    /// By how much the nano-USD grew.
    pub money: u64,
    /// By how much each class grew.
    pub classes: Vec<u64>,
}

/// Where a note stands in its trail: none stand at one place, and later ones stand behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// When it was written down, in milliseconds since the Unix epoch; never less than of the one before.
    pub millis: u64,
    /// Which of those it is.
    pub number: u64,
}

/// A part of a trail.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Of which one.
    pub trail: Trail,
    /// Where it begins.
    pub from: Place,
    /// How many notes it has at most.
    pub most: usize,
}

/// How much of a trail is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// For how long. Default 90 days.
    pub age: Micros,
    /// How many notes; older ones go before their time. Default 1,000,000.
    pub most: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Micros::from_secs(90 * 24 * 3600), most: 1_000_000 }
    }
}

impl Expense<'_> {
    /// What a note of it says.
    pub(super) const fn spending(&self) -> Spending {
        Spending { found: Before::Unheld, tokens: self.tokens, money: self.money, classes: Vec::new() }
    }
}

impl Expense<'static> {
    /// What else is to be known of one: nothing.
    pub(super) const LINE: &'static [u8] = b"{}";
}

impl Place {
    /// The first that a note of `at` may have.
    pub const fn of(at: Timestamp) -> Self {
        Self { millis: at.0 / 1000, number: 0 }
    }

    /// The next one behind it.
    pub const fn next(self) -> Self {
        match self.number.checked_add(1) {
            Some(number) => Self { number, ..self },
            None => Self { millis: self.millis.saturating_add(1), number: 0 },
        }
    }
}
