//! Two different descriptors never share a counter: well over a million pairs of keys, most of them made to be
//! confused.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tollgate::limits::{KeyHasher, KeySecret, Subject, identity};

/// Whose counter: a limit's pieces, and for each part of its subject a name and a value.
type Whose = (Vec<Vec<u8>>, Vec<Option<(Vec<u8>, Vec<u8>)>>);

const SECRET: KeySecret = KeySecret(*b"sixteen bytes ok");

fn key(whose: &Whose) -> u128 {
    let (limit, subject) = whose;
    let pieces: Vec<&[u8]> = limit.iter().map(Vec::as_slice).collect();
    let parts =
        subject.iter().map(|part| part.as_ref().map(|(name, value)| (&name[..], &value[..]))).collect();
    Subject { parts }.hashed(SECRET).counter(identity(&pieces)).id
}

/// Bytes that look like separators, lengths and each other.
fn bytes(least: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        Just(0_u8),
        Just(1),
        Just(b'_'),
        Just(b':'),
        Just(b'|'),
        Just(b'{'),
        Just(b'a'),
        Just(b'b'),
        Just(0xff),
        any::<u8>(),
    ];
    prop::collection::vec(byte, least..6)
}

fn whose() -> impl Strategy<Value = Whose> {
    let part = prop_oneof![4 => (bytes(1), bytes(1)).prop_map(Some), 1 => Just(None)];
    (prop::collection::vec(bytes(0), 1..4), prop::collection::vec(part, 0..4))
}

/// Another that is easily taken for the same: cut elsewhere, joined, lengthened, with a part gone.
fn confused(whose: &Whose, how: u8, place: usize) -> Whose {
    let (mut limit, mut subject) = whose.clone();
    match how {
        0 => limit.push(Vec::new()),
        1 => limit = vec![limit.concat()],
        2 if limit.len() > 1 => {
            let moved = limit[0].pop();
            limit[1].splice(0..0, moved);
        }
        3 => {
            if let Some(Some((name, value))) = subject.get_mut(place % 4) {
                let joined = [&name[..], &value[..]].concat();
                (*name, *value) = (joined[..1].to_vec(), joined[1..].to_vec());
            }
        }
        4 if subject.len() > 1 => {
            let (first, second) = subject.split_at_mut(1);
            if let (Some((_, left)), Some((right, _))) = (&mut first[0], &mut second[0]) {
                right.splice(0..0, left.drain(left.len() - 1..));
            }
        }
        5 => subject.push(None),
        6 if !subject.is_empty() => {
            let place = place % subject.len();
            subject[place] = None;
        }
        7 if subject.len() > 1 => subject.swap(0, 1),
        8 => {
            if let Some(Some((_, value))) = subject.first_mut() {
                let length = value.len().to_le_bytes();
                value.splice(0..0, length);
            }
        }
        _ => {
            if let Some(Some((_, value))) = subject.last_mut() {
                value.push(0);
            }
        }
    }
    (limit, subject)
}

#[test]
fn a_million_pairs_of_descriptors_share_no_counter() {
    let mut runner = TestRunner::new(Config { cases: 3000, failure_persistence: None, ..Config::default() });
    let known = std::cell::RefCell::new(HashMap::<u128, Whose>::new());
    let outcome = runner.run(&(whose(), any::<usize>()), |(one, place)| {
        let others = (0..10).map(|how| confused(&one, how, place)).collect::<Vec<_>>();
        for whose in std::iter::once(one).chain(others) {
            let before = known.borrow_mut().insert(key(&whose), whose.clone());
            prop_assert!(
                before.as_ref().is_none_or(|before| *before == whose),
                "{:?} and {:?}",
                before,
                whose
            );
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    // Each was compared with all that came before it.
    let known = known.borrow().len();
    assert!(known * (known - 1) / 2 >= 1_000_000, "only {known} of them differ");
}

#[test]
fn counters_of_one_subject_are_grouped_by_its_root() {
    let whose = |parts: &[&str]| {
        let parts = parts.iter().map(|value| Some((&b"user"[..], value.as_bytes())));
        Subject { parts: parts.collect() }.hashed(SECRET)
    };
    let (limit, other) = (identity(&[b"one"]), identity(&[b"other"]));
    assert_eq!(whose(&["u"]).counter(limit).tag, whose(&["u"]).counter(other).tag);
    assert_eq!(whose(&["u"]).counter(limit).tag, whose(&["u", "kit"]).counter(limit).tag);
    assert_ne!(whose(&["u"]).counter(limit).tag, whose(&["v"]).counter(limit).tag);
    assert_ne!(whose(&[]).counter(limit).tag, whose(&[]).counter(other).tag, "everybody's are spread");
    assert_ne!(whose(&["u"]).counter(limit).id, whose(&["u"]).counter(other).id);
}

#[test]
fn keys_depend_on_the_secret() {
    let under = |secret| {
        let mut key = KeyHasher::new(KeySecret(secret));
        key.piece(b"user");
        key.finish()
    };
    assert_ne!(under([1; 16]), under([2; 16]));
    assert_eq!(under([1; 16]), under([1; 16]));
}
