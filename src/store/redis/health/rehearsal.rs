//! All that decisions do, done on keys that nobody counts on: permissions are given by command and key, and only this
//! tells whether all of them are.

use redis::aio::ConnectionLike;
use redis::{RedisResult, Script};

use crate::algorithm::{Op, Rule};
use crate::clock::{Micros, Timestamp};
use crate::limits::{CounterKey, MAX_AMOUNT, Number, OnError, Unit, Window};
use crate::store::redis::batch::Batch;
use crate::store::redis::errors::{Failure, told_to_script};
use crate::store::redis::script::{self, Time};
use crate::store::redis::{keys, ledger, lua, trails};
use crate::store::{Admission, Binding, Call, Charge, Due, FreedBy, Life, Reserve, Settle, Spent, Then};

/// Does all of it, and leaves nothing behind.
pub(super) async fn rehearse(connection: &mut impl ConnectionLike) -> Result<(), Failure> {
    let script = Script::new(&lua::CHARGE);
    script.load_async(connection).await?;
    // Begun, added to, and given up: cells are so long that none ends meanwhile, on however busy a machine.
    let take = Op::Take { room: 1, charge: 1 };
    for op in [take, take, Op::GiveBack { units: MAX_AMOUNT }] {
        let command = rehearsal(op).command(script.get_hash(), Time::Redis { until: None });
        let (_, refusal) = script::take_apart(command.query_async(connection).await?)?;
        if let Some(refusal) = refusal {
            return Err(told_to_script(&String::from_utf8_lossy(&refusal)));
        }
    }
    rehearse_reservations(connection).await?;
    ledger::rehearse(connection).await?;
    // What a pool asks of a connection before it gives it out again: where that is refused, it makes another each time.
    redis::cmd("UNWATCH").query_async::<()>(connection).await?;
    Ok(trails::rehearse(connection).await?)
}

/// The same of reservations: a hold that lapses, two that are taken when that is seen, one that is refused beside them; then
/// they are let go, long before they would lapse.
async fn rehearse_reservations(connection: &mut impl ConnectionLike) -> RedisResult<()> {
    let (reserve, settle) = (Script::new(&lua::RESERVE), Script::new(&lua::SETTLE));
    for script in [&reserve, &settle] {
        script.load_async(connection).await?;
    }
    let (by, believed) = (Time::Redis { until: None }, Timestamp::default);
    let window = Window::Total { forget: None };
    let charges = [rehearsed(0, &window, Number::AtMost(2), Op::Hold { fixed: 1, flexible: 0 })];
    let name = |id| CounterKey { tag: 0, id };
    let (least, long) = (Micros(1), Micros::from_secs(10));
    for (id, ttl) in [(1, least), (2, long), (3, long), (4, least)] {
        let life = Life { ttl, max_age: ttl, keep: least };
        let call = Reserve {
            name: name(id),
            body: 0,
            charges: &charges,
            accepts_less: None,
            life,
            about: &[],
            expenses: &[],
        };
        let command = script::reserve(&call, reserve.get_hash(), by, believed, 1);
        command.query_async::<redis::Value>(connection).await?;
    }
    let nothing = Spent { tokens: Due::Exactly(0), money: Due::Exactly(0) };
    for id in [2, 3] {
        let call = Settle {
            name: name(id),
            spent: nothing,
            then: Then::Released,
            otherwise: &[],
            keep: least,
            report: None,
        };
        let command = script::settle((&call, &[]), settle.get_hash(), by, believed, 0);
        command.query_async::<redis::Value>(connection).await?;
    }
    let mut forget = redis::cmd("DEL");
    for id in 1..=4 {
        forget.arg(&keys::record(name(id))[..]);
    }
    forget.query_async(connection).await
}

fn rehearsal(op: Op) -> Batch {
    let windows = [Window::Sliding { length: Micros::from_secs(3600) }, Window::Total { forget: None }];
    let charges: Vec<Charge<'_>> = (0..)
        .zip(&windows)
        .map(|(id, window)| Charge {
            binding: Binding::Counted,
            freed_by: FreedBy::Hand,
            ..rehearsed(id, window, Number::Unlimited, op)
        })
        .collect();
    let call = Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] };
    Batch::of(&[script::pack(&call, Timestamp::default, 0)])
}

fn rehearsed(id: u128, window: &Window, number: Number, op: Op) -> Charge<'_> {
    Charge {
        key: CounterKey { tag: 0, id },
        overflow: id,
        rule: Rule { window, number },
        op,
        binding: Binding::Enforced,
        on_error: OnError::Allow,
        freed_by: FreedBy::Holders,
        unit: Unit::Hits,
        memo: 0,
    }
}
