//! How long a hold lives, and how long it is remembered.

use crate::clock::Micros;
use crate::engine::native::Plan;
use crate::limits::Limit;
use crate::store::Life;

use super::request::LONGEST_TTL;

/// How long a hold lives when neither its caller nor a limit says.
const TTL: Micros = Micros::from_secs(300);
/// How long a call is remembered at least: for so long it may be asked for again.
const KEPT: Micros = Micros::from_secs(24 * 3600);
/// How long usage without a hold and without a key is remembered: for so long it may be told again by whoever told it.
const KEPT_UNNAMED: Micros = Micros::from_secs(120);
/// How long one is remembered after it has lapsed.
const KEPT_LAPSED: Micros = Micros::from_secs(3600);
/// How long one is remembered once it is settled, even if it goes on for as long as a caller can ask.
pub(in crate::engine) const KEPT_SETTLED: Micros = Micros(LONGEST_TTL.0 + KEPT_LAPSED.0);

/// The life of what `plan` holds. The strictest of its limits has its way; within that the caller, who `asked` for so long.
pub(in crate::engine) fn life(plan: &Plan<'_>, asked: Option<Micros>) -> Life {
    let lease = plan.limits().filter_map(|limit| limit.lease).min();
    let max_age = max_age(plan);
    let longest = plan.limits().filter_map(Limit::longest_ttl).min().unwrap_or(LONGEST_TTL);
    let ttl = asked.or(lease).unwrap_or(TTL).min(longest).min(max_age);
    Life { ttl, max_age, keep: keep(ttl) }
}

/// How long a record is kept from now, of something that lives for `ttl` from now.
pub(in crate::engine) fn keep(ttl: Micros) -> Micros {
    KEPT.max(Micros(ttl.0.saturating_add(KEPT_LAPSED.0)))
}

/// How long a record is kept of usage that was not held for, and was told under that `key`.
pub(in crate::engine) const fn keep_after_the_fact(key: &[u8]) -> Micros {
    if key.is_empty() { KEPT_UNNAMED } else { KEPT }
}

/// How long ago at most something was reserved that a record is kept of, which is renewed for as long as it may be.
pub(super) fn oldest(plan: &Plan<'_>) -> Micros {
    Micros(max_age(plan).0.saturating_add(KEPT_SETTLED.0))
}

fn max_age(plan: &Plan<'_>) -> Micros {
    plan.limits().filter_map(Limit::longest_hold).min().unwrap_or(LONGEST_TTL)
}
