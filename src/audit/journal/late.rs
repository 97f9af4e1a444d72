//! Lines that were given up without anybody knowing whether they are there: they may come to be. Pure.
//!
//! What such a record sets is in force from then on, as of any other. What it only tells of has not been done, so another
//! record has to say that.

use std::collections::VecDeque;

use crate::audit::Event;
use crate::store::ledger::Line;

/// Lines that may come to be there, and what is to be recorded of those that did.
#[derive(Debug, Default)]
pub(super) struct Late {
    awaited: Vec<Awaited>,
    owed: VecDeque<Event>,
}

#[derive(Debug)]
struct Awaited {
    line: Line,
    undone: Option<Event>,
}

impl Late {
    /// `line` may come to be there. If it does, `undone` is to be recorded.
    pub(super) fn await_line(&mut self, line: Line, undone: Option<Event>) {
        self.awaited.push(Awaited { line, undone });
    }

    /// A line is there: it is one that is awaited, or none of those can be any more whose place lies before it.
    pub(super) fn meet(&mut self, found: &Line) {
        for awaited in self.awaited.extract_if(.., |awaited| awaited.line.place <= found.place) {
            if awaited.line == *found {
                let place = found.place;
                tracing::warn!(
                    place,
                    "a record is there of which the audit had not said whether it was written"
                );
                self.owed.extend(awaited.undone);
            }
        }
    }

    /// Another line was added at `place`.
    pub(super) fn overtake(&mut self, place: u64) {
        self.awaited.retain(|awaited| awaited.line.place > place);
    }

    /// What is to be recorded next.
    pub(super) fn owed(&self) -> Option<&Event> {
        self.owed.front()
    }

    /// That was recorded.
    pub(super) fn settle(&mut self) {
        self.owed.pop_front();
    }
}
