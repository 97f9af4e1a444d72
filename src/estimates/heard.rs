//! Who was heard within a minute.
//!
//! Pure. Bounded: when very many were heard, nobody else is until the next minute begins. That is enough to learn from.

use std::collections::HashSet;

use crate::clock::{Micros, Timestamp};

/// How long nobody is heard twice.
const ONCE_IN: Micros = Micros::from_secs(60);
/// How many hashes are known at once.
const MOST: usize = 256;

/// Those who were heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// In which minute since 1970.
    minute: u64,
    who: HashSet<u64>,
}

impl Heard {
    /// Whether none of those who speak at `at` were heard in this minute. From now on they were.
    pub(super) fn is_new(&mut self, who: &[u64], at: Timestamp) -> bool {
        let minute = at.0 / ONCE_IN.0;
        if minute != self.minute {
            self.minute = minute;
            self.who.clear();
        }
        let is_new = !who.iter().any(|one| self.who.contains(one)) && self.who.len() + who.len() <= MOST;
        if is_new {
            self.who.extend(who);
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::{Heard, MOST, ONCE_IN};
    use crate::clock::Timestamp;

    #[test]
    fn everybody_is_heard_once_a_minute_and_nobody_always() {
        let mut heard = Heard::default();
        let (now, later) = (Timestamp(5), Timestamp(5 + ONCE_IN.0));
        assert_eq!([heard.is_new(&[1, 2], now), heard.is_new(&[2, 3], now)], [true, false]);
        assert_eq!([heard.is_new(&[3], now), heard.is_new(&[], now), heard.is_new(&[], now)], [true; 3]);
        assert_eq!([heard.is_new(&[2, 3], later), heard.is_new(&[1], later)], [true, true]);
    }

    #[test]
    fn no_more_are_known_than_there_is_room_for() {
        let mut heard = Heard::default();
        let new = (0..10 * MOST as u64).filter(|one| heard.is_new(&[*one], Timestamp(0))).count();
        assert_eq!((new, heard.who.len()), (MOST, MOST));
    }
}
