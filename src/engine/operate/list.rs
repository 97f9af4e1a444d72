//! Every limit on every tier, and all else that is set over the files.

use super::number::LimitValue;

/// What is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// Every limit on every tier on which its number is its own, domain by domain in the order of the files; under `all`
    /// the number of a limit that holds wherever a tier says nothing else.
    pub limits: Vec<LimitValue>,
    /// The number of the newest record.
    pub version: u64,
}
