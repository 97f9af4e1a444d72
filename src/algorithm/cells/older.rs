//! What the cells before the newest hold, in little memory.
//!
//! Two ways to keep it: a short list of cells that hold something, and a ring of all cells. Both keep counts by
//! the index of their cell; the newest cell's index, which they are told, tells which indices may stand in them:
//! the 50 before it. Neither keeps a count that does not fit; then a wider one has to.

use super::CELLS;

/// The counts of the cells before the newest.
pub(super) trait Older {
    /// Keeps `count` of the cell `index`, later than all that are kept; `false` if it does not fit.
    fn put(&mut self, index: u64, count: u64) -> bool;

    /// The sum of all counts.
    fn total(&self) -> u64;

    /// The sum of what is forgotten once `current`, less than a window after `newest`, is the current cell.
    fn forgotten(&self, newest: u64, current: u64) -> u64;

    /// Takes `units` off the oldest counts, as far as they go.
    fn take(&mut self, newest: u64, units: u64);

    /// The cell with which the counts, oldest first, reach `units`; `None` if they do not.
    fn reaching(&self, newest: u64, units: u64) -> Option<u64>;

    /// Calls `visit` with the index and the count of each cell that holds something, oldest first.
    fn each(&self, newest: u64, visit: &mut dyn FnMut(u64, u64));
}

/// Up to `N` cells, oldest first: 6 bits of the index, 10 of the count.
#[derive(Clone, Debug)]
pub(super) struct Packed<const N: usize>([u16; N]);

const COUNT_BITS: u32 = 10;
const COUNT: u16 = (1 << COUNT_BITS) - 1;
const PLACES: u64 = 1 << (u16::BITS - COUNT_BITS);

impl<const N: usize> Default for Packed<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Packed<N> {
    /// How long before `newest`, and how much, of each cell.
    fn counts(&self, newest: u64) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().take_while(|cell| **cell != 0).map(move |cell| {
            let age = newest.wrapping_sub(u64::from(cell >> COUNT_BITS)) % PLACES;
            (age, u64::from(cell & COUNT))
        })
    }
}

impl<const N: usize> Older for Packed<N> {
    fn put(&mut self, index: u64, count: u64) -> bool {
        let free = self.0.iter_mut().find(|cell| **cell == 0);
        let (place, count) = (u16::try_from(index % PLACES), u16::try_from(count));
        let (Some(free), Ok(place), Ok(count @ ..=COUNT)) = (free, place, count) else {
            return false;
        };
        *free = place << COUNT_BITS | count;
        true
    }

    fn total(&self) -> u64 {
        self.0.iter().map(|cell| u64::from(cell & COUNT)).sum()
    }

    fn forgotten(&self, newest: u64, current: u64) -> u64 {
        let oldest = (newest + CELLS).saturating_sub(current);
        self.counts(newest).take_while(|(age, _)| *age > oldest).map(|(_, count)| count).sum()
    }

    fn take(&mut self, _: u64, mut units: u64) {
        let mut gone = 0;
        for cell in self.0.iter_mut().take_while(|cell| **cell != 0) {
            match u16::try_from(units) {
                Ok(units) if units < *cell & COUNT => {
                    *cell -= units;
                    break;
                }
                _ => units -= u64::from(*cell & COUNT),
            }
            gone += 1;
        }
        self.0.copy_within(gone.., 0);
        self.0[N - gone..].fill(0);
    }

    fn reaching(&self, newest: u64, units: u64) -> Option<u64> {
        let mut sum = 0;
        let reaches = |(_, count): &(u64, u64)| {
            sum += count;
            sum >= units
        };
        self.counts(newest).find(reaches).map(|(age, _)| newest - age)
    }

    fn each(&self, newest: u64, visit: &mut dyn FnMut(u64, u64)) {
        self.counts(newest).for_each(|(age, count)| visit(newest - age, count));
    }
}

/// All cells, each at its index modulo their number, in `W` little-endian bytes.
#[derive(Clone, Debug)]
pub(super) struct Ring<const W: usize>([[u8; W]; RING]);

const RING: usize = 51;

impl<const W: usize> Default for Ring<W> {
    fn default() -> Self {
        Self([[0; W]; RING])
    }
}

#[expect(clippy::cast_possible_truncation, reason = "what is left of a division by 51 fits everywhere")]
const fn place(index: u64) -> usize {
    (index % RING as u64) as usize
}

fn read<const W: usize>(count: &[u8; W]) -> u64 {
    let mut wide = [0; 8];
    wide[..W].copy_from_slice(count);
    u64::from_le_bytes(wide)
}

impl<const W: usize> Ring<W> {
    /// The index and the count of each cell before `newest`, oldest first.
    fn counts(&self, newest: u64) -> impl Iterator<Item = (u64, u64)> {
        let (before, rest) = self.0.split_at(place(newest));
        let oldest = newest.wrapping_sub(CELLS);
        let places = rest[1..].iter().chain(before);
        (0..).zip(places).map(move |(later, count)| (oldest.wrapping_add(later), read(count)))
    }
}

impl<const W: usize> Older for Ring<W> {
    fn put(&mut self, index: u64, count: u64) -> bool {
        let bytes = count.to_le_bytes();
        let (kept, beyond) = bytes.split_at(W);
        let fits = beyond.iter().all(|byte| *byte == 0);
        if fits {
            self.0[place(index)].copy_from_slice(kept);
        }
        fits
    }

    fn total(&self) -> u64 {
        self.0.iter().map(read).sum()
    }

    fn forgotten(&self, newest: u64, current: u64) -> u64 {
        let cells = usize::try_from(current - newest).unwrap_or(RING);
        self.counts(newest).take(cells).map(|(_, count)| count).sum()
    }

    fn take(&mut self, newest: u64, mut units: u64) {
        let (before, rest) = self.0.split_at_mut(place(newest));
        for count in rest[1..].iter_mut().chain(before) {
            let held = read(count);
            let taken = units.min(held);
            count.copy_from_slice(&(held - taken).to_le_bytes()[..W]);
            units -= taken;
            if units == 0 {
                break;
            }
        }
    }

    fn reaching(&self, newest: u64, units: u64) -> Option<u64> {
        let mut sum = 0;
        let reaches = |(_, count): &(u64, u64)| {
            sum += count;
            sum >= units
        };
        self.counts(newest).find(reaches).map(|(index, _)| index)
    }

    fn each(&self, newest: u64, visit: &mut dyn FnMut(u64, u64)) {
        let held = self.counts(newest).filter(|(_, count)| *count > 0);
        held.for_each(|(index, count)| visit(index, count));
    }
}
