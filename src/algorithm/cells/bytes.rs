//! The cells of a window as numbers: the index of the newest, then of each cell, oldest first, how long before the
//! newest it is, and its count. The newest, 0 before itself, is the last.

use crate::algorithm::bytes::{read_amount, read_number, write_number};
use crate::limits::MAX_AMOUNT;

use super::{CELLS, Cells};

/// Above every index that a window of a second has before the year 2255, and far below what would overflow.
const MOST_INDEX: u64 = 1 << 53;

impl Cells {
    /// Writes the cells behind what stands in `bytes`.
    pub(in crate::algorithm) fn write(&self, bytes: &mut Vec<u8>) {
        let (mut count, newest) = (self.head().total(), self.head().newest());
        write_number(bytes, newest);
        self.older().each(newest, &mut |index, older| {
            write_number(bytes, newest - index);
            write_number(bytes, older);
            count -= older;
        });
        write_number(bytes, 0);
        write_number(bytes, count);
    }

    /// Takes cells off the front of `bytes`; `None` if they cannot have been written so.
    pub(in crate::algorithm) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let newest = read_number(bytes).filter(|newest| *newest <= MOST_INDEX)?;
        let (mut cells, mut total, mut last_age) = (Self::of(0, newest), 0, CELLS + 1);
        loop {
            let (age, count) = (read_number(bytes)?, read_amount(bytes)?);
            total += count;
            let is_later = age < last_age && age <= newest && total <= MAX_AMOUNT;
            match (is_later, age, count) {
                (true, 0, 0) if total == 0 && newest == 0 => return Some(Self::default()),
                (true, _, 1..) => {}
                _ => return None,
            }
            if age == 0 {
                cells.head_mut().set_total(total);
                return Some(cells);
            }
            cells.remember(newest, newest - age, count);
            last_age = age;
        }
    }
}
