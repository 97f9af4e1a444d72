//! The secret under which counters are named, made once in the store unless the operator gives one.

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisResult};

use crate::limits::KeySecret;

use super::keys;

/// Offers `ours` and returns what is there: the first to come made the secret for all.
pub(super) async fn agree(connection: &mut MultiplexedConnection, ours: KeySecret) -> RedisResult<KeySecret> {
    let mut offer = redis::cmd("SET");
    offer.arg(keys::SECRET).arg(&ours.0[..]).arg("NX");
    let offered = offer.query_async::<redis::Value>(connection).await;
    let kept: Option<Vec<u8>> = redis::cmd("GET").arg(keys::SECRET).query_async(connection).await?;
    let Some(kept) = kept else {
        // A server that takes no writes has kept nothing: what it said to the offer is the reason.
        return offered.map(|_| ours);
    };
    let kept = <[u8; 16]>::try_from(kept)
        .map_err(|_| (ErrorKind::UnexpectedReturnType, "tollgate:secret does not hold 16 bytes"))?;
    Ok(KeySecret(kept))
}
