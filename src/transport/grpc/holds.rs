//! The limit service: holds, settled and released. Wire ⇄ engine, and nothing else.
//!
//! Each call names its domain, by its subject or by the hold that it is about: where callers are asked who they are, they ask
//! about theirs alone. It is tonic's, behind the rate limit call on the same port. Texts are read as bytes: none that a caller sends makes a
//! call undecodable. What is held for a caller who has gone before its answer was sent is given back, unless it named it.

use std::borrow::Cow;

use prost::bytes::Bytes;
use prost_types::Duration;
use tonic::{Extensions, Request, Response, Status};

use crate::auth::{Pass, Refusal};
use crate::clock::Micros;
use crate::engine::{
    Amount, Done, Granted, Hold, InvalidHold, Named, Partial, Progress, ReleaseRequest, ReserveRequest,
    SettleRequest, SubjectOf, Timing, UsageOf,
};
use crate::limits::Entry;
use crate::money::NanoUsd;

use super::proto::tollgate::v1 as wire;
use super::proto::tollgate::v1::limit_service_server::{LimitService, LimitServiceServer, SERVICE_NAME};
use super::standing::{decision, instant, standing, time};
use super::{GrpcSettings, status};

/// The service in front of `hold`, for `whom`.
pub(super) fn service<H: Hold>(hold: H, settings: &GrpcSettings, whom: Whom) -> LimitServiceServer<Holds<H>> {
    LimitServiceServer::new(Holds { hold, whom }).max_decoding_message_size(settings.max_message_bytes)
}

/// Whether a call to `path` is one of this service.
pub(super) fn is_asked(path: &str) -> bool {
    path.strip_prefix('/')
        .and_then(|rest| rest.strip_prefix(SERVICE_NAME))
        .is_some_and(|rest| rest.starts_with('/'))
}

/// Whose calls are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Everybody's.
    All,
    /// Those with a [`Pass`] in their extensions.
    Known,
}

/// The service.
#[derive(Debug)]
pub(super) struct Holds<H> {
    hold: H,
    whom: Whom,
}

impl<H: Hold> Holds<H> {
    /// Refuses a call with these `extensions`, unless it may be about what `is_of` is asked for each domain that its caller
    /// has.
    fn admit(&self, extensions: &Extensions, is_of: impl Fn(&[u8]) -> bool) -> Result<(), Status> {
        let permitted = match (self.whom, extensions.get::<Pass>()) {
            (Whom::All, _) => Ok(()),
            (Whom::Known, Some(pass)) => pass.permit_where(is_of),
            (Whom::Known, None) => Err(Refusal::Missing),
        };
        permitted.map_err(status::refused)
    }

    /// Whether what is named by `handle`, or else by its `subject`, is of `domain`. What names nothing is nobody else's: who
    /// sends it hears what it lacks.
    fn is_of(&self, handle: &[u8], subject: Option<&wire::Subject>, domain: &[u8]) -> bool {
        let named = subject.map_or(&b""[..], |subject| &subject.domain);
        match handle {
            b"" => named.is_empty() || named == domain,
            handle => self.hold.is_of(handle, domain),
        }
    }
}

#[tonic::async_trait]
impl<H: Hold> LimitService for Holds<H> {
    async fn reserve(
        &self,
        request: Request<wire::ReserveRequest>,
    ) -> Result<Response<wire::ReserveResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        self.admit(&extensions, |domain| self.is_of(b"", message.subject.as_ref(), domain))?;
        let hold = self.hold.clone();
        to_the_end(async move {
            let answer = hold.reserve(reserving(&message)).await.map_err(|error| status::unheld(&error))?;
            let model = message.estimate.map(|estimate| in_letters(&estimate.model)).unwrap_or_default();
            let mut response = Response::new(wire::ReserveResponse {
                decision: decision(answer.ruling).into(),
                reservation: answer.handle.map(|handle| handle.to_string()).unwrap_or_default(),
                granted: answer.granted.map(|granted| wire::Usage { model, ..self::granted(&granted) }),
                standings: answer.standings.iter().map(standing).collect(),
                expires_at: answer.until.map(time),
                replayed: answer.done == Done::Before,
            });
            if let Some(unclaimed) = answer.unclaimed {
                response.extensions_mut().insert(unclaimed);
            }
            Ok(response)
        })
        .await
    }

    async fn settle(
        &self,
        request: Request<wire::SettleRequest>,
    ) -> Result<Response<wire::SettleResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        self.admit(&extensions, |domain| self.is_of(&message.reservation, message.subject.as_ref(), domain))?;
        let hold = self.hold.clone();
        to_the_end(async move {
            let answer = match settling(&message) {
                Ok(asked) => hold.settle(asked).await,
                Err(error) => Err(error.into()),
            };
            let answer = answer.map_err(|error| status::unheld(&error))?;
            Ok(Response::new(wire::SettleResponse {
                decision: decision(answer.ruling).into(),
                charged_usd: answer.charged.map(NanoUsd::to_decimal).unwrap_or_default(),
                charged_tokens: answer.tokens,
                late: answer.timing == Timing::Late,
                replayed: answer.done == Done::Before,
                standings: answer.standings.iter().map(standing).collect(),
                expires_at: answer.until.map(time),
            }))
        })
        .await
    }

    async fn release(
        &self,
        request: Request<wire::ReleaseRequest>,
    ) -> Result<Response<wire::ReleaseResponse>, Status> {
        let (_, extensions, message) = request.into_parts();
        self.admit(&extensions, |domain| self.is_of(&message.reservation, message.subject.as_ref(), domain))?;
        let hold = self.hold.clone();
        to_the_end(async move {
            let answer = hold.release(released(&message)).await.map_err(|error| status::unheld(&error))?;
            Ok(Response::new(wire::ReleaseResponse {
                standings: answer.standings.iter().map(standing).collect(),
                replayed: answer.done == Done::Before,
            }))
        })
        .await
    }
}

