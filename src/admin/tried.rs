//! What somebody would do by the address of a request alone: who may not is refused before its body is read.

use std::sync::Arc;

use axum::http::Uri;

use crate::audit::Attempt;
use crate::engine::{Inspect, Tried, Who};
use crate::limits::Entry;
use crate::percent::decoded;

use super::query::pairs;

/// Tells it, for records.
pub(super) type Reading = Arc<dyn Fn(&Uri) -> Attempt + Send + Sync>;

/// One that knows the limits of `inspect`.
pub(super) fn reading(inspect: &impl Inspect) -> Reading {
    let inspect = inspect.clone();
    Arc::new(move |uri| {
        let path = uri.path().strip_prefix("/admin/rate-limits/").unwrap_or_default();
        let segments: Vec<Vec<u8>> = path.split('/').map(|part| decoded(part).into_owned()).collect();
        let segments: Vec<&[u8]> = segments.iter().map(Vec::as_slice).collect();
        let query = pairs(uri.query().unwrap_or_default());
        inspect.attempt(&tried(&segments, &query))
    })
}

fn tried<'a>(segments: &[&'a [u8]], query: &'a [(String, Vec<u8>)]) -> Tried<'a> {
    let named = |name: &str| query.iter().find(|(given, _)| given == name).map(|(_, value)| &**value);
    let entries = query.iter().map(|(key, value)| Entry { key: key.as_bytes(), value });
    let who = Who { domain: named("domain"), entries: entries.collect() };
    let mut tried = Tried { who, ..Tried::default() };
    match *segments {
        [b"usage" | b"reset", value] => {
            let key = named("subject").unwrap_or(b"user");
            tried.who.entries.insert(0, Entry { key, value });
        }
        [b"prices", model] => tried.model = Some(model),
        [b"breaker", limit] => tried.limit = Some(limit),
        [tier, limit] => (tried.tier, tried.limit) = (Some(tier), Some(limit)),
        _ => tried.limit = named("limit"),
    }
    tried
}
