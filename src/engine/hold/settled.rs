//! What follows a settlement: alerts for what it crossed, and the breakers that it opens or finds open.

use crate::algorithm::{Outcome, Retry, Rule, Standing, Verdict};
use crate::engine::breaker::{Guarded, Looked, trip, trips_at};
use crate::engine::watch::{self, Grown};
use crate::engine::{Enforcement, Engine, memo};
use crate::limits::{Limit, NativeDomain, Number, RuleSet, Unit};
use crate::store::{Part, Settled, Store};

use super::answer::LimitStanding;

/// Of a limit that the reservation did not look at, since it was another one before a reload.
const NOTHING_KNOWN: Outcome = Outcome {
    verdict: Verdict::Admitted,
    standing: Standing { used: 0, held: 0, remaining: 0, reset_after: None },
};

/// Tells of what `settled` crossed, and opens the breakers that it trips: those of the domain that it was reserved in,
/// whoever settles it.
pub(in crate::engine) async fn tell<S: Store>(engine: &Engine<S>, rules: &RuleSet, settled: &Settled) {
    let Some(domain) = domain_of(rules, settled) else { return };
    let crossings = watch::crossings(engine, settled.parts.iter().filter_map(|part| grown(domain, part)));
    watch::raise(engine, domain, settled.at, &crossings).await;
    let reached: Vec<Guarded<'_>> =
        settled.parts.iter().filter_map(|part| reached(domain, part, settled)).collect();
    trip(engine, domain, settled.at, &reached).await;
}

/// The domain of the limits that were settled; `None` if the rules no longer have it.
pub(super) fn domain_of<'r>(rules: &'r RuleSet, settled: &Settled) -> Option<&'r NativeDomain> {
    settled.parts.iter().find_map(|part| rules.domain_of(part.limit))
}

/// The limit that `part` is charged to; `None` if that is a breaker, or is looked at for one, or is no longer there.
pub(super) fn charged<'d>(domain: &'d NativeDomain, part: &Part) -> Option<&'d Limit> {
    let limit = domain.of_identity(part.limit)?;
    // Hits that only time brings back are charged at once, and nobody comes back to them.
    let is_only_looked_at = limit.is_reserved() || !limit.takes_back();
    let is_looked_at = part.unit == Unit::Hits && part.granted == 0 && is_only_looked_at;
    (!is_looked_at).then_some(limit)
}

/// Where `limit` of `domain` stands, that of `part`, by the number that it has now.
pub(super) fn judged(domain: &NativeDomain, limit: &Limit, part: &Part) -> (Number, Outcome) {
    let number = memo::number_now(domain, limit, part);
    let within = |number| part.outcome.looked_at(Rule { window: &limit.window, number });
    // Refused within its number, what was left of a hold that had lapsed found no room, and is not held.
    let is_let_go = !part.outcome.is_admitted() && within(part.number).is_some();
    if is_let_go {
        return (part.number, part.outcome);
    }
    let over = match part.outcome.verdict {
        Verdict::Refused(_) => part.outcome,
        // The number is a smaller one by now, and the store was not asked when there is room within that.
        Verdict::Admitted => Outcome { verdict: Verdict::Refused(Retry::Never), ..part.outcome },
    };
    (number, within(number).unwrap_or(over))
}

/// The limits that stop who goes on, since breakers are open that the reservation looked at.
pub(super) fn stopping(
    domain: &NativeDomain,
    settled: &Settled,
    enforcement: Enforcement,
) -> Vec<LimitStanding> {
    let stopping = |part: &Part| {
        let limits = domain.breakers.iter().map(|id| domain.limit(*id));
        let mut guarded = limits.filter_map(|limit| Guarded::beside(limit, part.key, part.limit));
        let guarded = guarded.find(|guarded| guarded.breaker.identity == part.limit)?;
        let Looked::Stopped(breaker) = guarded.looked(&part.outcome, settled.at) else { return None };
        let limit = guarded.limit;
        let is_own = |own: &&Part| domain.of_identity(own.limit).is_some_and(|own| std::ptr::eq(own, limit));
        let own = settled.parts.iter().find(is_own);
        let (number, outcome) = own.map_or_else(
            || (memo::number_now(domain, limit, part), NOTHING_KNOWN),
            |own| judged(domain, limit, own),
        );
        let standing = LimitStanding::new(limit, number, &outcome, settled.at, enforcement);
        Some(standing.stopped(limit, breaker, settled.at, enforcement))
    };
    settled.parts.iter().filter_map(stopping).collect()
}

fn grown<'d>(domain: &'d NativeDomain, part: &Part) -> Option<Grown<'d>> {
    let limit = charged(domain, part)?;
    Some(Grown {
        limit,
        tier: memo::tier(domain, part),
        key: part.key,
        identity: part.limit,
        number: memo::number_now(domain, limit, part),
        // Whoever charged it may not have heard of it: what was told of before is no news.
        units: part.paid,
        standing: part.outcome.standing,
    })
}

/// The breaker of the limit of `part`, if that has reached its number. Who settled it up to there may not have heard of it,
/// so it does not matter whether that was now.
fn reached<'d>(domain: &'d NativeDomain, part: &Part, settled: &Settled) -> Option<Guarded<'d>> {
    let limit = charged(domain, part)?;
    let guarded = Guarded::beside(limit, part.key, part.limit)?;
    let is_reached = part.outcome.standing.used >= trips_at(limit, memo::number_now(domain, limit, part))?;
    let looks = settled.parts.iter().filter(|look| look.key == guarded.key);
    let can_trip = looks.map(|look| guarded.looked(&look.outcome, settled.at)).all(Looked::can_trip);
    (is_reached && can_trip).then_some(guarded)
}
