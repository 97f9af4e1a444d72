//! From a domain as written to the domain that decides: names are resolved, numbers found, routes compiled.
//!
//! Everything that can be said is said, even after an error; nothing is built of a domain with one.

mod advice;
mod numbers;
mod routes;
mod tiers;

use std::collections::HashMap;
use std::sync::Arc;

pub(super) use advice::warn_of_unpriced;

use super::diagnostic::{Report, shorten, suggestion};
use super::tollgate_file::{Named, OnLimit, WrittenDomain, WrittenLimit};
use crate::limits::{
    Anchored, Basis, Breaker, Limit, LimitId, Lineage, NativeDomain, Subjects, Window, WireWindow, identity,
};

/// The limits of a domain by name.
type Names<'d> = HashMap<&'d str, LimitId>;

/// Builds one domain, and reports what does not fit together. `None` after any error in it.
pub(super) fn build(domain: &WrittenDomain, report: &mut Report) -> Option<NativeDomain> {
    let names: Names<'_> =
        domain.limits.iter().enumerate().map(|(index, limit)| (&*limit.name.value, LimitId(index))).collect();
    let lineage = tiers::lineage(&domain.tiers, report);
    let tiers = tiers::resolve(domain, &lineage, report);
    let bases = numbers::resolve(domain, &names, &lineage, report);
    let routes = routes::compile(domain, &names, report);
    advice::give(domain, report);
    let limits: Option<Vec<Limit>> = domain
        .limits
        .iter()
        .zip(bases)
        .map(|(written, basis)| limit(domain, written, (basis?, &lineage), report))
        .collect();
    let built = NativeDomain::new(
        domain.name.value.clone(),
        limits?,
        tiers?,
        routes?,
        domain.headers.clone(),
        domain.ipv6_prefix,
        domain.webhook.clone(),
    );
    Some(built.in_zone(domain.zone.clone()))
}

fn limit(
    domain: &WrittenDomain,
    written: &WrittenLimit,
    (basis, lineage): (Basis, &Lineage),
    report: &mut Report,
) -> Option<Limit> {
    let meaning = written.meaning.as_ref()?;
    let numbers = basis.on_each(lineage)?;
    let subjects = meaning.subjects.clone().or_else(|| domain.per.clone()).unwrap_or_else(|| {
        let message =
            format!("limit '{}' does not say whose it is: one counter is kept for everybody", name(written));
        report.warning(
            written.name.at,
            message,
            "write 'per user' behind it, 'per all', or a 'per' for the domain",
        );
        Subjects::ALL
    });
    let named = [&*domain.name.value, &*written.name.value];
    let [in_domain, called] = named.map(str::as_bytes);
    let unit = meaning.unit.name().as_bytes();
    let identity_of =
        |window: &Window| identity(&[in_domain, called, unit, &window.identity().to_le_bytes()]);
    let anchored =
        anchored(&meaning.window).map(|window| Anchored { identity: identity_of(&window), window });
    Some(Limit {
        name: Arc::from(&*written.name.value),
        identity: identity_of(&meaning.window),
        unit: meaning.unit,
        wire: WireWindow::from(&meaning.window),
        anchored: anchored.collect(),
        window: meaning.window.clone(),
        subjects: Arc::new(subjects),
        on_missing: meaning.on_missing,
        on_error: meaning.on_error,
        mode: meaning.mode,
        refundable: meaning.refundable,
        on_unknown: meaning.on_unknown,
        alerts: Arc::default(),
        estimate: meaning.estimate.or(domain.estimate),
        lease: meaning.lease,
        max_ttl: meaning.max_ttl,
        max_age: meaning.max_age,
        thresholds: meaning.thresholds.as_slice().into(),
        breaker: breaker(meaning.on_limit, named),
        tallies: numbers.iter().map(|_| Arc::default()).collect(),
        numbers,
        own: None,
        basis: Arc::new(basis),
    })
}

/// The breaker that a limit of that domain and name opens.
fn breaker(on_limit: OnLimit, [domain, limit]: [&str; 2]) -> Option<Breaker> {
    let OnLimit::Trip { reset } = on_limit else { return None };
    Some(Breaker::new(domain, limit, reset))
}

/// The windows that calls choose among, by the day on which they begin.
fn anchored(window: &Window) -> impl Iterator<Item = Window> {
    let calendar = match window {
        Window::Calendar(calendar, debt) => Some((calendar, *debt)),
        _ => None,
    };
    calendar.into_iter().flat_map(|(calendar, debt)| {
        calendar.on_every_anchor().map(move |calendar| Window::Calendar(calendar, debt))
    })
}

fn name(limit: &WrittenLimit) -> String {
    shorten(&limit.name.value)
}

/// The limit that `named` means; reports where there is none, saying what needs it.
fn find_limit(named: &Named, names: &Names<'_>, whose: &str, report: &mut Report) -> Option<LimitId> {
    let id = names.get(&*named.value).copied();
    if id.is_none() {
        let message = format!("{whose} names the limit '{}', which does not exist", shorten(&named.value));
        report.error(named.at, message, suggestion(&named.value, names.keys().copied()));
    }
    id
}
