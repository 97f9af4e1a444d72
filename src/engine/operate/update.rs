//! What admins set over the files: numbers, tiers and prices.

use crate::clock::Timestamp;
use crate::limits::Entry;
use crate::prices::PerMillion;

use super::number::LimitValue;
use super::who::Who;

/// Change how much a limit allows.
#[derive(Clone, Debug)]
pub struct UpdateLimit<'a> {
    /// Of which domain; may be `None` where there is one.
    pub domain: Option<&'a [u8]>,
    /// The limit.
    pub limit: &'a [u8],
    /// For whom.
    pub of: Reach<'a>,
    /// What it is to be.
    pub to: Change<'a>,
    /// When it ends; `None` if it does not.
    pub until: Option<Timestamp>,
    /// Under which conditions, and why.
    pub terms: ChangeTerms<'a>,
}

/// For whom a number is changed.
#[derive(Clone, Debug)]
pub enum Reach<'a> {
    /// For a tier; `all` where the limit has one number for all.
    Tier(&'a [u8]),
    /// For one subject: by the entries that its counters are kept by.
    Subject(Vec<Entry<'a>>),
}

/// What a number is changed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// So much, in the unit of the limit; of money nano-USD. -1 is unlimited, 0 blocked.
    Number(i64),
    /// So many dollars, as in `5.00`.
    Usd(&'a [u8]),
    /// What the file says.
    BackToFile,
}

/// Under which conditions something is changed, and why.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChangeTerms<'a> {
    /// Only if it is what it was at this version.
    pub if_version: Option<u64>,
    /// What becomes of a change that may be a mistake.
    pub caution: Caution,
    /// Why; may be empty.
    pub reason: &'a str,
}

/// What becomes of a change that may be a mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caution {
    /// It is not made.
    #[default]
    Kept,
    /// It is made.
    Forced,
}

/// A number that was changed.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitChanged {
    /// What it was.
    pub before: LimitValue,
    /// What it is; `None` of what the files do not have.
    pub after: Option<LimitValue>,
    /// The tiers whose calls are decided otherwise from now on; empty for one subject.
    pub reaches: Vec<Box<str>>,
    /// The number of the record that says so.
    pub version: u64,
}

/// Put a subject on a tier.
#[derive(Clone, Debug)]
pub struct SetTier<'a> {
    /// Whom: entries of one key.
    pub who: Who<'a>,
    /// On which; `None` leaves it to calls and the file again.
    pub tier: Option<&'a [u8]>,
    /// When it ends; `None` if it does not.
    pub until: Option<Timestamp>,
    /// Under which conditions, and why.
    pub terms: ChangeTerms<'a>,
}

/// A subject that was put on a tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierChanged {
    /// On which tier it was put before; `None` for none.
    pub before: Option<Box<str>>,
    /// On which it is put; `None` for none.
    pub after: Option<Box<str>>,
    /// When that ends; `None` if it does not.
    pub until: Option<Timestamp>,
    /// The tier that its calls of late name themselves, which decides whatever is set; `None` if none are known to, or what was
    /// set is taken back.
    pub named: Option<Box<str>>,
    /// The number of the record that says so.
    pub version: u64,
}

/// Set what a million tokens of a model cost from an instant on.
#[derive(Clone, Debug)]
pub struct SetPrice<'a> {
    /// The model, by its name or an alias, or a new one.
    pub model: &'a [u8],
    /// Dollars for a million tokens, by class; empty takes the price of that instant back.
    pub usd: Vec<(&'a [u8], &'a [u8])>,
    /// From when on; `None` for now.
    pub from: Option<Timestamp>,
    /// Under which conditions, and why.
    pub terms: ChangeTerms<'a>,
}

/// A price that was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceChanged {
    /// The model, by its own name.
    pub model: Box<str>,
    /// From when on.
    pub from: Timestamp,
    /// What it cost at that instant before; `None` for nothing that was known.
    pub before: Option<PerMillion>,
    /// What it costs from that instant on; `None` for nothing that is known.
    pub after: Option<PerMillion>,
    /// The number of the record that says so.
    pub version: u64,
}
