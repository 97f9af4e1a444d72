//! T4: the memory store by itself. The clock is set by hand, so that reading it is no part of a charge.

use std::hint::black_box;

use tollgate::calendar::{Calendar, Period};
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::limits::{CounterKey, Debt, KeySecret, MAX_AMOUNT, Window};
use tollgate::store::memory::{MemorySettings, MemoryStore};

use crate::cpu;
use crate::hit::{self, key};
use crate::rounds::{Figure, interleave};
use crate::table::{Bound, Row};

const MILLION: usize = 1_000_000;
const ASKED: usize = 1 << 18;
const ROUNDS: usize = 7;
const START: Timestamp = Timestamp(1_800_000_000_000_000);
const MINUTE: Micros = Micros::from_secs(60);
const SLIDING: Window = Window::Sliding { length: MINUTE };
const FIXED: Window = Window::Fixed { length: MINUTE, debt: Debt::Forgiven };
/// In how many steps a counter is charged that is replaced later: it has a cell of each, more than it holds by itself.
const STEPS: usize = 7;
const STEP: Micros = Micros(MINUTE.0 / STEPS as u64);
const IDLE_AFTER: Micros = Micros(2 * MINUTE.0);
const BUCKET: Window = Window::TokenBucket { length: MINUTE, burst: MAX_AMOUNT };

/// A store with room for more than a million counters, and its clock.
fn store() -> (MemoryStore, Clock) {
    let clock = Clock::manual(START);
    let settings = MemorySettings { max_keys: MILLION + MILLION / 4 };
    (MemoryStore::new(settings, clock.clone(), KeySecret([1; 16])), clock)
}

/// Charges one hit of `most` to the counter `key`.
fn charge(store: &MemoryStore, window: &Window, most: u64, key: CounterKey) {
    black_box(store.charge_now(hit::call(&[hit::charge(window, most, key)])));
}

/// Who asks next.
#[derive(Clone, Copy)]
enum Asked {
    Hot,
    Uniform,
    Zipf,
}

