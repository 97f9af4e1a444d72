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
mod tests {
    use proptest::prelude::*;

    use super::{CELLS, Cells, Form, Width};
    use crate::algorithm::Retry;
    use crate::algorithm::counter::Counter;
    use crate::clock::Timestamp;
    use crate::limits::MAX_AMOUNT;

    /// The same, written down: index and count of each cell, oldest first.
    #[derive(Clone, Debug, Default)]
    struct Naive(Vec<(u64, u64)>);

    impl Naive {
        fn total(&self) -> u64 {
            self.0.iter().map(|(_, count)| count).sum()
        }

        fn current(&self, at: u64) -> u64 {
            self.0.last().map_or(at, |(index, _)| at.max(*index))
        }

        /// As it is in the cell `at`.
        fn seen(&self, at: u64) -> Self {
            let current = self.current(at);
            Self(self.0.iter().copied().filter(|(index, _)| index + CELLS >= current).collect())
        }

        fn add(&mut self, at: u64, charge: u64) {
            let current = self.current(at);
            *self = self.seen(at);
            match (charge.min(MAX_AMOUNT - self.total()), self.0.last_mut()) {
                (0, _) => {}
                (charge, Some((index, count))) if *index == current => *count += charge,
                (charge, _) => self.0.push((self.current(at), charge)),
            }
        }

        fn give_back(&mut self, at: u64, mut units: u64) {
            *self = self.seen(at);
            for (_, count) in &mut self.0 {
                let taken = units.min(*count);
                *count -= taken;
                units -= taken;
            }
            self.0.retain(|(_, count)| *count > 0);
        }

        fn freed_at(&self, excess: u64) -> u64 {
            let mut freed = 0;
            let reaches = |(_, count): &&(u64, u64)| {
                freed += count;
                freed >= excess
            };
            self.0.iter().find(reaches).map_or(0, |(index, _)| index + CELLS + 1)
        }
    }

    fn amount() -> impl Strategy<Value = u64> {
        prop_oneof![
            8 => 1..4_u64,
            2 => 1..300_u64,
            1 => 1000..1050_u64,
            1 => 65_500..65_600_u64,
            1 => (1 << 24) - 3..(1_u64 << 24) + 3,
            1 => 1..MAX_AMOUNT,
            1 => Just(MAX_AMOUNT),
        ]
    }

    fn step() -> impl Strategy<Value = i64> {
        prop_oneof![
            6 => Just(0),
            6 => Just(1),
            4 => 1..5_i64,
            1 => 40..60_i64,
            1 => 0..1000_i64,
            1 => -60..0_i64,
        ]
    }

    /// A cell is a microsecond long.
    const WIDTH: Width = Width(1);

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

        #[test]
        fn packed_cells_are_what_is_written_down(
            start in prop_oneof![0..100_u64, 80_000_000_000..80_000_000_100_u64],
            steps in prop::collection::vec((step(), 0..10_u8, amount()), 1..200)
        ) {
            let (mut cells, mut naive, mut at) = (Cells::default(), Naive::default(), start);
            for (span, op, amount) in steps {
                at = at.saturating_add_signed(span);
                let now = Timestamp(at);
                let seen = cells.seen(WIDTH, now);
                let seen = match op {
                    0 => {
                        naive.give_back(at, amount);
                        cells.give_back(WIDTH, seen, amount, now)
                    }
                    1 => seen,
                    _ => {
                        naive.add(at, amount);
                        cells.add(WIDTH, seen, amount, now)
                    }
                };
                let written = naive.seen(at);
                prop_assert_eq!(cells.spent(seen), written.total());
                let whole_at = written.0.last().map_or(0, |(index, _)| index + CELLS + 1);
                prop_assert_eq!(cells.whole_at(WIDTH, seen), Some(Timestamp(whole_at)));
                let kept_until = naive.0.last().map_or(0, |(index, _)| index + CELLS + 1);
                prop_assert_eq!(cells.idle_from(WIDTH), Timestamp(kept_until));
                for excess in [1, written.total() / 3, written.total()] {
                    if (1..=written.total()).contains(&excess) {
                        let expected = Timestamp(written.freed_at(excess)).since(now);
                        let freed = cells.freed_after(WIDTH, seen, excess, now);
                        prop_assert_eq!(freed, Retry::After(expected), "{} of {:?}", excess, written);
                    }
                }
            }
        }
    }

    /// What one cell after another holding `count` leaves on the heap, in bytes.
    fn heap(cells: u64, count: u64) -> usize {
        let mut state = Cells::default();
        for index in 0..cells {
            let now = Timestamp(1000 + index);
            state.add(WIDTH, state.seen(WIDTH, now), count, now);
        }
        match state.0 {
            Form::Few(..) => 0,
            Form::More(_, more) => size_of_val(&*more),
            Form::Bytes(_, ring) => size_of_val(&*ring),
            Form::Pairs(_, ring) => size_of_val(&*ring),
            Form::Triples(_, ring) => size_of_val(&*ring),
            Form::Any(_, ring) => size_of_val(&*ring),
        }
    }

    #[test]
    fn cells_take_as_few_bytes_as_they_can() {
        for (cells, count, expected) in [
            (5, 1, 0),
            (6, 1, 24),
            (13, 1000, 24),
            (14, 1, 51),
            (200, 255, 51),
            (200, 256, 102),
            (2, 1024, 102),
            (2, 1 << 16, 153),
            (2, MAX_AMOUNT >> 1, 357),
        ] {
            assert_eq!(heap(cells, count), expected, "{cells} cells of {count}");
        }
    }
}
