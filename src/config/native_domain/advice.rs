//! What is allowed and still likely a mistake: limits nobody is charged to, a breaker that opens too late or never, money that nothing
//! has a price in.

use std::collections::HashSet;

use super::name;
use crate::clock::Micros;
use crate::config::diagnostic::Report;
use crate::config::tollgate_file::{Meaning, OnLimit, WrittenDomain, WrittenLimit, WrittenRoute};
use crate::limits::{Mode, Unit, Window};

/// Warns of what is likely a mistake in `domain`.
pub(super) fn give(domain: &WrittenDomain, report: &mut Report) {
    warn_of_unused(domain, report);
    for breaker in domain.limits.iter().filter(|limit| trips(limit)) {
        warn_of_short(breaker, domain, report);
        warn_of_closed(breaker, report);
    }
}

/// Warns of limits of money that tokens are never charged to: there are no prices.
pub(in crate::config) fn warn_of_unpriced(domain: &WrittenDomain, report: &mut Report) {
    let counts_money =
        |limit: &&WrittenLimit| limit.meaning.as_ref().is_some_and(|meaning| meaning.unit == Unit::Money);
    for limit in domain.limits.iter().filter(counts_money) {
        let message = format!(
            "limit '{}' counts money, and no file has 'prices': only calls that say their dollars are charged",
            name(limit)
        );
        let fix =
            "write 'prices: {models: {NAME: {input: 1.25, output: 10.00}}}', or have all callers send 'usd'";
        report.warning(limit.name.at, message, fix);
    }
}

fn stands_in(limit: &WrittenLimit, route: &WrittenRoute) -> bool {
    route.limits.iter().any(|named| named.value == limit.name.value)
}

/// Limits that no route charges, in a domain that has routes.
fn warn_of_unused(domain: &WrittenDomain, report: &mut Report) {
    if domain.routes.is_empty() {
        return;
    }
    let charged: HashSet<&str> =
        domain.routes.iter().flat_map(|route| &route.limits).map(|named| &*named.value).collect();
    for limit in domain.limits.iter().filter(|limit| !charged.contains(&*limit.name.value)) {
        let message = format!("no route charges limit '{}'; only calls that name it do", name(limit));
        report.warning(limit.name.at, message, "add it to a route, or remove it");
    }
}

fn trips(limit: &WrittenLimit) -> bool {
    limit.meaning.as_ref().is_some_and(|meaning| matches!(meaning.on_limit, OnLimit::Trip { .. }))
}

/// A limit that never refuses opens no breaker, nor does one that has room again for each call.
fn warn_of_closed(breaker: &WrittenLimit, report: &mut Report) {
    let Some(Meaning { window, mode, .. }) = &breaker.meaning else { return };
    let (why, fix) = match (mode, window) {
        (Mode::Enforced, Window::Request) => {
            ("a single call never reaches 'request'", "give it another window, or remove 'on_limit'")
        }
        (Mode::Enforced, _) => return,
        (Mode::Shadow, _) => ("'shadow' keeps it closed", "remove 'shadow' once it is no trial any more"),
        (Mode::Soft, _) => ("'soft' keeps it closed", "remove 'soft', or 'on_limit'"),
    };
    report.warning(breaker.name.at, format!("the breaker '{}' never opens: {why}", name(breaker)), fix);
}

/// A breaker guards the caps beside it on its routes. One that forgets no later than such a cap is never
/// reached before the cap refuses.
fn warn_of_short(breaker: &WrittenLimit, domain: &WrittenDomain, report: &mut Report) {
    let Some(Meaning { window, unit, .. }) = &breaker.meaning else { return };
    let Some(length) = length_of(window) else { return };
    let beside = |limit: &&WrittenLimit| {
        let mut routes = domain.routes.iter().filter(|route| stands_in(breaker, route));
        routes.any(|route| stands_in(limit, route))
    };
    let is_cap = |limit: &&WrittenLimit| {
        let guarded = limit.meaning.as_ref().filter(|_| !trips(limit));
        guarded
            .is_some_and(|cap| cap.unit == *unit && length_of(&cap.window).is_some_and(|cap| cap >= length))
    };
    for cap in domain.limits.iter().filter(is_cap).filter(beside) {
        let message = format!(
            "the breaker '{}' forgets no later than the cap '{}' it guards",
            name(breaker),
            name(cap)
        );
        report.warning(breaker.name.at, message, "give it a longer window than the cap's");
    }
}

/// How long a rate looks back; of a calendar period its usual length.
fn length_of(window: &Window) -> Option<Micros> {
    match window {
        Window::Calendar(calendar, _) => Some(calendar.period().usual_length()),
        _ => window.length(),
    }
}
