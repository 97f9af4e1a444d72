//! What is set over the files: numbers, tiers and prices that somebody gave while the service ran, each until it is set
//! anew, taken back, or comes to its end.
//!
//! A value and nothing else. It is the fold of what was recorded, so whoever folds the same records has the same one. It
//! knows no files: what it names may be there no longer, and may come back. Subjects are keyed hashes, never what a
//! caller sent.

use std::collections::BTreeMap;
use std::fmt;

use crate::clock::Timestamp;
use crate::prices::PerMillion;

use super::number::Number;

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
    /// For [`Target::Number`] and [`Target::Own`].
    Number(Number),
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
    placed: BTreeMap<Target, Placed>,
    version: u64,
    of_subjects: usize,
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
        matches!(self, Self::Own { .. } | Self::Tier { .. })
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
        self.placed.get(target)
    }

    /// Whether `target` can be set: it is set already, or not too much is.
    pub fn has_room_for(&self, target: &Target) -> bool {
        let is_free = self.of_subjects < Self::MOST_OF_SUBJECTS;
        is_free || !target.is_of_subject() || self.placed.contains_key(target)
    }

    /// Sets `target`, and takes the version of what is `placed`.
    pub fn place(&mut self, target: Target, placed: Placed) {
        self.version = self.version.max(placed.version);
        let is_of_subject = target.is_of_subject();
        if self.placed.insert(target, placed).is_none() && is_of_subject {
            self.of_subjects += 1;
        }
    }

    /// Leaves `target` to the files again, as the record with the number `version` says.
    pub fn remove(&mut self, target: &Target, version: u64) {
        self.version = self.version.max(version);
        if self.placed.remove(target).is_some() && target.is_of_subject() {
            self.of_subjects -= 1;
        }
    }

    /// All that is set, in the order of the targets, also what is past its end.
    pub fn iter(&self) -> impl Iterator<Item = (&Target, &Placed)> {
        self.placed.iter()
    }

    /// The next instant after `after` at which something comes to its end.
    pub fn next_end(&self, after: Timestamp) -> Option<Timestamp> {
        self.placed.values().filter_map(|placed| placed.until).filter(|until| *until > after).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(limit: &str) -> Target {
        Target::Number { domain: "shop".into(), tier: "free".into(), limit: limit.into() }
    }

    fn own(user: u128) -> Target {
        let subject = SubjectId { key: "user".into(), hash: user };
        Target::Own { domain: "shop".into(), limit: "login".into(), subject }
    }

    fn placed(most: u64, until: Option<u64>, version: u64) -> Placed {
        Placed { value: Value::Number(Number::AtMost(most)), until: until.map(Timestamp), version }
    }

    #[test]
    fn what_is_set_last_counts_until_it_is_taken_back() {
        let mut overlay = Overlay::default();
        assert_eq!((overlay.version(), overlay.get(&number("login"))), (0, None));
        overlay.place(number("login"), placed(5, None, 1));
        overlay.place(number("login"), placed(7, None, 2));
        assert_eq!(overlay.get(&number("login")), Some(&placed(7, None, 2)));
        assert_eq!(overlay.get(&number("signup")), None);
        overlay.remove(&number("login"), 3);
        assert_eq!((overlay.version(), overlay.iter().count()), (3, 0));
    }

    #[test]
    fn nothing_holds_at_its_end() {
        for (until, now, holds) in
            [(None, u64::MAX, true), (Some(10), 9, true), (Some(10), 10, false), (Some(10), 11, false)]
        {
            assert_eq!(placed(1, until, 1).holds_at(Timestamp(now)), holds, "{until:?} at {now}");
        }
    }

    #[test]
    fn the_next_end_is_the_first_that_is_still_to_come() {
        let mut overlay = Overlay::default();
        assert_eq!(overlay.next_end(Timestamp(0)), None);
        for (limit, until) in [("a", Some(30)), ("b", Some(20)), ("c", None)] {
            overlay.place(number(limit), placed(1, until, 1));
        }
        for (after, end) in [(0, Some(20)), (19, Some(20)), (20, Some(30)), (30, None)] {
            assert_eq!(overlay.next_end(Timestamp(after)), end.map(Timestamp), "after {after}");
        }
    }

    #[test]
    fn only_what_is_about_subjects_is_bounded() {
        let mut overlay = Overlay::default();
        (0..Overlay::MOST_OF_SUBJECTS as u128).for_each(|user| overlay.place(own(user), placed(1, None, 1)));
        overlay.place(own(0), placed(2, None, 2));
        let has_room = |overlay: &Overlay| {
            [own(0), own(u128::MAX), number("login")].map(|target| overlay.has_room_for(&target))
        };
        assert_eq!(has_room(&overlay), [true, false, true]);
        overlay.remove(&own(u128::MAX), 3);
        assert_eq!(has_room(&overlay), [true, false, true], "it was not there");
        overlay.remove(&own(1), 4);
        assert_eq!(has_room(&overlay), [true, true, true]);
    }
}
