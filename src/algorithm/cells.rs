//! The exact sliding window: a count per sub-cell, the oldest partial cell counted whole.
//!
//! A window W is cut into [`CELLS`] = 50 cells of width w = W/50, aligned to the epoch. A charge at time t
//! is counted in cell ⌊t/w⌋. A cell c is forgotten once the current cell is above c + 50.
//!
//! **Bound.** Let a charge of cell c be forgotten at time u. Then u ≥ (c + 51)·w, and the charge was made
//! before (c + 1)·w, so it was counted for longer than 50·w = W. Hence at every admission all charges of the
//! last W are counted, and no interval of length W ever holds more than N. Room returns late by less than
//! one cell: a charge is forgotten no later than (c + 51)·w, at most 1.02·W after it was made.
//!
//! Anonymous holds of a `concurrent` limit are the same arithmetic, with the time to live as the window: an
//! abandoned slot comes back between one and 1.02 lifetimes after it was taken. Giving back ends the oldest.
//!
//! **Source.** The idea of sub-cells is the sliding window counter's; that nothing is interpolated, and the bound
//! that follows, are derived here. A slot that lapses by itself is a lease (Gray and Cheriton, SOSP 1989).

mod bytes;
mod older;

use crate::clock::{Micros, Timestamp};
use crate::limits::MAX_AMOUNT;

use super::Retry;
use super::counter::Counter;
use older::{Older, Packed, Ring};

/// How many cells a window is cut into.
pub const CELLS: u64 = 50;

/// The charges of one sliding window. Cells that hold nothing are not kept.
///
/// The newest cell holds whatever of the total the older cells do not, so a charge to it changes one number. What
/// the older cells hold is kept as small as it fits: 16 bytes in all for up to five cells, and up to 51 bytes more
/// while no older cell holds more than 255.
#[derive(Clone, Debug)]
pub struct Cells(Form);

/// In which form the older cells are kept: the first that they fit into.
#[derive(Clone, Debug)]
enum Form {
    Few(Head, Packed<4>),
    More(Head, Box<Packed<12>>),
    Bytes(Head, Box<Ring<1>>),
    Pairs(Head, Box<Ring<2>>),
    Triples(Head, Box<Ring<3>>),
    Any(Head, Box<Ring<7>>),
}

/// What all forms have: the total, of 7 bytes because it is at most [`MAX_AMOUNT`], and the index of the newest
/// cell. In bytes, which need no padding beside them.
#[derive(Clone, Copy, Debug)]
struct Head([u8; 15]);

const TOTAL_BYTES: usize = 7;
const TOTAL: u64 = (1 << (8 * TOTAL_BYTES)) - 1;

/// How long a cell is, in microseconds.
#[derive(Clone, Copy)]
pub(super) struct Width(u64);

/// A window at an instant.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// The cell that a charge belongs to; never an earlier one than the last.
    current: u64,
    /// The newest cell that holds something.
    newest: u64,
    /// What is not forgotten.
    left: u64,
}

impl Width {
    /// Of a window of `length`. Lengths are whole seconds, so it is a whole number, at least 20,000.
    pub(super) fn of(length: Micros) -> Self {
        Self((length.0 / CELLS).max(1))
    }

    fn forgotten_at(self, index: u64) -> Timestamp {
        Timestamp((index + CELLS + 1).saturating_mul(self.0))
    }
}

impl Head {
    fn new(total: u64, newest: u64) -> Self {
        let mut bytes = [0; 15];
        bytes[..8].copy_from_slice(&total.to_le_bytes());
        bytes[TOTAL_BYTES..].copy_from_slice(&newest.to_le_bytes());
        Self(bytes)
    }

    /// Changes the total. It is written at once, with the byte of the index beside it: what was written in pieces
    /// cannot be read at once before all of it has reached the cache.
    fn set_total(&mut self, total: u64) {
        let beside = u64::from(self.0[TOTAL_BYTES]) << (8 * TOTAL_BYTES);
        self.0[..8].copy_from_slice(&(total | beside).to_le_bytes());
    }

    fn total(&self) -> u64 {
        let [total @ .., _, _, _, _, _, _, _] = self.0;
        u64::from_le_bytes(total) & TOTAL
    }

    fn newest(&self) -> u64 {
        let [_, _, _, _, _, _, _, newest @ ..] = self.0;
        u64::from_le_bytes(newest)
    }
}

impl Default for Cells {
    fn default() -> Self {
        Self::of(0, 0)
    }
}

impl Cells {
    /// Of one cell.
    fn of(total: u64, newest: u64) -> Self {
        Self(Form::Few(Head::new(total, newest), Packed::default()))
    }

    fn head(&self) -> &Head {
        match &self.0 {
            Form::Few(head, _)
            | Form::More(head, _)
            | Form::Bytes(head, _)
            | Form::Pairs(head, _)
            | Form::Triples(head, _)
            | Form::Any(head, _) => head,
        }
    }

    fn head_mut(&mut self) -> &mut Head {
        match &mut self.0 {
            Form::Few(head, _)
            | Form::More(head, _)
            | Form::Bytes(head, _)
            | Form::Pairs(head, _)
            | Form::Triples(head, _)
            | Form::Any(head, _) => head,
        }
    }

