//! What callers who learn the cost later ask: borrowed from the wire, bytes throughout, and its bounds.

use smallvec::SmallVec;

use crate::clock::{Micros, Timestamp};
use crate::engine::request::Descriptor;
use crate::limits::{Entry, MAX_AMOUNT};
use crate::money::{InvalidDecimal, NanoUsd};
use crate::prices::{Class, MOST_NAME_BYTES, Tokens};

/// The most entries of a subject.
const MAX_ENTRIES: usize = 16;
/// The longest key of an entry, in bytes. Values have no bound: they are hashed whole.
const MAX_KEY_BYTES: usize = 64;
/// The longest idempotency key, in bytes.
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 256;
/// The longest amount of dollars, in bytes: the largest has 17 with nine decimals.
const MAX_USD_BYTES: usize = 32;
/// How much of a caller's own text an error repeats, in bytes.
const REPEATED_BYTES: usize = 64;
/// The longest that a hold lives without being renewed.
pub(super) const LONGEST_TTL: Micros = Micros::from_secs(24 * 3600);

/// Who asks and for what: the domain, and the entries of one descriptor.
#[derive(Clone, Debug, Default)]
pub struct SubjectOf<'a> {
    /// Which domain's limits apply.
    pub domain: &'a [u8],
    /// What it is, in any order.
    pub entries: SmallVec<[Entry<'a>; 4]>,
}

/// What a call uses, or is thought to use.
#[derive(Clone, Debug, Default)]
pub struct UsageOf<'a> {
    /// The model that the tokens are of; may be empty.
    pub model: &'a [u8],
    /// How many tokens, by class.
    pub tokens: SmallVec<[(&'a [u8], u64); 4]>,
    /// The weight of the call for limits that count hits; 0 is unset and means 1.
    pub hits: u64,
    /// What it costs in dollars, if the caller knows better than the prices; empty if not.
    pub usd: &'a [u8],
}

/// Hold this, if there is room for all of it.
#[derive(Clone, Debug, Default)]
pub struct ReserveRequest<'a> {
    /// Whose, and of which limits.
    pub subject: SubjectOf<'a>,
    /// How much.
    pub estimate: UsageOf<'a>,
    /// Under which the same call is done only once; may be empty.
    pub idempotency_key: &'a [u8],
    /// How long it is held unless it is renewed; `None` leaves that to the limits.
    pub ttl: Option<Micros>,
    /// What becomes of it if there is room for less.
    pub partial: Partial,
}

/// What becomes of an estimate that there is room for less of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partial {
    /// It is refused.
    #[default]
    Refused,
    /// What there is room for is granted.
    Accepted,
}

/// Which reservation is meant.
#[derive(Clone, Debug)]
pub enum Named<'a> {
    /// The one that was answered so.
    Handle(&'a [u8]),
    /// The one that was, or would have been, made under this key.
    Key {
        /// For the same subject.
        subject: SubjectOf<'a>,
        /// Its key.
        idempotency_key: &'a [u8],
    },
}

/// Charge what was used.
#[derive(Clone, Debug)]
pub struct SettleRequest<'a> {
    /// Of which reservation.
    pub reserved: Named<'a>,
    /// How much in all so far; `None` if nobody knows.
    pub used: Option<UsageOf<'a>>,
    /// Whether it is at its end.
    pub progress: Progress,
    /// By the prices of which time; `None` for the time when it was reserved.
    pub used_at: Option<Timestamp>,
}

/// Whether something is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More will be used.
    More,
    /// It is.
    Done,
}

/// Give room back.
#[derive(Clone, Debug)]
pub enum ReleaseRequest<'a> {
    /// All that a reservation holds.
    Held(&'a [u8]),
    /// Units of one limit.
    Units {
        /// Whose.
        subject: SubjectOf<'a>,
        /// Of which limit.
        limit: &'a [u8],
        /// How many.
        amount: Amount,
        /// Under which they are given back only once; may be empty.
        idempotency_key: &'a [u8],
    },
}

/// How many units of a limit are given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many; of a limit of money, so many micro-USD.
    Hits(u64),
    /// As many as it takes to leave so many used.
    AllBut(u64),
}

impl Amount {
    /// The field that says it.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Hits(_) => "hits",
            Self::AllBut(_) => "true_count",
        }
    }
}

/// What is wrong with a request, by field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHold {
    /// No domain.
    #[error("subject.domain: must not be empty")]
    NoDomain,
    /// No entries.
    #[error("subject.entries: must not be empty")]
    NoEntries,
    /// Too many entries.
    #[error("subject.entries: {0} given, at most 16 are taken")]
    TooManyEntries(usize),
    /// An entry without a key.
    #[error("subject.entries: a key must not be empty")]
    EmptyKey,
    /// A key that is too long.
    #[error("subject.entries: a key is {0} bytes long, at most 64 are taken")]
    LongKey(usize),
    /// A key that stands twice.
    #[error("subject.entries: the key '{0}' stands twice")]
    RepeatedKey(String),
    /// A limit that is named twice.
    #[error("subject.entries: 'limit' stands beside the field limit; keep one of them")]
    LimitTwice,
    /// Whose counter is charged is not said.
    #[error("subject.entries: the limit {0}")]
    NoSubject(String),
    /// No key where there is no reservation.
    #[error("idempotency_key: must not be empty without a reservation")]
    NoIdempotencyKey,
    /// A key that is too long.
    #[error("idempotency_key: {0} bytes long, at most 256 are taken")]
    LongIdempotencyKey(usize),
    /// A time to live that no hold has.
    #[error("ttl: must be above 0 and at most 24 hours")]
    Ttl,
    /// A time that is none.
    #[error("used_at: must be a time from 1970 to 9999")]
    UsedAt,
    /// A handle that nobody was given.
    #[error("reservation: is none that Reserve has answered")]
    Reservation,
    /// No usage where there is no reservation.
    #[error("used: must be given where nothing was reserved: nothing says how much is due")]
    NoUsage,
    /// No limit where there is no reservation.
    #[error("limit: must not be empty without a reservation; a hold is released by its reservation")]
    NoLimit,
    /// More units than anything counts.
    #[error("{field}: {units} is above the largest amount, 9007199254740991")]
    TooManyUnits {
        /// The field that says how many.
        field: &'static str,
        /// So many.
        units: u64,
    },
    /// Usage that makes no sense.
    #[error("{field}.{error}")]
    Usage {
        /// The field that it stands in.
        field: &'static str,
        /// What is wrong with it.
        error: InvalidUsage,
    },
}