impl Asked {
    fn keys(self, seed: u64) -> Vec<CounterKey> {
        let mut state = seed;
        (0..ASKED)
            .map(|_| {
                // SplitMix64: Steele, Lea, Flood, OOPSLA 2014.
                state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut random = state;
                random = (random ^ (random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                random = (random ^ (random >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                key(self.number((random >> 11) as f64 / (1_u64 << 53) as f64))
            })
            .collect()
    }

    /// The counter at `share` of the distribution.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within a million")]
    fn number(self, share: f64) -> usize {
        match self {
            Self::Hot => 0,
            Self::Uniform => (share * MILLION as f64) as usize,
            // Exponent 1, whose sum is a logarithm.
            Self::Zipf => (MILLION as f64).powf(share) as usize - 1,
        }
    }
}

/// T4: time, memory, and the longest charge.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = times();
    rows.extend(windows());
    rows.extend(crate::memory::rows());
    rows.push(longest());
    rows
}

fn times() -> Vec<Row> {
    let (store, _clock) = store();
    (0..MILLION).for_each(|number| charge(&store, &SLIDING, MAX_AMOUNT, key(number)));
    let cases = [
        ("one hot counter", Asked::Hot, Bound::AtMost(25.0)),
        ("uniform over 1 M", Asked::Uniform, Bound::AtMost(120.0)),
        ("Zipf over 1 M", Asked::Zipf, Bound::None),
    ];
    let mut rows = Vec::new();
    for (name, asked, bound) in cases {
        for threads in [1, 2] {
            let keys: Vec<_> = (0..threads).map(asked_by(asked)).collect();
            let [nanos] = interleave(ROUNDS, [&mut || together(&store, &keys)]);
            let what = format!("a sliding charge, {name}, threads: {threads}");
            let bound = if threads == 1 { bound } else { Bound::None };
            rows.push(Row::new("T4", what, bound, &Figure::of(nanos), " ns"));
        }
    }
    rows
}

fn asked_by(asked: Asked) -> impl Fn(u64) -> Vec<CounterKey> {
    move |seed| asked.keys(seed)
}

/// The CPU time of a charge when as many threads as there are lists of `keys` charge them at once, in nanoseconds.
fn together(store: &MemoryStore, keys: &[Vec<CounterKey>]) -> f64 {
    let work = |keys: &[CounterKey]| {
        let before = cpu::of_thread();
        keys.iter().for_each(|key| charge(store, &SLIDING, MAX_AMOUNT, *key));
        cpu::of_thread() - before
    };
    let spent: f64 = std::thread::scope(|scope| {
        let threads: Vec<_> = keys.iter().map(|keys| scope.spawn(|| work(keys))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends")).sum()
    });
    spent / (keys.len() * ASKED) as f64
}

/// Every kind of window, over ten thousand counters.
fn windows() -> Vec<Row> {
    let calendar = Calendar::new(Period::Month, "Europe/Berlin", 1).expect("a zone");
    let windows = [
        ("sliding", SLIDING),
        ("fixed", FIXED),
        ("token bucket", BUCKET),
        ("calendar", Window::Calendar(calendar, Debt::Forgiven)),
        ("concurrent", Window::Concurrent { max_age: MINUTE }),
        ("total", Window::Total { forget: None }),
    ];
    let row = |(name, window): (&str, Window)| {
        let (store, clock) = store();
        let mut round = || {
            clock.advance(Micros::from_secs(1));
            let before = cpu::of_thread();
            (0..ASKED).for_each(|turn| charge(&store, &window, MAX_AMOUNT, key(turn % 10_000)));
            (cpu::of_thread() - before) / ASKED as f64
        };
        let [nanos] = interleave(ROUNDS, [&mut round]);
        Row::new("T4", format!("a {name} charge, 10,000 counters"), Bound::None, &Figure::of(nanos), " ns")
    };
    windows.into_iter().map(row).collect()
}

/// The longest charge while a store grows to a million counters, they get cells, all become idle, and another million
/// takes their places. The same run is made three times, and of each charge the shortest time counts: what the store
/// does comes again, an interrupt does not.
fn longest() -> Row {
    let mut shortest = vec![f64::INFINITY; (STEPS + 1) * MILLION];
    for _ in 0..3 {
        let (store, clock) = store();
        for (round, shortest) in shortest.chunks_mut(MILLION).enumerate() {
            let (pause, first) = if round < STEPS { (STEP, 0) } else { (IDLE_AFTER, MILLION) };
            clock.advance(pause);
            for (number, shortest) in shortest.iter_mut().enumerate() {
                let key = key(first + number);
                let before = cpu::of_thread();
                charge(&store, &SLIDING, MAX_AMOUNT, key);
                *shortest = shortest.min((cpu::of_thread() - before) / 1e3);
            }
        }
    }
    shortest.sort_by(f64::total_cmp);
    let last = shortest.len() - 1;
    let what = "the longest charge while 1 M counters grow, idle and are replaced";
    let row = Row::new("T4", what, Bound::AtMost(200.0), &Figure::of([shortest[last]]), " µs");
    row.noting(format!("99.99 %: {:.1} µs", shortest[last - last / 10_000]))
}

/// What a million counters take, in bytes each: of `window` with `most`, each charged once in each of `steps` steps that
/// share a minute.
pub(crate) fn bytes_each(window: &Window, most: u64, steps: u64) -> f64 {
    let before = cpu::resident_bytes();
    let (store, clock) = store();
    for step in 0..steps {
        if step > 0 {
            clock.advance(Micros(MINUTE.0 / steps));
        }
        (0..MILLION).for_each(|number| charge(&store, window, most, key(number)));
    }
    let counters = store.len();
    assert!(counters > MILLION * 99 / 100, "{counters} counters are kept");
    (cpu::resident_bytes() - before) / counters as f64
}

/// The windows whose memory is measured, by name.
pub(crate) const SIZED: [(&str, Window); 3] = [("sliding", SLIDING), ("fixed", FIXED), ("bucket", BUCKET)];
