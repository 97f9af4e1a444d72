//! The one integration-test binary.

mod grpc;
mod http;
mod settings;
mod support;
