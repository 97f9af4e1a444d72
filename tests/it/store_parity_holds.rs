//! The memory store and the scripts that reserve and settle are one algorithm: random histories come out alike, whole
//! answer by whole answer.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tollgate::algorithm::{Op, Rule};
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::limits::{CounterKey, Debt, KeySecret, MAX_AMOUNT, Number, OnError, Unit, Window};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::redis::RedisStore;
use tollgate::store::{
    Admission, Binding, Call, Charge, Due, FreedBy, Life, Reserve, Settle, Spent, Store, Then,
};

use crate::support::redis::RedisServer;
use crate::support::tools::Tool;

const SECOND: i64 = 1_000_000;
/// How far time runs back at most behind where it has been: what has lapsed for longer is not kept for it.
const BACK: i64 = 10 * SECOND;

/// A charge to one of [`limits`].
#[derive(Clone, Debug)]
struct Asked {
    limit: usize,
    number: Number,
    op: Op,
    binding: Binding,
}

/// What is done at one moment.
#[derive(Clone, Debug)]
enum Deed {
    Reserve { name: u128, body: u64, charges: Vec<Asked>, accepts_less: Option<NonZeroU64>, life: Life },
    Settle { name: u128, spent: Spent, then: Then, otherwise: Vec<Asked>, keep: Micros },
    Charge { charges: Vec<Asked>, admission: Admission },
}

/// Limits and what they count; what is given back to the last two is hits.
fn limits() -> Vec<(Window, Unit, FreedBy)> {
    let second = Micros::from_secs;
    let owing =
        |period, zone, anchor, debt| Window::Calendar(Calendar::new(period, zone, anchor).unwrap(), debt);
    let calendar = |period, zone, anchor| owing(period, zone, anchor, Debt::Forgiven);
    vec![
        (Window::Sliding { length: second(60) }, Unit::Tokens, FreedBy::Holders),
        (Window::Sliding { length: second(86_400) }, Unit::Money, FreedBy::Holders),
        (Window::Fixed { length: second(60), debt: Debt::Forgiven }, Unit::Tokens, FreedBy::Holders),
        (Window::TokenBucket { length: second(60), burst: 40 }, Unit::Tokens, FreedBy::Holders),
        (calendar(Period::Day, "Europe/Berlin", 1), Unit::Money, FreedBy::Holders),
        (calendar(Period::Month, "America/St_Johns", 31), Unit::Money, FreedBy::Holders),
        (Window::Fixed { length: second(60), debt: Debt::Carried }, Unit::Tokens, FreedBy::Holders),
        (owing(Period::Day, "Europe/Berlin", 1, Debt::Carried), Unit::Money, FreedBy::Holders),
        (owing(Period::Month, "America/St_Johns", 31, Debt::Carried), Unit::Tokens, FreedBy::Holders),
        (Window::Concurrent { max_age: second(300) }, Unit::Hits, FreedBy::Holders),
        (Window::Total { forget: None }, Unit::Money, FreedBy::Holders),
        (Window::Request, Unit::Tokens, FreedBy::Holders),
        (Window::Sliding { length: second(10) }, Unit::Hits, FreedBy::Time),
        (Window::Fixed { length: second(60), debt: Debt::Forgiven }, Unit::Hits, FreedBy::Hand),
        (Window::Total { forget: Some(second(120)) }, Unit::Hits, FreedBy::Hand),
    ]
}

fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![
        12 => 0..12_u64,
        6 => 1..60_u64,
        1 => MAX_AMOUNT - 5..=MAX_AMOUNT,
        1 => 1_u64 << 40..1 << 45,
    ]
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        10 => (1..60_u64).prop_map(Number::AtMost),
        2 => amount().prop_map(Number::AtMost),
        1 => Just(Number::Unlimited),
    ]
}

fn binding() -> impl Strategy<Value = Binding> {
    prop_oneof![6 => Just(Binding::Enforced), 1 => Just(Binding::Counted)]
}

fn asked(op: impl Strategy<Value = Op>) -> impl Strategy<Value = Asked> {
    (0..limits().len(), number(), op, binding()).prop_map(|(limit, number, op, binding)| Asked {
        limit,
        number,
        op,
        binding,
    })
}

fn plain() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => amount().prop_map(|hits| Op::Take { room: hits, charge: hits }),
        2 => amount().prop_map(|room| Op::Take { room, charge: 0 }),
        2 => amount().prop_map(|units| Op::GiveBack { units }),
        1 => amount().prop_map(|units| Op::Set { units }),
    ]
}

/// Charges of a reservation: what can be held is, and hits are taken. Few counters, so that they meet.
fn reserved() -> impl Strategy<Value = Vec<Asked>> {
    let hold = (amount(), amount()).prop_map(|(fixed, flexible)| Op::Hold { fixed, flexible });
    prop::collection::vec(asked(hold), 1..5).prop_map(|mut charges| {
        for asked in &mut charges {
            if let (12.., Op::Hold { fixed, .. }) = (asked.limit, asked.op) {
                asked.op = Op::Take { room: fixed, charge: fixed };
            }
        }
        charges
    })
}

fn span() -> impl Strategy<Value = Micros> {
    prop_oneof![
        1 => Just(Micros(0)),
        6 => (1..90_000_000_u64).prop_map(Micros),
        1 => (0..40 * 86_400_000_000_u64).prop_map(Micros),
    ]
}

fn spent() -> impl Strategy<Value = Spent> {
    let due = || {
        prop_oneof![
            4 => amount().prop_map(Due::Exactly),
            1 => amount().prop_map(Due::AtLeast),
            1 => Just(Due::AsHeld),
        ]
    };
    (due(), due()).prop_map(|(tokens, money)| Spent { tokens, money })
}

