//! What one descriptor does to one limit: how much it takes or gives back, and within which number.

use crate::algorithm::Op;
use crate::engine::request::{Direction, Override};
use crate::limits::{Limit, MAX_AMOUNT, Number, Unit, Window};
use crate::money::NANOS_PER_MICRO;
use crate::store::{Charge, FreedBy};

use super::select::Reached;

/// What is asked of a limit.
#[derive(Clone, Copy)]
pub(in crate::engine) enum Asked {
    /// This.
    Op(Op),
    /// What has no price, of a limit of money: refused.
    Unpriced,
}

/// What a descriptor does to a limit; `None` if it leaves it untouched.
pub(in crate::engine) fn op(
    limit: &Limit,
    number: Number,
    reached: Reached,
    direction: Direction,
    hits: u64,
) -> Option<Op> {
    let plain = limit.unit == Unit::Hits;
    let units = match (reached, limit.unit) {
        (Reached::Every, _) => hits.min(1),
        (_, Unit::Money) => hits.saturating_mul(NANOS_PER_MICRO).min(MAX_AMOUNT + 1),
        (_, Unit::Hits | Unit::Tokens) => hits,
    };
    // Tokens and money are spent by those who know the cost; a route only asks whether any is left.
    let spends = plain || reached == Reached::Named;
    if direction == Direction::GiveBack {
        let takes_back = limit.takes_back() && spends && reached != Reached::Every;
        return takes_back.then_some(Op::GiveBack { units });
    }
    let charge = if spends { units } else { 0 };
    // Even a look needs room where nothing is allowed, and one unit of what is spent by others.
    let least = u64::from(!plain || number.is_blocked());
    Some(Op::Take { room: charge.max(least), charge })
}

/// Whether it asks for nothing, and is part of whatever else is asked of the counter.
pub(super) fn is_look(op: Op) -> bool {
    op == Op::Take { room: 0, charge: 0 }
}

pub(super) fn same_kind(one: Op, other: Op) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

pub(super) fn larger(one: Op, other: Op) -> Op {
    match (one, other) {
        // A slot that is held is taken.
        (Op::Hold { fixed, flexible }, Op::Take { charge, .. })
        | (Op::Take { charge, .. }, Op::Hold { fixed, flexible }) => {
            Op::Hold { fixed: fixed.max(charge), flexible }
        }
        (Op::Take { room, charge }, Op::Take { room: other_room, charge: other_charge }) => {
            Op::Take { room: room.max(other_room), charge: charge.max(other_charge) }
        }
        (Op::GiveBack { units }, Op::GiveBack { units: other }) => Op::GiveBack { units: units.max(other) },
        (Op::Hold { fixed, flexible }, Op::Hold { fixed: other, flexible: other_flexible }) => {
            Op::Hold { fixed: fixed.max(other), flexible: flexible.max(other_flexible) }
        }
        (one, _) => one,
    }
}

/// Whether it takes or holds slots of a limit of concurrent calls.
pub(super) fn takes_slots(charge: &Charge<'_>) -> bool {
    charge.unit == Unit::Hits && charge.freed_by == FreedBy::Holders && charge.op.room().is_some()
}

pub(super) fn stricter(one: Number, other: Number) -> Number {
    match (one, other) {
        (Number::AtMost(one), Number::AtMost(other)) => Number::AtMost(one.min(other)),
        (Number::Unlimited, other) => other,
        (one, Number::Unlimited) => one,
    }
}

/// The number of a limit when the caller brings its own: it counts if its window is the limit's, and it never
/// lifts a 0.
pub(super) fn overridden(number: Number, limit: &Limit, own: Option<&Override>) -> Number {
    match own.filter(|own| !number.is_blocked() && same_window(&limit.window, own)) {
        None => number,
        Some(own) => Number::AtMost(match limit.unit {
            Unit::Money => u64::from(own.requests_per_unit) * NANOS_PER_MICRO,
            Unit::Hits | Unit::Tokens => u64::from(own.requests_per_unit),
        }),
    }
}

fn same_window(window: &Window, own: &Override) -> bool {
    match window {
        Window::Calendar(calendar, _) => own.multiplier <= 1 && own.unit == calendar.period().into(),
        window => window.length() == Some(own.length()),
    }
}
