//! What is known of a ledger: how far it was read, and what came of that. Pure.

use std::sync::Arc;

use crate::audit::chain::{Fault, Verification};
use crate::audit::{Event, Hash, Head, Record, record};
use crate::clock::Timestamp;
use crate::limits::Overlay;
use crate::store::ledger::{LedgerError, Line};

use super::JournalState;
use super::late::Late;

/// How many broken lines are told of one by one.
const TOLD: u64 = 10;

/// What is known of a ledger.
#[derive(Default)]
pub(super) struct Book {
    /// The place of the last line that was read, and its hash: it has to be there still.
    place: u64,
    last: Hash,
    /// How many places behind it are known to be used up.
    skipped: u64,
    chain: Verification,
    overlay: Arc<Overlay>,
    /// Whether the overlay has changed since it was put in force, and when that was.
    has_changed: bool,
    in_force: Timestamp,
    /// How often that was.
    turn: u64,
    state: JournalState,
    /// What may come to be there.
    pub(super) late: Late,
    /// A line that was there once, as somebody else has noted, until it is found.
    noted: Option<Line>,
}

/// What became of lines that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// They go on where the book ends.
    All,
    /// The last line of the book is there no more: it begins anew.
    Lost,
}

impl Book {
    /// One of which nothing is read yet, and that has to hold the line that is `noted`.
    pub(super) fn expecting(noted: Option<Line>) -> Self {
        Self { noted, ..Self::default() }
    }

    /// How far the ledger was read.
    pub(super) fn place(&self) -> u64 {
        self.place
    }

    /// Where the next line belongs.
    pub(super) fn next_place(&self) -> u64 {
        // No ledger has one behind the last there can be; it says so.
        self.place.saturating_add(self.skipped).saturating_add(1)
    }

    /// There was a line once where the next one would be, and others up to the place `last`.
    pub(super) fn skip_to(&mut self, last: u64) {
        self.skipped = (self.skipped + 1).max(last.saturating_sub(self.place));
    }

    pub(super) fn head(&self) -> Head {
        self.chain.head()
    }

    pub(super) fn overlay(&self) -> &Arc<Overlay> {
        &self.overlay
    }

    /// The number of the next record. Of lines that are gone the numbers are not given again: then it shows that they are.
    pub(super) fn next_number(&self) -> u64 {
        let gone = self.state.lost.map_or(0, |lost| lost.number);
        gone.max(self.head().number + self.skipped) + 1
    }

    /// The line that says `event`, for the next place.
    pub(super) fn line(&self, event: &Event, at: Timestamp) -> Vec<u8> {
        record::line(event, self.next_number(), self.head(), at)
    }

    /// Takes in lines from the last known one on.
    pub(super) fn go_on(&mut self, lines: Vec<Line>) -> Taken {
        let mut lines = lines.into_iter();
        if self.place > 0 {
            let is_last = |line: &Line| line.place == self.place && Hash::of(&line.bytes) == self.last;
            if !lines.next().as_ref().is_some_and(is_last) {
                self.begin_anew();
                return Taken::Lost;
            }
        }
        lines.for_each(|line| self.take_in(&line));
        Taken::All
    }

    /// Takes in the line behind the last.
    pub(super) fn take_in(&mut self, line: &Line) {
        self.late.meet(line);
        self.noted.take_if(|noted| *noted == *line);
        let before = self.head().number;
        let step = self.chain.line(&line.bytes);
        if let Some(fault) = step.fault {
            self.tell(line.place, fault);
        }
        let is_altered = matches!(step.fault, Some(Fault::Altered { .. }));
        match step.record {
            // One that stands behind later ones counts no more, and one that was altered says what nobody has recorded.
            Some(record) if record.number > before && !is_altered && !record.sets.is_empty() => {
                record.fold(Arc::make_mut(&mut self.overlay));
                self.has_changed = true;
            }
            None if step.fault.is_none() => tracing::warn!(
                place = line.place,
                "a record of the audit makes no sense to this version: what it sets is not in force"
            ),
            _ => {}
        }
        (self.place, self.last, self.skipped) = (line.place, Hash::of(&line.bytes), 0);
    }

    fn tell(&self, place: u64, fault: Fault) {
        let faults = self.chain.faults();
        if faults <= TOLD {
            tracing::error!(place, "the audit is broken: {fault}");
        }
        if faults == TOLD {
            tracing::error!("more that is broken in it is not told: see 'tollgate audit verify'");
        }
    }

    /// There are no more lines. One that was noted and is not among them was taken away, or is another now.
    pub(super) fn ends(&mut self) {
        let Some(line) = self.noted.take() else { return };
        let record = Record::of_line(&line.bytes);
        let head = record.map(|record| Head { number: record.number, hash: record.hash });
        let head = head.unwrap_or(Head { number: line.place, hash: Hash::default() });
        tracing::error!(
            records = head.number,
            head = %head.hash,
            left = self.head().number,
            "the audit has lost its last record since the process before: what is set is as the records say that are left"
        );
        self.state.lost = Some(head);
    }

    fn begin_anew(&mut self) {
        let head = self.head();
        tracing::error!(
            records = head.number,
            head = %head.hash,
            "the audit has lost its last record, or it was exchanged: it is read anew, \
             and what is set is as the records say that are left"
        );
        let state = JournalState { lost: Some(head), ..std::mem::take(&mut self.state) };
        let late = std::mem::take(&mut self.late);
        *self = Self { state, late, has_changed: true, turn: self.turn, ..Self::default() };
    }

    /// Whether what is set differs at `now` from what was last put in force; then it is about to be, for the how manieth time.
    pub(super) fn has_changed_by(&mut self, now: Timestamp) -> Option<u64> {
        let has_ended = self.overlay.next_end(self.in_force).is_some_and(|end| end <= now);
        if !std::mem::take(&mut self.has_changed) && !has_ended {
            return None;
        }
        self.in_force = now;
        self.turn += 1;
        Some(self.turn)
    }

    /// The ledger took a record.
    pub(super) fn wrote(&mut self) {
        self.takes_lines();
        self.read();
    }

    /// Whether the ledger took no record, as far as is known.
    pub(super) fn is_unwritten(&self) -> bool {
        self.state.unwritten.is_some()
    }

    /// The ledger takes records.
    pub(super) fn takes_lines(&mut self) {
        if self.state.unwritten.take().is_some() {
            tracing::info!("the audit is written again");
        }
    }

    /// The ledger took no record, or has not said so.
    pub(super) fn could_not_write(&mut self, error: &LedgerError) {
        let problem = Some(error.to_string());
        if self.state.unwritten != problem && error.is_unknown() {
            tracing::error!(problem, "the audit does not say what was written: it may come to be in force");
        } else if self.state.unwritten != problem {
            tracing::error!(problem, "the audit cannot be written: what was to be recorded is not done");
        }
        self.state.unwritten = problem;
    }

    /// The ledger was read to its end.
    pub(super) fn read(&mut self) {
        if self.state.unread.take().is_some() {
            tracing::info!("the audit is read again");
        }
        self.state.is_read = true;
    }

    /// The ledger could not be read.
    pub(super) fn could_not_read(&mut self, error: &LedgerError) {
        let problem = Some(error.to_string());
        if self.state.unread.is_none() {
            tracing::warn!(problem, "the audit cannot be read: what others set is not in force until it can");
        }
        self.state.unread = problem;
    }

    /// How it is now.
    pub(super) fn state(&self) -> JournalState {
        JournalState {
            head: self.head(),
            overlay: self.overlay.clone(),
            broken: self.chain.broken(),
            ..self.state.clone()
        }
    }
}
