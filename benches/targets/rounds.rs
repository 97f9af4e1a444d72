//! Rounds: what is compared runs in turn, round after round, so that a busy machine is busy for all alike.

/// What several rounds came to.
#[derive(Clone, Debug)]
pub(crate) struct Figure(Vec<f64>);

impl Figure {
    /// One value a round.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self(sorted)
    }

    /// The middle one.
    pub(crate) fn median(&self) -> f64 {
        self.0[self.0.len() / 2]
    }

    /// The least, and the most.
    pub(crate) fn range(&self) -> (f64, f64) {
        (self.0[0], self.0[self.0.len() - 1])
    }
}

/// Runs every one of `variants` once a round, in turn: for each, its values in the order of the rounds.
pub(crate) fn interleave<const N: usize>(
    rounds: usize,
    mut variants: [&mut dyn FnMut() -> f64; N],
) -> [Vec<f64>; N] {
    let mut values = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (values, variant) in values.iter_mut().zip(&mut variants) {
            values.push(variant());
        }
    }
    values
}

/// The ratio of two rows of [`interleave`], taken round by round.
pub(crate) fn ratio(these: &[f64], those: &[f64]) -> Figure {
    Figure::of(these.iter().zip(those).map(|(this, that)| this / that))
}
