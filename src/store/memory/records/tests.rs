//! When records are forgotten.

use crate::store::memory::STANDSTILL;

use super::*;

/// That lapses and is kept until then.
fn record(until: u64, kept_until: u64) -> Record {
    Record {
        body: 0,
        state: Reservation::Open,
        began: Timestamp(0),
        until: Timestamp(until),
        ttl: Micros(0),
        ends: Timestamp(u64::MAX),
        units: 0,
        kept_until: Timestamp(kept_until),
        about: Box::default(),
        totals: Totals::default(),
        parts: Vec::new(),
    }
}

/// Which are left once somebody has asked for any, long enough after `at`.
fn left(records: &mut Records, at: u64) -> Vec<u128> {
    assert!(records.get(99, Timestamp(at + STANDSTILL.0)).is_none());
    let mut names: Vec<u128> = records.by_name.keys().copied().collect();
    names.sort_unstable();
    names
}

#[test]
fn each_is_forgotten_in_its_time_whenever_it_came() {
    let mut records = Records::default();
    for (name, kept_until) in (0..).zip([50, 20, 90, 20, 70, 30]) {
        records.insert(name, record(10, kept_until));
    }
    assert_eq!(left(&mut records, 19), [0, 1, 2, 3, 4, 5]);
    records.keep(1, Timestamp(60));
    assert_eq!(left(&mut records, 20), [0, 1, 2, 4, 5]);
    records.insert(6, record(40, 40));
    records.insert(7, record(25, 25));
    assert_eq!(left(&mut records, 25), [0, 1, 2, 4, 5, 6]);
    assert_eq!(left(&mut records, 39), [0, 1, 2, 4, 6]);
    assert_eq!(left(&mut records, 50), [1, 2, 4]);
    records.insert(8, record(55, 95));
    assert_eq!(left(&mut records, 60), [2, 4, 8]);
    assert_eq!(left(&mut records, 90), [8]);
    assert!(left(&mut records, 95).is_empty());
    records.insert(9, record(97, 97));
    assert!(left(&mut records, 97).is_empty());
}
