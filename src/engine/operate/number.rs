//! Numbers of limits as operators see them: how much, and who says so.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::limits::{Number, Unit};

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

impl InForce {
    /// As the file says.
    pub(super) const fn of_file(number: Number) -> Self {
        Self { number, source: Source::File, version: 0, until: None }
    }
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
}

impl Source {
    /// As it is sent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Override => "override",
            Self::Own => "user",
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
