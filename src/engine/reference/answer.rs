//! The decision over the limits of a reference domain, as the reference words it.

use std::cmp::Reverse;

use crate::algorithm::{Retry, Verdict};
use crate::engine::decision::{
    AddedHeaders, Code, CurrentLimit, Decision, DescriptorStatus, Header, Statuses,
};
use crate::engine::request::CheckRequest;
use crate::engine::{HeaderNames, ReferenceSettings};
use crate::limits::Number;

use super::{Settled, metadata};

/// Words the decision `code` over what each descriptor came to; `None` stands for one that is unlimited.
pub(super) fn decide(
    request: &CheckRequest<'_>,
    settings: &ReferenceSettings,
    code: Code,
    settled: &[Option<Vec<Settled<'_>>>],
) -> Decision {
    let statuses: Statuses = settled.iter().map(|limits| status(limits.as_deref())).collect();
    let headers = settings
        .headers
        .as_ref()
        .and_then(|names| nearest(settings, settled, &statuses).map(|status| headers(names, status)));
    let metadata = settings.dynamic_metadata.then(|| metadata::of(request, &passed(settled)));
    Decision { code, statuses, headers: headers.unwrap_or_default(), body: None, metadata }
}

fn status(limits: Option<&[Settled<'_>]>) -> DescriptorStatus {
    let Some(limits) = limits else {
        return DescriptorStatus { remaining: u32::MAX, ..DescriptorStatus::UNLIMITED };
    };
    let Some(shown) = limits.iter().min_by_key(|settled| settled.rank()) else {
        return DescriptorStatus::UNLIMITED;
    };
    let (unit, multiplier) = shown.limit.unit();
    let remaining = if shown.is_over() { 0 } else { shown.outcome.standing.remaining };
    DescriptorStatus {
        code: if limits.iter().any(Settled::is_refused) { Code::OverLimit } else { Code::Ok },
        limit: Some(CurrentLimit {
            name: shown.limit.text(),
            requests_per_unit: shown.requests_per_unit(),
            unit,
            multiplier,
        }),
        remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
        reset_seconds: shown.outcome.standing.reset_after.map(|span| span.ceil_secs().max(1)),
    }
}

/// The status that headers show: the last plain one that is over, else the first with the least remaining.
fn nearest<'s>(
    settings: &ReferenceSettings,
    settled: &[Option<Vec<Settled<'_>>>],
    statuses: &'s [DescriptorStatus],
) -> Option<&'s DescriptorStatus> {
    let plain_over = |limits: &Option<Vec<Settled<'_>>>| {
        limits.iter().flatten().any(|limit| limit.is_refused() && !limit.limit.is_quota(settings))
    };
    let last_over = settled.iter().zip(statuses).rev().find(|(limits, _)| plain_over(limits));
    let least = || statuses.iter().filter(|status| status.limit.is_some() && status.remaining < u32::MAX);
    last_over.map(|(_, status)| status).or_else(|| least().min_by_key(|status| status.remaining))
}

fn headers(names: &HeaderNames, status: &DescriptorStatus) -> AddedHeaders {
    let most = status.limit.as_ref().map_or(0, |limit| limit.requests_per_unit);
    [
        (&names.limit, u64::from(most)),
        (&names.remaining, u64::from(status.remaining)),
        (&names.reset, status.reset_seconds.unwrap_or(0)),
    ]
    .map(|(name, value)| Header { name: name.clone(), value: value.into() })
    .into()
}

/// The limits of the file whose descriptors passed.
fn passed<'s>(settled: &'s [Option<Vec<Settled<'_>>>]) -> Vec<&'s Settled<'s>> {
    let passing = |limits: &&'s Vec<Settled<'_>>| !limits.iter().any(Settled::is_refused);
    settled.iter().flatten().filter(passing).flatten().collect()
}

impl Settled<'_> {
    /// Whether the counter is over its number, whoever minds.
    fn is_over(&self) -> bool {
        !self.outcome.is_admitted()
    }

    fn is_refused(&self) -> bool {
        self.is_over() && !self.limit.is_shadow()
    }

    fn requests_per_unit(&self) -> u32 {
        match self.number {
            Number::AtMost(most) => u32::try_from(most).unwrap_or(u32::MAX),
            Number::Unlimited => u32::MAX,
        }
    }

    /// Among several limits of one descriptor: refused first, of those the longest wait, then the least left.
    fn rank(&self) -> (Reverse<Option<Retry>>, u64) {
        let retry = match self.outcome.verdict {
            Verdict::Refused(retry) if self.is_refused() => Some(retry),
            _ => None,
        };
        (Reverse(retry), self.outcome.standing.remaining)
    }
}
