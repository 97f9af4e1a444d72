//! Why something that an operator asks is not done, in words that name the field, what stands there and what to write.

mod mistake;
mod near;

use crate::audit::TokenForm;
use crate::engine::hold::InvalidHold;
use crate::money::{InvalidDecimal, NanoUsd};
use crate::store::StoreError;

use super::plain::is_plain;

pub use mistake::Mistake;
pub use near::Near;

/// The longest reason: it stands in one line of the log.
const MOST_REASON_BYTES: usize = 1024;
/// How much of what somebody wrote is repeated, in characters.
const REPEATED: usize = 64;

/// Why something that an operator asks is not done. Nothing was changed then, but perhaps for [`OperateError::Unavailable`] and
/// [`OperateError::Unknown`], where nobody knows, and for [`OperateError::Unkept`].
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
    /// An entry that names nobody: it must not stand for everybody.
    #[error("subject.entries: '{0}' has no value, and names nobody")]
    EmptyEntry(String),
    /// What is no address, where one is counted.
    #[error("subject.entries: '{0}' is no address; write one such as 192.0.2.7 or 2001:db8::7")]
    NoAddress(String),
    /// A limit is kept for something that the entries do not name.
    #[error("limit: '{limit}' is kept per {subjects}, which the entries do not say")]
    OtherSubject {
        /// Its name.
        limit: String,
        /// Whose counters it keeps.
        subjects: String,
    },
    /// More is named than a limit is kept for.
    #[error(
        "subject.entries: '{limit}' is kept per {subjects}, and this is set for {owner} alone; leave '{key}' out"
    )]
    MoreThanOwner {
        /// Its name.
        limit: String,
        /// Whose counters it keeps.
        subjects: String,
        /// By which keys the subject is named.
        owner: String,
        /// What names more.
        key: String,
    },
    /// A limit that all share was named beside somebody.
    #[error("limit: '{0}' is kept per all; name nobody beside it")]
    OfAll(String),
    /// What all share would be forgotten unasked.
    #[error("limits: must be named, where it is nobody's alone")]
    AllUnnamed,
    /// A reason that nobody would read.
    #[error("reason: is {0} bytes long; write at most 1024")]
    LongReason(usize),
    /// A reason that would move a terminal, or break a line of the records.
    #[error("reason: holds control characters; write plain text on one line")]
    ControlInReason,
    /// A reason that would be kept for good, and a secret in it.
    #[error(
        "reason: holds a token, which everybody who reads the records would have; make another, and write the reason without"
    )]
    TokenInReason,
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
    /// An end of what is taken back.
    #[error("until: what is taken back has no end; leave it out")]
    UntilOfNothing,
    /// A number that would take the place of one that was set when the limit counted something else.
    #[error(
        "force: {number} is set there, though not in force since the limit counts {unit} by now, and would go; send force if it \
         is meant"
    )]
    DropsStray {
        /// In words.
        number: String,
        /// What the limit counts.
        unit: &'static str,
    },
    /// It was changed since, or nobody remembers.
    #[error(
        "if_version: may have been changed since version {expected}, by record {found} at the latest; read it again"
    )]
    Stale {
        /// What the caller knows.
        expected: u64,
        /// The newest record that may have changed it.
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
    /// The domain has no such route.
    #[error("route: the domain has no route {0}")]
    UnknownRoute(Near),
    /// A limit has no number that holds for all tiers.
    #[error("tier: '{limit}' has no number for all tiers; name one of {tiers}")]
    NoNumberForAll {
        /// Its name.
        limit: String,
        /// The tiers there are.
        tiers: String,
    },
    /// More than one subject, or none, where one is meant.
    #[error("subject.entries: name one subject, by one key")]
    SeveralSubjects,
    /// Too much is set for single subjects.
    #[error(
        "no more than {0} numbers and tiers of single subjects can be set; clear some, or put them on tiers"
    )]
    NoRoom(usize),
    /// No name that a model can have.
    #[error("model: must be plain text of 1 to {0} bytes, without blanks at its ends and what nobody sees")]
    ModelName(usize),
    /// A model that has no prices, which may be a mistake.
    #[error("model: '{model}' has no prices yet; {near}send force if it is meant")]
    NewModel {
        /// Its name.
        model: String,
        /// Whether another is meant, if one is near.
        near: String,
    },
    /// A price that would take the place of several.
    #[error(
        "force: '{model}' has other prices above {above} tokens of input, which only a file can say and which would go; \
         send force if it is meant"
    )]
    DropsSteps {
        /// The model.
        model: String,
        /// Above how much input the first of them holds.
        above: u64,
    },
    /// No class of tokens.
    #[error("usd_per_million: there is no class of tokens {0}")]
    UnknownClass(Near),
    /// A price that is none.
    #[error("usd_per_million: for {class}, {wrong}")]
    ClassPrice {
        /// The class of tokens.
        class: &'static str,
        /// What is wrong with it.
        wrong: InvalidDecimal,
    },
    /// A price from the past on.
    #[error("effective_from: is past, and what was charged by then stays charged; leave it out for now")]
    FromPast,
    /// There is no price to be taken back.
    #[error("model: no price of '{model}' was set from {from} on")]
    NoSuchPrice {
        /// The model.
        model: String,
        /// From when on.
        from: String,
    },
    /// Too much at once.
    #[error("rows: {0} given, at most {1} are taken at once")]
    TooManyRows(usize, usize),
    /// The same counter twice.
    #[error("row {0} says it already")]
    RepeatedRow(usize),
    /// Only the first rows are done.
    #[error(
        "the first {done} rows are set, and nobody knows of the others: {why}; ask again, the same rows change nothing"
    )]
    Partly {
        /// How many.
        done: usize,
        /// Why not the others.
        why: String,
    },
    /// A limit of which nothing can be used elsewhere.
    #[error("limit: '{0}' counts what goes on now, so there is nothing to import")]
    NothingToImport(String),
    /// No amount.
    #[error("used: '{0}' is no number of units; write digits")]
    Used(String),
    /// More than anything counts.
    #[error("used: {0} is above the largest amount, 9007199254740991")]
    UsedTooMuch(String),
    /// No amount of dollars.
    #[error("used: {0}")]
    UsedDollars(InvalidDecimal),
    /// More hits than anything counts.
    #[error("hits: {0} is above the largest amount, 9007199254740991")]
    TooManyHits(u64),
    /// No page.
    #[error("page: is none that an answer has said; leave it out for the first")]
    Page,
    /// What is done is recorded nowhere.
    #[error("nothing is recorded here, so nothing can be changed")]
    NoJournal,
    /// It could not be recorded, so it is not done.
    #[error("{0}")]
    Unrecorded(String),
    /// It may have been recorded, or come to be: then it is in force.
    #[error("{0}")]
    Unknown(String),
    /// The records cannot be read.
    #[error("the audit cannot be read: {0}")]
    Unread(String),
    /// The store did not say whether it was done.
    #[error("the store does not answer ({0}); ask again")]
    Unavailable(StoreError),
    /// The store has done it, and forgets it with its process for now.
    #[error(
        "this is done, but not yet written to the data directory, so a process that is killed forgets it ({0}); that is \
         tried again, and /readyz says whether it fails"
    )]
    Unkept(String),
}

/// Whether `reason` is short enough to be read, and can be shown.
pub(super) fn check_reason(reason: &str) -> Result<(), OperateError> {
    match reason.len() {
        bytes if bytes > MOST_REASON_BYTES => Err(OperateError::LongReason(bytes)),
        _ if !is_plain(reason) => Err(OperateError::ControlInReason),
        _ if TokenForm::all_in(reason.as_bytes()).next().is_some() => Err(OperateError::TokenInReason),
        _ => Ok(()),
    }
}

/// Reads dollars as they travel, in the field `usd`.
pub(super) fn dollars(text: &[u8]) -> Result<NanoUsd, OperateError> {
    Ok(dollars_of(text)?)
}

/// Reads dollars as they travel.
pub(super) fn dollars_of(text: &[u8]) -> Result<NanoUsd, InvalidDecimal> {
    NanoUsd::parse_decimal(std::str::from_utf8(text).map_err(|_| InvalidDecimal::Form)?)
}

/// What somebody wrote, or its beginning.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(REPEATED).collect()
}
