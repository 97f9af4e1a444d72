//! Which calls are probes, drawn by lot: nobody can foretell it, or choose it by what is sent.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::{KeyHasher, KeySecret, Percent};

/// Lots that are drawn by a secret, one a call.
#[derive(Debug)]
pub(super) struct Draws {
    secret: KeySecret,
    drawn: AtomicU64,
}

/// What a call has drawn: 1 to 100, each as often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lot(u16);

impl Draws {
    /// Lots that are drawn by `secret`, which nobody else has.
    pub(super) fn new(secret: KeySecret) -> Self {
        Self { secret, drawn: AtomicU64::new(0) }
    }

    /// The next one.
    pub(super) fn draw(&self) -> Lot {
        let mut hasher = KeyHasher::new(self.secret);
        hasher.piece(&self.drawn.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        Lot((hasher.finish() % 100) as u16 + 1)
    }
}

impl Lot {
    /// Whether it is one of this share of all lots.
    pub(super) fn is_among(self, share: Percent) -> bool {
        self.0 <= share.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_lots_is_drawn() {
        let draws = Draws::new(KeySecret([7; 16]));
        let lots: Vec<Lot> = (0..10_000).map(|_| draws.draw()).collect();
        let among = |percent| lots.iter().filter(|lot| lot.is_among(Percent(percent))).count();
        assert_eq!([among(0), among(100)], [0, 10_000]);
        assert!((900..1_100).contains(&among(10)), "{}", among(10));
        assert!((4_800..5_200).contains(&among(50)), "{}", among(50));
    }
}
