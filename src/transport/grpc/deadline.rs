//! Bounds every call in time, and names failures of the transport as callers expect them.
//!
//! tonic answers CANCELLED when a call's own deadline passes and OUT_OF_RANGE when a message is too long. Here
//! the one is DEADLINE_EXCEEDED and the other INVALID_ARGUMENT. The timer runs from the request's headers, so
//! a body that never arrives does not hold a call open.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};
use tonic::service::Routes;
use tonic::{Code, Status};

/// How much earlier than tonic's own timer ours fires: it has to be first to be heard.
const HEAD_START: Duration = Duration::from_millis(2);

/// Routes whose every call is bounded.
#[derive(Clone, Debug)]
pub(super) struct WithDeadline {
    routes: Routes,
    longest: Duration,
}

impl WithDeadline {
    /// Bounds calls by `longest`, and by their callers' own deadlines.
    pub(super) fn new(routes: Routes, longest: Duration) -> Self {
        Self { routes, longest }
    }
}

impl Service<Request<Body>> for WithDeadline {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.routes, context).map_err(|never| match never {})
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let asked = request.headers().get("grpc-timeout").and_then(asked);
        let limit = asked.map_or(self.longest, |asked| asked.saturating_sub(HEAD_START).min(self.longest));
        let answer = self.routes.call(request);
        Box::pin(async move {
            match tokio::time::timeout(limit, answer).await {
                Ok(Ok(mut response)) => {
                    rename(response.headers_mut());
                    Ok(response)
                }
                Err(_) => Ok(Status::deadline_exceeded("the call's deadline passed").into_http()),
            }
        })
    }
}

/// The deadline that a caller asks for: up to eight digits and a unit.
fn asked(header: &HeaderValue) -> Option<Duration> {
    let text = header.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// A message that is too long is the caller's mistake, like any other field out of bounds.
fn rename(headers: &mut HeaderMap) {
    let too_long = HeaderValue::from(Code::OutOfRange as i32);
    if headers.get(Status::GRPC_STATUS) == Some(&too_long) {
        headers.insert(Status::GRPC_STATUS, HeaderValue::from(Code::InvalidArgument as i32));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::body::Body;
    use tonic::codegen::Service;
    use tonic::codegen::http::{HeaderValue, Request};
    use tonic::service::Routes;

    use super::{WithDeadline, asked};

    #[tokio::test]
    async fn the_shorter_of_two_deadlines_ends_a_call() {
        let stuck = axum::Router::new().route("/stuck", axum::routing::any(std::future::pending::<()>));
        let hour = Duration::from_secs(3600);
        for (longest, asked) in [(Duration::from_millis(10), "1H"), (hour, "10m"), (hour, "0n")] {
            let mut service = WithDeadline::new(Routes::from(stuck.clone()), longest);
            let request = Request::post("/stuck").header("grpc-timeout", asked).body(Body::empty()).unwrap();
            let answer = service.call(request).await.unwrap();
            assert_eq!(answer.headers()["grpc-status"], "4", "{asked}");
        }
    }

    #[test]
    fn reads_the_deadlines_of_grpc() {
        for (text, wanted) in [
            ("20m", Some(Duration::from_millis(20))),
            ("1S", Some(Duration::from_secs(1))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("1n", Some(Duration::from_nanos(1))),
            ("5u", Some(Duration::from_micros(5))),
            ("2M", Some(Duration::from_secs(120))),
            ("", None),
            ("m", None),
            ("20", None),
            ("-1S", None),
            ("123456789S", None),
        ] {
            assert_eq!(asked(&HeaderValue::from_static(text)), wanted, "{text}");
        }
    }
}
