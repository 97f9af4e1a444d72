//! Wire ⇄ engine, and nothing else. Requests are borrowed from their message; values are never copied.

use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use crate::engine::{
    CheckRequest, Code, CurrentLimit, Decision, Descriptor, DescriptorStatus, Direction, Header, Override,
};
use crate::limits::{Entry, Metadata, WireUnit};

use super::proto::envoy::config::core::v3::HeaderValue;
use super::proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use super::proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::RateLimitOverride;
use super::proto::envoy::service::ratelimit::v3::rate_limit_response as wire;
use super::proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};

/// What a message asks. Bounds are the engine's to check.
pub(super) fn request(message: &RateLimitRequest) -> CheckRequest<'_> {
    CheckRequest {
        domain: &message.domain,
        descriptors: message.descriptors.iter().map(descriptor).collect(),
        hits: message.hits_addend,
    }
}

/// How a decision is sent.
pub(super) fn response(decision: Decision) -> RateLimitResponse {
    RateLimitResponse {
        overall_code: code(decision.code).into(),
        statuses: decision.statuses.into_iter().map(status).collect(),
        response_headers_to_add: decision.headers.into_iter().map(header).collect(),
        raw_body: decision.body.map_or_else(Default::default, |body| body.as_bytes().to_vec().into()),
        dynamic_metadata: decision.metadata.map(structure),
        ..RateLimitResponse::default()
    }
}

fn descriptor(message: &RateLimitDescriptor) -> Descriptor<'_> {
    Descriptor {
        entries: message.entries.iter().map(|entry| Entry { key: &entry.key, value: &entry.value }).collect(),
        hits: message.hits_addend,
        direction: if message.is_negative_hits { Direction::GiveBack } else { Direction::Charge },
        number: message.limit.as_ref().map(number),
    }
}

fn number(message: &RateLimitOverride) -> Override {
    Override {
        requests_per_unit: message.requests_per_unit,
        unit: unit_of(message.unit),
        multiplier: message.unit_multiplier.unwrap_or(1),
    }
}

/// The unit with this number. Overrides are read as answers are written, so 7 is a week there too, although
/// Envoy's enum for overrides does not name it.
pub(super) fn unit_of(number: i32) -> WireUnit {
    match wire::rate_limit::Unit::try_from(number).unwrap_or_default() {
        wire::rate_limit::Unit::Unknown => WireUnit::Unknown,
        wire::rate_limit::Unit::Second => WireUnit::Second,
        wire::rate_limit::Unit::Minute => WireUnit::Minute,
        wire::rate_limit::Unit::Hour => WireUnit::Hour,
        wire::rate_limit::Unit::Day => WireUnit::Day,
        wire::rate_limit::Unit::Week => WireUnit::Week,
        wire::rate_limit::Unit::Month => WireUnit::Month,
        wire::rate_limit::Unit::Year => WireUnit::Year,
    }
}

pub(super) fn unit(unit: WireUnit) -> wire::rate_limit::Unit {
    match unit {
        WireUnit::Unknown => wire::rate_limit::Unit::Unknown,
        WireUnit::Second => wire::rate_limit::Unit::Second,
        WireUnit::Minute => wire::rate_limit::Unit::Minute,
        WireUnit::Hour => wire::rate_limit::Unit::Hour,
        WireUnit::Day => wire::rate_limit::Unit::Day,
        WireUnit::Week => wire::rate_limit::Unit::Week,
        WireUnit::Month => wire::rate_limit::Unit::Month,
        WireUnit::Year => wire::rate_limit::Unit::Year,
    }
}

pub(super) fn code(code: Code) -> wire::Code {
    match code {
        Code::Ok => wire::Code::Ok,
        Code::OverLimit => wire::Code::OverLimit,
    }
}

fn status(status: DescriptorStatus) -> wire::DescriptorStatus {
    let duration =
        |seconds| prost_types::Duration { seconds: i64::try_from(seconds).unwrap_or(i64::MAX), nanos: 0 };
    wire::DescriptorStatus {
        code: code(status.code).into(),
        current_limit: status.limit.map(limit),
        limit_remaining: status.remaining,
        duration_until_reset: status.reset_seconds.map(duration),
        quota: None,
    }
}

fn limit(limit: CurrentLimit) -> wire::RateLimit {
    wire::RateLimit {
        name: limit.name.to_string(),
        requests_per_unit: limit.requests_per_unit,
        unit: unit(limit.unit).into(),
        unit_multiplier: (limit.multiplier > 1).then_some(limit.multiplier),
    }
}

fn header(header: Header) -> HeaderValue {
    HeaderValue { key: header.name.to_string(), value: header.value.to_string(), ..HeaderValue::default() }
}

fn structure(fields: impl IntoIterator<Item = (Box<str>, Metadata)>) -> Struct {
    Struct { fields: fields.into_iter().map(|(name, field)| (name.into_string(), value(field))).collect() }
}

fn value(metadata: Metadata) -> Value {
    let kind = match metadata {
        Metadata::Null => Kind::NullValue(0),
        Metadata::Bool(flag) => Kind::BoolValue(flag),
        Metadata::Number(number) => Kind::NumberValue(number),
        Metadata::Text(text) => Kind::StringValue(text.into_string()),
        Metadata::List(items) => {
            Kind::ListValue(ListValue { values: items.into_iter().map(value).collect() })
        }
        Metadata::Map(fields) => Kind::StructValue(structure(fields)),
    };
    Value { kind: Some(kind) }
}
