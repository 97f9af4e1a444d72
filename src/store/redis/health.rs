//! What of a Redis's own configuration would lose counts, found out at start and every minute.
//!
//! Asked over a pool of its own, away from decisions. Findings are logged when they change and can be read
//! at any time; they never stop a decision.

use std::collections::BTreeSet;
use std::fmt;

use deadpool_redis::Pool;
use redis::aio::ConnectionLike;
use redis::{FromRedisValue, RedisResult, Script};

use crate::algorithm::{Op, Rule};
use crate::clock::{Micros, Timestamp};
use crate::limits::{CounterKey, MAX_AMOUNT, Number, OnError, Unit, Window};
use crate::store::{
    Admission, Binding, Call, Charge, Due, FreedBy, Life, Reserve, Settle, Spent, StoreError, Then,
};

use super::batch::Batch;
use super::errors::{Remedy, classify};
use super::keys;
use super::lua;
use super::script::{self, Time};
use super::trails;

/// Something that an operator of this Redis should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// The check itself could not be made.
    Unchecked,
    /// Older than 6.2, with the version it tells.
    TooOld(String),
    /// It throws counters away when memory is short; with the policy it tells.
    Evicts(String),
    /// Neither a log nor snapshots: counts do not survive its restart.
    NotPersistent,
    /// A replica: nothing can be counted on it.
    Replica,
    /// A node of a cluster, asked as if it were alone.
    Cluster,
    /// It takes no charges, with the code it gives: its user may not, or its memory or disk is full.
    Refuses(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchecked => f.write_str("its configuration cannot be read"),
            Self::TooOld(version) => write!(f, "version {version} is too old; 6.2 or later is needed"),
            Self::Evicts(policy) => {
                write!(f, "maxmemory-policy {policy} throws counters away; set it to noeviction")
            }
            Self::NotPersistent => f.write_str("nothing is persisted; set appendonly yes to keep counts"),
            Self::Replica => f.write_str("it is a replica; name the primary"),
            Self::Cluster => f.write_str("it is a node of a cluster, which is not supported"),
            Self::Refuses(code) => {
                write!(
                    f,
                    "it refuses charges ({code}); look at the permissions of its user and at its memory"
                )
            }
        }
    }
}

/// What there is to find about the Redis behind `pool`.
pub(super) async fn examine(pool: &Pool) -> BTreeSet<Finding> {
    let Some(info) = ask::<String>(pool, redis::cmd("INFO")).await else {
        return BTreeSet::from([Finding::Unchecked]);
    };
    let mut save = redis::cmd("CONFIG");
    save.arg("GET").arg("save");
    let snapshots = ask::<Vec<String>>(pool, save).await.and_then(|reply| reply.into_iter().nth(1));
    let mut findings = judge(&info, snapshots.as_deref());
    if let Err(error) = rehearse(pool).await
        && let (StoreError::Refused { code }, Remedy::Keep) = classify(&error)
    {
        findings.insert(Finding::Refuses(code));
    }
    findings
}

/// Does all that decisions do, on keys that nobody counts on, and leaves nothing behind: permissions are given
/// by command and key, and only this tells whether all of them are.
async fn rehearse(pool: &Pool) -> RedisResult<()> {
    let Ok(mut connection) = pool.get().await else { return Ok(()) };
    let script = Script::new(&lua::CHARGE);
    script.load_async(&mut connection).await?;
    // Begun, added to, and given up.
    let take = Op::Take { room: 1, charge: 1 };
    for op in [take, take, Op::GiveBack { units: MAX_AMOUNT }] {
        let command = rehearsal(op).command(script.get_hash(), Time::Redis { until: None });
        command.query_async::<redis::Value>(&mut connection).await?;
    }
    rehearse_reservations(&mut connection).await?;
    trails::rehearse(&mut connection).await
}

/// The same of reservations: a hold that lapses, one that is seen to lapse before, one that is refused beside it; then it
/// is let go.
async fn rehearse_reservations(connection: &mut impl ConnectionLike) -> RedisResult<()> {
    let (reserve, settle) = (Script::new(&lua::RESERVE), Script::new(&lua::SETTLE));
    for script in [&reserve, &settle] {
        script.load_async(connection).await?;
    }
    let (by, believed) = (Time::Redis { until: None }, Timestamp::default);
    let window = Window::Total { forget: None };
    let charges = [rehearsed(0, &window, Number::AtMost(1), Op::Hold { fixed: 1, flexible: 0 })];
    let name = |id| CounterKey { tag: 0, id };
    let (least, second) = (Micros(1), Micros::from_secs(1));
    for (id, ttl) in [(1, least), (2, second), (3, least)] {
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
    let call = Settle {
        name: name(2),
        spent: nothing,
        then: Then::Released,
        otherwise: &[],
        keep: least,
        report: None,
    };
    let command = script::settle(&call, settle.get_hash(), by, believed, 0);
    command.query_async::<redis::Value>(connection).await?;
    let mut forget = redis::cmd("DEL");
    for id in 1..=3 {
        forget.arg(&keys::record(name(id))[..]);
    }
    forget.query_async(connection).await
}

fn rehearsal(op: Op) -> Batch {
    let windows = [Window::Sliding { length: Micros::from_secs(1) }, Window::Total { forget: None }];
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

async fn ask<T: FromRedisValue>(pool: &Pool, command: redis::Cmd) -> Option<T> {
    let mut connection = pool.get().await.ok()?;
    command.query_async(&mut connection).await.ok()
}

/// Judges a reply to INFO, and the snapshots configured if they are known.
fn judge(info: &str, snapshots: Option<&str>) -> BTreeSet<Finding> {
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_end)
    };
    let mut findings = BTreeSet::new();
    if let Some(version) = field("redis_version").filter(|version| is_too_old(version)) {
        findings.insert(Finding::TooOld(version.to_owned()));
    }
    if let Some(policy) = field("maxmemory_policy").filter(|policy| *policy != "noeviction") {
        findings.insert(Finding::Evicts(policy.to_owned()));
    }
    if field("aof_enabled") == Some("0") && snapshots == Some("") {
        findings.insert(Finding::NotPersistent);
    }
    if field("role") == Some("slave") {
        findings.insert(Finding::Replica);
    }
    if field("cluster_enabled") == Some("1") {
        findings.insert(Finding::Cluster);
    }
    findings
}

fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next()) < (6, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_kept_redis_gives_nothing_to_say() {
        let info = "redis_version:6.2.0\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\n";
        assert!(judge(info, Some("")).is_empty());
        assert!(judge(&info.replace("aof_enabled:1", "aof_enabled:0"), Some("3600 1")).is_empty());
    }

    #[test]
    fn what_loses_counts_is_found() {
        let info = "redis_version:5.0.14\r\nmaxmemory_policy:volatile-ttl\r\naof_enabled:0\r\n\
                    role:slave\r\ncluster_enabled:1\r\n";
        let found = judge(info, Some(""));
        let policy = Finding::Evicts("volatile-ttl".to_owned());
        let old = Finding::TooOld("5.0.14".to_owned());
        assert_eq!(
            found,
            BTreeSet::from([policy, old, Finding::NotPersistent, Finding::Replica, Finding::Cluster])
        );
    }
}
