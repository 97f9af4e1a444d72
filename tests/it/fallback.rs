//! What is answered when the store is not there, or full: each limit's `on_error`.

use std::sync::Mutex;

use tollgate::algorithm::{Op, Outcome, Retry, Rule, Verdict};
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::limits::{CounterKey, KeySecret, Number, OnError, Unit, Window};
use tollgate::store::fallback::{FallbackSettings, WithFallback};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{
    self, Admission, Answer, Binding, Call, Charge, Due, FreedBy, Life, Reserve, Reserved, Settle, Settled,
    Spent, Store, StoreError, Then,
};

const MINUTE: Window = Window::Sliding { length: Micros::from_secs(60) };
const BUCKET: Window = Window::TokenBucket { length: Micros::from_secs(60), burst: 7 };
const SECOND: Verdict = Verdict::Refused(Retry::After(Micros::from_secs(1)));

/// A store that can be switched off.
struct Switched {
    store: MemoryStore,
    failure: Mutex<Option<StoreError>>,
}

impl Switched {
    fn failure(&self) -> Option<StoreError> {
        self.failure.lock().unwrap().clone()
    }
}

impl store::Layer for Switched {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    async fn charge(&self, call: Call<'_>) -> Result<Answer, StoreError> {
        self.failure().map_or_else(|| Ok(self.store.charge_now(call)), Err)
    }

    async fn reserve(&self, call: Reserve<'_>) -> Result<Reserved, StoreError> {
        self.failure().map_or_else(|| self.store.reserve_now(call), Err)
    }

    async fn settle(&self, call: Settle<'_>) -> Result<Settled, StoreError> {
        self.failure().map_or_else(|| self.store.settle_now(call), Err)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        self.failure().map_or(Ok(()), Err)
    }
}

struct Bench(WithFallback<Switched>);

impl Bench {
    fn of(instances: u32) -> Self {
        let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
        let memory = MemorySettings::default();
        let store = MemoryStore::new(memory, clock.clone(), KeySecret([7; 16]));
        let switched = Switched { store, failure: Mutex::new(None) };
        Self(WithFallback::new(switched, FallbackSettings { instances, memory }, clock))
    }

    fn fail(&self) {
        *self.0.store().failure.lock().unwrap() = Some(StoreError::Timeout);
    }

    fn recover(&self) {
        *self.0.store().failure.lock().unwrap() = None;
    }

