//! What plain calls spend of tokens and money over Redis: charged and written down in one step, together with others.

use std::sync::Arc;
use std::time::Duration;

use tollgate::algorithm::{Op, Rule};
use tollgate::clock::Clock;
use tollgate::engine::{Check, CheckRequest, Code, Descriptor, Engine, EngineSettings};
use tollgate::limits::{CounterKey, Entry, LimitsHandle, Number, OnError, Unit, Window};
use tollgate::store::redis::RedisStore;
use tollgate::store::{
    Admission, Answer, Binding, Call, Charge, Expense, FreedBy, Page, Place, Store, StoreError, Trail,
};

use crate::support::embedded::rules;
use crate::support::redis::{RedisServer, tell};
use crate::support::together::together;
use crate::support::tools::Tool;

const CALLERS: u32 = 64;
const CALLS: u32 = 20;
const TRAIL: &str = "tollgate:usage:spent";

async fn spend(engine: &Arc<Engine<RedisStore>>, tokens: u32) -> Code {
    let entries = [("limit", "budget"), ("user", "ann")];
    let entries = entries.map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() });
    let descriptors = vec![Descriptor { entries: entries.to_vec().into(), ..Descriptor::default() }].into();
    engine.check(CheckRequest { domain: b"llm", descriptors, hits: tokens }).await.unwrap().code
}

async fn noted(store: &impl Store) -> u64 {
    let page = Page { trail: Trail::Spent, from: Place::default(), most: 100_000 };
    let notes = store.notes(page).await.unwrap();
    notes.iter().map(|note| note.spending.as_ref().unwrap().tokens).sum()
}

#[tokio::test]
async fn what_is_spent_at_the_same_time_is_charged_and_noted_together() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let store = server.store(Clock::System).await;
        let rules = rules("domains: {llm: {per: user, limits: {budget: 5000 tokens/month}}}");
        let engine = Arc::new(Engine::new(LimitsHandle::new(rules), store, EngineSettings::default()));
        let before = server.times_made("evalsha");
        let caller = async |tokens: u32| {
            let mut spent = 0_u64;
            for _ in 0..CALLS {
                if spend(&engine, tokens).await == Code::Ok {
                    spent += u64::from(tokens);
                }
            }
            spent
        };
        let spent: u64 = together((1..=CALLERS).map(caller).collect()).await.into_iter().sum();
        let run = server.times_made("evalsha") - before;
        assert!((4_900..=5_000).contains(&spent), "{spent}");
        assert_eq!(noted(engine.store()).await, spent, "{tool:?}");
        assert!(run <= CALLERS * CALLS / 10, "{run} calls for {} decisions", CALLERS * CALLS);
    }
}

