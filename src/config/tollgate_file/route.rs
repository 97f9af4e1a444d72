//! Routes: a pattern or a name, and the limits that its calls are charged to.

use super::{At, Named, WrittenRoute};
use crate::config::diagnostic::{Field, Fields, Report, shorten};
use crate::config::yaml::{Kind, Node};
use crate::limits::MOST_LIMITS;

/// Reads all routes of a domain.
pub(super) fn all(field: Field<'_>, report: &mut Report) -> Vec<WrittenRoute> {
    let Some(fields) = Fields::of(field.value, "'routes'", report) else { return Vec::new() };
    fields.rest().into_iter().map(|field| read(field, report)).collect()
}

fn read(field: Field<'_>, report: &mut Report) -> WrittenRoute {
    let route = shorten(field.name);
    let mut limits: Vec<Named> = Vec::new();
    for item in items(field.value) {
        let Some(name) = item.as_text() else {
            let message = format!("a limit of route '{route}' is {}", item.describe());
            report.error(item.at, message, "write the name of a limit, or a list of names");
            continue;
        };
        if limits.iter().any(|limit| *limit.value == *name) {
            let message = format!("'{}' stands twice in route '{route}'", shorten(name));
            report.error(item.at, message, "keep one of them; a call is charged to a limit once");
            continue;
        }
        limits.push(At { at: item.at, value: name.into() });
    }
    if limits.len() > MOST_LIMITS {
        let message = format!("route '{route}' lists {} limits", limits.len());
        report.error(field.at, message, format!("list {MOST_LIMITS} at most"));
    }
    if limits.is_empty() && items(field.value).is_empty() {
        let message = format!("route '{route}' charges no limits of its own");
        report.warning(field.at, message, "name a limit, or remove the route");
    }
    WrittenRoute { pattern: At { at: field.at, value: field.name.into() }, limits }
}

/// One name or a list of names; nothing at all is an empty list.
fn items(node: &Node) -> &[Node] {
    match &node.kind {
        Kind::List(items) => items,
        _ if node.is_null() => &[],
        _ => std::slice::from_ref(node),
    }
}
