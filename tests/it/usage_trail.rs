//! The trail of usage, asked of each store: what is charged is written down, once, in the step that charges it.

use std::sync::Arc;
use std::time::Duration;

use tollgate::algorithm::{Op, Rule};
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::limits::{CounterKey, KeySecret, Number, OnError, Unit, Window};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::redis::{RedisSettings, RedisStore};
use tollgate::store::{
    Admission, Before, Binding, Call, Charge, Due, Expense, FreedBy, Hold, Life, Note, Page, Place, Report,
    Reserve, Retention, Settle, Spent, Store, Then, Trail,
};

use crate::support::redis::{RedisServer, until_ready};
use crate::support::tools::Tool;

pub(crate) const START: Timestamp = Timestamp(1_795_262_400_000_000);
const LIFE: Life = Life { ttl: Micros::from_secs(60), max_age: Micros::from_secs(600), keep: KEEP };
const KEEP: Micros = Micros::from_secs(3600);
const BUDGET: Window = Window::Total { forget: None };
const SLOTS: Window = Window::Concurrent { max_age: Micros::from_secs(600) };

/// A store and the time it goes by.
pub(crate) struct Bench<S> {
    pub(crate) store: S,
    pub(crate) clock: Clock,
    pub(crate) _server: Option<RedisServer>,
}

pub(crate) async fn memory(retention: Retention) -> Bench<Arc<MemoryStore>> {
    let clock = Clock::manual(START);
    let store = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([7; 16]));
    Bench { store: Arc::new(store.keeping(retention)), clock, _server: None }
}

async fn on(tool: Tool, usage: Retention) -> Bench<RedisStore> {
    let (server, clock) = (RedisServer::start(tool), Clock::manual(START));
    let store = RedisStore::start(RedisSettings { usage, ..server.settings() }, clock.clone()).unwrap();
    until_ready(&store).await;
    Bench { store, clock, _server: Some(server) }
}

async fn redis(retention: Retention) -> Bench<RedisStore> {
    on(Tool::Redis, retention).await
}

async fn valkey(retention: Retention) -> Bench<RedisStore> {
    on(Tool::Valkey, retention).await
}

/// Holds `units` of the budget for `unit`.
fn hold(unit: Unit, units: u64) -> Charge<'static> {
    let (id, window) = match unit {
        Unit::Hits => (1, &SLOTS),
        Unit::Tokens => (2, &BUDGET),
        Unit::Money => (3, &BUDGET),
    };
    Charge {
        key: CounterKey { tag: 1, id },
        overflow: id,
        rule: Rule { window, number: Number::AtMost(1000) },
        op: Op::Hold { fixed: units, flexible: 0 },
        binding: Binding::Enforced,
        on_error: OnError::Deny,
        freed_by: FreedBy::Holders,
        unit,
        memo: 0,
    }
}

fn name(number: u128) -> CounterKey {
    CounterKey { tag: 1, id: 1 << 64 | number }
}

/// What a note says that was spent: how it was found, the tokens, the money, the classes.
fn said(note: &Note) -> (Before, u64, u64, Vec<u64>) {
    let spending = note.spending.clone().expect("something was spent");
    (spending.found, spending.tokens, spending.money, spending.classes)
}

