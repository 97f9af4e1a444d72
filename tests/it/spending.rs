//! What plain calls spend of tokens and money over Redis: charged and written down in one step, together with others.

use std::sync::Arc;

use tollgate::algorithm::{Op, Rule};
use tollgate::clock::Clock;
use tollgate::engine::{Check, CheckRequest, Code, Descriptor, Engine, EngineSettings};
use tollgate::limits::{CounterKey, Entry, LimitsHandle, Number, OnError, Unit, Window};
use tollgate::store::redis::RedisStore;
use tollgate::store::{
    Admission, Answer, Binding, Call, Charge, Expense, FreedBy, Page, Place, Store, StoreError, Trail,
};

use crate::support::embedded::rules;
use crate::support::redis::RedisServer;
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

/// Takes one token from counter `id`, and has that noted if it is to be.
async fn take(store: &RedisStore, id: u128, expenses: &[Expense<'_>]) -> Result<Answer, StoreError> {
    let charge = Charge {
        key: CounterKey { tag: 1, id },
        overflow: id,
        rule: Rule { window: &Window::Total { forget: None }, number: Number::AtMost(100) },
        op: Op::Take { room: 1, charge: 1 },
        binding: Binding::Enforced,
        on_error: OnError::Deny,
        freed_by: FreedBy::Holders,
        unit: Unit::Tokens,
        memo: 0,
    };
    store.charge(Call { charges: &[charge], admission: Admission::AllOrNone, expenses }).await
}

#[tokio::test]
async fn what_cannot_be_noted_is_not_charged_and_hinders_nobody_else() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let store = server.store(Clock::System).await;
        let expense = [Expense { about: b"", tokens: 1, money: 0 }];
        let used = |answer: &Result<Answer, StoreError>| {
            answer.as_ref().map(|answer| answer.outcomes[0].standing.used).map_err(Clone::clone)
        };
        take(&store, 1, &expense).await.unwrap();
        let told = |value: &str| {
            redis::cmd("DEL").arg(TRAIL).exec(&mut server.connection()).unwrap();
            redis::cmd("SET").arg(TRAIL).arg(value).exec(&mut server.connection()).unwrap();
        };
        told("no stream");
        let mixed: [&[Expense<'_>]; 4] = [&expense, &[], &expense, &[]];
        let answers = together(mixed.map(|expenses| take(&store, 1, expenses)).into()).await;
        let refused = |code: &str| Err(StoreError::Refused { code: code.to_owned() });
        let undone = refused("XADD");
        assert_eq!(answers.iter().map(used).collect::<Vec<_>>(), [undone.clone(), Ok(2), undone, Ok(3)]);
        let alone = take(&store, 1, &expense).await;
        assert_eq!(used(&alone), refused("WRONGTYPE"), "{tool:?}");
        redis::cmd("DEL").arg(TRAIL).exec(&mut server.connection()).unwrap();
        assert_eq!(used(&take(&store, 1, &expense).await), Ok(4));
        assert_eq!(noted(&store).await, 1);
    }
}
