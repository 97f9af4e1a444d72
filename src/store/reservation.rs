//! Calls under a name: reserved first, settled later, and done once however often they are asked.
//!
//! A store keeps a record of each such call under its name: what it charged and holds where, and what was paid of it
//! so far. Whoever settles brings the name alone; nothing that was reserved has to be known again. The life of a hold:
//!
//! ```text
//!           reserve                 settle(Then::Done)
//!   (none) ─────────▶ held ────────────────────────────▶ settled     used += spent, nothing is held
//!                      │ ▲
//!                      │ └─ settle(Then::More): used grows to what is spent so far, the rest is held on, renewed
//!                      ├─ settle(Then::Released) ───────▶ released    nothing is held, hits are given back
//!                      └─ its time is over ────────────▶ lapsed      nobody has to act; a late settle still charges
//! ```

use std::num::NonZeroU64;

use crate::algorithm::{Op, Outcome, Share};
use crate::clock::{Micros, Timestamp};
use crate::limits::{CounterKey, MAX_AMOUNT, Number, Unit};

use super::{Answer, Binding, Charge, Expense, Report};

/// A call that is done once under its name, and holds what it asks to hold.
#[derive(Clone, Copy, Debug)]
pub struct Reserve<'a> {
    /// Where the record of it is kept. Unique as a counter's key is, and never the key of one.
    pub name: CounterKey,
    /// A public hash of what is asked: another call under the same name is a conflict.
    pub body: u64,
    /// What is charged and held, all of it or nothing.
    pub charges: &'a [Charge<'a>],
    /// Of how many units what is flexible consists, if fewer may be granted; `None`: all or nothing. A charge that
    /// asks for f flexible units of its own then holds ⌈f·k/n⌉ of them if k of these n are granted, the same k for all.
    /// If not even one of them is, what is refused, and to be waited for, is one.
    pub accepts_less: Option<NonZeroU64>,
    /// How long it lives.
    pub life: Life,
    /// Whose it is and what for, as [`Report::about`]: written down with whatever is spent of it.
    pub about: &'a [u8],
    /// What it spends at once, beside what it holds: written down in the same step.
    pub expenses: &'a [Expense<'a>],
}

/// How long a hold lives, and how long it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// It lapses after this, unless it is renewed before.
    pub ttl: Micros,
    /// It lapses after this however often it is renewed.
    pub max_age: Micros,
    /// Its record is kept for so long after it was last asked for, and at least until it lapses.
    pub keep: Micros,
}

/// What became of a [`Reserve`].
#[derive(Clone, Debug, PartialEq)]
pub struct Reserved {
    /// As of any call, all or none. A replay finds the counters as they are now.
    pub answer: Answer,
    /// What is held.
    pub hold: Hold,
}

/// What is held of what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// All or the part of it that was accepted.
    Taken(Grant),
    /// What was taken when the call was first done.
    Replayed(Grant),
    /// The call was refused: nothing was charged, nothing is held, nothing is remembered.
    Refused,
    /// Another call was done under this name.
    Conflict,
    /// The call passed, and nothing is held: by the policies of its limits, since the store had no answer, or because
    /// the store can hold no more for calls; then what it would have held is spent, and a settle pays what is beyond that.
    Unheld,
}

/// A hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How many of the flexible units; 1 where less was not accepted.
    pub units: u64,
    /// When it was reserved.
    pub began: Timestamp,
    /// When it lapses.
    pub until: Timestamp,
}

/// What a reservation has come to so far.
#[derive(Clone, Copy, Debug)]
pub struct Settle<'a> {
    /// Under which it was reserved.
    pub name: CounterKey,
    /// What is spent in all since it was reserved. Never less than before: less changes nothing.
    pub spent: Spent,
    /// How it goes on.
    pub then: Then,
    /// What is charged if nothing was done under this name so far: after the fact, beyond the number if need be.
    pub otherwise: &'a [Charge<'a>],
    /// How long the record is kept from now. What goes on and nobody has reserved does so for as long.
    pub keep: Micros,
    /// What is written down if usage grew by it, or came to its end; `None`: nothing.
    pub report: Option<Report<'a>>,
}

