//! Marks in memory: those that were left of late, and those before them, as many each; once there are more of late than there
//! is room for, those before are forgotten.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;

use crate::clock::Timestamp;
use crate::store::durable::Track;
use crate::store::{KEPT, Mark, MarkAge, Marked, RECENT};

/// The marks, by the names of their keys.
#[derive(Debug)]
pub(super) struct Marks {
    /// How many there may be of late, and before.
    most: usize,
    known: Mutex<Known>,
}

/// The mark that all holds of the counter `id` were cleared, and when: who held is known to records of reservations, which are
/// not looked through for that.
pub(super) const fn of_holds(id: u128) -> u128 {
    id ^ 0x6A09_E667_F3BC_C908_BB67_AE85_84CA_A73B
}

/// What a mark says, and when it was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) value: u32,
    pub(super) at: Timestamp,
}

#[derive(Debug, Default)]
struct Known {
    of_late: HashMap<u128, Left>,
    before: HashMap<u128, Left>,
    /// What has changed since it was last asked, once that is to be told.
    changed: Option<Changed>,
}

/// What has changed.
#[derive(Debug, Default)]
pub(super) struct Changed {
    pub(super) left: HashSet<u128>,
    pub(super) track: Track,
}

impl Marks {
    /// Marks of so many subjects at most.
    pub(super) fn for_up_to(subjects: usize) -> Self {
        Self { most: (subjects / 2).max(1), known: Mutex::default() }
    }

    /// What the mark `id` says at `now`.
    pub(super) fn of(&self, id: u128, now: Timestamp) -> Option<Marked> {
        let left = self.get(id).filter(|left| !left.is_over(now))?;
        Some(Marked { value: left.value, age: left.age(now) })
    }

    pub(super) fn get(&self, id: u128) -> Option<Left> {
        let known = self.known.lock();
        known.of_late.get(&id).or_else(|| known.before.get(&id)).copied()
    }

    /// Leaves `marks` at `at`.
    pub(super) fn leave(&self, marks: &[Mark], at: Timestamp) {
        let mut known = self.known.lock();
        for mark in marks {
            known.leave(mark.key.id, Left { value: mark.value, at }, self.most);
            if let Some(changed) = &mut known.changed {
                changed.left.insert(mark.key.id);
            }
        }
    }

    /// Takes in what was left before, if there is room for it.
    pub(super) fn restore(&self, id: u128, left: Left) -> bool {
        let mut known = self.known.lock();
        let Known { of_late, before, .. } = &mut *known;
        let has_room = [before, of_late].into_iter().find(|marks| marks.len() < self.most);
        has_room.map(|marks| marks.insert(id, left)).is_some()
    }

    /// From here on, what changes is to be told.
    pub(super) fn keep_track(&self) {
        self.known.lock().changed = Some(Changed::default());
    }

    /// What has changed since this was last asked.
    pub(super) fn take_changed(&self) -> Changed {
        self.known.lock().changed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// What has changed is to be told again.
    pub(super) fn put_back(&self, again: Changed) {
        if let Some(changed) = &mut self.known.lock().changed {
            changed.left.extend(again.left);
            if again.track == Track::Lost {
                changed.track = Track::Lost;
            }
        }
    }
}

impl Known {
    fn leave(&mut self, id: u128, left: Left, most: usize) {
        if self.of_late.len() >= most && !self.of_late.contains_key(&id) {
            self.before = std::mem::take(&mut self.of_late);
            if let Some(changed) = &mut self.changed {
                changed.track = Track::Lost;
            }
        }
        self.before.remove(&id);
        self.of_late.insert(id, left);
    }
}

impl Left {
    /// Whether nobody has left it anew for too long by `now`.
    pub(super) fn is_over(self, now: Timestamp) -> bool {
        self.at.plus(KEPT) <= now
    }

    fn age(self, now: Timestamp) -> MarkAge {
        if self.at.plus(RECENT) <= now { MarkAge::Old } else { MarkAge::Recent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CounterKey;

    fn leave(marks: &Marks, ids: std::ops::Range<u128>, value: u32, at: u64) {
        let mark = |id| Mark { key: CounterKey { tag: 0, id }, value };
        ids.for_each(|id| marks.leave(&[mark(id)], Timestamp(at)));
    }

    #[test]
    fn who_was_left_last_is_known_and_there_is_room_for_no_more() {
        let marks = Marks::for_up_to(100);
        leave(&marks, 0..1000, 7, 0);
        let value = |id| marks.of(id, Timestamp(0)).map(|marked| marked.value);
        let known = (0..1000).filter(|id| value(*id) == Some(7)).collect::<Vec<_>>();
        assert!(known.len() <= 100 && known.ends_with(&(950..1000).collect::<Vec<_>>()), "{known:?}");
        leave(&marks, 999..1000, 8, 0);
        assert_eq!(value(999), Some(8));
        let restored = (2000..3000).filter(|id| marks.restore(*id, Left { value: 1, at: Timestamp(0) }));
        assert!(restored.count() <= 50);
    }

    #[test]
    fn it_is_forgotten_once_nobody_has_left_it_anew_for_long() {
        let marks = Marks::for_up_to(100);
        leave(&marks, 0..2, 7, 0);
        leave(&marks, 1..2, 7, 5);
        let known = |at| [0, 1].map(|id| marks.of(id, Timestamp(at)));
        let [recent, old] = [MarkAge::Recent, MarkAge::Old].map(|age| Some(Marked { value: 7, age }));
        assert_eq!(known(RECENT.0 - 1), [recent, recent]);
        assert_eq!(known(RECENT.0), [old, recent]);
        assert_eq!(known(KEPT.0 - 1), [old, old]);
        assert_eq!(known(KEPT.0), [None, old]);
        assert_eq!(known(KEPT.0 + 5), [None, None]);
    }
}
