//! How long a hold lives, and how long it is remembered.

use crate::clock::Micros;
use crate::engine::native::Plan;
use crate::store::Life;

use super::handle::Kept;
use super::request::LONGEST_TTL;

/// How long a hold lives when neither its caller nor a limit says.
const TTL: Micros = Micros::from_secs(300);
/// How long a call is remembered that may be asked for by its key.
const KEPT_BY_KEY: Micros = Micros::from_secs(24 * 3600);
/// How long one is that is not.
const KEPT_ONCE: Micros = Micros::from_secs(3600);

/// The life of what `plan` holds. The strictest of its limits has its way; within that the caller, who `asked` for so long.
pub(in crate::engine) fn life(plan: &Plan<'_>, asked: Option<Micros>, kept: Kept) -> Life {
    let lease = plan.limits().filter_map(|limit| limit.lease).min();
    let max_age = plan.limits().filter_map(|limit| limit.longest_hold()).min().unwrap_or(LONGEST_TTL);
    let ttl = asked.or(lease).unwrap_or(TTL).min(lease.unwrap_or(LONGEST_TTL)).min(max_age);
    Life { ttl, max_age, keep: keep(kept, ttl) }
}

/// How long a record is kept from now, of something that lives for `ttl` from now.
pub(in crate::engine) fn keep(kept: Kept, ttl: Micros) -> Micros {
    match kept {
        Kept::ByKey => KEPT_BY_KEY,
        Kept::Once | Kept::Nothing => Micros(ttl.0.saturating_add(KEPT_ONCE.0)),
    }
}
