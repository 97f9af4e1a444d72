//! What of a Redis's own configuration would lose counts, found out at start and every minute.
//!
//! Asked over a pool of its own, away from decisions. Findings are logged when they change and can be read
//! at any time; they never stop a decision. A look that breaks off has found nothing, and is soon made again.

mod permits;
mod rehearsal;

use std::collections::BTreeSet;
use std::fmt;

use deadpool_redis::Pool;

use crate::store::StoreError;

use super::errors::{Failure, Remedy};

use permits::Missing;
use rehearsal::rehearse;

/// Something that an operator of this Redis should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// The last look broke off: what is known is older.
    Unfinished,
    /// It does not tell its configuration.
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
    /// Its user may not do all that is asked of it; with the rules that would permit the rest.
    Forbids(Vec<&'static str>),
    /// Its user may not ask for what tells more; with the rules that would permit that.
    Hides(Vec<&'static str>),
    /// It takes no charges, with the code it gives: its memory or disk is full, or its user may not after all.
    Refuses(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => f.write_str("it could not be looked at; that is tried again"),
            Self::Unchecked => f.write_str("its configuration cannot be read"),
            Self::TooOld(version) => write!(f, "version {version} is too old; 6.2 or later is needed"),
            Self::Evicts(policy) => {
                write!(f, "maxmemory-policy {policy} throws counters away; set it to noeviction")
            }
            Self::NotPersistent => f.write_str("nothing is persisted; set appendonly yes to keep counts"),
            Self::Replica => f.write_str("it is a replica; name the primary"),
            Self::Cluster => f.write_str("it is a node of a cluster, which is not supported"),
            Self::Forbids(rules) => {
                write!(f, "its user may not do all that is asked of it; add to its rules {}", rules.join(" "))
            }
            Self::Hides(rules) => {
                let rules = rules.join(" ");
                write!(
                    f,
                    "its user may not ask for all that tells more, which is done without; add to its rules {rules}"
                )
            }
            Self::Refuses(code) => {
                write!(
                    f,
                    "it refuses charges ({code}); look at the permissions of its user and at its memory"
                )
            }
        }
    }
}

/// That a look broke off: nobody knows what else there is to find.
#[derive(Debug)]
pub(super) struct Unfinished;

/// What there is to find about the Redis behind `pool`.
pub(super) async fn examine(pool: &Pool) -> Result<BTreeSet<Finding>, Unfinished> {
    let mut connection = pool.get().await.map_err(|_| Unfinished)?;
    let info = answered(redis::cmd("INFO").query_async::<String>(&mut connection).await)?;
    let mut save = redis::cmd("CONFIG");
    save.arg("GET").arg("save");
    let snapshots = answered(save.query_async::<Vec<String>>(&mut connection).await)?;
    let snapshots = snapshots.ok().and_then(|reply| reply.into_iter().nth(1));
    let mut findings = match info {
        Ok(info) => judge(&info, snapshots.as_deref()),
        Err(_) => BTreeSet::from([Finding::Unchecked]),
    };
    let Missing { needed, helping } = permits::missing(&mut connection).await.map_err(|_| Unfinished)?;
    let refused = answered(rehearse(&mut connection).await)?.err();
    // What is missing is told by its rules.
    findings.extend(refused.filter(|refused| needed.is_empty() || !refused.is_of_permission()));
    findings.extend((!needed.is_empty()).then_some(Finding::Forbids(needed)));
    findings.extend((!helping.is_empty()).then_some(Finding::Hides(helping)));
    Ok(findings)
}

impl Finding {
    fn is_of_permission(&self) -> bool {
        matches!(self, Self::Refuses(code) if code.starts_with("NOPERM"))
    }
}

/// What was answered, or the finding that the refusal is. Without either the look is at its end.
fn answered<T>(reply: Result<T, impl Into<Failure>>) -> Result<Result<T, Finding>, Unfinished> {
    match reply.map_err(Into::into) {
        Ok(answer) => Ok(Ok(answer)),
        Err(Failure { error: StoreError::Refused { code }, remedy: Remedy::Keep }) => {
            Ok(Err(Finding::Refuses(code)))
        }
        Err(Failure { error: StoreError::Refused { code }, .. }) if code == "READONLY" => {
            Ok(Err(Finding::Replica))
        }
        Err(_) => Err(Unfinished),
    }
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
