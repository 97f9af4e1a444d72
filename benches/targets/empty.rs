//! What Tollgate is compared with: tonic's server with a handler that decides nothing and gives every call one answer.

use std::io::Write as _;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3 as rls;
use tonic::{Request, Response, Status};

use rls::rate_limit_response::rate_limit::Unit;
use rls::rate_limit_response::{Code, DescriptorStatus, RateLimit};
use rls::rate_limit_service_server::{RateLimitService, RateLimitServiceServer};

/// Answers at once.
struct Empty;

#[tonic::async_trait]
impl RateLimitService for Empty {
    async fn should_rate_limit(
        &self,
        request: Request<rls::RateLimitRequest>,
    ) -> Result<Response<rls::RateLimitResponse>, Status> {
        Ok(Response::new(passed(request.get_ref())))
    }
}

/// The one answer: everything passes.
pub(crate) fn passed(request: &rls::RateLimitRequest) -> rls::RateLimitResponse {
    let statuses = request.descriptors.iter().map(|_| status()).collect();
    rls::RateLimitResponse { overall_code: Code::Ok.into(), statuses, ..Default::default() }
}

fn status() -> DescriptorStatus {
    let limit = RateLimit { requests_per_unit: 1000, unit: Unit::Minute.into(), ..RateLimit::default() };
    DescriptorStatus {
        code: Code::Ok.into(),
        current_limit: Some(limit),
        limit_remaining: 999,
        duration_until_reset: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..DescriptorStatus::default()
    }
}

/// Serves until the process is stopped, on the runtime that `runtime` builds, and prints where.
pub(crate) fn serve(mut runtime: Builder) {
    runtime.enable_all().build().expect("a runtime").block_on(listen(Empty));
}

/// Serves `service` on a free port, which it prints.
pub(crate) async fn listen(service: impl RateLimitService) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    say(listener.local_addr().expect("its address"));
    let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder().add_service(RateLimitServiceServer::new(service));
    server.serve_with_incoming(incoming).await.expect("it serves");
}

fn say(address: SocketAddr) {
    let mut out = std::io::stdout();
    writeln!(out, "{address}").and_then(|()| out.flush()).expect("somebody reads it");
}
