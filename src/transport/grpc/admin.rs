//! What operators are served by gRPC: the admin service, and beside it health and reflection.
//!
//! Wire ⇄ engine, and nothing else. Who asks is known by then, as an [`Actor`] in the extensions of the request.

mod blame;
mod calls;
mod json;
mod read;
mod write;

use std::panic::AssertUnwindSafe;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response as HttpResponse};
use futures_util::FutureExt;
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::audit::Actor;
use crate::auth::Refusal;
use crate::engine::Operate;
use crate::transport::problem::Problem;

use super::proto::tollgate::v1 as wire;
use super::proto::tollgate::v1::admin_service_server::{AdminService, AdminServiceServer};
use super::{ADMIN_DESCRIPTORS, status, with_reflection};

pub(crate) use calls::AdminCalls;
pub(crate) use json::Twin;
pub(crate) use write::{tier_source, warning};

/// The largest request: a thousand rows of usage, and more.
const MOST_BYTES: usize = 512 * 1024;

/// The admin service, for those who are known.
pub(crate) fn service<I: Operate>(calls: AdminCalls<I>) -> Router {
    let service = AdminServiceServer::new(Admin(calls)).max_decoding_message_size(MOST_BYTES);
    Routes::new(service).into_axum_router().reset_fallback()
}

/// What is told to everybody. Whoever asks for nothing that there is, is told so as they ask: by gRPC or not.
pub(crate) fn open() -> Router {
    // Whoever is answered is served: of readiness `/readyz` tells, and the health of the callers' listener.
    let health = HealthService::from_health_reporter(HealthReporter::new());
    let routes = with_reflection(Routes::new(HealthServer::new(health)), ADMIN_DESCRIPTORS);
    routes.into_axum_router().reset_fallback().fallback(nothing)
}

async fn nothing(headers: HeaderMap) -> HttpResponse {
    if is_grpc(&headers) { status::no_method().into_http() } else { StatusCode::NOT_FOUND.into_response() }
}

/// Whether a request with `headers` is to be answered by gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|sent| sent.as_bytes().starts_with(b"application/grpc"))
}

/// How gRPC tells somebody that they are not let in.
pub(crate) fn refused(refusal: Refusal) -> HttpResponse {
    status::problem(&refusal.into()).into_http()
}

/// The service.
#[derive(Debug)]
struct Admin<I>(AdminCalls<I>);

type Answer<A> = Result<Response<A>, Status>;

impl<I: Operate> Admin<I> {
    /// Answers `request` by `call`, which changes nothing: it ends where nobody waits for it any more.
    async fn read<Q, A, F>(
        &self,
        request: Request<Q>,
        call: impl FnOnce(AdminCalls<I>, Actor, Q) -> F,
    ) -> Answer<A>
    where
        F: Future<Output = Result<A, Problem>> + Send,
    {
        let (actor, message) = asked(request)?;
        let answer = AssertUnwindSafe(call(self.0.clone(), actor, message)).catch_unwind().await;
        answered(answer.unwrap_or_else(|_| Err(Problem::broken())))
    }

    /// Answers `request` by `call`, even if its caller does not wait for it: what is on the record is also done.
    async fn write<Q, A: Send + 'static, F>(
        &self,
        request: Request<Q>,
        call: impl FnOnce(AdminCalls<I>, Actor, Q) -> F,
    ) -> Answer<A>
    where
        F: Future<Output = Result<A, Problem>> + Send + 'static,
    {
        let (actor, message) = asked(request)?;
        let answer = tokio::spawn(call(self.0.clone(), actor, message)).await;
        answered(answer.unwrap_or_else(|_| Err(Problem::broken())))
    }
}

/// Who asks, and for what.
fn asked<Q>(request: Request<Q>) -> Result<(Actor, Q), Status> {
    let (_, mut extensions, message) = request.into_parts();
    let actor = extensions.remove::<Actor>().ok_or_else(|| status::problem(&Refusal::Missing.into()))?;
    Ok((actor, message))
}

fn answered<A>(answer: Result<A, Problem>) -> Answer<A> {
    answer.map(Response::new).map_err(|problem| status::problem(&problem))
}

#[tonic::async_trait]
impl<I: Operate> AdminService for Admin<I> {
    async fn list_limits(
        &self,
        request: Request<wire::ListLimitsRequest>,
    ) -> Answer<wire::ListLimitsResponse> {
        self.read(request, |calls, actor, asked| async move { calls.list_limits(actor, asked).await }).await
    }

    async fn update_limit(
        &self,
        request: Request<wire::UpdateLimitRequest>,
    ) -> Answer<wire::UpdateLimitResponse> {
        self.write(request, |calls, actor, asked| async move { calls.update_limit(actor, asked).await }).await
    }

    async fn get_usage(&self, request: Request<wire::GetUsageRequest>) -> Answer<wire::GetUsageResponse> {
        self.read(request, |calls, actor, asked| async move { calls.get_usage(actor, asked).await }).await
    }

    async fn reset_user(&self, request: Request<wire::ResetUserRequest>) -> Answer<wire::ResetUserResponse> {
        self.write(request, |calls, actor, asked| async move { calls.reset_user(actor, asked).await }).await
    }

    async fn set_tier(&self, request: Request<wire::SetTierRequest>) -> Answer<wire::SetTierResponse> {
        self.write(request, |calls, actor, asked| async move { calls.set_tier(actor, asked).await }).await
    }

    async fn set_price(&self, request: Request<wire::SetPriceRequest>) -> Answer<wire::SetPriceResponse> {
        self.write(request, |calls, actor, asked| async move { calls.set_price(actor, asked).await }).await
    }

    async fn set_breaker(
        &self,
        request: Request<wire::SetBreakerRequest>,
    ) -> Answer<wire::SetBreakerResponse> {
        self.write(request, |calls, actor, asked| async move { calls.set_breaker(actor, asked).await }).await
    }

    async fn list_audit(&self, request: Request<wire::ListAuditRequest>) -> Answer<wire::ListAuditResponse> {
        self.read(request, |calls, actor, asked| async move { calls.list_audit(actor, asked).await }).await
    }

    async fn explain(&self, request: Request<wire::ExplainRequest>) -> Answer<wire::ExplainResponse> {
        self.read(request, |calls, actor, asked| async move { calls.explain(actor, asked).await }).await
    }

    async fn top_consumers(
        &self,
        request: Request<wire::TopConsumersRequest>,
    ) -> Answer<wire::TopConsumersResponse> {
        self.read(request, |calls, actor, asked| async move { calls.top_consumers(actor, asked).await }).await
    }

    async fn import_usage(
        &self,
        request: Request<wire::ImportUsageRequest>,
    ) -> Answer<wire::ImportUsageResponse> {
        self.write(request, |calls, actor, asked| async move { calls.import_usage(actor, asked).await }).await
    }
}
