//! Recorded calls made over gRPC, with the answer as it arrives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prost_types::{ListValue, Struct, Value as WireValue, value::Kind};
use serde_json::{Value, json};
use tollgate::clock::{Clock, Micros};
use tollgate::engine::{Engine, EngineSettings};
use tollgate::limits::{LimitsHandle, RuleSet};
use tollgate::store::Store;
use tollgate::transport::grpc::GrpcSettings;
use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::{
    Entry, RateLimitOverride,
};
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::rate_limit_response::{
    Code, DescriptorStatus, RateLimit, rate_limit::Unit,
};
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use tonic::transport::{Channel, Endpoint};

use super::recorded::{Asked, Call, Decides, INVALID, without_nulls};
use super::server::TestServer;

/// A client of a service, which is asked as recorded.
pub(crate) struct Caller {
    client: RateLimitServiceClient<Channel>,
    time: Time,
}

/// How time passes for the service.
enum Time {
    /// When the test says so.
    Standing(Clock),
    /// By itself.
    Running,
}

/// A service in this process and a client of it.
pub(crate) struct OverGrpc {
    server: TestServer,
    caller: Caller,
}

impl OverGrpc {
    /// The service with `rules` in force over `store`, whose time is `clock`.
    pub(crate) async fn serving(
        rules: RuleSet,
        store: impl Store,
        settings: EngineSettings,
        clock: Clock,
    ) -> Self {
        let engine = Engine::new(LimitsHandle::new(rules), store, settings);
        let server = TestServer::of(Arc::new(engine), GrpcSettings::default()).await;
        let client = server.client().await;
        Self { server, caller: Caller { client, time: Time::Standing(clock) } }
    }

    /// Stops the service.
    pub(crate) async fn stop(self) {
        drop(self.caller);
        self.server.stop().await;
    }
}

impl Decides for OverGrpc {
    async fn ask(&self, call: &Call) -> Result<Value, String> {
        self.caller.ask(call).await
    }

    async fn pass(&self, seconds: u64) {
        self.caller.pass(seconds).await;
    }
}

impl Caller {
    /// A client of the program that serves at `address`.
    pub(crate) async fn of(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address makes a URL");
        let channel = endpoint.connect().await.expect("the program takes connections");
        Self { client: RateLimitServiceClient::new(channel), time: Time::Running }
    }
}

impl Decides for Caller {
    async fn ask(&self, call: &Call) -> Result<Value, String> {
        let request = RateLimitRequest {
            domain: call.domain.clone().into(),
            descriptors: call.descriptors.iter().map(descriptor).collect(),
            hits_addend: call.hits,
        };
        match self.client.clone().should_rate_limit(request).await {
            Ok(response) => Ok(answer(&response.into_inner())),
            Err(status) if status.code() == tonic::Code::InvalidArgument => Err(INVALID.to_owned()),
            Err(status) => Err(status.to_string()),
        }
    }

    async fn pass(&self, seconds: u64) {
        match &self.time {
            Time::Standing(clock) => clock.advance(Micros::from_secs(seconds)),
            Time::Running => tokio::time::sleep(Duration::from_secs(seconds)).await,
        }
    }
}

fn descriptor(asked: &Asked) -> RateLimitDescriptor {
    let entry =
        |(key, value): &(String, String)| Entry { key: key.clone().into(), value: value.clone().into() };
    let unit = |name: &str| Unit::from_str_name(name).expect("a recorded unit is one of the wire's");
    RateLimitDescriptor {
        entries: asked.entries.iter().map(entry).collect(),
        limit: asked.limit.as_ref().map(|(requests_per_unit, name)| RateLimitOverride {
            requests_per_unit: *requests_per_unit,
            unit: unit(name).into(),
            unit_multiplier: None,
        }),
        hits_addend: asked.hits,
        is_negative_hits: false,
    }
}

/// A response in the form of the recordings; what the reference never sends would show as well.
fn answer(response: &RateLimitResponse) -> Value {
    let headers = &response.response_headers_to_add;
    let headers: serde_json::Map<_, _> =
        headers.iter().map(|header| (header.key.clone(), json!(header.value))).collect();
    without_nulls(json!({
        "overall": code(response.overall_code),
        "statuses": response.statuses.iter().map(status).collect::<Vec<_>>(),
        "headers": (!headers.is_empty()).then_some(headers),
        "metadata": response.dynamic_metadata.as_ref().map(structure),
        "body": (!response.raw_body.is_empty()).then_some("sent"),
        "request_headers": (!response.request_headers_to_add.is_empty()).then_some("sent"),
        "quota": response.quota.as_ref().map(|_| "sent"),
    }))
}

fn status(status: &DescriptorStatus) -> Value {
    let limit = status.current_limit.as_ref();
    without_nulls(json!({
        "code": code(status.code),
        "remaining": status.limit_remaining,
        "limit": limit.map(|limit| json!([limit.requests_per_unit, unit(limit)])),
        "name": limit.filter(|limit| !limit.name.is_empty()).map(|limit| limit.name.clone()),
        "multiplier": limit.and_then(|limit| limit.unit_multiplier),
        "reset": status.duration_until_reset.as_ref().map(|duration| duration.seconds),
        "quota": status.quota.as_ref().map(|_| "sent"),
    }))
}

fn code(code: i32) -> &'static str {
    Code::try_from(code).expect("a code of the wire").as_str_name()
}

fn unit(limit: &RateLimit) -> &'static str {
    Unit::try_from(limit.unit).expect("a unit of the wire").as_str_name()
}

fn structure(fields: &Struct) -> Value {
    Value::Object(fields.fields.iter().map(|(key, field)| (key.clone(), value(field))).collect())
}

fn value(field: &WireValue) -> Value {
    match field.kind.as_ref().expect("a value of a struct is set") {
        Kind::NullValue(_) => Value::Null,
        Kind::NumberValue(number) => json!(number),
        Kind::StringValue(text) => json!(text),
        Kind::BoolValue(truth) => json!(truth),
        Kind::StructValue(fields) => structure(fields),
        Kind::ListValue(ListValue { values }) => values.iter().map(value).collect(),
    }
}
