//! The one place where an error becomes a gRPC status. Over limit is no error and never comes here.

use tonic::Status;

use crate::engine::InvalidRequest;

/// INVALID_ARGUMENT, naming the field.
pub(super) fn invalid(error: &InvalidRequest) -> Status {
    Status::invalid_argument(error.to_string())
}