/// What is spent, by the unit of the limits that are charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Tokens of all classes.
    pub tokens: Due,
    /// Nano-USD.
    pub money: Due,
}

/// How much is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// So much.
    Exactly(u64),
    /// So much, and no less than was held when it was reserved: some of what was spent is not known.
    AtLeast(u64),
    /// As much as was held when it was reserved: what was spent is not known.
    AsHeld,
}

/// How a reservation goes on once it is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Then {
    /// What is not spent is held on, for as long as it was at first: another [`Life::ttl`].
    More,
    /// Nothing is held any more.
    Done,
    /// Nothing was done after all: nothing more is charged, nothing is held, and hits are given back where that can be.
    Released,
    /// As before: it is only looked at, whatever is spent.
    Unchanged,
}

/// What became of a [`Settle`].
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The instant of the step, by the store's time.
    pub at: Timestamp,
    /// How the reservation was found.
    pub before: Before,
    /// When it was reserved; now, if it is unknown.
    pub began: Timestamp,
    /// When what is still held lapses; `None` if nothing is.
    pub until: Option<Timestamp>,
    /// One a counter that can be settled or given back to, in the order of the charges; none if the reservation is
    /// unknown.
    pub parts: Vec<Part>,
}

/// How a reservation was found by who came to settle it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Open.
    Held,
    /// Its time was over, or it was released. What is spent is charged all the same.
    Late,
    /// It was settled; nothing was done.
    Settled,
    /// Nothing is held under its name, and nothing was; what was spent was charged after the fact.
    Unheld,
    /// Nothing was done under its name, or that is long ago; nothing was done now.
    Unknown,
}

/// What a reservation charges and holds of one counter, and what was settled of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// The counter.
    pub key: CounterKey,
    /// The identity of its limit: [`Charge::overflow`].
    pub limit: u128,
    /// [`Charge::memo`].
    pub memo: u64,
    /// What it counts.
    pub unit: Unit,
    /// What it allowed when it was reserved.
    pub number: Number,
    /// What was held when it was reserved.
    pub granted: u64,
    /// What is paid in all.
    pub paid: u64,
    /// What was charged to the counter now: what is due and was not paid. Once its period is over that is charged to the one
    /// of now; if what was granted was held to the end, the period had room for it, and only what is due beyond it is.
    pub charged: u64,
    /// The counter now; refused, if what is used and held is above the number, or what was to be held on found no
    /// room.
    pub outcome: Outcome,
}

impl<'a> Reserve<'a> {
    /// All of what is flexible.
    pub(super) fn whole(&self) -> Share {
        self.accepts_less.map_or(Share::WHOLE, |units| Share { granted: units.get(), of: units.get() })
    }

    /// The charges, with as little of what is flexible as may be granted.
    pub(super) fn least(&self) -> Vec<Charge<'a>> {
        let least = self.whole().least();
        self.charges.iter().map(|charge| Charge { op: charge.op.granted(least), ..*charge }).collect()
    }

    /// What is asked of the counters if it was done before: where they are.
    pub(super) fn looks(&self) -> Vec<Charge<'a>> {
        let look = Op::Take { room: 0, charge: 0 };
        self.charges.iter().map(|charge| Charge { op: look, binding: Binding::Counted, ..*charge }).collect()
    }
}

impl Settled {
    /// The limits of money of which nothing was held, if that is all of them.
    pub fn unheld_money(&self) -> Vec<u128> {
        let money = || self.parts.iter().filter(|part| part.unit == Unit::Money);
        let is_held = money().any(|part| part.granted > 0);
        if is_held { Vec::new() } else { money().map(|part| part.limit).collect() }
    }
}

impl Spent {
    /// What is due to a limit that counts `unit`, of which `held` was held. Hits are paid when they are charged.
    pub(super) fn of(&self, unit: Unit, held: u64) -> u64 {
        let due = match unit {
            Unit::Tokens => self.tokens,
            Unit::Money => self.money,
            Unit::Hits => Due::Exactly(0),
        };
        match due {
            Due::Exactly(units) => units.min(MAX_AMOUNT),
            Due::AtLeast(units) => units.min(MAX_AMOUNT).max(held),
            Due::AsHeld => held,
        }
    }
}
