//! Breakers: once a limit that opens one is reached, all spending of its domain stops until somebody looks.
//!
//! A call that spends looks at every breaker of its domain in the step that charges it. Where one stops it, that is told
//! once, as a refusal by the breaker's limit: a limit that the call does not touch is looked at for that.

use crate::algorithm::{Op, Retry, Rule, Verdict};
use crate::engine::breaker::{Guarded, Looked, Looking, trips_at};
use crate::engine::request::Descriptor;
use crate::limits::{Breaker, Captures, KeySecret, Limit, NativeDomain, TierId, Unit};
use crate::store::{Answer, Binding, Charge, FreedBy};

use super::plan::{Missing, Owners, Plan, charge, missing};
use super::reading::Reading;
use super::select::anchor;
use super::{Part, Settled, Touch};

/// A breaker that a descriptor looks at.
pub(super) struct Guard<'a> {
    guarded: Guarded<'a>,
    looking: Looking,
    /// The charge that is the look.
    look: usize,
    /// The touch of its limit.
    touch: usize,
}

const NOTHING: Op = Op::Take { room: 0, charge: 0 };

/// Whether a reservation remembers what it charges to `limit`.
fn is_settled(limit: &Limit) -> bool {
    limit.is_reserved() || limit.takes_back()
}

/// `charge`, which is to tell how `limit` stands and no more: whoever settles the call finds it, and pays it nothing.
fn looking_only<'a>(charge: Charge<'a>, limit: &Limit) -> Charge<'a> {
    let freed_by = if limit.is_reserved() { FreedBy::Holders } else { FreedBy::Hand };
    Charge { binding: Binding::Counted, unit: Unit::Hits, freed_by, ..charge }
}

impl Settled<'_> {
    /// Whether it is told of: a limit that is looked at for its breaker is, once that stops the call.
    pub(super) fn is_told(&self) -> bool {
        !matches!(self.touch.part, Part::Looked(_))
    }

    /// Whether it is reached: nothing is left of it, or what was asked found no room. An ask that is larger than all of
    /// it says nothing about what was spent.
    fn is_reached(&self, op: Op) -> bool {
        let (Some(most), Some(room)) = (trips_at(self.touch.limit, self.touch.number), op.room()) else {
            return false;
        };
        match self.outcome.verdict {
            Verdict::Refused(_) => room <= most,
            Verdict::Admitted => op.changes() && self.outcome.standing.used >= most,
        }
    }
}

impl<'a> Plan<'a> {
    /// Lets the breakers of `domain` stop `descriptor`, if it spends money or lists a limit that has one. Others may have
    /// looked at the same breaker: they are among the first `others` charges.
    pub(super) fn guard(
        &mut self,
        domain: &'a NativeDomain,
        (descriptor, reading): (&Descriptor<'_>, &Reading<'_>),
        tier: TierId,
        owners: &mut Owners<'a>,
        others: usize,
    ) {
        let first = self.ends.last().copied().unwrap_or(0);
        let spends = |touch: &Touch<'_>| touch.limit.unit == Unit::Money || touch.limit.breaker.is_some();
        if !self.touches[first..].iter().any(spends) {
            return;
        }
        for id in &domain.breakers {
            let limit = domain.limit(*id);
            let owner = self.owner(&limit.subjects, reading, owners);
            let (Some(guarded), Missing::No) = (Guarded::of(limit, owner.whose), missing(limit, owner))
            else {
                continue;
            };
            let touched = self.touches[first..].iter().position(|touch| touch.id == *id);
            let touch = touched.map_or(self.touches.len(), |place| first + place);
            if touched.is_none() || !is_settled(limit) {
                let (window, identity) = limit.window_on(|| anchor(descriptor));
                let key = owner.whose.counter(identity);
                let number = limit.number_of(tier, key, identity);
                let own = charge(limit, key, identity, Rule { window, number }, NOTHING);
                let look = self.look(looking_only(own, limit));
                if touched.is_none() {
                    self.touches.push(Touch { id: *id, limit, tier, number, part: Part::Looked(look) });
                }
            }
            let looking = self.looking(guarded.breaker);
            let look = self.charge(guarded.look(looking), others);
            self.guards.push(Guard { guarded, looking, look, touch });
        }
    }