    async fn answer(&self, admission: Admission, charges: &[Charge<'_>]) -> Answer {
        self.0.charge(Call { charges, admission, expenses: &[] }).await.expect("it never fails")
    }

    async fn all(&self, charges: &[Charge<'_>]) -> Vec<Outcome> {
        self.answer(Admission::AllOrNone, charges).await.outcomes.into_vec()
    }

    /// How many of `asks` single hits of counter `id` pass.
    async fn passing(&self, id: u128, most: u64, asks: u64) -> u64 {
        let mut passed = 0;
        for _ in 0..asks {
            let outcomes = self.all(&[take(id, most, 1, OnError::Local)]).await;
            passed += u64::from(outcomes[0].is_admitted());
        }
        passed
    }
}

fn take(id: u128, most: u64, hits: u64, on_error: OnError) -> Charge<'static> {
    let key = CounterKey { tag: 1, id };
    Charge {
        key,
        overflow: 999_999,
        rule: Rule { window: &MINUTE, number: Number::AtMost(most) },
        op: Op::Take { room: hits, charge: hits },
        binding: Binding::Enforced,
        on_error,
        freed_by: FreedBy::Time,
        unit: Unit::Hits,
        memo: 0,
    }
}

#[tokio::test]
async fn each_limit_follows_its_own_policy_and_the_answer_says_so() {
    let bench = Bench::of(1);
    bench.fail();
    let alone = |on_error| [take(1, 1, 1, on_error)];
    let answer = bench.answer(Admission::AllOrNone, &alone(OnError::Allow)).await;
    assert_eq!(answer.degraded, Some(StoreError::Timeout));
    assert!(answer.outcomes[0].is_admitted());
    assert!(bench.all(&alone(OnError::Allow)).await[0].is_admitted(), "it is not counted");
    assert_eq!(bench.all(&alone(OnError::Deny)).await[0].verdict, SECOND);
    assert!(bench.all(&alone(OnError::Local)).await[0].is_admitted());
    assert!(!bench.all(&alone(OnError::Local)).await[0].is_admitted(), "it is counted here");
    bench.recover();
    assert_eq!(bench.answer(Admission::AllOrNone, &alone(OnError::Deny)).await.degraded, None);
}

#[tokio::test]
async fn what_policy_refuses_costs_local_counters_nothing() {
    let bench = Bench::of(1);
    bench.fail();
    let refused = bench.all(&[take(1, 2, 1, OnError::Local), take(2, 2, 1, OnError::Deny)]).await;
    assert!(refused[0].is_admitted() && refused[1].verdict == SECOND);
    assert_eq!(refused[0].standing.used, 0);
    let counted = Charge { binding: Binding::Counted, ..take(2, 2, 1, OnError::Deny) };
    assert_eq!(bench.all(&[take(1, 2, 1, OnError::Local), counted]).await[0].standing.used, 1);
    let peek = Charge { op: Op::Take { room: 0, charge: 0 }, ..take(2, 2, 1, OnError::Deny) };
    assert_eq!(bench.all(&[peek]).await[0].verdict, SECOND, "who cannot tell does not say yes");
}

#[tokio::test]
async fn a_number_that_needs_no_counter_has_its_way_whatever_the_policy() {
    let bench = Bench::of(2);
    bench.fail();
    for on_error in [OnError::Allow, OnError::Deny, OnError::Local] {
        let of = |window: &'static Window, number, hits: u64| Charge {
            rule: Rule { window, number },
            ..take(hits.into(), 9, hits, on_error)
        };
        let verdict = async |charge: Charge<'static>| bench.all(&[charge]).await[0].verdict;
        let never = Verdict::Refused(Retry::Never);
        assert_eq!(verdict(of(&MINUTE, Number::AtMost(0), 1)).await, never, "{on_error:?}: blocked");
        assert_eq!(verdict(of(&MINUTE, Number::Unlimited, 1)).await, Verdict::Admitted, "{on_error:?}");
        assert_eq!(
            verdict(of(&Window::Request, Number::AtMost(3), 3)).await,
            Verdict::Admitted,
            "{on_error:?}"
        );
        assert_eq!(
            verdict(of(&Window::Request, Number::AtMost(3), 4)).await,
            never,
            "{on_error:?}: too large"
        );
        let blocked = of(&MINUTE, Number::AtMost(0), 1);
        let with = bench.all(&[take(77, 2, 1, OnError::Local), blocked]).await;
        assert_eq!(with[0].standing.used, 0, "{on_error:?}: nothing was charged");
    }
}

#[test]
fn a_number_that_needs_no_counter_has_its_way_in_a_full_memory_store() {
    let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
    let store = MemoryStore::new(MemorySettings { max_keys: 1 }, clock, KeySecret([7; 16]));
    let ask = |charges: &[Charge<'_>]| {
        store.charge_now(Call { charges, admission: Admission::AllOrNone, expenses: &[] }).outcomes.into_vec()
    };
    assert!(ask(&[take(1, 9, 1, OnError::Deny)])[0].is_admitted());
    let mut unlimited = take(2, 9, 1, OnError::Deny);
    unlimited.rule.number = Number::Unlimited;
    assert!(ask(&[unlimited])[0].is_admitted());
    let quota =
        |id: u16| Charge { binding: Binding::Quota { group: id }, ..take(id.into(), 0, 1, OnError::Allow) };
    assert!(ask(&[quota(3), quota(4)]).iter().all(|outcome| !outcome.is_admitted()));
}

