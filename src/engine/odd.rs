//! What callers tell of holds that cannot be taken as it is told.
//!
//! A caller's mistake makes no error out of an answer, so it is counted, and logged ever more seldom: callers choose what
//! they send, and could fill a log.

use std::sync::atomic::{AtomicU64, Ordering};

/// What is odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// `reserve` is no amount, or nothing: what such calls use is held.
    Reserve,
    /// `hold` is none that was ever given out, or one of a domain that is not the caller's: what was used is charged like what was not held.
    Hold,
    /// `usage` is no class of tokens: they are paid like an answer.
    Class,
    /// How many tokens there were is no number: of a hold, at least what was held is paid.
    Weight,
    /// The tokens have no price: of a hold, what was held is paid, else nothing.
    Model,
}

/// How often what was odd.
#[derive(Debug, Default)]
pub(super) struct Oddities([AtomicU64; Odd::ALL.len()]);

impl Odd {
    /// Everything that is odd.
    pub const ALL: [Self; 5] = [Self::Reserve, Self::Hold, Self::Class, Self::Weight, Self::Model];

    /// As metrics write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Hold => "hold",
            Self::Class => "usage",
            Self::Weight => "hits_addend",
            Self::Model => "model",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Reserve => {
                "'reserve' is not tokens as in 2000, money as in $0.02, or auto, or it is 0: the estimate is held"
            }
            Self::Hold => "'hold' is none that an answer has carried: what was used is charged without it",
            Self::Class => "'usage' is no class of tokens: they are charged as output",
            Self::Weight => "'hits_addend' of a usage is not a number: at least what was held is charged",
            Self::Model => {
                "the tokens have no price: what was held is charged, and nothing where nothing was"
            }
        }
    }
}

impl Oddities {
    /// One more.
    pub(super) fn note(&self, odd: Odd) {
        let times = self.0[odd as usize].fetch_add(1, Ordering::Relaxed) + 1;
        if times.is_power_of_two() {
            tracing::warn!(times, "{}", odd.what());
        }
    }

    /// Nothing, and one more.
    pub(super) fn none<T>(&self, odd: Odd) -> Option<T> {
        self.note(odd);
        None
    }

    /// How often it was so.
    pub(super) fn times(&self, odd: Odd) -> u64 {
        self.0[odd as usize].load(Ordering::Relaxed)
    }
}
