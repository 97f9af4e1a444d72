//! What is set over the files: numbers, tiers and prices that somebody gave while the service ran, each until it is set
//! anew, taken back, or comes to its end.
//!
//! A value and nothing else. It is the fold of what was recorded, so whoever folds the same records has the same one. It
//! knows no files: what it names may be there no longer, and may come back. Subjects are keyed hashes, never what a
//! caller sent.
//!
//! It grows with the names that files have had, and with subjects up to a bound: of numbers of tiers and of models it
//! remembers when they were last taken back, of subjects only the latest few thousand times.

mod subjects;

use std::collections::BTreeMap;
use std::fmt;

use crate::clock::Timestamp;
use crate::prices::PerMillion;

use super::number::Number;
use super::window::Unit;

use subjects::OfSubjects;

/// The tier that stands for all, where a limit has one number for all of them. No tier of a file is called so.
pub const ALL_TIERS: &str = "all";

/// One thing that can be set over the files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// How much a limit allows on a tier.
    Number {
        /// Of the limit.
        domain: Box<str>,
        /// [`ALL_TIERS`] where the limit has one number for all.
        tier: Box<str>,
        /// Its name.
        limit: Box<str>,
    },
    /// How much a limit allows one subject, whatever its tier.
    Own {
        /// Of the limit.
        domain: Box<str>,
        /// Its name.
        limit: Box<str>,
        /// Whose number it is.
        subject: SubjectId,
    },
    /// Which tier a subject is on, where its calls do not say.
    Tier {
        /// Of the tier.
        domain: Box<str>,
        /// Who is on it.
        subject: SubjectId,
    },
    /// What a million tokens of a model cost from an instant on.
    Price {
        /// Its name.
        model: Box<str>,
        /// The first instant at which they cost it.
        from: Timestamp,
    },
}

/// A subject without its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectId {
    /// The key of the entry that names it, such as `user`; those of all its parts joined by `+`, if it has several.
    pub key: Box<str>,
    /// The keyed hash of keys and values.
    pub hash: u128,
}

/// What is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// For [`Target::Number`] and [`Target::Own`]: in the unit that the limit counted then.
    Number(Number, Unit),
    /// For [`Target::Tier`]: its name.
    Tier(Box<str>),
    /// For [`Target::Price`].
    Price(PerMillion),
}

/// What is set, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// What it is.
    pub value: Value,
    /// The first instant at which it holds no longer; `None` if it has no end.
    pub until: Option<Timestamp>,
    /// The number of the record that set it.
    pub version: u64,
}

/// All that is set over the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    /// Numbers of tiers, and prices.
    placed: BTreeMap<Target, Placed>,
    version: u64,
    of_subjects: OfSubjects,
    /// By which records numbers of tiers that are not set were last taken back, and prices of models, whether they are or not.
    taken_back: BTreeMap<Target, u64>,
}

impl Target {
    /// The domain that it is in; `None` of a price, which holds in all.
    pub const fn domain(&self) -> Option<&str> {
        match self {
            Self::Number { domain, .. } | Self::Own { domain, .. } | Self::Tier { domain, .. } => {
                Some(domain)
            }
            Self::Price { .. } => None,
        }
    }

    /// Whether it is about one subject.
    pub const fn is_of_subject(&self) -> bool {
        self.subject().is_some()
    }

    /// Whom it is about, if that is one subject.
    pub const fn subject(&self) -> Option<&SubjectId> {
        match self {
            Self::Own { subject, .. } | Self::Tier { subject, .. } => Some(subject),
            Self::Number { .. } | Self::Price { .. } => None,
        }
    }
}

impl fmt::Display for Target {
    /// As logs name it, without the subject.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { domain, tier, limit } => {
                write!(f, "the number of {domain}.{limit} on tier {tier}")
            }
            Self::Own { domain, limit, subject } => {
                write!(f, "the number of {domain}.{limit} for one {}", subject.key)
            }
            Self::Tier { domain, subject } => write!(f, "the tier of one {} in {domain}", subject.key),
            Self::Price { model, .. } => write!(f, "the price of {model}"),
        }
    }
}

impl Placed {
    /// Whether it holds at `now`.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Overlay {
    /// How many numbers and tiers of single subjects may be set: all of them are kept in memory.
    pub const MOST_OF_SUBJECTS: usize = 100_000;

    /// The number of the newest record that changed it; 0 if none did.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// What is set of `target`, also if it is past its end.
    pub fn get(&self, target: &Target) -> Option<&Placed> {
        if target.is_of_subject() { self.of_subjects.get(target) } else { self.placed.get(target) }
    }