#[tokio::test]
async fn quotas_refuse_together_whatever_their_policies() {
    let bench = Bench::of(1);
    bench.fail();
    let quota = |id: u16, most, on_error| Charge {
        binding: Binding::Quota { group: id },
        ..take(id.into(), most, 1, on_error)
    };
    let denied = quota(1, 9, OnError::Deny);
    let outcomes = bench.all(&[denied, quota(2, 1, OnError::Local)]).await;
    assert_eq!(outcomes[1].standing.used, 1, "one of them had room");
    let outcomes = bench.all(&[denied, quota(2, 1, OnError::Local)]).await;
    assert_eq!(outcomes[1].standing.used, 1, "none had");
    let outcomes = bench.all(&[quota(1, 9, OnError::Allow), quota(2, 1, OnError::Local)]).await;
    assert_eq!(outcomes[1].standing.used, 2);
}

#[tokio::test]
async fn what_is_given_back_is_never_refused() {
    let bench = Bench::of(1);
    bench.fail();
    for on_error in [OnError::Allow, OnError::Deny, OnError::Local] {
        let back = Charge { op: Op::GiveBack { units: 1 }, ..take(1, 1, 1, on_error) };
        let set = Charge { op: Op::Set { units: 1 }, ..back };
        assert!(bench.all(&[back, set]).await.iter().all(Outcome::is_admitted), "{on_error:?}");
    }
}

#[tokio::test]
async fn the_local_memory_knows_what_the_store_has_let_pass() {
    let bench = Bench::of(1);
    assert_eq!(bench.passing(1, 10, 7).await, 7);
    let refused = bench.all(&[take(1, 10, 1, OnError::Local), take(2, 10, 11, OnError::Local)]).await;
    assert!(!refused[1].is_admitted(), "and what it refused is not counted");
    bench.all(&[Charge { op: Op::GiveBack { units: 2 }, ..take(1, 10, 0, OnError::Local) }]).await;
    bench.fail();
    assert_eq!(bench.passing(1, 10, 20).await, 5);
    bench.recover();
    assert_eq!(bench.passing(1, 10, 20).await, 5, "the store itself saw nothing of the last five");
}

