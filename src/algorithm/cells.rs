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

use std::collections::VecDeque;

use crate::clock::{Micros, Timestamp};
use crate::limits::MAX_AMOUNT;

/// How many cells a window is cut into.
pub const CELLS: u64 = 50;

/// The charges of one sliding window, oldest cell first. Cells that hold nothing are not kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cells {
    total: u64,
    cells: VecDeque<Cell>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Cell {
    index: u64,
    count: u64,
}

/// Lengths are whole seconds, so a width is a whole number of microseconds, at least 20,000.
fn width(length: Micros) -> u64 {
    (length.0 / CELLS).max(1)
}

fn forgotten_at(index: u64, length: Micros) -> Timestamp {
    Timestamp((index + CELLS + 1).saturating_mul(width(length)))
}

impl Cells {
    /// All that is counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The cell that a charge at `now` belongs to; never an earlier one than the last.
    fn current(&self, length: Micros, now: Timestamp) -> u64 {
        let at = now.0 / width(length);
        self.cells.back().map_or(at, |last| last.index.max(at))
    }

    /// Forgets what is older than the window.
    pub fn advance(&mut self, length: Micros, now: Timestamp) {
        let current = self.current(length, now);
        while let Some(oldest) = self.cells.front().filter(|oldest| oldest.index + CELLS < current) {
            self.total -= oldest.count;
            self.cells.pop_front();
        }
    }

    /// Counts `charge` at `now`.
    pub fn add(&mut self, length: Micros, charge: u64, now: Timestamp) {
        let charge = charge.min(MAX_AMOUNT - self.total);
        if charge == 0 {
            return;
        }
        let index = self.current(length, now);
        self.total += charge;
        match self.cells.back_mut().filter(|last| last.index == index) {
            Some(last) => last.count += charge,
            None => self.cells.push_back(Cell { index, count: charge }),
        }
    }

    /// Takes `units` off the oldest charges: what is left is forgotten latest, so the bound stands.
    pub fn give_back(&mut self, mut units: u64) {
        while let Some(oldest) = self.cells.front_mut().filter(|_| units > 0) {
            let taken = units.min(oldest.count);
            oldest.count -= taken;
            self.total -= taken;
            units -= taken;
            if oldest.count == 0 {
                self.cells.pop_front();
            }
        }
    }

    /// The instant at which `excess` units will have been forgotten.
    pub fn freed_at(&self, length: Micros, excess: u64) -> Timestamp {
        let mut freed = 0_u64;
        let enough = self.cells.iter().find(|cell| {
            freed += cell.count;
            freed >= excess
        });
        enough.map_or(Timestamp(0), |cell| forgotten_at(cell.index, length))
    }

    /// The instant at which everything will have been forgotten.
    pub fn idle_from(&self, length: Micros) -> Timestamp {
        self.cells.back().map_or(Timestamp(0), |last| forgotten_at(last.index, length))
    }
}