    fn older(&self) -> &dyn Older {
        match &self.0 {
            Form::Few(_, few) => few,
            Form::More(_, more) => &**more,
            Form::Bytes(_, ring) => &**ring,
            Form::Pairs(_, ring) => &**ring,
            Form::Triples(_, ring) => &**ring,
            Form::Any(_, ring) => &**ring,
        }
    }

    fn older_mut(&mut self) -> &mut dyn Older {
        match &mut self.0 {
            Form::Few(_, few) => few,
            Form::More(_, more) => &mut **more,
            Form::Bytes(_, ring) => &mut **ring,
            Form::Pairs(_, ring) => &mut **ring,
            Form::Triples(_, ring) => &mut **ring,
            Form::Any(_, ring) => &mut **ring,
        }
    }

    /// The instant at which everything will have been forgotten.
    pub(super) fn idle_from(&self, width: Width) -> Timestamp {
        let head = self.head();
        if head.total() == 0 { Timestamp(0) } else { width.forgotten_at(head.newest()) }
    }

    /// As seen in a later cell than the newest.
    #[inline(never)]
    fn seen_later(&self, current: u64) -> Seen {
        let (total, newest) = (self.head().total(), self.head().newest());
        let all = total == 0 || newest + CELLS < current;
        let forgotten = if all { total } else { self.older().forgotten(newest, current) };
        Seen { current, newest, left: total - forgotten }
    }

    /// Makes `current` the newest cell, with `charge` in it, beside the `left` units that are not forgotten.
    #[inline(never)]
    fn turn(&mut self, seen: Seen, charge: u64) {
        let Seen { current, left, .. } = seen;
        if left == 0 {
            *self = Self::of(charge, current);
            return;
        }
        let was_newest = self.forget(left);
        if charge > 0 {
            let count = left - self.older().total();
            if count == left {
                *self = Self::of(left, was_newest);
            }
            self.remember(was_newest, was_newest, count);
            *self.head_mut() = Head::new(left + charge, current);
        }
    }

    /// Takes what is more than `left` off the oldest cells. Tells the newest.
    fn forget(&mut self, left: u64) -> u64 {
        let (total, newest) = (self.head().total(), self.head().newest());
        self.older_mut().take(newest, total - left);
        self.head_mut().set_total(left);
        newest
    }

    /// Keeps `count` of the cell `index` among the older cells, in a wider form if need be.
    fn remember(&mut self, newest: u64, index: u64, count: u64) {
        while !self.older_mut().put(index, count) {
            let mut wider = self.wider();
            self.older().each(newest, &mut |index, count| wider.remember(newest, index, count));
            *self = wider;
        }
    }

    /// The next form, with nothing in it.
    fn wider(&self) -> Self {
        let head = *self.head();
        Self(match self.0 {
            Form::Few(..) => Form::More(head, Box::default()),
            Form::More(..) => Form::Bytes(head, Box::default()),
            Form::Bytes(..) => Form::Pairs(head, Box::default()),
            Form::Pairs(..) => Form::Triples(head, Box::default()),
            Form::Triples(..) | Form::Any(..) => Form::Any(head, Box::default()),
        })
    }
}

impl Counter<Width> for Cells {
    type Seen = Seen;

    #[inline(always)]
    fn seen(&self, width: Width, now: Timestamp) -> Seen {
        let (total, newest) = (self.head().total(), self.head().newest());
        // Within the newest cell, or before it: nothing is divided for it. What is older than its window was
        // forgotten when it began.
        if total > 0 && now.0 < (newest + 1).saturating_mul(width.0) {
            Seen { current: newest, newest, left: total }
        } else {
            self.seen_later(now.0 / width.0)
        }
    }

    fn spent(&self, seen: Seen) -> u64 {
        seen.left
    }

    fn freed_after(&self, width: Width, seen: Seen, excess: u64, now: Timestamp) -> Retry {
        let head = self.head();
        let (total, newest) = (head.total(), head.newest());
        let forgotten = total - seen.left;
        let index = self.older().reaching(newest, forgotten + excess).unwrap_or(newest);
        Retry::After(width.forgotten_at(index).since(now))
    }

    fn whole_at(&self, width: Width, seen: Seen) -> Option<Timestamp> {
        Some(if seen.left == 0 { Timestamp(0) } else { width.forgotten_at(seen.newest) })
    }

    #[inline(always)]
    fn add(&mut self, _: Width, seen: Seen, charge: u64, _: Timestamp) -> Seen {
        let charge = charge.min(MAX_AMOUNT - seen.left);
        let left = seen.left + charge;
        if seen.current == seen.newest && seen.left == self.head().total() {
            self.head_mut().set_total(left);
            Seen { left, ..seen }
        } else {
            self.turn(seen, charge);
            Seen { left, newest: self.head().newest(), ..seen }
        }
    }

    /// Takes `units` off the oldest charges: what is left is forgotten latest, so the bound stands.
    fn give_back(&mut self, _: Width, seen: Seen, units: u64, _: Timestamp) -> Seen {
        let left = seen.left.saturating_sub(units);
        if left == 0 {
            *self = Self::default();
        } else {
            self.forget(left);
        }
        Seen { left, ..seen }
    }
}

#[cfg(test)]
mod tests;
