//! What single subjects have of their own over the files: numbers, and tiers.
//!
//! Read to decide a call, so whatever is there is one look-up away, and what is not costs a branch. A subject is known by
//! its keyed hash alone.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::basis::Given;
use super::key::{CounterKey, KeySecret};
use super::native::TierId;
use super::subject::Subject;

/// How much one limit allows to those who have a number of their own.
///
/// By half of the hash: that is what a counter says of its owner, and it is keyed, so that nobody can look for one that
/// meets another's. Of a hundred thousand subjects and a thousand million callers, any two meet once in a hundred
/// thousand services.
#[derive(Clone, Debug, Default)]
pub struct OwnNumbers(HashMap<u64, Given, RandomState>);

/// Which tier subjects are on whose calls do not say.
#[derive(Clone, Debug, Default)]
pub struct Assigned {
    /// The keys of entries that name such subjects; `user` comes first.
    keys: Vec<Box<str>>,
    tiers: HashMap<u128, TierId, RandomState>,
}

impl OwnNumbers {
    /// Of whose counter has `key`, for the limit's `identity`: of the whole subject, else of its first part.
    pub fn of(&self, key: CounterKey, identity: u128) -> Option<Given> {
        let whole = self.0.get(&half(key.id ^ identity));
        whole.or_else(|| self.0.get(&key.root()?)).copied()
    }

    /// Gives `given` to the subject with the keyed hash `subject`.
    pub(super) fn give(&mut self, subject: u128, given: Given) {
        self.0.insert(half(subject), given);
    }
}

impl Assigned {
    /// Of a call whose entries have the values `value_of` their keys: the first that is assigned one.
    #[cold]
    pub fn of<'a>(&self, secret: KeySecret, value_of: impl Fn(&[u8]) -> Option<&'a [u8]>) -> Option<TierId> {
        self.keys.iter().find_map(|key| {
            let key = key.as_bytes();
            self.of_subject(Subject::of_one(key, value_of(key)?).hashed(secret).counter(0).id)
        })
    }

    /// Of the subject with the keyed hash `subject`.
    pub fn of_subject(&self, subject: u128) -> Option<TierId> {
        self.tiers.get(&subject).copied()
    }

    /// Puts the subject with the keyed hash `subject`, which entries of `key` name, on `tier`.
    pub(super) fn assign(&mut self, key: &str, subject: u128, tier: TierId) {
        if let Err(place) = self.keys.binary_search_by_key(&rank(key), |known| rank(known)) {
            self.keys.insert(place, key.into());
        }
        self.tiers.insert(subject, tier);
    }
}

/// Orders keys.
fn rank(key: &str) -> (bool, &str) {
    (key != "user", key)
}

#[expect(clippy::cast_possible_truncation, reason = "half of a hash is wanted")]
const fn half(hash: u128) -> u64 {
    hash as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Number, Whose};

    #[test]
    fn a_number_is_of_the_whole_subject_before_it_is_of_its_first_part() {
        let (user, kit, identity) = (7 << 70 | 3, 9 << 70 | 5, 1 << 90 | 11);
        let given = |most| Given::by_file(Number::AtMost(most));
        let of = |own: &OwnNumbers, whose: Whose| own.of(whose.counter(identity), identity);
        let mut own = OwnNumbers::default();
        assert_eq!(of(&own, Whose::grouped(user, user)), None);
        own.give(user, given(5));
        for (whose, expected) in [
            (Whose::grouped(user, user), Some(given(5))),
            (Whose::grouped(kit, user), Some(given(5))),
            (Whose::grouped(kit, kit), None),
            (Whose::alone(kit), None),
        ] {
            assert_eq!(of(&own, whose), expected, "{whose:?}");
        }
        own.give(kit, given(9));
        assert_eq!(of(&own, Whose::grouped(kit, user)), Some(given(9)));
    }

    #[test]
    fn a_user_is_asked_for_first() {
        let mut assigned = Assigned::default();
        for (key, tier) in [("team", 1), ("user", 2), ("account", 3), ("user", 2)] {
            let subject = Subject::of_one(key.as_bytes(), b"x").hashed(KeySecret([7; 16])).counter(0).id;
            assigned.assign(key, subject, TierId(tier));
        }
        assert_eq!(assigned.keys, [Box::from("user"), "account".into(), "team".into()]);
        let of = |keys: &[&str]| {
            let value_of = |key: &[u8]| keys.iter().any(|sent| sent.as_bytes() == key).then_some(&b"x"[..]);
            assigned.of(KeySecret([7; 16]), value_of).map(|tier| tier.0)
        };
        assert_eq!(of(&["team", "user"]), Some(2));
        assert_eq!(of(&["team", "account"]), Some(3));
        assert_eq!([of(&["kit"]), of(&[])], [None, None]);
    }
}
