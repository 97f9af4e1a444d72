//! Counters that stand side by side in the embedded store have nothing to do with each other, however many come, become
//! idle and give way: each comes out as if it were alone.

use proptest::prelude::*;
use tollgate::algorithm::{Op, Outcome, Rule};
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::limits::{CounterKey, Debt, KeySecret, Number, OnError, Unit, Window};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{Admission, Binding, Call, Charge, FreedBy, Store, StoreError};

/// So many counters make one shard, and all have room in it.
const COUNTERS: usize = 120;
const WINDOWS: [Window; 6] = [
    Window::Sliding { length: Micros::from_secs(1) },
    Window::Sliding { length: Micros::from_secs(60) },
    Window::Fixed { length: Micros::from_secs(2), debt: Debt::Forgiven },
    Window::TokenBucket { length: Micros::from_secs(1), burst: 5 },
    Window::Concurrent { max_age: Micros::from_secs(3) },
    Window::Total { forget: None },
];

/// What one call asks of which counters, and how long after the call before.
type Asked = (Vec<(usize, Op)>, Micros);

fn asked() -> impl Strategy<Value = Asked> {
    let op = prop_oneof![
        6 => (1..3_u64).prop_map(|hits| Op::Take { room: hits, charge: hits }),
        1 => Just(Op::Take { room: 1, charge: 0 }),
        2 => (1..4_u64).prop_map(|units| Op::GiveBack { units }),
    ];
    let charges = prop_oneof![
        3 => prop::collection::vec((0..COUNTERS, op.clone()), 1..2),
        2 => prop::collection::vec((0..COUNTERS, op.clone()), 2..9),
        1 => prop::collection::vec((0..COUNTERS, op), 60..90),
    ];
    let pause = prop_oneof![4 => 0..50_000_u64, 2 => 0..2_000_000_u64, 1 => Just(70_000_000)];
    (charges, pause.prop_map(Micros))
}

/// Keys as uniform as real ones are, but for some at either end.
fn key(counter: usize) -> CounterKey {
    let number = counter as u128;
    let id = match counter % 10 {
        0 => number,
        9 => u128::MAX - number,
        _ => (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
    };
    CounterKey { tag: 0, id }
}

fn charge((counter, op): (usize, Op)) -> Charge<'static> {
    Charge {
        key: key(counter),
        overflow: 0,
        rule: Rule { window: &WINDOWS[counter % WINDOWS.len()], number: Number::AtMost(5) },
        op,
        binding: Binding::Enforced,
        on_error: OnError::Deny,
        freed_by: FreedBy::Hand,
        unit: Unit::Hits,
        memo: 0,
    }
}

fn store(max_keys: usize, clock: &Clock) -> MemoryStore {
    MemoryStore::new(MemorySettings { max_keys }, clock.clone(), KeySecret([0; 16]))
}

fn outcomes(store: &MemoryStore, charges: &[Charge<'_>]) -> Vec<Outcome> {
    let call = Call { charges, admission: Admission::Each, expenses: &[] };
    store.charge_now(call).outcomes.into_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(30) })]

    #[test]
    fn neighbours_do_not_disturb_each_other(history in prop::collection::vec(asked(), 1..60)) {
        let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
        let together = store(COUNTERS, &clock);
        let alone: Vec<MemoryStore> = (0..COUNTERS).map(|_| store(1, &clock)).collect();
        for (asked, pause) in history {
            clock.advance(pause);
            let charges: Vec<Charge<'_>> = asked.iter().copied().map(charge).collect();
            let expected: Vec<Outcome> =
                asked.iter().zip(&charges).flat_map(|((counter, _), charge)| outcomes(&alone[*counter], &[*charge])).collect();
            prop_assert_eq!(outcomes(&together, &charges), expected);
            prop_assert!(together.len() <= COUNTERS);
        }
    }
}

/// What newcomers share of the limit of these charges, as one of them finds it that has no counter of its own.
fn shared_by_newcomers(store: &MemoryStore, newcomer: usize) -> u64 {
    let take = Charge { on_error: OnError::Local, ..charge((newcomer, Op::Take { room: 1, charge: 1 })) };
    let call = Call { charges: &[take], admission: Admission::Each, expenses: &[] };
    store.charge_now(call).outcomes[0].standing.used
}

#[tokio::test]
async fn what_operators_ask_is_done_whole_or_not_at_all() {
    let (known, newcomer) = (5, 11);
    let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
    let store = store(1, &clock);
    outcomes(&store, &[charge((known, Op::Take { room: 1, charge: 1 }))]);
    let used = |counter| outcomes(&store, &[charge((counter, Op::GiveBack { units: 0 }))])[0].standing.used;
    let oversee = async |on_error, ops: &[(usize, Op)]| {
        let charges: Vec<_> = ops.iter().map(|asked| Charge { on_error, ..charge(*asked) }).collect();
        let call = Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] };
        store.oversee(call, None).await.map(|(answer, _)| answer.outcomes.len())
    };
    assert_eq!(shared_by_newcomers(&store, newcomer), 1);
    for on_error in [OnError::Local, OnError::Allow, OnError::Deny] {
        let set = Op::Set { units: 4 };
        let full = StoreError::Refused { code: "FULL".to_owned() };
        assert_eq!(oversee(on_error, &[(known, set), (newcomer, set)]).await, Err(full.clone()));
        assert_eq!(oversee(on_error, &[(newcomer, set)]).await, Err(full), "alone");
        assert_eq!(used(known), 1, "{on_error:?}");
    }
    for clear in [Op::Set { units: 0 }, Op::Clear] {
        assert_eq!(oversee(OnError::Local, &[(newcomer, clear)]).await, Ok(1));
        assert_eq!(oversee(OnError::Local, &[(newcomer, clear), (known, Op::Set { units: 1 })]).await, Ok(2));
    }
    assert_eq!(shared_by_newcomers(&store, newcomer), 2, "nobody has set what they share, nor cleared it");
}
