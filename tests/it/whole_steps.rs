//! What is written down at once is of whole steps: what counters, records and notes say fits together, whatever happens
//! while it is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use tollgate::clock::Clock;
use tollgate::limits::{KeySecret, Window};
use tollgate::store::durable::{Changes, Kept, Restored, Track};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{
    Admission, Before, Call, Charge, Hold, Page, Place, Report, Reserve, Settle, Store, Then, Trail,
};

use crate::support::bench::START;
use crate::support::holding::{KEEP, LIFE, Limited, name, tokens};

/// Counters of tokens, and one of hits that are given back.
const COUNTERS: u128 = 5;
const TAKEN: u128 = 100;
/// Names under which tokens are reserved; beyond, hits are taken.
const NAMES: u128 = 40;

fn limit() -> Limited {
    Limited::new(Window::Total { forget: None }, 1 << 50)
}

/// A key as uniform as real ones are, so that counters stand in several shards.
fn spread(id: u128) -> u128 {
    (id + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835).rotate_left(61)
}

/// What is done under a name.
#[derive(Clone, Debug)]
enum Deed {
    Reserve { name: u128, counters: u128 },
    Settle { name: u128, spent: u64, then: Then },
    Charge { counter: u128 },
}

fn deed() -> impl Strategy<Value = Deed> {
    let names = || 0..NAMES + 10;
    let then = prop_oneof![2 => Just(Then::More), 2 => Just(Then::Done), 1 => Just(Then::Released)];
    prop_oneof![
        3 => (names(), 1..1_u128 << COUNTERS).prop_map(|(name, counters)| Deed::Reserve { name, counters }),
        4 => (names(), 0..90_u64, then).prop_map(|(name, spent, then)| Deed::Settle { name, spent, then }),
        1 => (0..3_u128).prop_map(|counter| Deed::Charge { counter }),
    ]
}

/// A store and what was written down of it.
struct Written {
    store: Arc<MemoryStore>,
    kinds: Vec<Arc<dyn Kept>>,
    tables: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
}

fn empty() -> Arc<MemoryStore> {
    let settings = MemorySettings { max_keys: 10_000 };
    Arc::new(MemoryStore::new(settings, Clock::manual(START), KeySecret([0; 16])))
}

fn act(store: &MemoryStore, deed: &Deed) {
    let limit = limit();
    match *deed {
        Deed::Reserve { name: number, counters } => {
            let charges: Vec<Charge<'_>> = if number < NAMES {
                let touched = (0..COUNTERS).filter(|counter| counters >> counter & 1 == 1);
                touched.map(|counter| limit.hold(spread(counter), 50)).collect()
            } else {
                vec![limit.take(spread(TAKEN), 1)]
            };
            let name = name(spread(number));
            let call = Reserve {
                name,
                body: 1,
                charges: &charges,
                accepts_less: None,
                about: b"ann",
                life: LIFE,
                expenses: &[],
            };
            assert_ne!(store.reserve_now(call).unwrap().hold, Hold::Unheld);
        }
        Deed::Settle { name: number, spent, then } => {
            let then = if number < NAMES { then } else { Then::Released };
            let spent = if then == Then::Released { 0 } else { spent };
            let report = Some(Report { about: b"", line: b"", classes: &[spent] });
            let (name, spent) = (name(spread(number)), tokens(spent));
            store.settle_now(Settle { name, spent, then, otherwise: &[], report, keep: KEEP }).unwrap();
        }
        Deed::Charge { counter } => {
            let charges = [limit.spend(spread(1000 + counter), 1)];
            store.charge_now(Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] });
        }
    }
}

/// How a reservation is found, and what is paid of it.
fn found(store: &MemoryStore, number: u128, then: Then) -> (Before, Vec<(u128, u64)>) {
    let (name, spent) = (name(spread(number)), tokens(0));
    let call = Settle { name, spent, then, otherwise: &[], report: None, keep: KEEP };
    let settled = store.settle_now(call).unwrap();
    (settled.before, settled.parts.iter().map(|part| (part.key.id, part.paid)).collect())
}

fn used(store: &MemoryStore, id: u128) -> u64 {
    let limit = limit();
    let charges = [limit.spend(spread(id), 0)];
    let call = Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] };
    store.charge_now(call).outcomes[0].standing.used
}

/// What is used of every counter.
fn all_used(store: &MemoryStore) -> Vec<u64> {
    (0..COUNTERS).chain([TAKEN, 1000, 1001, 1002]).map(|id| used(store, id)).collect()
}

impl Written {
    fn new() -> Self {
        let store = empty();
        let kinds = store.kept();
        kinds.iter().for_each(|kind| kind.keep_track());
        let tables = kinds.iter().map(|_| BTreeMap::new()).collect();
        Self { store, kinds, tables }
    }

