//! What usage comes to at each kind of limit, and how much of it may be granted less.
//!
//! Where less is accepted, the part that the model has yet to make is flexible: the caller can ask it for less. Without
//! such tokens all of them are, and without any, the money. All flexible amounts shrink alike, by the same share of
//! the same units, so that what is granted costs no more than what is held for it.

use std::num::NonZeroU64;

use crate::algorithm::Op;
use crate::clock::Timestamp;
use crate::engine::native::{Asked, Reached, op};
use crate::engine::request::Direction;
use crate::limits::{Limit, Mode, Number, Unit};
use crate::money::NanoUsd;
use crate::prices::{Class, CostError, KnownCost, PriceTable, Tokens};

use super::request::{Partial, Usage};

/// What is asked of limits, by what they count.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Amounts {
    hits: u64,
    /// `None` where nobody says how many.
    tokens: Option<Split>,
    money: Money,
    /// Of how many units the flexible amounts consist; `None`, if less is not accepted.
    pub(in crate::engine) units: Option<NonZeroU64>,
}

/// An amount in two parts.
#[derive(Clone, Copy, Debug)]
struct Split {
    fixed: u64,
    flexible: u64,
}

/// What usage costs.
#[derive(Clone, Copy, Debug)]
enum Money {
    /// Nobody says.
    Unsaid,
    Costs(Split),
    Unpriced,
}

/// What is flexible of usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flexible {
    Nothing,
    /// Tokens that the model makes.
    Output,
    /// All tokens.
    Tokens,
    Money,
}

/// What was granted of an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    tokens: Tokens,
    /// As asked.
    pub hits: u64,
    /// If the caller said what it costs.
    pub usd: Option<NanoUsd>,
}

impl Flexible {
    fn of(usage: &Usage<'_>, partial: Partial) -> Self {
        let has_output = usage.tokens.counts().any(|(class, _)| class.is_output());
        match (partial, usage.tokens.total(), usage.usd) {
            (Partial::Accepted, 1.., _) if has_output => Self::Output,
            (Partial::Accepted, 1.., _) => Self::Tokens,
            (Partial::Accepted, 0, Some(NanoUsd(1..))) => Self::Money,
            _ => Self::Nothing,
        }
    }

    fn has(self, class: Class) -> bool {
        match self {
            Self::Output => class.is_output(),
            Self::Tokens => true,
            Self::Nothing | Self::Money => false,
        }
    }

    /// Those of `tokens` that are not flexible.
    fn rest(self, tokens: &Tokens) -> Tokens {
        only(tokens, |class, count| if self.has(class) { 0 } else { count })
    }

    fn units(self, usage: &Usage<'_>) -> Option<NonZeroU64> {
        NonZeroU64::new(match self {
            Self::Nothing => 0,
            Self::Money => usage.usd.map_or(0, |usd| usd.0),
            Self::Output | Self::Tokens => usage.tokens.total() - self.rest(&usage.tokens).total(),
        })
    }
}

impl Amounts {
    /// Of what nobody says anything about.
    pub(in crate::engine) const UNKNOWN: Self =
        Self { hits: 1, tokens: None, money: Money::Unsaid, units: None };

    /// Of `usage` by the prices of `at`.
    pub(in crate::engine) fn of(
        usage: &Usage<'_>,
        partial: Partial,
        prices: &PriceTable,
        at: Timestamp,
    ) -> Self {
        let flexible = Flexible::of(usage, partial);
        let total = usage.tokens.total();
        let tokens = Split::of(total, flexible.rest(&usage.tokens).total());
        Self {
            hits: usage.hits,
            tokens: (total > 0).then_some(tokens),
            money: money(usage, flexible, prices, at),
            units: flexible.units(usage),
        }
    }

