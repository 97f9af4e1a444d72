//! Which records have changed since somebody looked, for whoever writes them down.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use crate::store::durable::Track;

/// How many names may be kept, beside two for each record. Beyond, track is lost of those without a record.
const SPARE: usize = 16_384;

/// The names of records that have changed, come or gone.
#[derive(Debug, Default)]
pub(in crate::store::memory) struct Changed {
    names: HashSet<u128, RandomState>,
    pub(in crate::store::memory) track: Track,
}

impl Changed {
    /// The record under `name` is another than it was, or comes. There are so many `records`, and those that `have` one.
    pub(super) fn note(&mut self, name: u128, records: usize, have: impl Fn(&u128) -> bool) {
        if self.names.len() > 2 * records + SPARE {
            self.names.retain(have);
            self.track = Track::Lost;
        }
        self.names.insert(name);
    }

    /// The names.
    pub(in crate::store::memory) fn names(self) -> impl Iterator<Item = u128> {
        self.names.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_record_are_not_kept_without_end() {
        let mut changed = Changed::default();
        for name in 0..100_000 {
            changed.note(name, 10, |name| *name < 10);
            assert!(changed.names.len() <= SPARE + 21);
        }
        assert_eq!(changed.track, Track::Lost);
        assert!((0..10).all(|name| changed.names.contains(&name)));
    }
}
