//! The door of the listener: who comes in, and to which rooms.
//!
//! Whoever asks for a guarded route is known by then, as an [`Actor`] in the extensions of the request.
//! Pages of other sites get nowhere: nothing is answered to an origin other than the listener's own, none is ever allowed
//! to read, and there are no cookies that a browser would send by itself. A page whose name was made to mean this machine
//! is told from the operator's own by the name that it asks for.

use std::net::IpAddr;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, HOST, HeaderName, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use serde_json::json;

use crate::audit::{Action, Actor};
use crate::auth::{Gate, Refusal, holds_token, least_form, least_role};
use crate::percent::is_sound;
use crate::transport::credentials::{self, target};
use crate::transport::grpc;
use crate::transport::listener::Peer;

use super::tried::Reading;

/// Has browsers take an answer for what it says it is.
const NOSNIFF: (HeaderName, &str) = (HeaderName::from_static("x-content-type-options"), "nosniff");

/// What a route asks of whoever enters.
#[derive(Clone)]
pub(super) struct Guard {
    pub(super) gate: Gate,
    /// What it is to ask for it, at the most: what it needs may depend on its body.
    pub(super) action: Action,
    /// What is recorded of those who may not.
    pub(super) reading: Reading,
}

/// `routes`, for those who may do what they ask for, or the least of it.
pub(super) fn guarded<S: Clone + Send + Sync + 'static>(
    guard: Guard,
    routes: MethodRouter<S>,
) -> MethodRouter<S> {
    routes.route_layer(from_fn_with_state(guard, enter))
}

/// `routes`, closed to pages of other sites and to tokens in URLs.
pub(super) fn closed_to_strangers(gate: &Gate, routes: Router) -> Router {
    routes.layer(from_fn_with_state(gate.clone(), look))
}

/// `routes` of gRPC, for those who are known. What they may is judged by each call.
pub(super) fn known(gate: &Gate, routes: Router) -> Router {
    routes.route_layer(from_fn_with_state(gate.clone(), recognise))
}

async fn recognise(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    match admit(&gate, &request) {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        Err(refusal) => grpc::admin::refused(refusal),
    }
}

async fn enter(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    match guard.admit(&request) {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            next.run(request).await
        }
        Err(refusal) => refused(&refusal),
    }
}

impl Guard {
    fn admit(&self, request: &Request) -> Result<Actor, Refusal> {
        let actor = admit(&self.gate, request)?;
        if actor.role < least_role(least_form(self.action)) {
            self.gate.permit_to(&actor, self.action, || (self.reading)(request.uri()))?;
        }
        Ok(actor)
    }
}

async fn look(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let mut answer = match strange(&gate, &request) {
        Some(why) => problem(StatusCode::FORBIDDEN, "PERMISSION_DENIED", why),
        // Whatever passes it on may have gone by the other.
        None if request.headers().get_all(HOST).iter().nth(1).is_some() => {
            problem(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", "host: stands twice")
        }
        None if !is_sound(target(request.uri())) => problem(
            StatusCode::BAD_REQUEST,
            "INVALID_ARGUMENT",
            "the address: write %25 for a '%' that begins no byte",
        ),
        // Even where no token is needed: whoever sends one so has given it away.
        None if holds_token(target(request.uri())) => {
            refused(&admit(&gate, &request).err().unwrap_or(Refusal::InUrl))
        }
        None => told(next.run(request).await),
    };
    answer.headers_mut().insert(NOSNIFF.0, NOSNIFF.1.parse().expect("a word"));
    answer
}

/// What is answered where no route has said anything.
fn told(answer: Response) -> Response {
    let (code, text) = match answer.status() {
        StatusCode::NOT_FOUND => ("NOT_FOUND", "there is no such route; GET / lists them"),
        StatusCode::METHOD_NOT_ALLOWED => ("UNIMPLEMENTED", "the route has no such method"),
        _ => return answer,
    };
    if answer.headers().contains_key(CONTENT_TYPE) {
        return answer;
    }
    let (head, _) = answer.into_parts();
    let mut told = problem(head.status, code, text);
    told.headers_mut().extend(head.headers.into_iter().filter(|(name, _)| name.as_ref() == Some(&ALLOW)));
    told
}

fn admit(gate: &Gate, request: &Request) -> Result<Actor, Refusal> {
    credentials::admit(gate, request.headers(), request.uri(), &peer(request))
}

/// Whoever is at the other end; unknown where nothing has told.
fn peer(request: &Request) -> Peer {
    request.extensions().get().cloned().unwrap_or_default()
}

/// Why `request` may be a page's of another site. A page may have any name lead to this machine, but it has no token; a proxy on
/// this machine, which leaves the name as it is, has its users'.
fn strange(gate: &Gate, request: &Request) -> Option<&'static str> {
    let host = request.uri().authority().map(|authority| authority.as_str());
    let host = host.or_else(|| text(request.headers(), &HOST));
    let of_here = |origin: &str| origin.split_once("://").map(|(_, place)| place) == host;
    if request.headers().contains_key(ORIGIN) && !text(request.headers(), &ORIGIN).is_some_and(of_here) {
        return Some("pages of other sites may not ask here");
    }
    let on_this_machine = peer(request).address.is_some_and(|address| address.to_canonical().is_loopback());
    if on_this_machine && host.is_some_and(is_of_the_web) && admit(gate, request).is_err() {
        return Some(
            "on its own machine, this listener is asked by the address or by localhost, or with a token by any name",
        );
    }
    None
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the web may have the name: it is no address, has a dot, and is not reserved for this machine.
fn is_of_the_web(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_end_matches('.');
    let is_address = host.starts_with('[') || name.parse::<IpAddr>().is_ok();
    !is_address && name.contains('.') && !name.ends_with(".localhost")
}

/// What somebody is answered who is not let in, or not let do it.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let (status, code) = match refusal {
        Refusal::Missing
        | Refusal::Malformed
        | Refusal::Unknown
        | Refusal::Expired { .. }
        | Refusal::InUrl => (StatusCode::UNAUTHORIZED, "UNAUTHENTICATED"),
        Refusal::TooMany { .. } => (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED"),
        Refusal::Forbidden { .. } | Refusal::Elsewhere { .. } => (StatusCode::FORBIDDEN, "PERMISSION_DENIED"),
    };
    let answer = problem(status, code, &refusal.to_string());
    match refusal {
        Refusal::TooMany { retry_after } => {
            ([(RETRY_AFTER, retry_after.ceil_secs().to_string())], answer).into_response()
        }
        Refusal::Forbidden { .. } | Refusal::Elsewhere { .. } => answer,
        _ => ([(WWW_AUTHENTICATE, "Bearer")], answer).into_response(),
    }
}

fn problem(status: StatusCode, code: &str, text: &str) -> Response {
    let body = json!({"error": text, "code": code});
    (status, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::is_of_the_web;

    #[test]
    fn names_that_a_page_may_have_are_told_from_those_of_this_machine() {
        for host in ["evil.example", "evil.example:6070", "127.0.0.1.evil.example", "evil.example."] {
            assert!(is_of_the_web(host), "{host}");
        }
        for host in [
            "127.0.0.1:6070",
            "[::1]:6070",
            "localhost",
            "localhost:6070",
            "a.localhost",
            "tollgate:6070",
            "",
        ] {
            assert!(!is_of_the_web(host), "{host}");
        }
    }
}