fn deed() -> impl Strategy<Value = Deed> {
    let name = || 0..6_u128;
    let life = (span(), span(), span()).prop_map(|(ttl, max_age, keep)| Life { ttl, max_age, keep });
    let less = proptest::option::of((1..50_u64).prop_map(|units| NonZeroU64::new(units).unwrap()));
    let body = prop_oneof![5 => Just(7), 1 => Just(8)];
    let reserve =
        (name(), body, reserved(), less, life).prop_map(|(name, body, charges, accepts_less, life)| {
            Deed::Reserve { name, body, charges, accepts_less, life }
        });
    let then = prop_oneof![
        3 => Just(Then::More),
        2 => Just(Then::Done),
        1 => Just(Then::Released),
    ];
    let otherwise = prop_oneof![2 => Just(Vec::new()), 1 => reserved()];
    let settle = (name(), spent(), then, otherwise, span())
        .prop_map(|(name, spent, then, otherwise, keep)| Deed::Settle { name, spent, then, otherwise, keep });
    let admission = prop_oneof![
        4 => Just(Admission::AllOrNone),
        1 => Just(Admission::Each),
        1 => Just(Admission::EachUnlessOver),
    ];
    let charge = (prop::collection::vec(asked(plain()), 1..4), admission)
        .prop_map(|(charges, admission)| Deed::Charge { charges, admission });
    // What is cleared is for calls that nothing refuses.
    let clear = prop_oneof![2 => Just(Op::Clear), 1 => plain()];
    let clear = prop::collection::vec(asked(clear), 1..4)
        .prop_map(|charges| Deed::Charge { charges, admission: Admission::Each });
    prop_oneof![6 => reserve, 8 => settle, 4 => charge, 1 => clear]
}

fn jump() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => Just(0),
        8 => 0..5 * SECOND,
        4 => 0..90 * SECOND,
        1 => 0..86_400 * SECOND,
        1 => 0..70 * 86_400 * SECOND,
        3 => -BACK..0,
    ]
}

fn charges<'a>(limits: &'a [(Window, Unit, FreedBy)], tag: u64, asked: &[Asked]) -> Vec<Charge<'a>> {
    asked
        .iter()
        .map(|asked| {
            let (window, unit, freed_by) = &limits[asked.limit];
            Charge {
                key: key(tag, asked.limit as u128),
                overflow: asked.limit as u128,
                rule: Rule { window, number: asked.number },
                op: asked.op,
                binding: asked.binding,
                on_error: OnError::Local,
                freed_by: *freed_by,
                unit: *unit,
                memo: 0,
            }
        })
        .collect()
}

fn key(tag: u64, id: u128) -> CounterKey {
    CounterKey { tag, id: (u128::from(tag) << 64) + id }
}

/// Does it in both stores, and says where they differ.
async fn do_both(
    memory: &MemoryStore,
    script: &RedisStore,
    tag: u64,
    deed: &Deed,
) -> Result<(), TestCaseError> {
    let limits = limits();
    match deed {
        Deed::Reserve { name, body, charges: asked, accepts_less, life } => {
            let charges = charges(&limits, tag, asked);
            let (name, charges) = (key(tag, 100 + name), &charges[..]);
            let call = Reserve {
                name,
                body: *body,
                charges,
                accepts_less: *accepts_less,
                life: *life,
                about: &[],
                expenses: &[],
            };
            prop_assert_eq!(script.reserve(call).await, memory.reserve_now(call));
        }
        Deed::Settle { name, spent, then, otherwise, keep } => {
            let otherwise = charges(&limits, tag, otherwise);
            let (name, otherwise) = (key(tag, 100 + name), &otherwise[..]);
            let call = Settle { name, spent: *spent, then: *then, otherwise, keep: *keep, report: None };
            prop_assert_eq!(script.settle(call).await, memory.settle_now(call));
        }
        Deed::Charge { charges: asked, admission } => {
            let charges = charges(&limits, tag, asked);
            let call = Call { charges: &charges, admission: *admission, expenses: &[] };
            prop_assert_eq!(script.charge(call).await, Ok(memory.charge_now(call)));
        }
    }
    Ok(())
}

fn histories_come_out_alike(tool: Tool, cases: u32) {
    static TAG: AtomicU64 = AtomicU64::new(1);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = RedisServer::start(tool);
    let clock = Clock::manual(Timestamp(0));
    let script = runtime.block_on(server.store(clock.clone()));
    let history = (0..200_000_000_u64, prop::collection::vec((jump(), deed()), 1..60));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&history, |(start, deeds)| {
        let tag = TAG.fetch_add(1, Ordering::Relaxed);
        let memory = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([0; 16]));
        let mut now = 1_700_000_000_000_000 + start;
        let mut latest = now;
        for (step, (after, deed)) in deeds.iter().enumerate() {
            now = now.saturating_add_signed(*after).max(latest.saturating_add_signed(-BACK));
            latest = latest.max(now);
            clock.set(Timestamp(now));
            runtime.block_on(do_both(&memory, &script, tag, deed)).map_err(|error| {
                TestCaseError::fail(format!("at step {step} of {now}: {deed:?}: {error}"))
            })?;
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

#[test]
fn redis_agrees_with_memory() {
    histories_come_out_alike(Tool::Redis, 256);
}

#[test]
fn valkey_agrees_with_memory() {
    histories_come_out_alike(Tool::Valkey, 256);
}
