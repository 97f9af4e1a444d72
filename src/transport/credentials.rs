//! What a request says about who sends it, on whichever wire: read from its head, and shown to the gate.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Uri};

use super::listener::Peer;
use crate::audit::Actor;
use crate::auth::{Caller, Gate, Refusal};

/// Who asks for `uri` with `headers`, on a connection of `peer`.
///
/// # Errors
///
/// Why `gate` does not let them in.
pub(crate) fn admit(gate: &Gate, headers: &HeaderMap, uri: &Uri, peer: &Peer) -> Result<Actor, Refusal> {
    let authorization: Vec<&[u8]> =
        headers.get_all(AUTHORIZATION).iter().map(|value| value.as_bytes()).collect();
    let certificate = &peer.names;
    gate.admit(&Caller {
        authorization: &authorization,
        certificate,
        target: target(uri),
        from: peer.address,
    })
}

/// The path and query, as they were sent.
pub(crate) fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("", |target| target.as_str())
}