    /// What is asked of `limit`, which allows `number` and was `reached` in some way. Of hits, what a call of that weight
    /// charges; what is not known is asked for one unit, and settled for what it comes to.
    pub(in crate::engine) fn ask(&self, limit: &Limit, number: Number, reached: Reached) -> Option<Asked> {
        let one_is_left = Op::Take { room: 1, charge: 0 };
        Some(Asked::Op(match limit.unit {
            Unit::Hits => match op(limit, number, reached, Direction::Charge, self.hits)? {
                Op::Take { charge, .. } if limit.is_reserved() => Op::Hold { fixed: charge, flexible: 0 },
                op => op,
            },
            Unit::Tokens => self.tokens.map_or(one_is_left, Split::held),
            Unit::Money => match self.money {
                Money::Costs(split) => split.held(),
                Money::Unpriced if limit.mode == Mode::Enforced && number != Number::Unlimited => {
                    return Some(Asked::Unpriced);
                }
                Money::Unsaid | Money::Unpriced => one_is_left,
            },
        }))
    }
}

impl Split {
    fn of(total: u64, fixed: u64) -> Self {
        Self { fixed, flexible: total - fixed }
    }

    /// Holds it. Of the size of one call nothing is held, but less may be granted there as well.
    fn held(self) -> Op {
        Op::Hold { fixed: self.fixed, flexible: self.flexible }
    }
}

impl Granted {
    /// What `usage` is when `units` of its flexible ones are granted: all of it, where less is not accepted.
    pub(in crate::engine) fn of(usage: &Usage<'_>, partial: Partial, units: u64) -> Self {
        let flexible = Flexible::of(usage, partial);
        let share = |count: u64| match flexible.units(usage) {
            Some(all) => part(count, units.min(all.get()), all),
            None => count,
        };
        Self {
            tokens: only(
                &usage.tokens,
                |class, count| if flexible.has(class) { share(count) } else { count },
            ),
            hits: usage.hits,
            usd: usage.usd.map(|usd| if flexible == Flexible::Money { NanoUsd(share(usd.0)) } else { usd }),
        }
    }

    /// How many tokens, by class.
    pub fn tokens(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.tokens.counts().map(|(class, count)| (class.name(), count))
    }
}

/// What `usage` costs by the prices of `at`, in nano-USD. What is more than anything counts is as much as anything counts,
/// which is above every limit.
pub(super) fn cost(usage: &Usage<'_>, prices: &PriceTable, at: Timestamp) -> Result<u64, CostError> {
    let cost = known_cost(usage, prices, at);
    cost.unpriced.map_or(Ok(cost.nanos), Err)
}

/// The same, as far as it has prices.
pub(super) fn known_cost(usage: &Usage<'_>, prices: &PriceTable, at: Timestamp) -> KnownCost {
    match usage.usd {
        Some(NanoUsd(nanos)) => KnownCost { nanos, unpriced: None },
        None => prices.known_cost([(usage.model, &usage.tokens)], at),
    }
}

fn money(usage: &Usage<'_>, flexible: Flexible, prices: &PriceTable, at: Timestamp) -> Money {
    if usage.usd.is_none_or(|usd| usd.0 == 0) && usage.tokens.total() == 0 {
        return Money::Unsaid;
    }
    let rest = Usage { tokens: flexible.rest(&usage.tokens), ..*usage };
    let fixed = if flexible == Flexible::Money { Ok(0) } else { cost(&rest, prices, at) };
    match (cost(usage, prices, at), fixed) {
        (Ok(total), Ok(fixed)) => Money::Costs(Split::of(total, fixed)),
        _ => Money::Unpriced,
    }
}

/// As many of each class as `count` says.
pub(super) fn only(tokens: &Tokens, count: impl Fn(Class, u64) -> u64) -> Tokens {
    let mut kept = Tokens::default();
    for (class, all) in tokens.counts() {
        kept.add(class, count(class, all)).expect("no more than there were");
    }
    kept
}

/// `count` · `granted` / `of`, rounded down.
pub(super) fn part(count: u64, granted: u64, of: NonZeroU64) -> u64 {
    let part = u128::from(count) * u128::from(granted) / u128::from(of.get());
    u64::try_from(part).unwrap_or(count)
}
