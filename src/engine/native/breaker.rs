//! Breakers: once a limit that opens one is reached, all spending of its domain stops until somebody looks.
//!
//! Whether one is open is asked in the same step as all else that a call charges. It is opened in a step of its own,
//! right after: by then the limit has no room left, so a call that slips in between spends nothing of it.

use crate::algorithm::{Op, Outcome, Rule, Verdict};
use crate::engine::operate::{BreakerState, SetBreakerError};
use crate::engine::request::Descriptor;
use crate::engine::{Engine, failure};
use crate::limits::{Breaker, Captures, Limit, NativeDomain, Number, OnMissing, TierId, Unit, Whose};
use crate::store::{Admission, Binding, Call, Charge, FreedBy, Store};

use super::plan::{Missing, Owners, Plan, charge, missing};
use super::reading::Reading;
use super::{Part, Settled, Touch};

impl Settled<'_> {
    /// Whether it is told of: of a breaker only while it is open.
    pub(super) fn is_told(&self) -> bool {
        !matches!(self.touch.part, Part::Guarded(_)) || !self.outcome.is_admitted()
    }

    /// Whether it is reached: nothing is left of it, or what was asked found no room. An ask that is larger than all of
    /// it says nothing about what was spent.
    fn is_reached(&self, op: Op) -> bool {
        let (Number::AtMost(most @ 1..), Some(room)) = (self.touch.number, op.room()) else { return false };
        match self.outcome.verdict {
            Verdict::Refused(_) => room <= most,
            Verdict::Admitted => op.changes() && self.outcome.standing.used >= most,
        }
    }
}

impl<'a> Plan<'a> {
    /// Lets the breakers of `domain` stop the descriptor whose reading this is, if it spends money or lists a limit that
    /// has one. Others may have looked at the same breaker: they are among the first `others` charges.
    pub(super) fn guard(
        &mut self,
        domain: &'a NativeDomain,
        reading: &Reading<'_>,
        tier: TierId,
        owners: &mut Owners<'a>,
        others: usize,
    ) {
        let first = self.ends.last().copied().unwrap_or(0);
        let spends = |touch: &Touch<'_>| touch.limit.unit == Unit::Money || touch.limit.breaker.is_some();
        if domain.breakers.is_empty() || !self.touches[first..].iter().any(spends) {
            return;
        }
        for id in &domain.breakers {
            let limit = domain.limit(*id);
            let owner = self.owner(&limit.subjects, reading, owners);
            let (Some(breaker), Missing::No) = (&limit.breaker, missing(limit, owner)) else { continue };
            let part = Part::Guarded(self.charge(look(limit, breaker, owner.whose), others));
            self.touches.push(Touch { id: *id, limit, tier, number: limit.number(tier), part });
        }
    }

    /// The charges that open breakers, now that the call came to these `outcomes`.
    pub(super) fn trips<'s>(&'s self, outcomes: &'s [Outcome]) -> impl Iterator<Item = Charge<'a>> + 's {
        let closed = |index: &usize| outcomes[*index].is_admitted();
        self.touches.iter().filter_map(move |touch| {
            let Part::Guarded(index) = touch.part else { return None };
            let own = |other: &&Touch<'_>| other.id == touch.id && matches!(other.part, Part::Charged(_));
            let reached = self.touches.iter().filter(own).any(|own| {
                let Part::Charged(charge) = own.part else { return false };
                Settled::of(own, outcomes).is_reached(self.charges[charge].op)
            });
            let open = Op::Take { room: 0, charge: 1 };
            (reached && closed(&index)).then(|| Charge {
                op: open,
                binding: Binding::Counted,
                ..self.charges[index]
            })
        })
    }
}

/// A look at the breaker that `limit` has for its subject.
fn look<'a>(limit: &Limit, breaker: &'a Breaker, whose: Whose) -> Charge<'a> {
    let rule = Rule { window: &breaker.window, number: Breaker::MOST };
    let look = charge(
        limit,
        whose.counter(breaker.identity),
        breaker.identity,
        rule,
        Op::Take { room: 1, charge: 0 },
    );
    Charge { freed_by: FreedBy::Hand, unit: Unit::Hits, ..look }
}

/// Opens the breakers that a call with these `outcomes` trips, if there are any.
pub(in crate::engine) async fn open<S: Store>(engine: &Engine<S>, plan: &Plan<'_>, outcomes: &[Outcome]) {
    let trips: Vec<Charge<'_>> = plan.trips(outcomes).collect();
    if trips.is_empty() {
        return;
    }
    let call = Call { charges: &trips, admission: Admission::Each };
    failure::ask(&engine.store, call).await;
}

/// Opens or closes the breaker of `limit`, whichever `to` says, for the subject that `descriptor` names. How it was.
pub(in crate::engine) async fn set<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    limit: &Limit,
    descriptor: &Descriptor<'_>,
    to: BreakerState,
) -> Result<BreakerState, SetBreakerError> {
    let Some(breaker) = &limit.breaker else { return Err(SetBreakerError::NoBreaker(limit.name.clone())) };
    let reading = Reading::new(descriptor, Captures::new(), domain.ipv6_prefix);
    let subject = limit.subjects.find(|key| reading.value_of(key));
    if subject.is_incomplete() && limit.on_missing != OnMissing::Share {
        return Err(SetBreakerError::NoSubject(limit.needs()));
    }
    let whose = subject.hashed(engine.store.key_secret());
    let look = Charge { binding: Binding::Counted, ..look(limit, breaker, whose) };
    let set = Charge { op: Op::Set { units: u64::from(to == BreakerState::Open) }, ..look };
    let call = Call { charges: &[look, set], admission: Admission::Each };
    let answer = engine.store.charge(call).await.map_err(SetBreakerError::Unavailable)?;
    match answer.degraded {
        Some(error) => Err(SetBreakerError::Unavailable(error)),
        None if answer.outcomes[0].is_admitted() => Ok(BreakerState::Closed),
        None => Ok(BreakerState::Open),
    }
}
