//! The chain of records, walked line by line: what does not follow from what is before it is found where it stands.
//!
//! Each record has the number behind the one before it, names that one's hash, and has its own, so nothing can be changed,
//! taken out, put in or moved without the chain breaking there. One break is told once: behind it the chain is taken
//! to go on from what the line says, so that a line that was altered is not held against those behind it. What is cut off
//! at the end leaves no break; only the [`Head`] that was noted before tells.

use std::fmt;

use super::record::{Link, Read};
use super::{Hash, Record};

/// The end of a chain: all of it, in one hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The number of the last record; 0 of a chain that has none.
    pub number: u64,
    /// Its hash.
    pub hash: Hash,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, head {}", self.number, plural(self.number, "record"), self.hash)
    }
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is no record, or only part of one.
    #[error("this is no record; record {expected} belongs here")]
    Unreadable {
        /// What should stand there.
        expected: u64,
    },
    /// It does not have the hash that it says.
    #[error("record {number} was altered: it does not have the hash that it says")]
    Altered {
        /// Its number.
        number: u64,
    },
    /// Another record should stand there: one is missing, stands twice, or was moved.
    #[error("record {found} stands where record {expected} belongs")]
    Misplaced {
        /// What stands there.
        found: u64,
        /// What should.
        expected: u64,
    },
    /// It follows another record than the one before it.
    #[error("record {number} does not follow the one before it: that was exchanged")]
    Unlinked {
        /// Its number.
        number: u64,
    },
}

/// How far ahead a number may be where records are missing. Behind one that is further there would be none soon.
const FARTHEST: u64 = 1 << 32;

/// A chain that is walked.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    head: Head,
    before: Before,
}

/// What is known of the line before.
#[derive(Clone, Copy, Debug, Default)]
enum Before {
    /// There is none.
    #[default]
    Nothing,
    /// The hash it has and the one that it says it has.
    Record { own: Hash, said: Hash },
    /// It was no record. What stood there may have had a number, or not.
    Unreadable,
}

/// What a line came to.
#[derive(Debug)]
pub struct Step {
    /// What is wrong with it.
    pub fault: Option<Fault>,
    /// What it says, as far as that makes sense to this version.
    pub record: Option<Record>,
}

impl Chain {
    /// The last record that could be read.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Walks over one line, which has no end of line.
    pub fn walk(&mut self, line: &[u8]) -> Step {
        let is_near = |read: &Read| read.link.number.saturating_sub(self.head.number) <= FARTHEST;
        let Some(read) = Read::of(line).filter(is_near) else {
            let fault = Fault::Unreadable { expected: self.head.number + 1 };
            self.before = Before::Unreadable;
            return Step { fault: Some(fault), record: None };
        };
        let fault = self.fault(&read.link);
        self.step(&read.link, fault);
        Step { fault, record: read.record() }
    }

    fn fault(&self, link: &Link) -> Option<Fault> {
        let (number, expected) = (link.number, self.head.number + 1);
        if link.own != link.said {
            // Its number may be what was altered.
            return Some(Fault::Altered { number: expected });
        }
        let follows = match self.before {
            Before::Nothing => link.prev == Hash::default(),
            Before::Record { own, said } => [own, said].contains(&link.prev),
            Before::Unreadable => {
                return (!(expected..=expected + 1).contains(&number))
                    .then_some(Fault::Misplaced { found: number, expected });
            }
        };
        match (number == expected, follows) {
            (false, _) => Some(Fault::Misplaced { found: number, expected }),
            (true, false) => Some(Fault::Unlinked { number }),
            (true, true) => None,
        }
    }

    /// Goes on behind a line. One from further back leaves the chain where it was.
    fn step(&mut self, link: &Link, fault: Option<Fault>) {
        let number = match fault {
            Some(Fault::Altered { number }) => number,
            _ => link.number,
        };
        if number > self.head.number {
            self.head = Head { number, hash: link.said };
            self.before = Before::Record { own: link.own, said: link.said };
        }
    }
}

/// Where a chain is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Break {
    /// In which line, from 1.
    pub line: u64,
    /// What is wrong there.
    pub fault: Fault,
    /// The last record before the first break.
    pub good: Head,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

/// Whether a chain is whole.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    chain: Chain,
    lines: u64,
    /// The last record before the first break, and the one before that.
    good: Head,
    earlier: Head,
    broken: Option<Break>,
    /// How many lines are wrong.
    faults: u64,
}

impl Verification {
    /// Looks at the next line. What is wrong with it is told, too.
    pub fn line(&mut self, line: &[u8]) -> Step {
        self.lines += 1;
        let step = self.chain.walk(line);
        match step.fault {
            Some(fault) => {
                self.faults += 1;
                let is_before = matches!(fault, Fault::Unlinked { .. });
                let good = if is_before { self.earlier } else { self.good };
                self.broken.get_or_insert(Break { line: self.lines, fault, good });
            }
            None if self.broken.is_none() => (self.earlier, self.good) = (self.good, self.chain.head()),
            None => {}
        }
        step
    }

    /// Where it is first broken.
    pub const fn broken(&self) -> Option<Break> {
        self.broken
    }

    /// How many lines are wrong.
    pub const fn faults(&self) -> u64 {
        self.faults
    }

    /// How many lines there are.
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// The last record.
    pub const fn head(&self) -> Head {
        self.chain.head()
    }
}

/// `noun` as it is of so many.
pub(super) fn plural(number: u64, noun: &str) -> String {
    if number == 1 { noun.to_owned() } else { format!("{noun}s") }
}
