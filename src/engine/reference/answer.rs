//! The decision over the limits of a reference domain, as the reference words it.

use std::cmp::Reverse;

use crate::algorithm::{Retry, Verdict};
use crate::engine::decision::{
    AddedHeaders, Code, CurrentLimit, Decision, DescriptorStatus, Header, Statuses,
};
use crate::engine::request::CheckRequest;
use crate::engine::{HeaderNames, ReferenceSettings};
use crate::limits::Number;

use super::{Group, Settled, metadata};

/// Words the decision `code` over what each descriptor came to; `None` stands for one that is unlimited.
pub(super) fn decide(
    request: &CheckRequest<'_>,
    settings: &ReferenceSettings,
    code: Code,
    groups: &[Option<Group<'_>>],
) -> Decision {
    let statuses: Statuses = groups.iter().map(|group| status(*group)).collect();
    let headers = settings
        .headers
        .as_ref()
        .and_then(|names| nearest(settings, groups, &statuses).map(|status| headers(names, status)));
    let metadata = settings.dynamic_metadata.then(|| metadata::of(request, passed(groups)));
    Decision { code, statuses, headers: headers.unwrap_or_default(), body: None, metadata, unclaimed: None }
}

fn status(group: Option<Group<'_>>) -> DescriptorStatus {
    let Some(group) = group else {
        return DescriptorStatus { remaining: u32::MAX, ..DescriptorStatus::UNLIMITED };
    };
    let Some(shown) = group.settled().min_by_key(Settled::rank) else {
        return DescriptorStatus::UNLIMITED;
    };
    let (unit, multiplier) = shown.limit.unit();
    let remaining = if shown.is_over() { 0 } else { shown.outcome.standing.remaining };
    DescriptorStatus {
        code: if group.is_refused() { Code::OverLimit } else { Code::Ok },
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
    groups: &[Option<Group<'_>>],
    statuses: &'s [DescriptorStatus],
) -> Option<&'s DescriptorStatus> {
    let plain_over =
        |group: Group<'_>| group.settled().any(|each| each.is_refused() && !each.limit.is_quota(settings));
    let last_over = groups.iter().zip(statuses).rev().find(|(group, _)| group.is_some_and(plain_over));
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
fn passed<'s>(groups: &'s [Option<Group<'_>>]) -> impl Iterator<Item = Settled<'s>> {
    groups.iter().flatten().filter(|group| !group.is_refused()).flat_map(|group| group.settled())
}

impl Group<'_> {
    fn is_refused(self) -> bool {
        self.settled().any(|each| each.is_refused())
    }
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
