//! What operators are served by gRPC, beside all else on their listener: health and reflection.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use super::{ADMIN_DESCRIPTORS, status, with_reflection};

/// The services, as routes beside others. Who is not known by any of them is told so as they ask: by gRPC or not.
pub(crate) fn router() -> Router {
    // Whoever is answered is served: of readiness `/readyz` tells, and the health of the callers' listener.
    let health = HealthService::from_health_reporter(HealthReporter::new());
    let routes = with_reflection(Routes::new(HealthServer::new(health)), ADMIN_DESCRIPTORS);
    routes.into_axum_router().reset_fallback().fallback(nothing)
}

async fn nothing(headers: HeaderMap) -> Response {
    let is_grpc = |sent: &[u8]| sent.starts_with(b"application/grpc");
    match headers.get(CONTENT_TYPE) {
        Some(sent) if is_grpc(sent.as_bytes()) => status::no_method().into_http::<axum::body::Body>(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