/// Asks for room for one token of counter `id`, of which there are 100, and takes `tokens`; has that noted if it is to be.
async fn ask(
    store: &RedisStore,
    id: u128,
    tokens: u64,
    expenses: &[Expense<'_>],
) -> Result<Answer, StoreError> {
    let charge = Charge {
        key: CounterKey { tag: 1, id },
        overflow: id,
        rule: Rule { window: &Window::Total { forget: None }, number: Number::AtMost(100) },
        op: Op::Take { room: tokens.max(1), charge: tokens },
        binding: Binding::Enforced,
        on_error: OnError::Deny,
        freed_by: FreedBy::Holders,
        unit: Unit::Tokens,
        memo: 0,
    };
    store.charge(Call { charges: &[charge], admission: Admission::AllOrNone, expenses }).await
}

const SPENT: [Expense<'static>; 1] = [Expense { about: b"", tokens: 1, money: 0 }];

fn used(answer: &Result<Answer, StoreError>) -> Result<u64, StoreError> {
    answer.as_ref().map(|answer| answer.outcomes[0].standing.used).map_err(Clone::clone)
}

fn refused<T>(code: &str) -> Result<T, StoreError> {
    Err(StoreError::Refused { code: code.to_owned() })
}

#[tokio::test]
async fn what_cannot_be_noted_is_not_charged_and_hinders_nobody_else() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let store = server.store(Clock::System).await;
        ask(&store, 1, 1, &SPENT).await.unwrap();
        ask(&store, 2, 99, &[]).await.unwrap();
        tell(&server, &["DEL", TRAIL]);
        tell(&server, &["SET", TRAIL, "no stream"]);
        let mixed: [&[Expense<'_>]; 4] = [&SPENT, &[], &SPENT, &[]];
        let answers = together(mixed.map(|expenses| ask(&store, 1, 1, expenses)).into()).await;
        let undone = refused("WRONGTYPE");
        let each = answers.iter().map(used).collect::<Vec<_>>();
        assert_eq!(each, [undone.clone(), Ok(2), undone.clone(), Ok(3)], "{tool:?}");
        assert_eq!(used(&ask(&store, 1, 1, &SPENT).await), undone, "{tool:?}");
        // Beside it who writes nothing: one who looks, and some who are refused, also of what they would spend.
        let asked: [(u64, &[Expense<'_>]); 5] = [(1, &SPENT), (0, &[]), (2, &[]), (1, &SPENT), (2, &SPENT)];
        let answers = together(asked.map(|(tokens, expenses)| ask(&store, 2, tokens, expenses)).into()).await;
        let each = answers.iter().map(used).collect::<Vec<_>>();
        assert_eq!(each, [undone.clone(), Ok(99), Ok(99), undone, Ok(99)], "{tool:?}");
        let passed = [1, 2, 4].map(|place: usize| answers[place].as_ref().unwrap().outcomes[0].is_admitted());
        assert_eq!(passed, [true, false, false], "{tool:?}");
        tell(&server, &["DEL", TRAIL]);
        assert_eq!(used(&ask(&store, 1, 1, &SPENT).await), Ok(4));
        assert_eq!(noted(&store).await, 1);
    }
}

#[tokio::test]
async fn what_is_spent_is_not_noted_beside_a_counter_that_nobody_can_read() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let store = server.store(Clock::System).await;
        tell(&server, &["LPUSH", &format!("tollgate:{{{:016x}}}:{:032x}", 1, 9), "no counter"]);
        let answers = together([1, 9].map(|id| ask(&store, id, 1, &SPENT)).into()).await;
        assert!(answers.iter().all(Result::is_err), "{tool:?}");
        assert_eq!(used(&ask(&store, 1, 0, &[]).await), Ok(0), "{tool:?}");
        assert_eq!(noted(&store).await, 0, "{tool:?}");
    }
}

#[tokio::test]
async fn of_a_full_redis_those_hear_who_would_write() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let store = server.store(Clock::System).await;
        ask(&store, 1, 99, &[]).await.unwrap();
        tell(&server, &["CONFIG", "SET", "maxmemory", "1"]);
        let full = refused("OOM");
        for first in [&[][..], &SPENT] {
            let asked: [(u64, &[Expense<'_>]); 5] = [(1, first), (0, &[]), (2, &SPENT), (1, &[]), (2, &[])];
            let answers =
                together(asked.map(|(tokens, expenses)| ask(&store, 1, tokens, expenses)).into()).await;
            let each = answers.iter().map(used).collect::<Vec<_>>();
            assert_eq!(each, [full.clone(), Ok(99), Ok(99), full.clone(), Ok(99)], "{tool:?}");
            let passed =
                [1, 2, 4].map(|place: usize| answers[place].as_ref().unwrap().outcomes[0].is_admitted());
            assert_eq!(passed, [true, false, false], "{tool:?}");
        }
        tell(&server, &["CONFIG", "SET", "maxmemory", "0"]);
        assert_eq!(used(&ask(&store, 1, 1, &SPENT).await), Ok(100), "what failed was not counted");
        assert_eq!(noted(&store).await, 1, "{tool:?}");
    }
}

#[tokio::test]
async fn a_replica_is_left_also_by_those_who_only_look() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let store = server.store(Clock::System).await;
        tell(&server, &["REPLICAOF", "127.0.0.1", "1"]);
        let asked: [(u64, &[Expense<'_>]); 2] = [(1, &SPENT), (0, &[])];
        let mut heard = Vec::new();
        for _ in 0..2000 {
            let asks = asked.map(|(tokens, expenses)| ask(&store, 1, tokens, expenses));
            heard.push(together(asks.into()).await.iter().map(used).collect::<Vec<_>>());
            if heard.last() == Some(&vec![Err(StoreError::Unavailable); 2]) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(heard.pop(), Some(vec![Err(StoreError::Unavailable); 2]), "{tool:?} is left");
        assert_eq!(heard[0], [refused("READONLY"), refused("READONLY")], "{tool:?}");
    }
}
