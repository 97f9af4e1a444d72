//! A histogram of amounts in steps that grow with them, in which what was added lately counts for more.
//!
//! Pure. Each doubling has eight steps, so a step is at most an eighth wider than its beginning. Amounts have weights;
//! whenever a thousand have come, all weights are halved, so what came before is worth half of what comes after.

/// The steps of one doubling.
const STEPS: u64 = 8;
/// The largest amount that has a step of its own: larger ones are counted as this.
const MOST: u64 = (1 << 32) - 1;
/// How many steps there are: eight of one each, and those of 29 doublings.
const PLACES: usize = 240;
/// What an amount weighs when it is added: what is halved several times still counts for something.
const WEIGHT: u16 = 16;
/// How much all amounts may weigh before they are halved.
const FULL: u32 = 1024 * WEIGHT as u32;

/// How much the amounts of each size weigh.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    weights: Box<[u16; PLACES]>,
    weight: u32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { weights: Box::new([0; PLACES]), weight: 0 }
    }
}

impl Histogram {
    /// Adds `amount`; nothing is no amount.
    pub(super) fn add(&mut self, amount: u64) {
        if amount == 0 {
            return;
        }
        self.weights[place(amount)] += WEIGHT;
        self.weight += u32::from(WEIGHT);
        if self.weight >= FULL {
            self.weights.iter_mut().for_each(|weight| *weight /= 2);
            self.weight = self.weights.iter().map(|weight| u32::from(*weight)).sum();
        }
    }

    /// How many amounts of full weight they come to.
    pub(super) fn count(&self) -> u32 {
        self.weight / u32::from(WEIGHT)
    }

    /// The least end of a step which `percent` of the amounts do not pass; 0 if there are none.
    pub(super) fn percentile(&self, percent: u32) -> u64 {
        let wanted = (self.weight * percent).div_ceil(100);
        let mut passed = 0;
        let reached = self.weights.iter().position(|weight| {
            passed += u32::from(*weight);
            passed >= wanted.max(1)
        });
        reached.map_or(0, end)
    }
}

/// The step that `amount` is in.
fn place(amount: u64) -> usize {
    let amount = amount.min(MOST);
    let place = match amount.checked_ilog2() {
        Some(doublings @ 3..) => {
            let shift = doublings - 3;
            STEPS * u64::from(shift + 1) + (amount >> shift) - STEPS
        }
        _ => amount,
    };
    usize::try_from(place).map_or(PLACES - 1, |place| place.min(PLACES - 1))
}

/// The largest amount in the step `place`.
fn end(place: usize) -> u64 {
    let place = place as u64;
    match (place / STEPS).checked_sub(1) {
        Some(shift) => ((STEPS + place % STEPS + 1) << shift) - 1,
        None => place,
    }
}

#[cfg(test)]
mod tests {
    use super::{FULL, Histogram, MOST, PLACES, end, place};

    #[test]
    fn steps_follow_each_other_and_are_an_eighth_wide_at_most() {
        let mut begin = 0;
        for step in 0..PLACES {
            let last = end(step);
            assert_eq!((place(begin), place(last)), (step, step), "{begin} to {last}");
            assert!(last - begin <= begin / 8, "{begin} to {last}");
            begin = last + 1;
        }
        assert_eq!(begin - 1, MOST);
        assert_eq!(place(u64::MAX), PLACES - 1);
    }

    #[test]
    fn halving_keeps_the_shape_and_bounds_the_count() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(95), 0);
        for round in 0..10_000 {
            histogram.add(if round % 10 == 0 { 1_000 + round } else { 7 });
            assert!(histogram.weight < FULL);
        }
        assert_eq!(histogram.percentile(50), 7);
        assert!((9_000..=11_263).contains(&histogram.percentile(95)), "{}", histogram.percentile(95));
    }

    #[test]
    fn nothing_is_no_amount() {
        let mut histogram = Histogram::default();
        histogram.add(0);
        histogram.add(u64::MAX);
        assert_eq!((histogram.count(), histogram.percentile(1)), (1, MOST));
    }
}
