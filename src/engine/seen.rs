//! On which tier calls were last seen, by their subjects: what operators are told by where nobody says the tier.
//!
//! Each subject has one place, which others may take; so it is bounded, and what is known may be forgotten at any time. Only
//! what the calls of this instance have named is known here. No decision goes by it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::{NativeDomain, TierId, Whose};

/// How many subjects are remembered at most; 512 KiB.
const PLACES: usize = 1 << 16;
/// Which bits of a place are the tier's mark. The others tell subjects apart.
const MARK: u64 = (1 << 31) - 1;

/// The tiers of subjects that called.
#[derive(Debug)]
pub(super) struct SeenTiers(Box<[AtomicU64]>);

impl Default for SeenTiers {
    fn default() -> Self {
        Self((0..PLACES).map(|_| AtomicU64::new(0)).collect())
    }
}

impl SeenTiers {
    /// A call to `domain` named `tier`, and has counters that are `whose`.
    pub(super) fn see(&self, domain: &NativeDomain, whose: Whose, tier: TierId) {
        let Some(name) = name(domain, whose) else { return };
        let (place, seen) = (self.place(name), name & !MARK | u64::from(domain.mark_of(tier)));
        // What is written is another's wait for memory, and most callers stay on their tier.
        if place.load(Ordering::Relaxed) != seen {
            place.store(seen, Ordering::Relaxed);
        }
    }

    /// On which tier of `domain` a caller was last seen whose counters are `whose`.
    pub(super) fn of(&self, domain: &NativeDomain, whose: Whose) -> Option<TierId> {
        let name = name(domain, whose)?;
        let seen = self.place(name).load(Ordering::Relaxed);
        let is_of = seen & !MARK == name & !MARK;
        is_of.then(|| u32::try_from(seen & MARK).ok()).flatten().and_then(|mark| domain.tier_marked(mark))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits choose the place")]
    fn place(&self, name: u64) -> &AtomicU64 {
        &self.0[name as usize % PLACES]
    }
}

/// The root of a subject in `domain`; `None` of everybody.
fn name(domain: &NativeDomain, whose: Whose) -> Option<u64> {
    Some(whose.counter(1).root()? ^ domain.mark)
}
