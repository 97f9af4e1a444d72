//! How long a call may take, and calls of tonic's routes that may take no longer.
//!
//! The timer runs from the request's headers, so a body that never arrives does not hold a call open. tonic
//! answers CANCELLED when a call's own deadline passes; here that is DEADLINE_EXCEEDED.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::service::Routes;

use super::status;

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// How long a call with these headers may take, `longest` at most.
pub(super) fn of(headers: &HeaderMap, longest: Duration) -> Duration {
    let asked = headers.get(&GRPC_TIMEOUT).and_then(asked);
    asked.map_or(longest, |asked| asked.min(longest))
}

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
        Service::<Request<Body>>::poll_ready(&mut self.routes, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let limit = of(request.headers(), self.longest);
        let answer = self.routes.call(request);
        Box::pin(async move {
            tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Ok(status::too_late().into_http()))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderValue, Request};
    use tonic::body::Body;
    use tonic::codegen::Service;
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
