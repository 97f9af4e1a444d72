//! The one integration-test binary.

mod grpc;
mod http;
mod replay;
mod settings;
mod support;
