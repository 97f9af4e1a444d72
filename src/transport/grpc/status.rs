//! The one place where an error becomes a gRPC status. Over limit is no error and never comes here.

use http::{HeaderMap, HeaderValue};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::auth::Refusal;
use crate::engine::{HoldError, InvalidRequest};
use crate::transport::problem::{Kind, Problem};

use super::decode::Malformed;

/// The header that names the compressions which are taken.
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";

/// Codes as they are written.
const INVALID_ARGUMENT: &str = "3";
const OUT_OF_RANGE: &str = "11";
/// The header, or the trailer, that says how a call has ended.
const GRPC_STATUS: &str = "grpc-status";

/// How much of a caller's own text an answer repeats, in bytes. A header may be a thousand times as long, and
/// bytes that are no text are written as nine.
const REPEATED_BYTES: usize = 64;

/// INVALID_ARGUMENT, naming the field.
pub(super) fn invalid(error: &InvalidRequest) -> Status {
    Status::invalid_argument(error.to_string())
}

/// What a call of the limit service could not be answered for.
pub(super) fn unheld(error: &HoldError) -> Status {
    let text = error.to_string();
    match error {
        HoldError::Invalid(_) => Status::invalid_argument(text),
        HoldError::UnknownDomain(_)
        | HoldError::UnknownLimit { .. }
        | HoldError::UnknownRoute(_)
        | HoldError::UnknownReservation => Status::not_found(text),
        HoldError::Conflict => Status::already_exists(text),
        HoldError::NotNative(_) | HoldError::Unpriced(_) | HoldError::NotRefundable(_) => {
            Status::failed_precondition(text)
        }
        HoldError::Unavailable(_) => Status::unavailable(text),
        // Callers ask again by themselves where something is unavailable.
        HoldError::Unsure(_) => Status::unknown(text),
    }
}

/// UNAUTHENTICATED or PERMISSION_DENIED: a caller is not let in, or not to this domain.
pub(super) fn refused(refusal: Refusal) -> Status {
    problem(&refusal.into())
}

/// Why an operator is not answered.
pub(super) fn problem(problem: &Problem) -> Status {
    let code = match problem.kind {
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::PermissionDenied => Code::PermissionDenied,
        Kind::NotFound => Code::NotFound,
        Kind::Aborted => Code::Aborted,
        Kind::FailedPrecondition => Code::FailedPrecondition,
        Kind::ResourceExhausted => Code::ResourceExhausted,
        Kind::Unavailable => Code::Unavailable,
        Kind::Internal => Code::Internal,
    };
    Status::new(code, &problem.text)
}

/// INVALID_ARGUMENT: a message that is too long is the caller's mistake, like any other field out of bounds.
pub(super) fn too_long(length: usize, at_most: usize) -> Status {
    Status::invalid_argument(format!("the message: {length} bytes long, at most {at_most} are taken"))
}

/// Has `headers`, in which tonic refuses a message that is too long, say so as [`too_long`] does.
pub(super) fn name_too_long(headers: &mut HeaderMap) {
    if let Some(code) = headers.get_mut(GRPC_STATUS).filter(|code| *code == OUT_OF_RANGE) {
        *code = HeaderValue::from_static(INVALID_ARGUMENT);
    }
}

/// INTERNAL, as gRPC has it for what is no message.
pub(super) fn malformed(error: Malformed) -> Status {
    Status::internal(format!("the message: {error}"))
}

/// INTERNAL, as gRPC has it for what is no frame: `what` says why.
pub(super) fn no_frame(what: &'static str) -> Status {
    Status::internal(what)
}

/// UNIMPLEMENTED, with what is taken instead of `encoding`.
pub(super) fn compressed(encoding: &HeaderValue) -> Status {
    let begins = &encoding.as_bytes()[..encoding.len().min(REPEATED_BYTES)];
    let text = String::from_utf8_lossy(begins);
    let mut status = Status::unimplemented(format!("messages compressed with {text:?} are not taken"));
    status.metadata_mut().insert(ACCEPT_ENCODING, MetadataValue::from_static("identity"));
    status
}

/// UNIMPLEMENTED, for a method that no service has.
pub(super) fn no_method() -> Status {
    Status::unimplemented("there is no such method")
}

/// DEADLINE_EXCEEDED.
pub(super) fn too_late() -> Status {
    Status::deadline_exceeded("the call's deadline passed")
}

/// INTERNAL, for a call that made the program panic.
pub(super) fn broken() -> Status {
    Status::internal("the call could not be decided")
}
