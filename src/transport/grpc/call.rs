//! One `ShouldRateLimit` call, from the end of its headers to its decision as it is sent.
//!
//! It knows nothing of connections: who drives it sends what comes of it. It waits only for the caller's bytes
//! and for the store, and nothing is charged before the whole request is there; dropped at any point it does no
//! harm, because a charge is made whole or not at all, and what is held for nobody is given back.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use h2::RecvStream;
use http::{HeaderMap, HeaderName};
use tonic::Status;

use crate::auth::Pass;
use crate::engine::{Check, Unclaimed};

use super::message::Messages;
use super::{Service, decode, encode, status};

/// The path of the call.
pub(super) const SHOULD_RATE_LIMIT: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

/// What comes of a call.
pub(super) type Decided = Result<Answer, Undecided>;

/// The decision, in its frame.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) frame: Bytes,
    /// What is held for the caller, to be claimed once the frame is sent.
    pub(super) unclaimed: Option<Unclaimed>,
}

/// Why a call has no decision.
#[derive(Debug)]
pub(super) enum Undecided {
    /// It cannot be decided, and this says why.
    Status(Status),
    /// Nobody waits for an answer.
    Gone,
}

impl From<Status> for Undecided {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

/// Whether a call with these headers is taken: its messages may be compressed by nothing.
pub(super) fn takes(headers: &HeaderMap) -> Result<(), Status> {
    match headers.get(&GRPC_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(status::compressed(encoding)),
        _ => Ok(()),
    }
}

/// Reads `body` to its end and decides what it asks, if whoever has `pass` may ask that. A call that makes the program panic ends alone.
pub(super) fn decide<C: Check>(
    service: Arc<Service<C>>,
    body: RecvStream,
    pass: Option<Pass>,
) -> impl Future<Output = Decided> + Send + 'static {
    AssertUnwindSafe(read_and_check(service, body, pass))
        .catch_unwind()
        .map(|ended| ended.unwrap_or_else(|_| Err(status::broken().into())))
}

async fn read_and_check<C: Check>(service: Arc<Service<C>>, body: RecvStream, pass: Option<Pass>) -> Decided {
    let mut messages = Messages::of(body, &service.settings);
    let first = messages.next().await?.ok_or_else(|| status::no_frame("there is no message"))?;
    if !messages.are_over() {
        pass_over(&first, messages).await?;
    }
    let request = decode::request(&first).map_err(status::malformed)?;
    if let Some(pass) = pass {
        pass.permit(request.domain).map_err(status::refused)?;
    }
    let deciding = service.check.check(request);
    let decision = deciding.await.map_err(|error| status::invalid(&error))?;
    Ok(Answer { frame: encode::response(&decision), unclaimed: decision.unclaimed })
}

/// Reads what comes after `first`, which means nothing, to the end of the call. It keeps bytes while it waits and
/// no request: that can take a hundred times the room, for as long as the caller likes.
async fn pass_over(first: &[u8], mut messages: Messages) -> Result<(), Undecided> {
    decode::request(first).map_err(status::malformed)?;
    while let Some(more) = messages.next().await? {
        decode::request(&more).map_err(status::malformed)?;
    }
    Ok(())
}
