//! `envoy.service.ratelimit.v3.RateLimitService`: the handler only.

use tonic::{Request, Response, Status};

use crate::engine::Check;

use super::proto::envoy::service::ratelimit::v3::rate_limit_service_server::RateLimitService;
use super::proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use super::{convert, status};

/// Answers `ShouldRateLimit` by asking `C`.
#[derive(Debug)]
pub(super) struct RateLimit<C> {
    check: C,
}

impl<C: Check> RateLimit<C> {
    pub(super) fn new(check: C) -> Self {
        Self { check }
    }
}

#[tonic::async_trait]
impl<C: Check> RateLimitService for RateLimit<C> {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let message = request.into_inner();
        match self.check.check(convert::request(&message)).await {
            Ok(decision) => Ok(Response::new(convert::response(decision))),
            Err(error) => Err(status::invalid(&error)),
        }
    }
}
