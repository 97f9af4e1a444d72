//! What a request says about who sends it, on whichever wire: read from its head, and shown to the gate.

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Uri};
use smallvec::SmallVec;

use super::listener::Peer;
use crate::audit::Actor;
use crate::auth::{Caller, Domains, Gate, Pass, Refusal};

/// Who asks for `uri` with `headers`, on a connection of `peer`.
///
/// # Errors
///
/// Why `gate` does not let them in.
pub(crate) fn admit(gate: &Gate, headers: &HeaderMap, uri: &Uri, peer: &Peer) -> Result<Actor, Refusal> {
    gate.admit(&caller(&sent(headers), uri, peer))
}

/// Whose call it is that was sent to `uri` with `headers`, on a connection of `peer`.
///
/// # Errors
///
/// Why `gate` does not let them in.
pub(super) fn enter(
    gate: &Gate<Domains>,
    headers: &HeaderMap,
    uri: &Uri,
    peer: &Peer,
) -> Result<Pass, Refusal> {
    gate.enter(&caller(&sent(headers), uri, peer))
}

/// Whether `headers` say who sends them.
pub(super) fn are_among(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION)
}

/// Every header that says who sends it. There is one.
fn sent(headers: &HeaderMap) -> SmallVec<[&[u8]; 1]> {
    headers.get_all(AUTHORIZATION).iter().map(|value| value.as_bytes()).collect()
}

fn caller<'a>(authorization: &'a [&'a [u8]], uri: &'a Uri, peer: &'a Peer) -> Caller<'a> {
    Caller { authorization, certificate: &peer.names, target: target(uri), from: peer.address }
}

/// The path and query, as they were sent.
pub(crate) fn target(uri: &Uri) -> &str {
    uri.path_and_query().map_or("", |target| target.as_str())
}
