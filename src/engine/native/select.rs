//! Which limits a descriptor touches.
//!
//! By an entry `limit`; else by an entry `route`; else by method and path. All but `limit` also touch the
//! limits of route `"*"`, so that a call which matches no route is still counted.

use std::slice;

use crate::engine::request::Descriptor;
use crate::limits::{Captures, Entries, LimitId, NativeDomain, RouteId};

use super::reading::sent;

/// How a descriptor came to a limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Reached {
    /// It names the limit.
    Named,
    /// Its route lists the limit.
    Route,
    /// Route `"*"` lists the limit: charged by 1, whatever the hits.
    Every,
}

/// What a descriptor comes to.
pub(super) struct Selection<'a> {
    /// The limits that it names or its route lists, in the order of the file.
    listed: &'a [LimitId],
    how: Reached,
    /// The limits of every call that are not among those.
    every: &'a [LimitId],
    /// What the pattern of its route captured of its path.
    pub(super) captures: Captures<'a>,
}

impl<'a> Selection<'a> {
    /// Selects the limits of `descriptor`.
    pub(super) fn of(domain: &'a NativeDomain, descriptor: &'a Descriptor<'_>) -> Self {
        let entries = &descriptor.entries;
        if let Some(name) = sent(entries, b"limit") {
            let listed = domain.by_name.get(name).map_or(&[][..], slice::from_ref);
            return Self { listed, how: Reached::Named, every: &[], captures: Captures::new() };
        }
        let (route, captures) = route(domain, entries).unzip();
        Self {
            listed: route.map_or(&[][..], |route| domain.routes.limits(route)),
            how: Reached::Route,
            every: domain.routes.every_beside(route),
            captures: captures.unwrap_or_default(),
        }
    }

    /// The limits, and how the descriptor came to each.
    pub(super) fn limits(&self) -> impl ExactSizeIterator<Item = (LimitId, Reached)> {
        let listed = self.listed.len();
        (0..listed + self.every.len()).map(move |index| match self.listed.get(index) {
            Some(id) => (*id, self.how),
            None => (self.every[index - listed], Reached::Every),
        })
    }

    /// Whether the descriptor is about one limit, those of every call aside.
    pub(super) fn is_of_one(&self) -> bool {
        self.listed.len() == 1
    }
}

/// What a descriptor names that its domain does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Misnamed<'a> {
    Limit(&'a [u8]),
    Route(&'a [u8]),
}

/// Whether the limit or the route is not there that `descriptor` selects by its name.
pub(in crate::engine) fn misnamed<'a>(
    domain: &NativeDomain,
    descriptor: &Descriptor<'a>,
) -> Option<Misnamed<'a>> {
    let entries = &descriptor.entries;
    match (sent(entries, b"limit"), sent(entries, b"route")) {
        (Some(name), _) => (!domain.by_name.contains_key(name)).then_some(Misnamed::Limit(name)),
        (None, Some(name)) => domain.routes.named(name).is_none().then_some(Misnamed::Route(name)),
        (None, None) => None,
    }
}

/// The route of a descriptor, by its name or by method and path.
pub(super) fn route<'a>(
    domain: &'a NativeDomain,
    entries: &'a Entries<'a>,
) -> Option<(RouteId, Captures<'a>)> {
    if let Some(name) = sent(entries, b"route") {
        return domain.routes.named(name).map(|id| (id, Captures::new()));
    }
    let path = sent(entries, b"path").or_else(|| sent(entries, b":path"))?;
    let method = sent(entries, b"method").or_else(|| sent(entries, b":method")).unwrap_or_default();
    domain.routes.find(method, path)
}

/// The name of the route that `descriptor` takes, unless it names its limit.
pub(in crate::engine) fn route_named<'r>(
    domain: &'r NativeDomain,
    descriptor: &Descriptor<'_>,
) -> Option<&'r str> {
    let names_limit = sent(&descriptor.entries, b"limit").is_some();
    let (id, _) = route(domain, &descriptor.entries).filter(|_| !names_limit)?;
    Some(domain.routes.name(id))
}

/// The day of the month on which months and years begin for this call, by its entry `anchor`. Only what was sent
/// counts: whoever could choose it in a path would choose a fresh counter.
pub(super) fn anchor(descriptor: &Descriptor<'_>) -> Option<u8> {
    std::str::from_utf8(sent(&descriptor.entries, b"anchor")?).ok()?.parse().ok()
}
