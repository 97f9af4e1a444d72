//! Records in lines: which of them lapses next, and which is forgotten next.
//!
//! Knows names and instants alone. Whoever keeps the records says when one changes its place.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::clock::Timestamp;

use super::{Record, Reservation};

/// Names of records in lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Of those that may hold something, in the order in which they lapse.
    pub(super) open: NamesByTurn,
    /// Of the others, in the order in which they are forgotten.
    pub(super) over: NamesByTurn,
    /// How many have ever come.
    turns: u64,
    /// In neither line stands anyone until an earlier instant.
    pub(super) earliest: Timestamp,
}

/// A line, from its end on: whoever comes last mostly stands last, and is looked for from there.
pub(super) type NamesByTurn = BTreeMap<Reverse<Turn>, u128>;

/// By which instant, and after how many others: beside those who came just before.
pub(super) type Turn = (Timestamp, u64);

/// Where a record stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Line {
    Open(Turn),
    Over(Turn),
}

impl Lines {
    /// Has the `record` of this name stand in line.
    pub(super) fn stand(&mut self, name: u128, record: &Record) -> Line {
        match record.state {
            Reservation::Open => {
                let turn = self.turn(record.until);
                self.open.insert(Reverse(turn), name);
                Line::Open(turn)
            }
            _ => self.stand_over(name, record.kept_until),
        }
    }

    /// Has the record of this name stand with those that are over, until then.
    pub(super) fn stand_over(&mut self, name: u128, until: Timestamp) -> Line {
        let turn = self.turn(until);
        self.over.insert(Reverse(turn), name);
        Line::Over(turn)
    }

    pub(super) fn leave(&mut self, line: Line) {
        match line {
            Line::Open(turn) => self.open.remove(&Reverse(turn)),
            Line::Over(turn) => self.over.remove(&Reverse(turn)),
        };
    }

    fn turn(&mut self, until: Timestamp) -> Turn {
        self.turns += 1;
        self.earliest = self.earliest.min(until);
        (until, self.turns)
    }

    /// Finds out again who stands there until the earliest instant, once others have left.
    pub(super) fn look_ahead(&mut self) {
        let firsts = [&self.open, &self.over].into_iter().filter_map(NamesByTurn::last_key_value);
        self.earliest = firsts.map(|(Reverse((until, _)), _)| *until).min().unwrap_or(Timestamp(u64::MAX));
    }
}

/// Takes the first name of a line out of it, if it stands there until `then` at most.
pub(super) fn take_first_by(line: &mut NamesByTurn, then: Timestamp) -> Option<u128> {
    let first = line.last_entry().filter(|first| first.key().0.0 <= then)?;
    Some(first.remove())
}
