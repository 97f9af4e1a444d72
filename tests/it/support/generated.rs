//! The rate limit call as tonic's generated service answers it: what the service's own way is compared with.

use std::net::SocketAddr;

use prost_types::value::Kind;
use prost_types::{Duration, ListValue, Struct, Value};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use tollgate::engine::{
    Check, CheckRequest, Code, CurrentLimit, Decision, Descriptor, DescriptorStatus, Direction, Override,
};
use tollgate::limits::{self, Metadata, WireUnit};
use tollgate::transport::grpc::GrpcSettings;
use tollgate::transport::grpc::proto::envoy::config::core::v3::HeaderValue;
use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::rate_limit_response as wire;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::rate_limit_service_server::{
    RateLimitService, RateLimitServiceServer,
};
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};

/// A server of nothing but the generated service; dropped, it ends.
pub(crate) struct Generated {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Generated {
    /// The generated service in front of `check`, under as many of `settings` as tonic has.
    pub(crate) async fn of(check: impl Check, settings: &GrpcSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service =
            RateLimitServiceServer::new(Asking(check)).max_decoding_message_size(settings.max_message_bytes);
        let server = Server::builder()
            .max_concurrent_streams(settings.max_concurrent_streams)
            .initial_stream_window_size(settings.stream_window_bytes)
            .initial_connection_window_size(settings.connection_window_bytes)
            .timeout(settings.timeout)
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener));
        let task = tokio::spawn(async { server.await.unwrap() });
        Self { address, task }
    }
}

impl Drop for Generated {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Asking<C>(C);

#[tonic::async_trait]
impl<C: Check> RateLimitService for Asking<C> {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let message = request.into_inner();
        let request = CheckRequest {
            domain: &message.domain,
            descriptors: message.descriptors.iter().map(descriptor).collect(),
            hits: message.hits_addend,
        };
        match self.0.check(request).await {
            Ok(decision) => Ok(Response::new(response(&decision))),
            Err(error) => Err(Status::invalid_argument(error.to_string())),
        }
    }
}

fn descriptor(message: &RateLimitDescriptor) -> Descriptor<'_> {
    let entries = message.entries.iter();
    Descriptor {
        entries: entries.map(|entry| limits::Entry { key: &entry.key, value: &entry.value }).collect(),
        hits: message.hits_addend,
        direction: if message.is_negative_hits { Direction::GiveBack } else { Direction::Charge },
        number: message.limit.as_ref().map(|number| Override {
            requests_per_unit: number.requests_per_unit,
            unit: UNITS
                .iter()
                .find(|(wire, _)| i32::from(*wire) == number.unit)
                .map_or(WireUnit::Unknown, |(_, unit)| *unit),
            multiplier: number.unit_multiplier.unwrap_or(1),
        }),
    }
}

const UNITS: [(wire::rate_limit::Unit, WireUnit); 8] = [
    (wire::rate_limit::Unit::Unknown, WireUnit::Unknown),
    (wire::rate_limit::Unit::Second, WireUnit::Second),
    (wire::rate_limit::Unit::Minute, WireUnit::Minute),
    (wire::rate_limit::Unit::Hour, WireUnit::Hour),
    (wire::rate_limit::Unit::Day, WireUnit::Day),
    (wire::rate_limit::Unit::Week, WireUnit::Week),
    (wire::rate_limit::Unit::Month, WireUnit::Month),
    (wire::rate_limit::Unit::Year, WireUnit::Year),
];

fn response(decision: &Decision) -> RateLimitResponse {
    let header = |header: &tollgate::engine::Header| HeaderValue {
        key: header.name.to_string(),
        value: header.value.to_string(),
        ..HeaderValue::default()
    };
    RateLimitResponse {
        overall_code: code(decision.code),
        statuses: decision.statuses.iter().map(status).collect(),
        response_headers_to_add: decision.headers.iter().map(header).collect(),
        raw_body: decision.body.as_ref().map(ToString::to_string).unwrap_or_default().into(),
        dynamic_metadata: decision.metadata.as_ref().map(structure),
        ..RateLimitResponse::default()
    }
}

fn code(code: Code) -> i32 {
    match code {
        Code::Ok => wire::Code::Ok.into(),
        Code::OverLimit => wire::Code::OverLimit.into(),
    }
}

fn status(status: &DescriptorStatus) -> wire::DescriptorStatus {
    let seconds = |seconds| Duration { seconds: i64::try_from(seconds).unwrap_or(i64::MAX), nanos: 0 };
    wire::DescriptorStatus {
        code: code(status.code),
        current_limit: status.limit.as_ref().map(limit),
        limit_remaining: status.remaining,
        duration_until_reset: status.reset_seconds.map(seconds),
        quota: None,
    }
}

fn limit(limit: &CurrentLimit) -> wire::RateLimit {
    let (unit, _) = UNITS.iter().find(|(_, unit)| *unit == limit.unit).unwrap();
    wire::RateLimit {
        name: limit.name.to_string(),
        requests_per_unit: limit.requests_per_unit,
        unit: i32::from(*unit),
        unit_multiplier: (limit.multiplier > 1).then_some(limit.multiplier),
    }
}

fn structure(fields: &std::collections::BTreeMap<Box<str>, Metadata>) -> Struct {
    Struct { fields: fields.iter().map(|(name, field)| (name.to_string(), value(field))).collect() }
}

fn value(metadata: &Metadata) -> Value {
    Value {
        kind: Some(match metadata {
            Metadata::Null => Kind::NullValue(0),
            Metadata::Bool(flag) => Kind::BoolValue(*flag),
            Metadata::Number(number) => Kind::NumberValue(*number),
            Metadata::Text(text) => Kind::StringValue(text.to_string()),
            Metadata::List(items) => Kind::ListValue(ListValue { values: items.iter().map(value).collect() }),
            Metadata::Map(fields) => Kind::StructValue(structure(fields)),
        }),
    }
}
