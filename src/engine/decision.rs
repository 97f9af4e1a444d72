//! The answer to a call, before any wire: verdict, statuses, headers, body and metadata.

use std::collections::BTreeMap;
use std::fmt;

use smallvec::{SmallVec, smallvec};

use crate::limits::{Metadata, WireUnit};

use super::text::Text;
use super::unclaimed::Unclaimed;

/// The statuses of a call, one for each descriptor; of a single one without a heap.
pub type Statuses = SmallVec<[DescriptorStatus; 1]>;

/// The headers of an answer; those of a call that passes without a heap.
pub type AddedHeaders = SmallVec<[Header; 3]>;

/// Whether something may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// It may.
    Ok,
    /// It may not.
    OverLimit,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Whether the call may pass.
    pub code: Code,
    /// One for each descriptor, in their order.
    pub statuses: Statuses,
    /// To be added to the response that the caller's client sees.
    pub headers: AddedHeaders,
    /// The body of that response when the call may not pass.
    pub body: Option<Text>,
    /// For the caller's own filters and logs.
    pub metadata: Option<BTreeMap<Box<str>, Metadata>>,
    /// What is held for the caller, who does not know it yet.
    pub unclaimed: Option<Unclaimed>,
}

/// Where one descriptor stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorStatus {
    /// Whether its limits let it pass.
    pub code: Code,
    /// The limit that is shown; `None` where none applied.
    pub limit: Option<CurrentLimit>,
    /// Room that is left, saturated; money in micro-USD.
    pub remaining: u32,
    /// Until the counter is whole again, in whole seconds rounded up; `None` if time never brings it there.
    pub reset_seconds: Option<u64>,
}

/// A limit as the wire shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentLimit {
    /// Its name; may be empty.
    pub name: Text,
    /// How much it allows, saturated; money in micro-USD.
    pub requests_per_unit: u32,
    /// The unit of its window.
    pub unit: WireUnit,
    /// How many units the window is long; 1 is not sent.
    pub multiplier: u32,
}

/// A header of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: Text,
    /// Its value.
    pub value: HeaderValue,
}

/// The value of a header, still in the form in which it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// A number, sent in decimal.
    Number(u64),
    /// Any other text.
    Text(Text),
}

impl fmt::Display for HeaderValue {
    /// As it is sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => fmt::Display::fmt(number, f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<u64> for HeaderValue {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl<T: Into<Text>> From<T> for HeaderValue {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

impl DescriptorStatus {
    /// The status of a descriptor that no limit applies to.
    pub const UNLIMITED: Self = Self { code: Code::Ok, limit: None, remaining: 0, reset_seconds: None };
}

impl Decision {
    /// Lets a call of `descriptors` descriptors pass, with nothing to say.
    pub fn pass(descriptors: usize) -> Self {
        Self {
            code: Code::Ok,
            statuses: smallvec![DescriptorStatus::UNLIMITED; descriptors],
            headers: AddedHeaders::new(),
            body: None,
            metadata: None,
            unclaimed: None,
        }
    }
}
