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

/// What stands before the number of a record that set prices, so that they are never called as any of a file: none has so many.
const OF_RECORDS: u64 = 1_000_000;

/// Prices from some instant on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The number of the record that set them over the files; `None` of those that a file has.
    pub set_by: Option<u64>,
    /// The first instant at which they hold.
    pub from: Timestamp,
    /// The prices.
    pub prices: PerMillion,
    /// Those of calls with more input, the least first; never lower than those before them.
    pub steps: Vec<Step>,
}

/// What calls with much input cost: all of their tokens, not only those that are more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// More input than so many tokens, of all its classes together.
    pub above: u64,
    /// The prices.
    pub prices: PerMillion,
}

impl Version {
    /// The prices of a call with so many tokens of `input`.
    pub fn prices_of(&self, input: u64) -> &PerMillion {
        let reached = self.steps.iter().take_while(|step| input > step.above).last();
        reached.map_or(&self.prices, |step| &step.prices)
    }
}

impl Model {
    /// All its prices, each with the version that it belongs to, and the input above which it holds if it is a step.
    pub fn all_prices(&self) -> impl Iterator<Item = (&Self, &Version, Option<u64>, &PerMillion)> {
        self.versions.iter().flat_map(move |version| {
            let steps = version.steps.iter().map(move |step| (self, version, Some(step.above), &step.prices));
            std::iter::once((self, version, None, &version.prices)).chain(steps)
        })
    }

    /// Adds `version` behind those that begin no later.
    pub(super) fn add(&mut self, version: Version) {
        let place = self.versions.partition_point(|other| other.from <= version.from);
        self.versions.insert(place, version);
    }

    /// The newest prices that hold at `at`, and by which number bills name them: those of a file are counted from 1. Never are
    /// two that were set called the same, whatever was taken back.
    pub fn at(&self, at: Timestamp) -> Option<(u64, &Version)> {
        let begun = || self.versions.iter().take_while(|version| version.from <= at);
        let of_file = (1..).zip(begun().filter(|version| version.set_by.is_none())).last();
        let version = begun().last()?;
        let of_file = of_file.map_or(0, |(number, _)| number);
        Some((version.set_by.map_or(of_file, |record| OF_RECORDS + record), version))
    }
}
