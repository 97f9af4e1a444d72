//! One model and its prices over time.

use super::PerMillion;
use crate::clock::Timestamp;

/// A model that has prices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its name, as written.
    pub name: Box<str>,
    /// What else it is called.
    pub aliases: Vec<Box<str>>,
    /// Its prices, the oldest first. New ones are added behind, so a bill stays what it was.
    pub versions: Vec<Version>,
}

/// Prices from some instant on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// The first instant at which they hold.
    pub from: Timestamp,
    /// The prices.
    pub prices: PerMillion,
}

impl Model {
    /// The newest prices that hold at `at`, and which they are, counted from 1.
    pub fn at(&self, at: Timestamp) -> Option<(u32, &Version)> {
        (1..).zip(&self.versions).take_while(|(_, version)| version.from <= at).last()
    }
}
