//! What Tollgate over Redis is compared with: the empty handler with one EVALSHA for each call before its answer, over a
//! multiplexed connection of the `redis` crate.

use redis::Client;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3 as rls;
use tonic::{Request, Response, Status};

use rls::rate_limit_service_server::RateLimitService;

use crate::clients::Multiplexed;
use crate::empty;

/// Asks Redis, then answers.
struct Relay(Multiplexed);

#[tonic::async_trait]
impl RateLimitService for Relay {
    async fn should_rate_limit(
        &self,
        request: Request<rls::RateLimitRequest>,
    ) -> Result<Response<rls::RateLimitResponse>, Status> {
        let request = request.get_ref();
        let user = request.descriptors.iter().flat_map(|descriptor| &descriptor.entries).next_back();
        self.0.charge(&user.ok_or_else(|| Status::invalid_argument("no user"))?.value).await;
        Ok(Response::new(empty::passed(request)))
    }
}

/// Serves until the process is stopped, on one current-thread runtime, over the Redis at `url`, and prints where.
pub(crate) fn serve(url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::open(url).expect("a URL");
        empty::listen(Relay(Multiplexed::connect(&client).await)).await;
    });
}
