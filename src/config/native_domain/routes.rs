//! Routes: their patterns compiled, their limits found by name.

use super::{Names, find_limit};
use crate::config::diagnostic::{Report, shorten};
use crate::config::tollgate_file::{WrittenDomain, WrittenRoute};
use crate::limits::{InvalidPattern, LimitId, Routes};

/// The longest pattern, in bytes: a tree of routes is as deep as its longest pattern has segments.
const MAX_PATTERN_BYTES: usize = 1_024;

/// The routes of a domain; `None` where one is wrong, which is reported.
pub(super) fn compile(domain: &WrittenDomain, names: &Names<'_>, report: &mut Report) -> Option<Routes> {
    let mut routes = Routes::default();
    let mut is_whole = true;
    for route in &domain.routes {
        let whose = format!("route '{}'", shorten(&route.pattern.value));
        let limits: Vec<LimitId> =
            route.limits.iter().filter_map(|named| find_limit(named, names, &whose, report)).collect();
        is_whole &= limits.len() == route.limits.len();
        is_whole &= insert(&mut routes, route, limits, report);
    }
    is_whole.then_some(routes)
}

fn insert(routes: &mut Routes, route: &WrittenRoute, limits: Vec<LimitId>, report: &mut Report) -> bool {
    let text = &*route.pattern.value;
    let shown = shorten(text);
    if text.is_empty() || text.len() > MAX_PATTERN_BYTES {
        let fix = format!("write 1 to {MAX_PATTERN_BYTES} bytes, as in 'POST /path/{{id}}'");
        report.error(route.pattern.at, format!("the route '{shown}' is empty or too long"), fix);
        return false;
    }
    let Err(error) = routes.insert(text, limits) else { return true };
    let (message, fix) = match error {
        InvalidPattern::Method(part) => {
            (format!("'{}' is not a method", shorten(&part)), "write POST /path, /path, or a plain name")
        }
        InvalidPattern::Segment(part) => (
            format!("'{}' is not a segment of a path", shorten(&part)),
            "write a literal, {name}, or * at the end",
        ),
        InvalidPattern::CaptureTwice(name) => {
            (format!("'{{{}}}' stands twice", shorten(&name)), "give each capture its own name")
        }
        InvalidPattern::Same(other) => {
            (format!("it catches the same calls as '{}'", shorten(&other)), "keep one of them")
        }
    };
    report.error(route.pattern.at, format!("route '{shown}': {message}"), fix);
    false
}