    /// Whether the charge at `index` is a look at a breaker, or at its limit for that alone.
    pub(in crate::engine) fn is_guard(&self, index: usize) -> bool {
        let looks = |guard: &Guard<'_>| {
            guard.look == index || matches!(self.touches[guard.touch].part, Part::Looked(own) if own == index)
        };
        self.guards.iter().any(looks)
    }

    /// Has the looks at breakers tell what those at their limits do.
    pub(super) fn write_memos_of_guards(&mut self) {
        for guard in &self.guards {
            if let Part::Charged(own) | Part::Looked(own) | Part::Stopped(own) =
                self.touches[guard.touch].part
            {
                self.charges[guard.look].memo = self.charges[own].memo;
            }
        }
    }

    /// Whether the call is a probe to `breaker`.
    fn looking(&mut self, breaker: &Breaker) -> Looking {
        let Some(reset) = &breaker.reset else { return Looking::Plain };
        let lot = *self.lot.get_or_insert_with(|| self.draws.draw());
        if lot.is_among(reset.probe) { Looking::Probe } else { Looking::Plain }
    }

    /// The charge that tells what `look` does, which is added if there is none.
    fn look(&mut self, look: Charge<'a>) -> usize {
        let tells = |charge: &Charge<'_>| charge.key == look.key && charge.freed_by == look.freed_by;
        let known = self.charges.iter().position(tells);
        known.unwrap_or_else(|| {
            self.charges.push(look);
            self.charges.len() - 1
        })
    }

    /// Lets those limits refuse whose breakers stop the call, by what the store said. The breakers to be opened, since their
    /// limits are reached.
    #[inline]
    pub(in crate::engine) fn stop(&mut self, domain: &NativeDomain, answer: &mut Answer) -> Vec<Guarded<'a>> {
        if self.guards.is_empty() {
            return Vec::new();
        }
        let reached = self.reached(answer);
        if answer.degraded.is_none() {
            self.remember(domain, answer);
        }
        for guard in &self.guards {
            guard.stop(&mut self.touches[guard.touch], answer);
        }
        reached
    }

    /// The breakers that nobody has opened yet although their limits are reached.
    fn reached(&self, answer: &Answer) -> Vec<Guarded<'a>> {
        let mut reached: Vec<Guarded<'a>> = Vec::new();
        for Guard { guarded, touch, .. } in self.guards.iter().filter(|guard| guard.looked(answer).can_trip())
        {
            let touch = &self.touches[*touch];
            let Part::Charged(own) = touch.part else { continue };
            let is_reached = Settled::of(touch, &answer.outcomes).is_reached(self.charges[own].op);
            if is_reached && reached.iter().all(|known| known.key != guarded.key) {
                reached.push(*guarded);
            }
        }
        reached
    }

    fn remember(&self, domain: &NativeDomain, answer: &Answer) {
        for guard in &self.guards {
            guard.guarded.remember(domain, guard.looking, guard.looked(answer), answer.at);
        }
    }
}

impl Guard<'_> {
    fn looked(&self, answer: &Answer) -> Looked {
        self.guarded.looked(&answer.outcomes[self.look], answer.at)
    }

    /// Lets `touch`, that of its limit, refuse if the breaker stops the call.
    fn stop(&self, touch: &mut Touch<'_>, answer: &mut Answer) {
        let (Part::Charged(own) | Part::Looked(own) | Part::Stopped(own)) = touch.part else { return };
        let standing = match self.looked(answer) {
            Looked::Passed => return,
            // The limit refuses by its policy, as any that cannot be asked.
            Looked::Unknown => return touch.part = Part::Charged(own),
            Looked::Stopped(standing) => standing,
        };
        let gives_way = standing.gives_way_at().map(|instant| Retry::After(instant.since(answer.at)));
        let retry = gives_way.unwrap_or(Retry::Never);
        let verdict = &mut answer.outcomes[own].verdict;
        *verdict = match (*verdict, touch.part) {
            // Whoever comes back sooner finds no room.
            (Verdict::Refused(room), Part::Charged(_)) => Verdict::Refused(room.max(retry)),
            _ => Verdict::Refused(retry),
        };
        touch.part = Part::Stopped(own);
    }
}

/// The breaker of `limit` for the subject that `descriptor` names, and a look at the limit's own counter, with the number
/// that it allows such a call. `None` if it names no subject, or there is no breaker.
pub(in crate::engine) fn breaker_of<'a>(
    domain: &NativeDomain,
    limit: &'a Limit,
    descriptor: &Descriptor<'_>,
    secret: KeySecret,
) -> Option<(Guarded<'a>, Charge<'a>)> {
    let reading = Reading::new(descriptor, Captures::new(), domain.ipv6_prefix);
    let subject = limit.subjects.find(|key| reading.value_of(key));
    if subject.is_incomplete() {
        return None;
    }
    let whose = subject.hashed(secret);
    let tier = domain.tier_of(secret, |key| reading.value_of(key));
    let (window, identity) = limit.window_on(|| anchor(descriptor));
    let key = whose.counter(identity);
    let number = limit.number_of(tier, key, identity);
    let one_left = Op::Take { room: 1, charge: 0 };
    let own = charge(limit, key, identity, Rule { window, number }, one_left);
    Some((Guarded::of(limit, whose)?, Charge { binding: Binding::Counted, ..own }))
}
