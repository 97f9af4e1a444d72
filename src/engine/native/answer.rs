//! The decision over all that a call touched.

use std::collections::BTreeMap;

use crate::algorithm::Retry;
use crate::clock::Micros;
use crate::engine::Enforcement;
use crate::engine::decision::{AddedHeaders, Code, Decision, DescriptorStatus, Statuses};
use crate::engine::hold::Known;
use crate::engine::text::Text;
use crate::limits::{Metadata, NativeDomain, Refusal};
use crate::store::Answer;

use super::headers::{self, Whole, seconds_until};
use super::plan::Plan;
use super::shown::shown;
use super::{Part, Settled, Touch};

/// Decides over `answer`, what came of the charges of `plan`.
pub(super) fn decide(
    domain: &NativeDomain,
    enforcement: Enforcement,
    plan: &Plan<'_>,
    answer: &Answer,
) -> Decision {
    let (at, outcomes) = (answer.at, &answer.outcomes[..]);
    let whole = match plan.settled(outcomes).filter_map(Settled::refusal).max() {
        Some(retry) if enforcement == Enforcement::Enforced => Whole::Refused(retry),
        _ => Whole::Passed,
    };
    let known = |settled: &Settled<'_>| settled.known(|settled| settled.room(plan), answer);
    let mut statuses = Statuses::new();
    let mut of_call = None;
    for touched in plan.settled_by_descriptor(outcomes) {
        let of_descriptor = shown(touched);
        statuses
            .push(of_descriptor.map_or(DescriptorStatus::UNLIMITED, |shown| status(shown, known(&shown))));
        of_call = shown(of_call.into_iter().chain(of_descriptor));
    }
    let of_call = of_call.map(|shown| (shown, known(&shown)));
    Decision {
        code: if whole == Whole::Passed { Code::Ok } else { Code::OverLimit },
        statuses,
        headers: of_call
            .map_or_else(AddedHeaders::new, |shown| headers::headers(&domain.headers, shown, whole, at)),
        body: match (whole, of_call) {
            (Whole::Refused(retry), Some((shown, Known::Amounts))) => Some(body(domain, shown, retry)),
            (Whole::Refused(retry), Some((shown, Known::Nothing))) => {
                Some(unchecked_body(domain, shown, retry))
            }
            _ => None,
        },
        metadata: domain.headers.standings.then(|| standings(plan, answer)),
        unclaimed: None,
    }
}

fn status(shown: Settled<'_>, known: Known) -> DescriptorStatus {
    if known == Known::Nothing && shown.refusal().is_none() {
        // Beside a limit the wire says what remains of it.
        return DescriptorStatus::UNLIMITED;
    }
    let limit = shown.current_limit();
    let reset_after = shown.outcome.standing.reset_after.filter(|_| limit.is_some());
    DescriptorStatus {
        code: if shown.refusal().is_some() { Code::OverLimit } else { Code::Ok },
        limit,
        remaining: shown.remaining(),
        reset_seconds: reset_after.map(Micros::ceil_secs),
    }
}

/// The body of a refusal. Only a number that the caller brought along has to be put into words now.
fn body(domain: &NativeDomain, shown: Settled<'_>, retry: Retry) -> Text {
    let Touch { id, limit, tier, number, part } = *shown.touch;
    let retry_after = seconds_until(retry);
    Text::Shared(match part {
        Part::Unnamed => domain.refusals(id).unnamed().body(retry_after),
        Part::Looked(_) | Part::Stopped(_) => domain.refusals(id).stopped().body(retry_after),
        Part::Unpriced => Refusal::new(&domain.headers.body, &limit.unpriced(), limit).body(retry_after),
        Part::Charged(_) if number == limit.number(tier) => domain.refusals(id).on(tier).body(retry_after),
        Part::Charged(_) => {
            let what = limit.exceeded(number, &domain.tiers, tier);
            Refusal::new(&domain.headers.body, &what, limit).body(retry_after)
        }
    })
}

/// The body of a refusal by a limit that nobody could look at.
#[cold]
fn unchecked_body(domain: &NativeDomain, shown: Settled<'_>, retry: Retry) -> Text {
    let Touch { limit, tier, number, .. } = *shown.touch;
    let what = limit.exceeded(number, &domain.tiers, tier);
    Text::Shared(Refusal::unchecked(&domain.headers.body, &what, limit).body(seconds_until(retry)))
}

/// Every standing by the name of its limit, for the caller's filters and logs.
fn standings(plan: &Plan<'_>, answer: &Answer) -> BTreeMap<Box<str>, Metadata> {
    #[expect(clippy::cast_precision_loss, reason = "amounts are below 2^53, which a double holds")]
    let number = |amount: u64| Metadata::Number(amount as f64);
    let standing = |settled: Settled<'_>| {
        let standing = settled.outcome.standing;
        let known = settled.known(|settled| settled.room(plan), answer);
        let is_asked = settled.touch.is_asked() && known == Known::Amounts;
        let refused = Metadata::Bool(settled.refusal().is_some());
        let mut fields: BTreeMap<Box<str>, Metadata> = BTreeMap::from([("refused".into(), refused)]);
        if is_asked {
            fields.insert("used".into(), number(standing.used));
            fields.insert("held".into(), number(standing.held));
        }
        if let Some((most, left)) = settled.amounts() {
            fields.insert("limit".into(), number(most));
            if is_asked {
                fields.insert("remaining".into(), number(left));
            }
        }
        Metadata::Map(fields)
    };
    let settled = plan.settled(&answer.outcomes);
    let by_name = settled.map(|each| (Box::from(&*each.touch.limit.name), standing(each))).collect();
    BTreeMap::from([("standings".into(), Metadata::Map(by_name))])
}
