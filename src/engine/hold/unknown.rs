//! What is due of a hold that ends without anybody telling what was used.
//!
//! Each limit says it for itself (`on_unknown`), and a hold is settled by unit: of several limits of one unit, those that
//! want to be paid have their way.

use crate::engine::native::Plan;
use crate::limits::{OnUnknown, Unit};
use crate::store::{Due, Spent};

/// By unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Unknown {
    tokens: OnUnknown,
    money: OnUnknown,
}

/// By the number that stands for each, two bits.
const ALL: [OnUnknown; 2] = [OnUnknown::Estimate, OnUnknown::Zero];

impl Unknown {
    /// Nothing.
    pub(super) const NOTHING: Self = Self { tokens: OnUnknown::Zero, money: OnUnknown::Zero };

    /// Of a hold at the limits of `plan`.
    pub(in crate::engine) fn at(plan: &Plan<'_>) -> Self {
        let of = |unit| {
            let mut said = plan.limits().filter(|limit| limit.unit == unit).map(|limit| limit.on_unknown);
            if said.all(|said| said == OnUnknown::Zero) { OnUnknown::Zero } else { OnUnknown::Estimate }
        };
        Self { tokens: of(Unit::Tokens), money: of(Unit::Money) }
    }

    /// What is due.
    pub(in crate::engine) fn spent(self) -> Spent {
        let due = |said| match said {
            OnUnknown::Estimate => Due::AsHeld,
            OnUnknown::Zero => Due::Exactly(0),
        };
        Spent { tokens: due(self.tokens), money: due(self.money) }
    }

    /// The number that stands for it.
    pub(super) const fn number(self) -> u8 {
        self.tokens as u8 | (self.money as u8) << 1
    }

    /// The one with this number.
    pub(super) fn numbered(number: u8) -> Option<Self> {
        let bit = |bit: u8| ALL[usize::from(number >> bit & 1)];
        (number < 4).then(|| Self { tokens: bit(0), money: bit(1) })
    }
}
