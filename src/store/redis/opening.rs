//! What is done on a connection before it is used and while it is, and what all connections find out.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Script};

use crate::limits::KeySecret;

use super::client::Step;
use super::errors::{Remedy, classify};
use super::{Finding, keys, lua, secret};

/// What connections find out for everyone.
pub(super) struct Shared {
    secret: ArcSwap<KeySecret>,
    given: bool,
    /// Whether the secret is the store's, and not only this instance's own.
    is_agreed: AtomicBool,
    pub(super) findings: ArcSwap<BTreeSet<Finding>>,
}

impl Shared {
    /// Before anything is found out; with the secret that the operator gave, if one was given.
    pub(super) fn new(secret: Option<KeySecret>) -> Self {
        Self {
            secret: ArcSwap::from_pointee(secret.unwrap_or_else(KeySecret::random)),
            given: secret.is_some(),
            is_agreed: AtomicBool::new(secret.is_some()),
            findings: ArcSwap::default(),
        }
    }

    /// The secret under which counters are named, as far as it is known.
    pub(super) fn secret(&self) -> KeySecret {
        **self.secret.load()
    }

    /// The same, once all instances go by it.
    pub(super) fn agreed_secret(&self) -> Option<KeySecret> {
        self.is_agreed.load(Ordering::Acquire).then(|| self.secret())
    }

    /// Makes sure that all instances name counters under one secret.
    async fn agree(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let ours = self.secret();
        if self.given {
            return Ok(());
        }
        let agreed = secret::agree(connection, ours).await?;
        if agreed != ours {
            self.secret.store(Arc::new(agreed));
        }
        self.is_agreed.store(true, Ordering::Release);
        Ok(())
    }
}

/// What is done on a new connection: the scripts are there, the secret is agreed on, and writing was tried, so
/// that a replica or a server that is still loading is left again before anyone asks it.
pub(super) async fn open(shared: Arc<Shared>, mut connection: MultiplexedConnection) -> RedisResult<()> {
    for script in [&lua::CHARGE, &lua::RESERVE, &lua::SETTLE] {
        Script::new(script).load_async(&mut connection).await?;
    }
    shared.agree(&mut connection).await?;
    let mut probe = redis::cmd("SET");
    probe.arg(keys::PROBE).arg("").arg("PX").arg(1000);
    match probe.query_async::<redis::Value>(&mut connection).await.map_err(|error| (classify(&error), error))
    {
        Err(((_, Remedy::Reconnect), error)) => Err(error),
        Err(((refused, _), _)) => {
            tracing::warn!(reason = refused.to_string(), "the store cannot be written to");
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// What is done on a connection while nobody complains about it. A Redis that has lost its data is given the
/// secret again before long, or else instances that start from then on would count under another.
pub(super) async fn beat(shared: Arc<Shared>, mut connection: MultiplexedConnection) -> RedisResult<()> {
    if shared.given {
        return redis::cmd("PING").query_async(&mut connection).await;
    }
    shared.agree(&mut connection).await
}

/// `work` with its own hold of what all connections share.
pub(super) fn step<F>(shared: &Arc<Shared>, work: fn(Arc<Shared>, MultiplexedConnection) -> F) -> Step
where
    F: Future<Output = RedisResult<()>> + Send + 'static,
{
    let shared = shared.clone();
    Arc::new(move |connection| Box::pin(work(shared.clone(), connection)))
}
