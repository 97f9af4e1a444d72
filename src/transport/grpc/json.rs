//! The protobuf JSON of the rate limit call, for the HTTP wire: bytes in, bytes out.
//!
//! Field names are read in both spellings and written in lowerCamel; fields that say nothing are left out.
//! A field that the messages do not have is an error, because a caller who writes it means something by it.

use std::error::Error;
use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DeserializeOptions, DynamicMessage, MessageDescriptor};

use crate::auth::Refusal;
use crate::engine::{Check, Code, InvalidRequest, Unclaimed};

use super::proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use super::{DESCRIPTORS, convert};

/// An answer as JSON.
#[derive(Debug)]
pub(crate) struct JsonAnswer {
    /// Whether the call may pass.
    pub(crate) code: Code,
    /// The whole answer.
    pub(crate) body: Vec<u8>,
}

/// Why a body has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JsonError {
    /// It is not the JSON of a request.
    #[error("the body is not a rate limit request: {0}")]
    Form(String),
    /// It is, and a field is wrong.
    #[error(transparent)]
    Field(#[from] InvalidRequest),
    /// Its caller may not ask about the domain.
    #[error(transparent)]
    Refused(Refusal),
    /// JSON has no words for the answer: its metadata holds a number that is not finite, or is nested too deep.
    #[error("the answer cannot be written as JSON")]
    Answer(#[source] Box<dyn Error + Send + Sync>),
}

/// Decides the request in `body`, if `permit` has nothing against its domain.
pub(crate) async fn answer(
    check: &impl Check,
    body: &[u8],
    permit: impl Fn(&[u8]) -> Result<(), Refusal>,
) -> Result<JsonAnswer, JsonError> {
    let message = read(body)?;
    permit(&message.domain).map_err(JsonError::Refused)?;
    let decision = check.check(convert::request(&message)).await?;
    let (code, unclaimed) = (decision.code, decision.unclaimed.clone());
    let body = write(&convert::response(decision)).map_err(JsonError::Answer)?;
    unclaimed.iter().for_each(Unclaimed::claim);
    Ok(JsonAnswer { code, body })
}

fn write(response: &RateLimitResponse) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let message = DynamicMessage::decode(SHAPES.response.clone(), &*response.encode_to_vec())?;
    Ok(serde_json::to_vec(&message)?)
}

fn read(body: &[u8]) -> Result<RateLimitRequest, JsonError> {
    let form = |error: serde_json::Error| JsonError::Form(error.to_string());
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    let mut json = serde_json::Deserializer::from_slice(body);
    let message = DynamicMessage::deserialize_with_options(SHAPES.request.clone(), &mut json, &options)
        .map_err(form)?;
    json.end().map_err(form)?;
    Ok(RateLimitRequest::decode(&*message.encode_to_vec()).expect("both are compiled from the same file"))
}

struct Shapes {
    request: MessageDescriptor,
    response: MessageDescriptor,
}

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(DESCRIPTORS).expect("the descriptors were compiled with this crate");
    let message = |name: &str| pool.get_message_by_name(name).expect("the messages are in the same file");
    Shapes {
        request: message("envoy.service.ratelimit.v3.RateLimitRequest"),
        response: message("envoy.service.ratelimit.v3.RateLimitResponse"),
    }
});
