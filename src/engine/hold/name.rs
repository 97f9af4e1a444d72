//! What reservations are called in the store: after their idempotency key, or as nobody else is.
//!
//! A record stands where the first counter of its call does, so that one step reaches both. That of a key stands where the
//! key alone says: whoever comes back with it finds it, whatever the limits are by then.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::native::Plan;
use crate::engine::request::Descriptor;
use crate::limits::{CounterKey, KeyHasher, KeySecret};

/// Names that nobody else has and nobody can foretell.
#[derive(Debug)]
pub(in crate::engine) struct Names {
    secret: KeySecret,
    given: AtomicU64,
}

/// What is done under a key: the same key may be used for different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To reserve and settle.
    Reservation,
    /// To give units of one limit back.
    GiveBack,
}

impl Names {
    /// Names that are drawn by `secret`, which nobody else has.
    pub(in crate::engine) fn new(secret: KeySecret) -> Self {
        Self { secret, given: AtomicU64::new(0) }
    }

    /// Another one, for a call that does what `plan` says.
    pub(in crate::engine) fn fresh(&self, plan: &Plan<'_>) -> CounterKey {
        let mut hasher = KeyHasher::new(self.secret);
        hasher.piece(&self.given.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        let id = hasher.finish();
        CounterKey { tag: plan.charges.first().map_or(tag(id), |charge| charge.key.tag), id }
    }
}

/// The name that `key` gives to what is done for the subject of `descriptor` in `domain`.
pub(super) fn by_key(
    secret: KeySecret,
    purpose: Purpose,
    domain: &str,
    descriptor: &Descriptor<'_>,
    key: &[u8],
) -> CounterKey {
    let mut hasher = KeyHasher::new(secret);
    hasher.piece(match purpose {
        Purpose::Reservation => b"reservation",
        Purpose::GiveBack => b"give back",
    });
    hasher.piece(domain.as_bytes());
    hasher.piece(key);
    for entry in &descriptor.entries {
        hasher.piece(entry.key);
        hasher.piece(entry.value);
    }
    let id = hasher.finish();
    CounterKey { tag: tag(id), id }
}

/// The name that `key` gives to usage that is told after the fact, which is charged as `plan` says to whoever `about` tells.
/// It is told once and perhaps again, soon after, so it stands where its counters do.
pub(in crate::engine) fn of_usage(
    secret: KeySecret,
    about: &[u8],
    key: &[u8],
    plan: &Plan<'_>,
) -> CounterKey {
    let mut hasher = KeyHasher::new(secret);
    hasher.piece(b"usage");
    hasher.piece(key);
    hasher.piece(about);
    plan.charges.iter().for_each(|charge| hasher.piece(&charge.key.id.to_le_bytes()));
    let id = hasher.finish();
    CounterKey { tag: plan.charges.first().map_or(tag(id), |charge| charge.key.tag), id }
}

#[expect(clippy::cast_possible_truncation, reason = "half of a hash is as good a tag as any")]
const fn tag(id: u128) -> u64 {
    id as u64
}
