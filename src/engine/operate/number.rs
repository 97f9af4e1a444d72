//! Numbers of limits as operators see them: how much, and who says so.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::limits::{CounterKey, Given, Limit, LimitId, NativeDomain, Number, Origin, TierId, Unit};

/// A number that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InForce {
    /// How much is allowed.
    pub number: Number,
    /// Who says so.
    pub source: Source,
    /// The number of the record that set it; 0 from the file.
    pub version: u64,
    /// When it comes to its end; `None` if it does not.
    pub until: Option<Timestamp>,
}

/// Who says how much a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The file.
    File,
    /// An admin, for a tier.
    Override,
    /// An admin, for one subject.
    Own,
    /// An admin, for what the files do not have: it is not in force.
    Stray,
}

impl Source {
    /// As it is sent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Override => "override",
            Self::Own => "user",
            Self::Stray => "stray",
        }
    }
}

/// A limit on a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitValue {
    /// The domain.
    pub domain: Box<str>,
    /// The tier; `all` for the number of a limit that holds wherever a tier says nothing else.
    pub tier: Box<str>,
    /// Its name.
    pub limit: Arc<str>,
    /// How much it allows.
    pub number: InForce,
    /// What it counts.
    pub unit: Unit,
    /// When it forgets, in words: `sliding 60s`, `calendar month UTC`.
    pub window: String,
    /// Whose counters it keeps, as written: `user|ip`.
    pub per: String,
}

impl InForce {
    /// As `given` for a tier.
    pub(super) const fn given(given: Given) -> Self {
        Self::said_by(given, Source::Override)
    }

    /// How much the limit with this id allows on `tier` whose counter has `key`, for `identity`.
    pub(super) fn of(
        domain: &NativeDomain,
        id: LimitId,
        tier: TierId,
        (key, identity): (CounterKey, u128),
    ) -> Self {
        let own = domain.limit(id).own.as_ref().and_then(|own| own.of(key, identity));
        own.map_or_else(|| Self::given(domain.given(tier, id)), |own| Self::said_by(own, Source::Own))
    }

    /// As `given`, by `source` unless by the file.
    const fn said_by(given: Given, source: Source) -> Self {
        match given.origin {
            Origin::File => Self { number: given.number, source: Source::File, version: 0, until: None },
            Origin::Override { version, until } => Self { number: given.number, source, version, until },
        }
    }
}

impl LimitValue {
    pub(super) fn new(domain: &NativeDomain, limit: &Limit, tier: Box<str>, number: InForce) -> Self {
        Self {
            domain: domain.name.clone(),
            tier,
            limit: limit.name.clone(),
            number,
            unit: limit.unit,
            window: limit.window.in_words(),
            per: limit.subjects.to_string(),
        }
    }
}