/// What the call `id` has used, once it is told.
fn used<'a>(id: u128, tokens: u64, otherwise: &'a [Charge<'a>]) -> Settle<'a> {
    let spent = Spent { tokens: Due::Exactly(tokens), money: Due::Exactly(0) };
    let name = CounterKey { tag: 1, id: 1 << 64 | id };
    Settle { name, spent, then: Then::Done, otherwise, keep: Micros::from_secs(120), report: None }
}

#[tokio::test]
async fn the_local_memory_knows_what_nobody_had_held_once() {
    let bench = Bench::of(1);
    let tokens = Charge { unit: Unit::Tokens, ..take(1, 10, 1, OnError::Local) };
    bench.0.settle(used(1, 2, &[tokens])).await.unwrap();
    bench.fail();
    for _ in 0..3 {
        assert_eq!(bench.0.settle(used(2, 3, &[tokens])).await, Err(StoreError::Timeout));
    }
    assert_eq!(bench.passing(1, 10, 10).await, 5, "2 before and 3 after");
    bench.recover();
    bench.0.settle(used(2, 3, &[tokens])).await.unwrap();
    bench.fail();
    assert_eq!(bench.passing(1, 11, 10).await, 1, "the store has what this memory has");
}

#[tokio::test]
async fn the_local_memory_counts_what_was_held_once() {
    let bench = Bench::of(1);
    let tokens = Charge {
        unit: Unit::Tokens,
        freed_by: FreedBy::Holders,
        op: Op::Hold { fixed: 4, flexible: 0 },
        ..take(1, 10, 1, OnError::Local)
    };
    let life =
        Life { ttl: Micros::from_secs(60), max_age: Micros::from_secs(60), keep: Micros::from_secs(120) };
    for id in [1, 2] {
        let name = CounterKey { tag: 1, id: 1 << 64 | id };
        let call = Reserve {
            name,
            body: 1,
            charges: &[tokens],
            accepts_less: None,
            life,
            about: b"",
            expenses: &[],
        };
        bench.0.reserve(call).await.unwrap();
        bench.fail();
        bench.0.settle(used(id, 3, &[tokens])).await.unwrap_err();
    }
    assert_eq!(bench.passing(1, 10, 10).await, 2, "4 were held by each");
}

#[tokio::test]
async fn the_local_memory_knows_its_share_of_what_was_set() {
    let bench = Bench::of(2);
    bench.all(&[Charge { op: Op::Set { units: 7 }, ..take(1, 10, 0, OnError::Local) }]).await;
    bench.fail();
    assert_eq!(bench.passing(1, 10, 20).await, 1, "four of five are taken");
}

/// An instant is set where one is allowed, which no two instances share.
#[tokio::test]
async fn what_is_set_of_a_number_that_cannot_be_shared_is_known_whole() {
    let window = Window::Total { forget: None };
    let charge = |op| Charge {
        rule: Rule { window: &window, number: Number::AtMost(1) },
        freed_by: FreedBy::Hand,
        op,
        ..take(1, 1, 0, OnError::Local)
    };
    let bench = Bench::of(3);
    let set = charge(Op::Set { units: 1_700_000_000_000_000 });
    bench.all(&[set]).await;
    bench.fail();
    let look = charge(Op::Take { room: 1, charge: 0 });
    assert_eq!(bench.all(&[look]).await[0].standing.used, 1_700_000_000_000_000);
    bench.all(&[charge(Op::Set { units: 0 }), set]).await;
    assert_eq!(bench.all(&[look]).await[0].standing.used, 1_700_000_000_000_000, "nor is what is set here");
}

#[tokio::test]
async fn the_local_memory_knows_what_was_given_back_beside_what_was_over() {
    let bench = Bench::of(1);
    assert_eq!(bench.passing(1, 10, 7).await, 7);
    let back = Charge { op: Op::GiveBack { units: 2 }, ..take(1, 10, 0, OnError::Local) };
    let over = take(2, 1, 2, OnError::Local);
    bench.answer(Admission::EachUnlessOver, &[back, over]).await;
    bench.fail();
    assert_eq!(bench.passing(1, 10, 20).await, 5);
}

#[tokio::test]
async fn an_instance_allows_its_share_rounded_up() {
    let bench = Bench::of(3);
    bench.fail();
    assert_eq!(bench.passing(1, 10, 20).await, 4);
    let bucket = Charge {
        rule: Rule { window: &BUCKET, number: Number::AtMost(100) },
        ..take(2, 100, 1, OnError::Local)
    };
    let mut passed = 0;
    for _ in 0..20 {
        passed += u64::from(bench.all(&[bucket]).await[0].is_admitted());
    }
    assert_eq!(passed, 3, "a third of the burst");
    let size = Rule { window: &Window::Request, number: Number::AtMost(10) };
    assert!(bench.all(&[Charge { rule: size, ..take(3, 10, 10, OnError::Local) }]).await[0].is_admitted());
}

#[tokio::test]
async fn a_full_memory_store_follows_the_policy_for_newcomers() {
    let clock = Clock::manual(Timestamp(1_700_000_000_000_000));
    let store = MemoryStore::new(MemorySettings { max_keys: 64 }, clock.clone(), KeySecret([7; 16]));
    let ask = |id, on_error| {
        let charges = [take(id, 2, 1, on_error)];
        store.charge_now(Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] }).outcomes
            [0]
    };
    for id in 0..64 {
        assert!(ask(id, OnError::Deny).is_admitted());
    }
    assert_eq!(ask(64, OnError::Deny).verdict, SECOND);
    for _ in 0..5 {
        assert!(ask(65, OnError::Allow).is_admitted(), "not counted");
    }
    let local: Vec<bool> = (66..70).map(|id| ask(id, OnError::Local).is_admitted()).collect();
    assert_eq!(local, [true, true, false, false], "newcomers share one counter");
    assert!(ask(0, OnError::Deny).is_admitted(), "a living counter is kept");
    clock.advance(Micros::from_secs(62));
    assert!(ask(64, OnError::Deny).is_admitted(), "an idle one has made room");
}