    /// The same without what is set of other subjects than those the second half of whose keyed hash is one of `halves`:
    /// enough to know what holds for these and for tiers, and made at once however much is set.
    #[must_use]
    pub fn about(&self, halves: &[u64]) -> Self {
        let (placed, taken_back) = (self.placed.clone(), self.taken_back.clone());
        let of_subjects = OfSubjects::default();
        let mut about = Self { placed, taken_back, of_subjects, version: self.version };
        for (target, placed) in halves.iter().flat_map(|half| self.of_subjects.about(*half)) {
            about.of_subjects.insert(target.clone(), placed.clone());
        }
        about
    }

    /// The number of the newest record that has set `target` or taken it back, of a price any of its model; 0 if none has. Of
    /// what was taken back from a subject long ago it may be a newer one that has taken back something of another: never too
    /// old.
    pub fn last_change(&self, target: &Target) -> u64 {
        let taken_back = self.taken_back.get(&one_of_its_model(target)).copied().unwrap_or_default();
        match (target, self.get(target)) {
            (Target::Price { model, .. }, _) => {
                self.version_of_prices(model).unwrap_or_default().max(taken_back)
            }
            (_, Some(placed)) => placed.version,
            (_, None) if target.is_of_subject() => self.of_subjects.last_taken_back(target),
            (_, None) => taken_back,
        }
    }

    /// The number of the newest record that has set a price of `model` which is set still.
    pub fn version_of_prices(&self, model: &str) -> Option<u64> {
        let is_of_model =
            |target: &Target| matches!(target, Target::Price { model: known, .. } if **known == *model);
        let placed = self.placed.iter().filter(|(target, _)| is_of_model(target));
        placed.map(|(_, placed)| placed.version).max()
    }

    /// Whether `target` can be set at `now`: it is set already, or not too much is that has not come to its end.
    pub fn has_room_for(&self, target: &Target, now: Timestamp) -> bool {
        !self.is_full()
            || !target.is_of_subject()
            || self.of_subjects.get(target).is_some()
            || self.ended_of_subjects(now).next().is_some()
    }

    /// Whether as much is set of single subjects as may be.
    fn is_full(&self) -> bool {
        self.of_subjects.len() >= Self::MOST_OF_SUBJECTS
    }

    fn ended_of_subjects(&self, now: Timestamp) -> impl Iterator<Item = (&Target, &Placed)> {
        self.of_subjects.iter().filter(move |(_, placed)| !placed.holds_at(now))
    }

    /// Forgets what is set of single subjects and has come to its end by `now`, if there is no room for more.
    pub fn make_room(&mut self, now: Timestamp) {
        if !self.is_full() {
            return;
        }
        let ended = self.ended_of_subjects(now).map(|(target, placed)| (target.clone(), placed.version));
        for (target, version) in ended.collect::<Vec<_>>() {
            self.remove(&target, version);
        }
    }

    /// Sets `target`, and takes the version of what is `placed`.
    pub fn place(&mut self, target: Target, placed: Placed) {
        self.version = self.version.max(placed.version);
        if target.is_of_subject() {
            return self.of_subjects.insert(target, placed);
        }
        if !matches!(target, Target::Price { .. }) {
            self.taken_back.remove(&target);
        }
        self.placed.insert(target, placed);
    }

    /// Leaves `target` to the files again, as the record with the number `version` says.
    pub fn remove(&mut self, target: &Target, version: u64) {
        self.version = self.version.max(version);
        if target.is_of_subject() {
            self.of_subjects.take_back(target, version);
        } else if self.placed.remove(target).is_some() {
            self.taken_back.insert(one_of_its_model(target), version);
        }
    }

    /// All that is set, also what is past its end: of tiers and prices in the order of the targets, then of single subjects.
    pub fn iter(&self) -> impl Iterator<Item = (&Target, &Placed)> {
        self.placed.iter().chain(self.of_subjects.iter())
    }

    /// The next instant after `after` at which something comes to its end.
    pub fn next_end(&self, after: Timestamp) -> Option<Timestamp> {
        let of_tiers = self.placed.values().filter_map(|placed| placed.until).filter(|until| *until > after);
        of_tiers.chain(self.of_subjects.next_end(after)).min()
    }
}

/// `target`, or of a price one that stands for all of its model.
fn one_of_its_model(target: &Target) -> Target {
    match target {
        Target::Price { model, .. } => Target::Price { model: model.clone(), from: Timestamp(0) },
        target => target.clone(),
    }
}

#[cfg(test)]
mod tests;
