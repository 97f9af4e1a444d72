//! Why something that an operator asks is not done, in words that name the field, what stands there and what to write.

use std::fmt;

use crate::engine::hold::InvalidHold;
use crate::money::InvalidDecimal;
use crate::nearest::nearest;
use crate::store::StoreError;

/// The longest reason: it stands in one line of the log.
const MOST_REASON_BYTES: usize = 1024;
/// How many names are listed where nothing is near to what was written.
const SHOWN: usize = 24;
/// How much of what somebody wrote is repeated, in characters.
const REPEATED: usize = 64;

/// Why something that an operator asks is not done. Nothing was changed then, but for [`OperateError::Unavailable`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// Several domains are configured.
    #[error("domain: must be given, there are several: {0}")]
    NoDomain(String),
    /// None is.
    #[error("domain: there is none to operate; write 'domains' into a Tollgate file")]
    NothingToOperate,
    /// It is not configured.
    #[error("domain: there is no domain {0}")]
    UnknownDomain(Near),
    /// It has no tiers, and no limits with names.
    #[error("domain: '{0}' is one of a reference file, whose limits are changed there")]
    ReferenceDomain(String),
    /// The domain has no such limit.
    #[error("limit: the domain has no limit {0}")]
    UnknownLimit(Near),
    /// The domain has no such tier.
    #[error("tier: the domain has no tier {0}")]
    UnknownTier(Near),
    /// No call could bring these entries.
    #[error(transparent)]
    InvalidSubject(#[from] InvalidHold),
    /// No limit reads an entry.
    #[error("subject.entries: no limit is kept per {0}")]
    UnreadEntry(Near),
    /// The entries name nobody.
    #[error("subject.entries: say whose; limits are kept per {0}")]
    NoSubject(String),
    /// A limit is kept for something that the entries do not name.
    #[error("limit: '{limit}' is kept per {subjects}, which the entries do not say")]
    OtherSubject {
        /// Its name.
        limit: String,
        /// Whose counters it keeps.
        subjects: String,
    },
    /// A reason that nobody would read.
    #[error("reason: is {0} bytes long; write at most 1024")]
    LongReason(usize),
    /// No number that a limit can have.
    #[error("max: {0} is no number of a limit; write -1 for unlimited, 0 for blocked, or up to {1}")]
    Number(i64, u64),
    /// Nothing to change it to, or more than one thing.
    #[error("max: write exactly one of max, usd and clear")]
    NoNumber,
    /// Dollars that are none.
    #[error("usd: {0}")]
    Usd(#[from] InvalidDecimal),
    /// Dollars for what counts something else.
    #[error("usd: the limit counts {0}; write max")]
    NotMoney(&'static str),
    /// An end that is past.
    #[error("until: is not after now")]
    UntilPast,
    /// It was changed since.
    #[error("if_version: was changed by record {found} since version {expected}; read it again")]
    Stale {
        /// What the caller knows.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// A version that is still to come.
    #[error("if_version: {expected} is from the future; the newest record is {head}")]
    FutureVersion {
        /// What the caller says to know.
        expected: u64,
        /// What there is.
        head: u64,
    },
    /// A change that may be a mistake.
    #[error("force: {before} to {after} is {change}; send force if it is meant")]
    NeedsForce {
        /// In words.
        before: String,
        /// In words.
        after: String,
        /// Why it may be one.
        change: &'static str,
    },
    /// The store did not say whether it was done.
    #[error("the store does not answer ({0}); ask again")]
    Unavailable(StoreError),
}

/// What kind of a mistake an [`OperateError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A field makes no sense.
    Invalid,
    /// Something that is named does not exist.
    Unknown,
    /// Somebody else was first.
    Stale,
    /// It has to be asked otherwise.
    Guarded,
    /// None: it cannot be done now.
    Unavailable,
}

impl OperateError {
    /// What kind of a mistake it is.
    pub const fn mistake(&self) -> Mistake {
        match self {
            Self::UnknownDomain(_) | Self::UnknownLimit(_) | Self::UnknownTier(_) => Mistake::Unknown,
            Self::Stale { .. } | Self::FutureVersion { .. } => Mistake::Stale,
            Self::NeedsForce { .. } | Self::ReferenceDomain(_) | Self::NothingToOperate => Mistake::Guarded,
            Self::Unavailable(_) => Mistake::Unavailable,
            _ => Mistake::Invalid,
        }
    }
}

/// A word that stands for nothing, and what was meant by it perhaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    word: String,
    known: Vec<String>,
}

impl Near {
    /// `word`, which is none of `known`.
    pub(super) fn of<'k>(word: &[u8], known: impl Iterator<Item = &'k str>) -> Self {
        let (word, mut all) = (text(word), known.collect::<Vec<_>>());
        all.sort_unstable();
        let known = match nearest(&word, all.iter().copied()) {
            Some(near) => vec![near.to_owned()],
            None => all.into_iter().map(str::to_owned).collect(),
        };
        Self { word, known }
    }
}

impl fmt::Display for Near {
    /// `'fre'; did you mean 'free'?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.word)?;
        match self.known.as_slice() {
            [] => Ok(()),
            [near] => write!(f, "; did you mean '{near}'?"),
            known => {
                let more = if known.len() > SHOWN { ", …" } else { "" };
                write!(f, "; there are {}{more}", known[..known.len().min(SHOWN)].join(", "))
            }
        }
    }
}

/// Whether `reason` is short enough to be read.
pub(super) fn check_reason(reason: &str) -> Result<(), OperateError> {
    match reason.len() {
        bytes if bytes > MOST_REASON_BYTES => Err(OperateError::LongReason(bytes)),
        _ => Ok(()),
    }
}

/// What somebody wrote, or its beginning.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(REPEATED).collect()
}
