//! The decision over all that a call touched.

use std::collections::BTreeMap;

use crate::algorithm::Retry;
use crate::clock::Timestamp;
use crate::engine::Enforcement;
use crate::engine::decision::{AddedHeaders, Code, Decision, DescriptorStatus};
use crate::limits::{Metadata, NativeDomain};

use super::headers::{self, Whole};
use super::shown::shown;
use super::{Settled, words};

/// Decides over `settled`, the limits that each descriptor touched.
pub(super) fn decide(
    domain: &NativeDomain,
    enforcement: Enforcement,
    at: Timestamp,
    settled: &[Vec<Settled<'_>>],
) -> Decision {
    let all = || settled.iter().flatten();
    let whole = match all().filter_map(Settled::refusal).max() {
        Some(retry) if enforcement == Enforcement::Enforced => Whole::Refused(retry),
        _ => Whole::Passed,
    };
    let shown = shown(all());
    Decision {
        code: if whole == Whole::Passed { Code::Ok } else { Code::OverLimit },
        statuses: settled.iter().map(|touched| status(touched)).collect(),
        headers: shown
            .map_or_else(AddedHeaders::new, |shown| headers::headers(&domain.headers, shown, whole, at)),
        body: match (whole, shown) {
            (Whole::Refused(retry), Some(shown)) => Some(body(domain, shown, retry).into()),
            _ => None,
        },
        metadata: domain.headers.standings.then(|| standings(settled)),
    }
}

fn status(touched: &[Settled<'_>]) -> DescriptorStatus {
    let Some(shown) = shown(touched.iter()) else {
        return DescriptorStatus::UNLIMITED;
    };
    let limit = shown.current_limit();
    let reset_after = shown.outcome.standing.reset_after.filter(|_| limit.is_some());
    DescriptorStatus {
        code: if shown.refusal().is_some() { Code::OverLimit } else { Code::Ok },
        limit,
        remaining: shown.remaining(),
        reset_seconds: reset_after.map(|span| span.ceil_secs()),
    }
}

fn body(domain: &NativeDomain, shown: &Settled<'_>, retry: Retry) -> String {
    headers::body(&domain.headers.body, &words::what(domain, shown), shown, retry)
}

/// Every standing by the name of its limit, for the caller's filters and logs.
fn standings(settled: &[Vec<Settled<'_>>]) -> BTreeMap<Box<str>, Metadata> {
    #[expect(clippy::cast_precision_loss, reason = "amounts are below 2^53, which a double holds")]
    let number = |amount: u64| Metadata::Number(amount as f64);
    let standing = |settled: &Settled<'_>| {
        let standing = settled.outcome.standing;
        let mut fields = BTreeMap::from([
            ("used".into(), number(standing.used)),
            ("held".into(), number(standing.held)),
            ("refused".into(), Metadata::Bool(settled.refusal().is_some())),
        ]);
        if let Some((most, left)) = settled.amounts() {
            fields.insert("limit".into(), number(most));
            fields.insert("remaining".into(), number(left));
        }
        Metadata::Map(fields)
    };
    let by_name =
        settled.iter().flatten().map(|each| (Box::from(&*each.touch.limit.name), standing(each))).collect();
    BTreeMap::from([("standings".into(), Metadata::Map(by_name))])
}
