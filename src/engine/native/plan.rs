//! What a call charges: one charge for each limit and subject, however many descriptors touch it.

use crate::algorithm::{Op, Rule};
use crate::engine::request::{CheckRequest, Descriptor, Direction, Override};
use crate::limits::{
    KeySecret, Limit, MAX_AMOUNT, Mode, NativeDomain, Number, OnMissing, Subject, Unit, Window,
};
use crate::money::NANOS_PER_MICRO;
use crate::store::{Binding, Charge, FreedBy};

use super::select::{Reached, anchor, select};
use super::{Part, Touch};

/// What a call charges, and which descriptor touches what.
pub(super) struct Plan<'a> {
    secret: KeySecret,
    pub(super) charges: Vec<Charge<'a>>,
    /// For each descriptor, the limits it touches.
    pub(super) touched: Vec<Vec<Touch<'a>>>,
}

impl<'a> Plan<'a> {
    /// Nothing yet, with keys made under `secret`.
    pub(super) fn new(secret: KeySecret) -> Self {
        Self { secret, charges: Vec::new(), touched: Vec::new() }
    }

    /// Adds what `descriptor` touches.
    pub(super) fn add(
        &mut self,
        domain: &'a NativeDomain,
        request: &CheckRequest<'_>,
        descriptor: &'a Descriptor<'_>,
        address: Option<&'a [u8]>,
    ) {
        let selection = select(domain, descriptor, address);
        let tier = domain.tiers.of(&selection.entries);
        let anchor = anchor(descriptor);
        let hits = request.hits_of(descriptor);
        let alone = selection.limits.iter().filter(|(_, reached)| *reached != Reached::Every).count() == 1;
        let mut touched = Vec::with_capacity(selection.limits.len());
        for (id, reached) in selection.limits {
            let limit = domain.limit(id);
            let own = descriptor.number.filter(|_| alone && reached != Reached::Every);
            let number = overridden(limit.number(tier), limit, own);
            let subject = limit.subjects.find(&selection.entries);
            let Some(op) = op(limit, number, reached, descriptor.direction, hits) else {
                continue;
            };
            if let Some(part) = self.charge(limit, anchor, number, &subject, op) {
                touched.push(Touch { id, limit, tier, number, part });
            }
        }
        self.touched.push(touched);
    }

    /// Charges nothing where a missing subject refuses the call.
    pub(super) fn spare_the_unnamed(&mut self) {
        if self.touched.iter().flatten().any(|touch| matches!(touch.part, Part::Unnamed)) {
            self.charges.iter_mut().for_each(|charge| charge.op = charge.op.peek());
        }
    }

    /// Lets no charge refuse: the whole server is on trial.
    pub(super) fn unbind(&mut self) {
        self.charges.iter_mut().for_each(|charge| charge.binding = Binding::Counted);
    }

    fn charge(
        &mut self,
        limit: &'a Limit,
        anchor: Option<u8>,
        number: Number,
        subject: &Subject<'_>,
        op: Op,
    ) -> Option<Part> {
        if subject.is_incomplete() {
            match (limit.on_missing, limit.mode) {
                (OnMissing::Share, _) => {}
                (OnMissing::Refuse, Mode::Enforced) => return Some(Part::Unnamed),
                (OnMissing::Skip | OnMissing::Refuse, _) => return None,
            }
        }
        let (window, identity) = limit.window_on(anchor);
        let key = subject.hashed(self.secret).counter(identity);
        let same = |charge: &Charge<'_>| charge.key == key && same_kind(charge.op, op);
        if let Some(index) = self.charges.iter().position(same) {
            let charge = &mut self.charges[index];
            charge.op = larger(charge.op, op);
            charge.rule.number = stricter(charge.rule.number, number);
            return Some(Part::Charged(index));
        }
        self.charges.push(Charge {
            key,
            overflow: identity,
            rule: Rule { window, number },
            op,
            binding: if limit.mode == Mode::Enforced { Binding::Enforced } else { Binding::Counted },
            on_error: limit.on_error,
            freed_by: if limit.takes_back() { FreedBy::Hand } else { FreedBy::Time },
        });
        Some(Part::Charged(self.charges.len() - 1))
    }
}

/// What a descriptor does to a limit; `None` if it leaves it untouched.
fn op(limit: &Limit, number: Number, reached: Reached, direction: Direction, hits: u64) -> Option<Op> {
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

fn same_kind(one: Op, other: Op) -> bool {
    matches!(one, Op::Take { .. }) == matches!(other, Op::Take { .. })
}

fn larger(one: Op, other: Op) -> Op {
    match (one, other) {
        (Op::Take { room, charge }, Op::Take { room: other_room, charge: other_charge }) => {
            Op::Take { room: room.max(other_room), charge: charge.max(other_charge) }
        }
        (Op::GiveBack { units }, Op::GiveBack { units: other }) => Op::GiveBack { units: units.max(other) },
        (one, _) => one,
    }
}

fn stricter(one: Number, other: Number) -> Number {
    match (one, other) {
        (Number::AtMost(one), Number::AtMost(other)) => Number::AtMost(one.min(other)),
        (Number::Unlimited, other) => other,
        (one, Number::Unlimited) => one,
    }
}

/// The number of a limit when the caller brings its own: it counts if its window is the limit's, and it never
/// lifts a 0.
fn overridden(number: Number, limit: &Limit, own: Option<Override>) -> Number {
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
        Window::Calendar(calendar) => own.multiplier <= 1 && own.unit == calendar.period().into(),
        window => window.length() == Some(own.length()),
    }
}