/// What is wrong with usage, by field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUsage {
    /// A model that no price is for.
    #[error("model: {0} bytes long, at most 256 are taken")]
    LongModel(usize),
    /// A class that does not exist.
    #[error("tokens: '{0}' is no class of tokens; write one of {classes}", classes = classes())]
    Class(String),
    /// More tokens than anything counts.
    #[error("tokens: more than 9007199254740991 in all")]
    TooManyTokens,
    /// More hits than anything counts.
    #[error("hits: {0} is above the largest amount, 9007199254740991")]
    TooManyHits(u64),
    /// More digits than any amount needs.
    #[error("usd: {0} bytes long, at most 32 are taken")]
    LongUsd(usize),
    /// No amount of dollars.
    #[error("usd: {0}")]
    Usd(#[from] InvalidDecimal),
}

/// Usage that makes sense.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Usage<'a> {
    pub(in crate::engine) model: &'a [u8],
    pub(in crate::engine) tokens: Tokens,
    /// At least 1.
    pub(in crate::engine) hits: u64,
    pub(in crate::engine) usd: Option<NanoUsd>,
}

impl<'a> SubjectOf<'a> {
    /// As a descriptor, its entries by key, so that their order counts for nothing.
    pub(in crate::engine) fn descriptor(&self) -> Result<Descriptor<'a>, InvalidHold> {
        if self.domain.is_empty() {
            return Err(InvalidHold::NoDomain);
        }
        let mut entries = self.entries.clone();
        entries.sort_unstable_by_key(|entry| entry.key);
        match entries.len() {
            0 => return Err(InvalidHold::NoEntries),
            given if given > MAX_ENTRIES => return Err(InvalidHold::TooManyEntries(given)),
            _ => {}
        }
        if entries[0].key.is_empty() {
            return Err(InvalidHold::EmptyKey);
        }
        if let Some(long) = entries.iter().map(|entry| entry.key.len()).find(|bytes| *bytes > MAX_KEY_BYTES) {
            return Err(InvalidHold::LongKey(long));
        }
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].key == pair[1].key) {
            return Err(InvalidHold::RepeatedKey(repeated(pair[0].key)));
        }
        Ok(Descriptor { entries, ..Descriptor::default() })
    }
}

impl<'a> UsageOf<'a> {
    /// What it says, as the value of `field`.
    pub(super) fn read(&self, field: &'static str) -> Result<Usage<'a>, InvalidHold> {
        self.make_sense().map_err(|error| InvalidHold::Usage { field, error })
    }

    fn make_sense(&self) -> Result<Usage<'a>, InvalidUsage> {
        if self.model.len() > MOST_NAME_BYTES {
            return Err(InvalidUsage::LongModel(self.model.len()));
        }
        let mut tokens = Tokens::default();
        for (name, count) in &self.tokens {
            let class = Class::named(name).ok_or_else(|| InvalidUsage::Class(repeated(name)))?;
            tokens.add(class, *count).map_err(|_| InvalidUsage::TooManyTokens)?;
        }
        if self.hits > MAX_AMOUNT {
            return Err(InvalidUsage::TooManyHits(self.hits));
        }
        let usd = match self.usd {
            b"" => None,
            long if long.len() > MAX_USD_BYTES => return Err(InvalidUsage::LongUsd(long.len())),
            usd => Some(NanoUsd::parse_decimal(str::from_utf8(usd).map_err(|_| InvalidDecimal::Form)?)?),
        };
        Ok(Usage { model: self.model, tokens, hits: self.hits.max(1), usd })
    }
}

/// `ttl`, if a hold can have it.
pub(super) fn ttl(ttl: Option<Micros>) -> Result<Option<Micros>, InvalidHold> {
    match ttl {
        Some(ttl) if ttl == Micros(0) || ttl > LONGEST_TTL => Err(InvalidHold::Ttl),
        ttl => Ok(ttl),
    }
}

/// `key`, if it is not too long.
pub(super) fn idempotency_key(key: &[u8]) -> Result<&[u8], InvalidHold> {
    match key.len() {
        bytes if bytes > MAX_IDEMPOTENCY_KEY_BYTES => Err(InvalidHold::LongIdempotencyKey(bytes)),
        _ => Ok(key),
    }
}

/// The beginning of what the caller wrote.
pub(super) fn repeated(text: &[u8]) -> String {
    String::from_utf8_lossy(&text[..text.len().min(REPEATED_BYTES)]).into_owned()
}

fn classes() -> String {
    Class::ALL.map(Class::name).join(", ")
}
