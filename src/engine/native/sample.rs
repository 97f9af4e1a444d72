//! What of a call is looked at for others than its caller: a sample for who asks the most, and why it was refused for who
//! asks by its id.

use crate::algorithm::{Retry, Verdict};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::operate::{PastRefusal, RefusedBy, SubjectPart};
use crate::engine::recent::REQUEST_ID;
use crate::engine::request::{CheckRequest, Descriptor, Direction};
use crate::limits::{Captures, KeySecret, NativeDomain, Subject, Subjects, Unit};
use crate::store::{Answer, Store};

use super::Settled;
use super::plan::Plan;
use super::reading::{Reading, sent};
use super::select::{Reached, Selection};

/// Counts who asks by these descriptors, each of so many hits, as one of many calls.
#[cold]
#[inline(never)]
pub(in crate::engine) fn sample<'d, 'e: 'd, S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    asked: impl Iterator<Item = (&'d Descriptor<'e>, u64)>,
    at: Timestamp,
) {
    let secret = engine.store.key_secret();
    for (descriptor, hits) in asked {
        if hits > 0 && descriptor.direction == Direction::Charge {
            count(engine, domain, (descriptor, hits), secret, at);
        }
    }
}

fn count<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    (descriptor, hits): (&Descriptor<'_>, u64),
    secret: KeySecret,
    at: Timestamp,
) {
    let mut selection = Selection::of(domain, descriptor);
    let captures: Captures<'_> = std::mem::take(&mut selection.captures);
    let reading = Reading::new(descriptor, captures, domain.ipv6_prefix);
    for (id, reached) in selection.limits() {
        let limit = domain.limit(id);
        let subject = limit.subjects.find(|key| reading.value_of(key));
        if *limit.subjects == Subjects::ALL || subject.is_incomplete() {
            continue;
        }
        let hits = if limit.unit == Unit::Hits && reached != Reached::Every { hits } else { 1 };
        let hash = subject.hashed(secret).counter(0).id;
        engine.top.count(limit.identity, hash, hits, at, || parts(&subject));
    }
}

fn parts(subject: &Subject<'_>) -> Vec<SubjectPart> {
    let part = |(key, value): (&[u8], &[u8])| SubjectPart { key: key.into(), value: value.into() };
    subject.parts.iter().flatten().copied().map(part).collect()
}

/// Remembers why `request` was refused, if it brings an id to ask by.
pub(super) fn remember<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    request: &CheckRequest<'_>,
    plan: &Plan<'_>,
    answer: &Answer,
) {
    let ids = request.descriptors.iter().find_map(|descriptor| sent(&descriptor.entries, REQUEST_ID));
    let Some(id) = ids else { return };
    let refusing = || plan.settled(&answer.outcomes).filter(|settled| settled.refusal().is_some());
    let Some(first) = refusing().next() else { return };
    let refusal = PastRefusal {
        at: answer.at,
        domain: domain.name.clone(),
        tier: domain.tiers.names[first.touch.tier.0].clone(),
        limits: refusing().map(|settled| refused_by(&settled, plan, answer)).collect(),
    };
    engine.recent.note(id, refusal);
}

fn refused_by(settled: &Settled<'_>, plan: &Plan<'_>, answer: &Answer) -> RefusedBy {
    let standing = settled.outcome.standing;
    RefusedBy {
        limit: settled.touch.limit.name.clone(),
        unit: settled.touch.limit.unit,
        reason: settled.reason(plan, answer),
        number: settled.touch.number,
        used: standing.used,
        held: standing.held,
        retry_after: match settled.outcome.verdict {
            Verdict::Refused(Retry::After(span)) => Some(span),
            Verdict::Refused(Retry::Never) | Verdict::Admitted => None,
        },
    }
}