/// What a caller named, as it is told back: callers read texts, and would not read an answer with other bytes in it.
fn in_letters(name: &Bytes) -> Bytes {
    match String::from_utf8_lossy(name) {
        Cow::Borrowed(_) => name.clone(),
        Cow::Owned(letters) => letters.into(),
    }
}

/// Does `call` even if its caller does not wait for it: what it charges is told of, and opens what it trips, after it is
/// charged.
async fn to_the_end<T: Send + 'static>(
    call: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<T, Status> {
    tokio::spawn(call).await.unwrap_or_else(|_| Err(status::broken()))
}

fn reserving(message: &wire::ReserveRequest) -> ReserveRequest<'_> {
    ReserveRequest {
        subject: message.subject.as_ref().map(subject).unwrap_or_default(),
        estimate: message.estimate.as_ref().map(usage).unwrap_or_default(),
        idempotency_key: &message.idempotency_key,
        ttl: message.ttl.as_ref().map(span),
        partial: if message.accept_less { Partial::Accepted } else { Partial::Refused },
    }
}

fn settling(message: &wire::SettleRequest) -> Result<SettleRequest<'_>, InvalidHold> {
    let used_at = message.used_at.as_ref();
    Ok(SettleRequest {
        reserved: named(message),
        used: message.used.as_ref().map(usage),
        progress: if message.more { Progress::More } else { Progress::Done },
        used_at: used_at.map(|time| instant(time).ok_or(InvalidHold::UsedAt)).transpose()?,
    })
}

fn subject(message: &wire::Subject) -> SubjectOf<'_> {
    let entries = message.entries.iter().map(|entry| Entry { key: &entry.key, value: &entry.value });
    SubjectOf { domain: &message.domain, entries: entries.collect() }
}

fn usage(message: &wire::Usage) -> UsageOf<'_> {
    UsageOf {
        model: &message.model,
        tokens: message.tokens.iter().map(|(class, count)| (class.as_bytes(), *count)).collect(),
        hits: message.hits,
        usd: message.usd.as_bytes(),
    }
}

fn named(message: &wire::SettleRequest) -> Named<'_> {
    match &*message.reservation {
        b"" => Named::Key {
            subject: message.subject.as_ref().map(subject).unwrap_or_default(),
            idempotency_key: &message.idempotency_key,
        },
        handle => Named::Handle(handle),
    }
}

fn released(message: &wire::ReleaseRequest) -> ReleaseRequest<'_> {
    match &*message.reservation {
        b"" => ReleaseRequest::Units {
            subject: message.subject.as_ref().map(subject).unwrap_or_default(),
            limit: &message.limit,
            amount: match message.amount {
                Some(wire::release_request::Amount::Hits(hits)) => Amount::Hits(hits),
                Some(wire::release_request::Amount::TrueCount(count)) => Amount::AllBut(count),
                None => Amount::Hits(1),
            },
            idempotency_key: &message.idempotency_key,
        },
        handle => ReleaseRequest::Held(handle),
    }
}

fn granted(granted: &Granted) -> wire::Usage {
    wire::Usage {
        tokens: granted.tokens().map(|(class, count)| (class.to_owned(), count)).collect(),
        hits: granted.hits,
        usd: granted.usd.map(NanoUsd::to_decimal).unwrap_or_default(),
        ..wire::Usage::default()
    }
}

/// A span of time. One that is none, or below 0, is 0, which no hold may live for.
fn span(duration: &Duration) -> Micros {
    let (seconds, nanos) = (u64::try_from(duration.seconds), u64::try_from(duration.nanos));
    match (seconds, nanos) {
        (Ok(seconds), Ok(nanos @ ..1_000_000_000)) => {
            Micros(Micros::from_secs(seconds).0.saturating_add(nanos / 1_000))
        }
        _ => Micros(0),
    }
}
