//! The answer to a call, before any wire: verdict, statuses, headers, body and metadata.

use std::collections::BTreeMap;

use crate::limits::{Metadata, WireUnit};

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
    pub statuses: Vec<DescriptorStatus>,
    /// To be added to the response that the caller's client sees.
    pub headers: Vec<Header>,
    /// The body of that response when the call may not pass.
    pub body: Option<String>,
    /// For the caller's own filters and logs.
    pub metadata: Option<BTreeMap<Box<str>, Metadata>>,
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
    pub name: String,
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
    pub name: String,
    /// Its value.
    pub value: String,
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
            statuses: vec![DescriptorStatus::UNLIMITED; descriptors],
            headers: Vec::new(),
            body: None,
            metadata: None,
        }
    }
}
