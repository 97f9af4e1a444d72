//! What a test sets over the files, as an admin would.

use std::sync::Arc;

use tollgate::clock::Timestamp;
use tollgate::limits::{
    KeySecret, LimitsHandle, Number, Overlay, Placed, Subject, SubjectId, Target, Unit, Value,
};

/// What is set over the files so far, each by a record of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sets(Overlay);

/// A number as tests write it: -1 is unlimited.
pub(crate) fn number(number: i64) -> Number {
    u64::try_from(number).map_or(Number::Unlimited, Number::AtMost)
}

/// What `limit` of `domain` allows on `tier`.
pub(crate) fn on_tier(domain: &str, tier: &str, limit: &str) -> Target {
    Target::Number { domain: domain.into(), tier: tier.into(), limit: limit.into() }
}

/// What `limit` of `domain` allows to `subject`.
pub(crate) fn own(domain: &str, limit: &str, subject: SubjectId) -> Target {
    Target::Own { domain: domain.into(), limit: limit.into(), subject }
}

/// The tier that `subject` is on in `domain`.
pub(crate) fn tier(domain: &str, subject: SubjectId) -> Target {
    Target::Tier { domain: domain.into(), subject }
}

/// The subject of these keys and values, joined.
pub(crate) fn subject(secret: KeySecret, parts: &[(&str, &str)]) -> SubjectId {
    let keys: Vec<&str> = parts.iter().map(|(key, _)| *key).collect();
    let parts = parts.iter().map(|(key, value)| Some((key.as_bytes(), value.as_bytes()))).collect();
    SubjectId { key: keys.join("+").into(), hash: Subject { parts }.hashed(secret).counter(0).id }
}

impl Sets {
    /// Sets `target` to `value`.
    pub(crate) fn set(self, target: Target, value: Value) -> Self {
        self.until(target, value, None)
    }

    /// Sets `target` to `value` until an instant.
    pub(crate) fn until(mut self, target: Target, value: Value, until: Option<Timestamp>) -> Self {
        let version = self.0.version() + 1;
        self.0.place(target, Placed { value, until, version });
        self
    }

    /// Sets `target`, which counts hits, to a number.
    pub(crate) fn number(self, target: Target, most: i64) -> Self {
        self.amount(target, most, Unit::Hits)
    }

    /// Sets `target`, which counts `unit`, to a number.
    pub(crate) fn amount(self, target: Target, most: i64, unit: Unit) -> Self {
        self.set(target, Value::Number(number(most), unit))
    }

    /// Puts `subject` on a tier.
    pub(crate) fn tier(self, target: Target, name: &str) -> Self {
        self.set(target, Value::Tier(name.into()))
    }

    /// Has it lie on the files of `limits` as of `now`.
    pub(crate) fn over(&self, limits: &LimitsHandle, now: Timestamp) {
        limits.set_over(Arc::new(self.0.clone()), now);
    }
}
