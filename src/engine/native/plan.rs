//! What a call charges: one charge for each limit and subject, however many descriptors touch it.

use smallvec::SmallVec;

use crate::algorithm::{Op, Outcome, Rule};
use crate::engine::request::{CheckRequest, Descriptor, Direction};
use crate::limits::{CounterKey, KeySecret, Limit, Mode, NativeDomain, OnMissing, Subjects, Whose};
use crate::store::{Binding, Charge, FreedBy};

use super::effect::{larger, op, overridden, same_kind, stricter};
use super::reading::Reading;
use super::select::{Reached, Selection, anchor};
use super::{Part, Settled, Touch};

/// What a call charges, and which descriptor touches what.
pub(super) struct Plan<'a> {
    secret: KeySecret,
    pub(super) charges: SmallVec<[Charge<'a>; 2]>,
    /// Those of the first descriptor, then those of the next.
    pub(super) touches: SmallVec<[Touch<'a>; 2]>,
    /// For each descriptor, how many touches there are with its own.
    pub(super) ends: SmallVec<[usize; 2]>,
}

/// Whose counters a descriptor charges, for limits that are kept for the same subjects.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) whose: Whose,
    is_complete: bool,
}

/// The owners that were found for one descriptor.
pub(super) type Owners<'a> = SmallVec<[(&'a Subjects, Owner); 2]>;

impl<'a> Plan<'a> {
    /// Nothing yet, with keys made under `secret`.
    pub(super) fn new(secret: KeySecret) -> Self {
        Self { secret, charges: SmallVec::new(), touches: SmallVec::new(), ends: SmallVec::new() }
    }

    /// Adds what `descriptor` touches.
    pub(super) fn add(
        &mut self,
        domain: &'a NativeDomain,
        request: &CheckRequest<'_>,
        descriptor: &Descriptor<'_>,
    ) {
        let mut selection = Selection::of(domain, descriptor);
        let captures = std::mem::take(&mut selection.captures);
        let reading = Reading::new(descriptor, captures, domain.ipv6_prefix);
        let tier = domain.tiers.of(|key| reading.value_of(key));
        let hits = request.hits_of(descriptor);
        let own = descriptor.number.as_ref().filter(|_| selection.is_of_one());
        // What one descriptor charges are different limits: only others can have charged the same counter.
        let before = self.charges.len();
        let mut owners = Owners::new();
        let limits = selection.limits();
        self.charges.reserve(limits.len());
        self.touches.reserve(limits.len());
        for (id, reached) in limits {
            let limit = domain.limit(id);
            let number = overridden(limit.number(tier), limit, own.filter(|_| reached != Reached::Every));
            let Some(op) = op(limit, number, reached, descriptor.direction, hits) else { continue };
            let owner = self.owner(&limit.subjects, &reading, &mut owners);
            let part = match missing(limit, owner) {
                Missing::No => {
                    let (window, identity) = limit.window_on(|| anchor(descriptor));
                    let key = owner.whose.counter(identity);
                    Part::Charged(
                        self.charge(charge(limit, key, identity, Rule { window, number }, op), before),
                    )
                }
                Missing::Refused => Part::Unnamed,
                Missing::Skipped => continue,
            };
            self.touches.push(Touch { id, limit, tier, number, part });
        }
        if descriptor.direction == Direction::Charge {
            self.guard(domain, &reading, tier, &mut owners, before);
        }
        self.ends.push(self.touches.len());
    }

    /// Charges nothing where a missing subject refuses the call.
    pub(super) fn spare_the_unnamed(&mut self) {
        if self.touches.iter().any(|touch| matches!(touch.part, Part::Unnamed)) {
            self.charges.iter_mut().for_each(|charge| charge.op = charge.op.peek());
        }
    }

    /// Lets no charge refuse: the whole server is on trial.
    pub(super) fn unbind(&mut self) {
        self.charges.iter_mut().for_each(|charge| charge.binding = Binding::Counted);
    }

    /// Every limit that is touched, and what came of it by the `outcomes` of the charges.
    pub(super) fn settled<'s>(&'s self, outcomes: &'s [Outcome]) -> impl Iterator<Item = Settled<'s>> {
        self.touches.iter().map(|touch| Settled::of(touch, outcomes)).filter(Settled::is_told)
    }

    /// As [`settled`](Self::settled), descriptor by descriptor.
    pub(super) fn settled_by_descriptor<'s>(
        &'s self,
        outcomes: &'s [Outcome],
    ) -> impl ExactSizeIterator<Item = impl Iterator<Item = Settled<'s>>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let touches = &self.touches[std::mem::replace(&mut start, *end)..*end];
            touches.iter().map(|touch| Settled::of(touch, outcomes)).filter(Settled::is_told)
        })
    }

    /// The subject for limits of `subjects`, found and hashed once a descriptor.
    pub(super) fn owner(
        &self,
        subjects: &'a Subjects,
        reading: &Reading<'_>,
        owners: &mut Owners<'a>,
    ) -> Owner {
        if let Some((_, owner)) = owners.iter().find(|(known, _)| std::ptr::eq(*known, subjects)) {
            return *owner;
        }
        let subject = subjects.find(|key| reading.value_of(key));
        let owner = Owner { whose: subject.hashed(self.secret), is_complete: !subject.is_incomplete() };
        owners.push((subjects, owner));
        owner
    }

    /// Adds `charge`. Among the first `others` charges may be one to the same counter, which then
    /// stands for both.
    pub(super) fn charge(&mut self, charge: Charge<'a>, others: usize) -> usize {
        let same = |other: &Charge<'_>| other.key == charge.key && same_kind(other.op, charge.op);
        if let Some(index) = self.charges[..others].iter().position(same) {
            let other = &mut self.charges[index];
            other.op = larger(other.op, charge.op);
            other.rule.number = stricter(other.rule.number, charge.rule.number);
            return index;
        }
        self.charges.push(charge);
        self.charges.len() - 1
    }
}

pub(super) fn charge<'a>(
    limit: &Limit,
    key: CounterKey,
    overflow: u128,
    rule: Rule<'a>,
    op: Op,
) -> Charge<'a> {
    Charge {
        key,
        overflow,
        rule,
        op,
        binding: if limit.mode == Mode::Enforced { Binding::Enforced } else { Binding::Counted },
        on_error: limit.on_error,
        freed_by: freed_by(limit),
        unit: limit.unit,
    }
}

fn freed_by(limit: &Limit) -> FreedBy {
    if limit.is_reserved() {
        FreedBy::Holders
    } else if limit.takes_back() {
        FreedBy::Hand
    } else {
        FreedBy::Time
    }
}

/// What a limit makes of a call without its subject.
pub(super) enum Missing {
    /// Nothing is missing, or all such calls share one counter.
    No,
    /// The limit does not apply.
    Skipped,
    /// The call is refused.
    Refused,
}

pub(super) fn missing(limit: &Limit, owner: Owner) -> Missing {
    match (limit.on_missing, limit.mode) {
        _ if owner.is_complete => Missing::No,
        (OnMissing::Share, _) => Missing::No,
        (OnMissing::Refuse, Mode::Enforced) => Missing::Refused,
        (OnMissing::Skip | OnMissing::Refuse, _) => Missing::Skipped,
    }
}
