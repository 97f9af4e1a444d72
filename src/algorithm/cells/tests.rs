//! The sliding window against the same written down, and what its forms weigh.

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
