//! Where the numbers of a limit come from: who gave which, and which of them counts on a tier.
//!
//! A tier's own number comes first, then those of the tiers it extends, then the limit's own, then the tier's `"*"` and
//! those it extends. Nothing here is read to decide a call: the numbers that come of it stand in the limit.

use crate::clock::Timestamp;

use super::native::TierId;
use super::number::Number;

/// Who gave a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It stands in a file.
    File,
    /// Somebody set it over the files.
    Override {
        /// The number of the record that says so.
        version: u64,
        /// The first instant at which it holds no longer; `None` if it has no end.
        until: Option<Timestamp>,
    },
}

/// A number, and who gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// How much is allowed.
    pub number: Number,
    /// Who says so.
    pub origin: Origin,
}

/// Who gives a limit a number by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierOrAll {
    /// The limit itself, for all tiers that give it none.
    All,
    /// This tier.
    Tier(TierId),
}

/// The numbers that one limit is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basis {
    /// The limit's own, for all tiers that give it none.
    pub for_all: Option<Given>,
    /// What each tier gives it by its name.
    pub by_tier: Vec<Option<Given>>,
}

/// Which tiers extend which, and what each gives to limits that have no number otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// For each tier itself and what it extends, nearest first.
    pub lines: Vec<Vec<TierId>>,
    /// The `"*"` of each tier.
    pub others: Vec<Option<Number>>,
}

impl Given {
    /// `number`, as a file gives it.
    pub const fn by_file(number: Number) -> Self {
        Self { number, origin: Origin::File }
    }
}

impl Lineage {
    /// Of a domain without tiers: there is one, and it extends none.
    pub fn none() -> Self {
        Self { lines: vec![vec![TierId(0)]], others: vec![None] }
    }
}

impl Basis {
    /// What counts on `tier`; `None` if nothing is given.
    pub fn on(&self, tier: TierId, lineage: &Lineage) -> Option<Given> {
        let line = &lineage.lines[tier.0];
        let explicit = line.iter().find_map(|tier| self.by_tier[tier.0]);
        let others = || line.iter().find_map(|tier| lineage.others[tier.0]).map(Given::by_file);
        explicit.or(self.for_all).or_else(others)
    }

    /// What counts on each tier; `None` if there is one on which nothing does.
    pub fn on_each(&self, lineage: &Lineage) -> Option<Vec<Number>> {
        let tiers = (0..lineage.lines.len()).map(TierId);
        tiers.map(|tier| self.on(tier, lineage).map(|given| given.number)).collect()
    }

    /// The tiers whose number is the one that is given, or would be given, by `by`.
    pub fn reaches(&self, by: TierOrAll, lineage: &Lineage) -> Vec<TierId> {
        let nearest = |line: &Vec<TierId>| {
            let gives = |tier: &TierId| TierOrAll::Tier(*tier) == by || self.by_tier[tier.0].is_some();
            line.iter().copied().find(gives).map_or(TierOrAll::All, TierOrAll::Tier)
        };
        let lines = lineage.lines.iter().zip(0..);
        lines.filter(|(line, _)| nearest(line) == by).map(|(_, index)| TierId(index)).collect()
    }

    /// What is given by `by`.
    pub(super) fn by(&mut self, by: TierOrAll) -> &mut Option<Given> {
        match by {
            TierOrAll::All => &mut self.for_all,
            TierOrAll::Tier(tier) => &mut self.by_tier[tier.0],
        }
    }
}
