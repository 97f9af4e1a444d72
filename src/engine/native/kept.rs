//! The counters that the limits of a domain keep for one subject, whichever calls would touch them.

use crate::algorithm::{Op, Rule};
use crate::engine::breaker::Guarded;
use crate::engine::request::Descriptor;
use crate::limits::{
    Captures, KeySecret, Limit, LimitId, NativeDomain, Subject, SubjectId, Subjects, TierId, Whose,
};
use crate::store::{Binding, Charge};

use super::plan::charge;
use super::reading::Reading;
use super::select::anchor;

/// The counters of a subject, as a descriptor names it; of one without entries, those that all share.
pub(in crate::engine) struct KeptFor<'a, 'd> {
    domain: &'a NativeDomain,
    reading: Reading<'d>,
    /// On which day of the month its months and years begin, if the descriptor says.
    anchor: Option<u8>,
    whose: Sharing,
    secret: KeySecret,
}

/// Who has the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    OfOne,
    OfAll,
}

/// A limit, and whose counter it keeps.
#[derive(Clone, Copy)]
pub(in crate::engine) struct Kept<'a> {
    pub(in crate::engine) id: LimitId,
    pub(in crate::engine) limit: &'a Limit,
    pub(in crate::engine) whose: Whose,
}

impl<'a, 'd> KeptFor<'a, 'd> {
    /// Of whom `descriptor` names to `domain`.
    pub(in crate::engine) fn new(
        domain: &'a NativeDomain,
        descriptor: &'d Descriptor<'_>,
        secret: KeySecret,
    ) -> Self {
        let reading = Reading::new(descriptor, Captures::new(), domain.ipv6_prefix);
        let whose = if descriptor.entries.is_empty() { Sharing::OfAll } else { Sharing::OfOne };
        Self { domain, reading, anchor: anchor(descriptor), whose, secret }
    }

    /// Under which secret its counters are named.
    pub(in crate::engine) fn secret(&self) -> KeySecret {
        self.secret
    }

    /// What is said of `key`, as calls have it read.
    pub(in crate::engine) fn value_of(&self, key: &[u8]) -> Option<&[u8]> {
        self.reading.value_of(key)
    }

    /// The tier that such a call is on where nobody knows better.
    pub(in crate::engine) fn tier(&self) -> TierId {
        if self.whose == Sharing::OfAll {
            return self.domain.tiers.default;
        }
        self.domain.tier_of(self.secret, |key| self.value_of(key))
    }

    /// The tier that it is assigned.
    pub(in crate::engine) fn assigned_tier(&self) -> Option<TierId> {
        self.domain.assigned_tier(self.secret, |key| self.value_of(key))
    }

    /// Every limit that keeps a counter for it, and for nobody else, in the order of the file.
    pub(in crate::engine) fn limits(&self) -> Vec<Kept<'a>> {
        let kept = |(index, limit): (usize, &'a Limit)| {
            let subject = limit.subjects.find(|key| self.value_of(key));
            let sharing = if *limit.subjects == Subjects::ALL { Sharing::OfAll } else { Sharing::OfOne };
            let is_kept = sharing == self.whose && !subject.is_incomplete();
            is_kept.then(|| Kept { id: LimitId(index), limit, whose: subject.hashed(self.secret) })
        };
        self.domain.limits.iter().enumerate().filter_map(kept).collect()
    }

    /// Limits that keep counters for more than is named: as per user and kit, where only the user is.
    pub(in crate::engine) fn wider(&self) -> impl Iterator<Item = (LimitId, &'a Limit)> {
        let is_part = |limit: &Limit| {
            let subject = limit.subjects.find(|key| self.value_of(key));
            subject.is_incomplete() && subject.parts.iter().any(Option::is_some)
        };
        let limits = (0..).map(LimitId).zip(&self.domain.limits);
        limits.filter(move |(_, limit)| is_part(limit))
    }

    /// The breakers of its domain that all share, each with its limit.
    pub(in crate::engine) fn breakers_of_all(&self) -> impl Iterator<Item = Guarded<'a>> {
        let limits = self.domain.breakers.iter().map(|id| self.domain.limit(*id));
        let of_all = limits.filter(|limit| *limit.subjects == Subjects::ALL);
        of_all.filter_map(|limit| Guarded::of(limit, limit.subjects.find(|_| None).hashed(self.secret)))
    }

    /// Who may have a number of `limit` of their own: the whole subject, or the one of its first part alone if no more is
    /// named. By which keys, joined by `+`.
    pub(in crate::engine) fn owner(&self, limit: &Limit) -> Option<(String, Whose)> {
        let subject = limit.subjects.find(|key| self.value_of(key));
        let (key, value) = subject.parts.first().copied().flatten()?;
        let named = if subject.is_incomplete() { Subject::of_one(key, value) } else { subject };
        let keys = named.parts.iter().flatten().map(|(key, _)| String::from_utf8_lossy(key));
        Some((keys.collect::<Vec<_>>().join("+"), named.hashed(self.secret)))
    }

    /// Whether it is the subject that `known` is, by the same keys.
    pub(in crate::engine) fn is(&self, known: &SubjectId) -> bool {
        let keys = known.key.split('+').map(str::as_bytes);
        let parts: Option<_> = keys.map(|key| Some(Some((key, self.value_of(key)?)))).collect();
        parts.is_some_and(|parts| Subject { parts }.hashed(self.secret).counter(0).id == known.hash)
    }

    /// Does `op` to the counter of `kept` on `tier`. It never refuses.
    pub(in crate::engine) fn charge(&self, kept: Kept<'a>, tier: TierId, op: Op) -> Charge<'a> {
        let (window, identity) = kept.limit.window_on(|| self.anchor);
        let number = kept.limit.number_of(tier, kept.whose.counter(identity), identity);
        self.charge_to(kept, identity, Rule { window, number }, op)
    }

    /// Does `op` to the counters of `kept` for every day on which calls may have its months and years begin, unless the
    /// descriptor says the day. They never refuse.
    pub(in crate::engine) fn charges_of_all_days(
        &self,
        kept: Kept<'a>,
        tier: TierId,
        op: Op,
    ) -> Vec<Charge<'a>> {
        let one = self.charge(kept, tier, op);
        let number = one.rule.number;
        let others = kept.limit.anchored.iter().filter(|other| other.identity != one.overflow);
        let others = others
            .filter(|_| self.anchor.is_none())
            .map(|other| self.charge_to(kept, other.identity, Rule { window: &other.window, number }, op));
        std::iter::once(one).chain(others).collect()
    }

    fn charge_to(&self, kept: Kept<'a>, identity: u128, rule: Rule<'a>, op: Op) -> Charge<'a> {
        let key = kept.whose.counter(identity);
        Charge { binding: Binding::Counted, ..charge(kept.limit, key, identity, rule, op) }
    }
}
