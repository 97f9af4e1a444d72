//! On which tier calls were last seen, by their subjects: what operators are told by where nobody says the tier.
//!
//! Each subject has one place, which others may take; so it is bounded, and what is known may be forgotten at any time. Of
//! users it is written down in the store as well, see [`news`]: there all instances find it, and it outlives them. Of other
//! subjects only what the calls of this instance have named is known. No decision goes by it, and none waits for it.

mod news;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::{CounterKey, KeySecret, NativeDomain, Subject, TierId, Whose, identity};
use crate::store::{Mark, MarkAge, Marked};

use news::{News, Whom};

/// How many subjects are remembered at most; 512 KiB.
const PLACES: usize = 1 << 16;
/// Which bits of a place are the tier's mark.
const MARK: u64 = (1 << 31) - 1;
/// Which bits say what is to be done about it.
const STATE: u64 = 0b11 << 31;
/// Which bits tell subjects apart, beside the place.
const NAME: u64 = !(MARK | STATE | KNOWN);
/// Whoever is to write it down knows of it.
const TOLD: u64 = STATE;
/// They do or do not, for so long that they are to be told again.
const DUE: u64 = 0b01 << 31;
/// They are, and this subject was not seen for a whole round since.
const OLD: u64 = 0b10 << 31;
/// They do not, so it is newer than what they know.
const NEW: u64 = 0;
/// They were told of this subject before, whatever it was.
const KNOWN: u64 = 1 << 33;

/// The tiers of subjects that called.
#[derive(Debug)]
pub(super) struct SeenTiers {
    places: Box<[AtomicU64]>,
    news: News,
}

/// What this instance knows of the tier of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Here {
    /// Others may know better.
    Told(Marked),
    /// It was seen of late, and is not written down yet.
    New(u32),
}

impl Default for SeenTiers {
    fn default() -> Self {
        Self { places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(), news: News::default() }
    }
}

impl SeenTiers {
    /// A call to `domain` named `tier`, and has counters that are `whose`. Which `user` it names, if any, is asked for only
    /// if that is news.
    pub(super) fn see<'u>(
        &self,
        domain: &NativeDomain,
        whose: Whose,
        tier: TierId,
        user: impl FnOnce() -> Option<Whose> + 'u,
    ) {
        let Some(name) = name(domain, whose) else { return };
        let (place, mark) = (self.place(name), domain.mark_of(tier));
        // What is written is another's wait for memory, and most callers stay on their tier.
        if place.load(Ordering::Relaxed) != name & NAME | KNOWN | TOLD | u64::from(mark) {
            self.note(domain, place, name & NAME, mark, || user().filter(|user| user.root() == whose.root()));
        }
    }

    #[cold]
    fn note(
        &self,
        domain: &NativeDomain,
        place: &AtomicU64,
        name: u64,
        mark: u32,
        user: impl FnOnce() -> Option<Whose>,
    ) {
        let before = place.load(Ordering::Relaxed);
        let known = if before & NAME == name { before & KNOWN } else { 0 };
        let whom = if known == KNOWN { Whom::Known } else { Whom::Newcomer };
        let news = || Some(Mark { key: mark_key(domain, user()?), value: mark });
        let state = if self.news.tell(whom, news) { KNOWN | TOLD } else { known | NEW };
        let seen = name | state | u64::from(mark);
        if before != seen {
            place.store(seen, Ordering::Relaxed);
        }
    }

    /// On which tier of `domain` the `user` was seen whose counters are `whose`, and how long ago, if the store says the mark
    /// `written` of that.
    pub(super) fn tier(
        &self,
        domain: &NativeDomain,
        user: Option<Whose>,
        whose: impl IntoIterator<Item = Whose>,
        written: Option<Marked>,
    ) -> Option<(TierId, MarkAge)> {
        let waiting = user.and_then(|user| self.news.waiting(mark_key(domain, user)));
        let here =
            waiting.map(Here::New).or_else(|| whose.into_iter().find_map(|whose| self.here(domain, whose)));
        let marked = match (here, written) {
            (Some(Here::New(value)), _) => Marked { value, age: MarkAge::Recent },
            (_, Some(marked)) | (Some(Here::Told(marked)), None) => marked,
            (None, None) => return None,
        };
        Some((domain.tier_marked(marked.value)?, marked.age))
    }

    fn here(&self, domain: &NativeDomain, whose: Whose) -> Option<Here> {
        let name = name(domain, whose)?;
        let seen = self.place(name).load(Ordering::Relaxed);
        let value = u32::try_from(seen & MARK).ok().filter(|_| seen & NAME == name & NAME && seen != 0)?;
        let told = |age| Some(Here::Told(Marked { value, age }));
        match seen & STATE {
            NEW => Some(Here::New(value)),
            OLD => told(MarkAge::Old),
            _ => told(MarkAge::Recent),
        }
    }

    /// Has `count` places, from `first` on, tell anew what they know once it is seen again. Until then others may know better,
    /// and once this is done again it is old.
    fn make_due(&self, first: usize, count: usize) {
        for place in self.places[first..].iter().take(count) {
            let seen = place.load(Ordering::Relaxed);
            let state = match seen & STATE {
                OLD => continue,
                _ if seen == 0 => continue,
                DUE => OLD,
                _ => DUE,
            };
            // Whoever is faster has seen it just now.
            _ = place.compare_exchange(seen, seen & !STATE | state, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low bits choose the place")]
    fn place(&self, name: u64) -> &AtomicU64 {
        &self.places[name as usize % PLACES]
    }
}

/// What tells the root of a subject in `domain` from others; `None` of everybody.
fn name(domain: &NativeDomain, whose: Whose) -> Option<u64> {
    Some(whose.root()? ^ domain.mark)
}

/// Under which key it is written down on which tier of `domain` a user was seen: beside their counters, and none of them.
pub(super) fn mark_key(domain: &NativeDomain, user: Whose) -> CounterKey {
    user.counter(identity(&[b"tier of a user", domain.name.as_bytes()]))
}

/// The user of a call whose entries have the values `value_of` their keys.
pub(super) fn user_of<'v>(secret: KeySecret, value_of: impl Fn(&[u8]) -> Option<&'v [u8]>) -> Option<Whose> {
    Some(Subject::of_one(b"user", value_of(b"user")?).hashed(secret))
}
