//! What follows a settlement: alerts for what it crossed, and the breakers that it opens.

use crate::algorithm::{Op, Rule};
use crate::engine::watch::{self, Grown};
use crate::engine::{Engine, failure};
use crate::limits::{Breaker, Limit, Mode, NativeDomain, Number, Unit};
use crate::store::{Admission, Binding, Call, Charge, FreedBy, Part, Settled, Store};

/// Tells of what `settled` crossed, and opens the breakers that it trips.
pub(in crate::engine) async fn tell<S: Store>(engine: &Engine<S>, domain: &NativeDomain, settled: &Settled) {
    let crossings = watch::crossings(engine, settled.parts.iter().filter_map(|part| grown(domain, part)));
    watch::raise(engine, domain, settled.at, &crossings).await;
    let trips: Vec<Charge<'_>> =
        settled.parts.iter().filter_map(|part| trip(domain, part, settled)).collect();
    if !trips.is_empty() {
        failure::ask(&engine.store, Call { charges: &trips, admission: Admission::Each }).await;
    }
}

/// The limit whose breaker a settled part has found open, if it is one that looked at a breaker.
pub(super) fn found_open<'d>(domain: &'d NativeDomain, part: &Part) -> Option<&'d Limit> {
    let looked_at =
        |limit: &&Limit| limit.breaker.as_ref().is_some_and(|breaker| breaker.identity == part.limit);
    let mut limits = domain.breakers.iter().map(|id| domain.limit(*id));
    limits.find(looked_at).filter(|_| part.outcome.standing.used > 0)
}

fn grown<'d>(domain: &'d NativeDomain, part: &Part) -> Option<Grown<'d>> {
    let limit = domain.of_identity(part.limit)?;
    Some(Grown {
        limit,
        tier: None,
        key: part.key,
        identity: part.limit,
        number: part.number,
        // Whoever charged it may not have heard of it: what was told of before is no news.
        units: part.paid,
        standing: part.outcome.standing,
    })
}

/// What opens the breaker of the limit of `part`, if it has reached its number. Who settled it up to there may not have heard
/// of it, so it does not matter whether that was now.
fn trip<'d>(domain: &'d NativeDomain, part: &Part, settled: &Settled) -> Option<Charge<'d>> {
    let limit = domain.of_identity(part.limit)?;
    let (Some(breaker), Number::AtMost(most @ 1..)) = (&limit.breaker, part.number) else { return None };
    let is_reached = part.outcome.standing.used >= most && limit.mode == Mode::Enforced;
    let is_open =
        settled.parts.iter().any(|other| other.limit == breaker.identity && other.outcome.standing.used > 0);
    (is_reached && !is_open).then(|| Charge {
        key: part.key.beside(part.limit, breaker.identity),
        overflow: breaker.identity,
        rule: Rule { window: &breaker.window, number: Breaker::MOST },
        op: Op::Take { room: 0, charge: 1 },
        binding: Binding::Counted,
        on_error: limit.on_error,
        freed_by: FreedBy::Hand,
        unit: Unit::Hits,
    })
}
