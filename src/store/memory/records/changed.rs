//! Which records have changed, for whoever writes them down.
//!
//! Changes belong to [rounds](crate::store::memory::rounds), as those of counters do: whoever changes a record that changed
//! in the round that has ended, and was not told yet, writes down how it was.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use crate::store::durable::{Changes, Track};
use crate::store::memory::rounds::Round;

use super::Record;

/// How many names may be kept, beside two for each record. Beyond, track is lost of those without a record.
const SPARE: usize = 16_384;

/// Names of records.
type Names = HashSet<u128, RandomState>;

/// The names of records that have changed, come or gone.
#[derive(Debug, Default)]
pub(in crate::store::memory) struct Changed {
    round: Round,
    names: Names,
    pub(in crate::store::memory) track: Track,
    /// Those of the round that has ended, as long as they are being told.
    ended: Option<Ended>,
}

#[derive(Debug)]
struct Ended {
    /// Those that were not told yet.
    names: Names,
    /// How records were that have changed since.
    told: Changes,
}

impl Changed {
    /// From the round `round` on.
    pub(super) fn from(round: Round) -> Self {
        Self { round, ..Self::default() }
    }

    /// What changes from here on belongs to `round`. All of the round before the last is told by then.
    pub(in crate::store::memory) fn enter(&mut self, round: Round) {
        if self.round == round {
            return;
        }
        self.round = round;
        let mut told = Changes::default();
        if std::mem::take(&mut self.track) == Track::Lost {
            told.lose_track();
        }
        self.ended = Some(Ended { names: std::mem::take(&mut self.names), told });
    }

    /// The record under `name` is about to change, to come or to go: how it is now is told first, if that is still to be
    /// told.
    pub(in crate::store::memory) fn tell_before(&mut self, name: u128, record: Option<&Record>) {
        let Some(ended) = &mut self.ended else { return };
        if ended.names.remove(&name) {
            tell(name, record, &mut ended.told);
        }
    }

    /// The names that are to be told.
    pub(super) fn untold(&self) -> Vec<u128> {
        self.ended.iter().flat_map(|ended| &ended.names).copied().collect()
    }

    /// Whether that name is still to be told. From here on it is not.
    pub(super) fn take_untold(&mut self, name: u128) -> bool {
        self.ended.as_mut().is_some_and(|ended| ended.names.remove(&name))
    }

    /// How records were that changed before they were told.
    pub(super) fn end_telling(&mut self) -> Changes {
        self.ended.take().map(|ended| ended.told).unwrap_or_default()
    }

    /// The record under `name` is another than it was, or comes. There are so many `records`, and those that `have` one.
    pub(super) fn note(&mut self, name: u128, records: usize, have: impl Fn(&u128) -> bool) {
        if self.names.len() > 2 * records + SPARE {
            self.names.retain(have);
            self.track = Track::Lost;
        }
        self.names.insert(name);
    }
}

/// Adds the record under `name` to `changes`.
pub(super) fn tell(name: u128, record: Option<&Record>, changes: &mut Changes) {
    let key = name.to_be_bytes();
    match record {
        Some(record) => changes.put(&key, |bytes| record.write(bytes)),
        None => changes.remove(&key),
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