impl<S: Store> Bench<S> {
    async fn reserve(&self, number: u128, charges: &[Charge<'_>]) -> Hold {
        let name = name(number);
        let call = Reserve {
            name,
            body: 1,
            charges,
            accepts_less: None,
            life: LIFE,
            about: b"about",
            expenses: &[],
        };
        self.store.reserve(call).await.unwrap().hold
    }

    async fn settle(&self, number: u128, spent: (Due, Due), classes: &[u64], then: Then) -> Before {
        let (tokens, money) = spent;
        let report = (then != Then::Released).then_some(Report { about: b"", line: b"line", classes });
        let spent = Spent { tokens, money };
        let call = Settle { name: name(number), spent, then, otherwise: &[], keep: KEEP, report };
        self.store.settle(call).await.unwrap().before
    }

    pub(crate) async fn notes(&self, trail: Trail) -> Vec<Note> {
        self.page(trail, Place::default(), 100_000).await
    }

    async fn page(&self, trail: Trail, from: Place, most: usize) -> Vec<Note> {
        self.store.notes(Page { trail, from, most }).await.unwrap()
    }

    async fn spent(&self) -> Vec<(Before, u64, u64, Vec<u64>)> {
        self.notes(Trail::Spent).await.iter().map(said).collect()
    }
}

fn exactly(tokens: u64, money: u64) -> (Due, Due) {
    (Due::Exactly(tokens), Due::Exactly(money))
}

async fn each_settle_tells_by_how_much_its_totals_grew<S: Store>(bench: Bench<S>) {
    bench.reserve(1, &[hold(Unit::Tokens, 300), hold(Unit::Money, 30)]).await;
    assert_eq!(bench.notes(Trail::Spent).await, [], "nothing is spent yet");
    bench.clock.advance(Micros(1_234_567));
    for (tokens, classes) in [(200, [150, 50]), (200, [150, 50]), (100, [100, 0]), (777, [700, 77])] {
        assert_eq!(bench.settle(1, exactly(tokens, tokens / 10), &classes, Then::More).await, Before::Held);
    }
    bench.settle(1, exactly(777, 77), &[700, 77], Then::Done).await;
    bench.settle(1, exactly(900, 90), &[800, 100], Then::Done).await;
    let held = Before::Held;
    assert_eq!(
        bench.spent().await,
        [(held, 200, 20, vec![150, 50]), (held, 577, 57, vec![550, 27]), (held, 0, 0, vec![0, 0])]
    );
    let notes = bench.notes(Trail::Spent).await;
    assert!(notes.iter().all(|note| (&*note.about, &*note.line) == (b"about", b"line")));
    assert!(notes.iter().all(|note| note.at == Timestamp(START.0 + 1_234_567)));
}

async fn usage_that_nobody_knows_is_told_as_it_was_held<S: Store>(bench: Bench<S>) {
    bench.reserve(1, &[hold(Unit::Tokens, 300), hold(Unit::Money, 30)]).await;
    bench.settle(1, (Due::Exactly(20), Due::AsHeld), &[20], Then::Done).await;
    assert_eq!(bench.spent().await, [(Before::Held, 20, 30, vec![20])]);
}

async fn late_and_unheld_usage_is_told_as_such<S: Store>(bench: Bench<S>) {
    bench.reserve(1, &[hold(Unit::Money, 30)]).await;
    bench.clock.advance(Micros::from_secs(60));
    bench.settle(1, exactly(0, 40), &[], Then::Done).await;
    let (budget, report) = ([hold(Unit::Tokens, 0)], Report { about: b"own", line: b"", classes: &[7] });
    let unheld = Settle {
        name: name(2),
        spent: Spent { tokens: Due::Exactly(7), money: Due::Exactly(0) },
        then: Then::Done,
        otherwise: &budget,
        keep: KEEP,
        report: Some(report),
    };
    for _ in 0..2 {
        bench.store.settle(unheld).await.unwrap();
    }
    assert_eq!(bench.settle(3, exactly(1, 1), &[1], Then::Done).await, Before::Unknown);
    assert_eq!(bench.spent().await, [(Before::Late, 0, 40, vec![]), (Before::Unheld, 7, 0, vec![7])]);
    assert_eq!(&*bench.notes(Trail::Spent).await[1].about, b"own");
}

async fn what_spends_nothing_leaves_no_note<S: Store>(bench: Bench<S>) {
    bench.reserve(1, &[hold(Unit::Hits, 1)]).await;
    bench.settle(1, exactly(0, 0), &[], Then::More).await;
    bench.settle(1, exactly(0, 0), &[], Then::Done).await;
    bench.reserve(2, &[hold(Unit::Money, 30)]).await;
    bench.settle(2, exactly(0, 0), &[], Then::More).await;
    bench.settle(2, exactly(0, 0), &[], Then::Released).await;
    assert_eq!(bench.reserve(3, &[hold(Unit::Money, 1001)]).await, Hold::Refused);
    assert_eq!(bench.spent().await, []);
}

async fn what_is_spent_at_once_is_noted_if_it_is_charged<S: Store>(bench: Bench<S>) {
    let expense = |about, tokens, money| Expense { about, tokens, money };
    let expenses = [expense(&b"ann"[..], 7, 0), expense(b"", 0, 1 << 52)];
    for (number, units, expected) in [(1, 1000, 2), (2, 1, 2)] {
        let op = Op::Take { room: units, charge: units };
        let charges = [Charge { op, ..hold(Unit::Tokens, 0) }, hold(Unit::Money, 3)];
        let (name, charges) = (name(number), &charges);
        let call = Reserve {
            name,
            body: 1,
            charges,
            accepts_less: None,
            life: LIFE,
            about: b"about",
            expenses: &expenses,
        };
        bench.clock.advance(Micros(1_234_567));
        let hold = bench.store.reserve(call).await.unwrap().hold;
        assert_eq!(matches!(hold, Hold::Taken(_)), number == 1);
        assert_eq!(bench.notes(Trail::Spent).await.len(), expected);
    }
    let (unheld, none) = (Before::Unheld, Vec::new());
    assert_eq!(bench.spent().await, [(unheld, 7, 0, none.clone()), (unheld, 0, 1 << 52, none)]);
    let notes = bench.notes(Trail::Spent).await;
    assert_eq!((&*notes[0].about, &*notes[1].about, &*notes[0].line), (&b"ann"[..], &b""[..], &b"{}"[..]));
    assert_eq!(notes[0].at, Timestamp(START.0 + 1_234_567));
}

async fn what_a_plain_call_spends_is_noted_if_it_passes<S: Store>(bench: Bench<S>) {
    let expense = |about, tokens, money| Expense { about, tokens, money };
    let expenses = [expense(&b"ann"[..], 7, 0), expense(b"", 0, 1 << 52)];
    let take = |unit, units| Charge { op: Op::Take { room: units, charge: units }, ..hold(unit, 0) };
    let counted = |unit, units| Charge { binding: Binding::Counted, ..take(unit, units) };
    let (all, each) = (Admission::AllOrNone, Admission::Each);
    let plain = Charge { freed_by: FreedBy::Time, ..take(Unit::Tokens, 1) };
    let calls: [(_, &[Charge<'_>], _, _); 7] = [
        (all, &[take(Unit::Tokens, 990), take(Unit::Money, 3)], (990, 3), 2),
        (all, &[take(Unit::Tokens, 9), take(Unit::Money, 998)], (990, 3), 2),
        (all, &[take(Unit::Tokens, 11)], (990, 3), 2),
        (all, &[take(Unit::Tokens, 9)], (999, 3), 4),
        (all, &[counted(Unit::Tokens, 5), take(Unit::Money, 1)], (1004, 4), 6),
        (each, &[take(Unit::Money, 1)], (1004, 5), 6),
        (all, &[plain], (1004, 5), 6),
    ];
    for (admission, charges, used, notes) in calls {
        bench.clock.advance(Micros(1_234_567));
        bench.store.charge(Call { charges, admission, expenses: &expenses }).await.unwrap();
        let looks = [take(Unit::Tokens, 0), take(Unit::Money, 0)];
        let look = Call { charges: &looks, admission: each, expenses: &[] };
        let seen = bench.store.charge(look).await.unwrap().outcomes;
        assert_eq!((seen[0].standing.used, seen[1].standing.used), used);
        assert_eq!(bench.notes(Trail::Spent).await.len(), notes);
    }
    let (unheld, none) = (Before::Unheld, Vec::new());
    assert_eq!(bench.spent().await[..2], [(unheld, 7, 0, none.clone()), (unheld, 0, 1 << 52, none)]);
    let notes = bench.notes(Trail::Spent).await;
    assert_eq!((&*notes[0].about, &*notes[1].about, &*notes[0].line), (&b"ann"[..], &b""[..], &b"{}"[..]));
    let passed = [1, 1, 4, 4, 5, 5].map(|calls| Timestamp(START.0 + calls * 1_234_567));
    assert_eq!(notes.iter().map(|note| note.at).collect::<Vec<_>>(), passed);
}

async fn a_trail_is_read_page_by_page<S: Store>(bench: Bench<S>) {
    bench.reserve(1, &[hold(Unit::Money, 30)]).await;
    for money in 1..=25 {
        bench.settle(1, exactly(0, money), &[], Then::More).await;
    }
    let (mut read, mut from) = (0, Place::default());
    loop {
        let page = bench.page(Trail::Spent, from, 10).await;
        let Some(last) = page.last() else { break };
        assert!(page.windows(2).all(|pair| pair[0].place < pair[1].place));
        (read, from) = (read + page.len(), last.place.next());
    }
    assert_eq!(read, 25);
}

async fn refusals_are_told_apart<S: Store>(bench: Bench<S>) {
    bench.reserve(1, &[hold(Unit::Money, 30)]).await;
    bench.settle(1, exactly(0, 5), &[], Then::Done).await;
    bench.store.note_refusal(Timestamp(START.0 + 5), b"whose", b"why");
    let refused = until(|| async { bench.notes(Trail::Refused).await.pop() }).await;
    assert_eq!((refused.at, refused.spending), (Timestamp(START.0 + 5), None));
    assert_eq!((&*refused.about, &*refused.line), (&b"whose"[..], &b"why"[..]));
    assert_eq!(bench.spent().await.len(), 1);
}

/// What `look` finds, as soon as it does.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(mut look: impl FnMut() -> F) -> T {
    for _ in 0..1000 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came");
}

macro_rules! promises {
    ($($promise:ident),* $(,)?) => {
        promises!(in memory: $($promise),*);
        promises!(in redis: $($promise),*);
        promises!(in valkey: $($promise),*);
    };
    (in $store:ident: $($promise:ident),*) => {
        mod $store {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::$promise(super::$store(super::Retention::default()).await).await;
                }
            )*
        }
    };
}

promises!(
    each_settle_tells_by_how_much_its_totals_grew,
    usage_that_nobody_knows_is_told_as_it_was_held,
    late_and_unheld_usage_is_told_as_such,
    what_spends_nothing_leaves_no_note,
    what_is_spent_at_once_is_noted_if_it_is_charged,
    what_a_plain_call_spends_is_noted_if_it_passes,
    a_trail_is_read_page_by_page,
    refusals_are_told_apart,
);