    /// Tells what has changed, and does something `between` each of the kinds.
    fn flush(&mut self, mut between: impl FnMut(&MemoryStore)) {
        self.kinds.iter().for_each(|kind| kind.draw_line());
        for (kind, table) in self.kinds.iter().zip(&mut self.tables) {
            between(&self.store);
            let mut changes = Changes::default();
            kind.take_changes(&mut changes);
            assert_eq!(changes.track(), Track::Kept);
            for (key, value) in changes.iter() {
                match value {
                    Some(value) => _ = table.insert(key.to_vec(), value.to_vec()),
                    None => _ = table.remove(key),
                }
            }
        }
    }

    /// A store that starts with what was written down.
    fn restored(&self) -> Arc<MemoryStore> {
        let store = empty();
        for (kind, table) in store.kept().iter().zip(&self.tables) {
            for (key, value) in table {
                // What was given back altogether is idle.
                assert!(matches!(kind.restore(key, value), Restored::Held | Restored::Idle));
            }
        }
        store
    }

    /// Checks that what was written down fits together. Tells what is used of every counter.
    fn check(&self) -> Vec<u64> {
        let store = self.restored();
        let (mut paid, mut of_records) = (BTreeMap::<u128, u64>::new(), 0);
        for number in 0..NAMES {
            let parts = found(&store, number, Then::Unchanged).1;
            of_records += parts.iter().map(|(_, paid)| paid).max().unwrap_or(&0);
            parts.into_iter().for_each(|(id, units)| *paid.entry(id).or_default() += units);
        }
        for counter in 0..COUNTERS {
            let paid = paid.get(&spread(counter)).copied().unwrap_or_default();
            assert_eq!(used(&store, counter), paid, "counter {counter}");
        }
        let page = Page { trail: Trail::Spent, from: Place::default(), most: usize::MAX };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let notes = runtime.block_on(store.notes(page)).unwrap();
        let noted: u64 = notes.iter().flat_map(|note| &note.spending).map(|spending| spending.tokens).sum();
        assert_eq!(noted, of_records, "what is noted");
        let all = all_used(&store);
        let released = (NAMES..NAMES + 10).map(|number| found(&store, number, Then::Released).0);
        let held = released.filter(|before| *before == Before::Held).count();
        assert_eq!(all[5], held as u64, "hits that can be given back");
        all
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn what_is_told_is_all_that_was_done_before_the_line_and_nothing_else(
        rounds in prop::collection::vec(prop::collection::vec(prop::collection::vec(deed(), 0..40), 5..=5), 1..6)
    ) {
        let mut written = Written::new();
        for deeds in rounds {
            let mut deeds = deeds.iter();
            deeds.next().unwrap().iter().for_each(|deed| act(&written.store, deed));
            let before = all_used(&written.store);
            written.flush(|store| deeds.next().unwrap().iter().for_each(|deed| act(store, deed)));
            prop_assert_eq!(written.check(), before);
        }
    }
}

/// Tells the threads that no flush follows, however that came.
struct Last<'f>(&'f AtomicU64);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }
}

/// Does 200 things whenever another flush begins.
fn one_caller(store: &MemoryStore, flushes: &AtomicU64, seed: u64) {
    let (mut state, mut done) = (seed, 0);
    loop {
        let begun = flushes.load(Ordering::Relaxed);
        if begun == u64::MAX {
            return;
        }
        if done == begun {
            std::thread::yield_now();
            continue;
        }
        done = begun;
        for _ in 0..200 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (what, number) = (state >> 60, u128::from(state >> 33) % (NAMES + 10));
            act(
                store,
                &match what {
                    0..4 => Deed::Reserve { name: number, counters: u128::from(1 + (state >> 50) % 31) },
                    4..14 => {
                        Deed::Settle { name: number, spent: (state >> 40) % (1 << 20), then: Then::More }
                    }
                    _ => Deed::Charge { counter: number % 3 },
                },
            );
        }
    }
}

#[test]
fn what_is_told_beside_threads_that_go_on_fits_together() {
    let mut written = Written::new();
    let (store, flushes) = (written.store.clone(), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (store, flushes) = (&store, &flushes);
            scope.spawn(move || one_caller(store, flushes, seed));
        }
        let _last = Last(&flushes);
        for flush in 1..=60 {
            flushes.store(flush, Ordering::Relaxed);
            written.flush(|_| {});
            written.check();
        }
    });
    written.flush(|_| {});
    assert_eq!(written.check(), all_used(&store));
    // Hits may all have been given back.
    let all = all_used(&store);
    assert!(all[..5].iter().chain(&all[6..]).all(|used| *used > 0), "something was done: {all:?}");
}
