//! The wires: gRPC and HTTP in, answers out.
//!
//! A wire reads a request, asks the engine through [`crate::engine::Check`] or [`crate::engine::Hold`], and writes the
//! answer. It decides nothing and counts nothing. What all wires share lives here: how connections are accepted, and
//! whether this instance wants calls.

pub mod accept;
pub mod access;
pub(crate) mod credentials;
pub mod grpc;
pub mod health;
pub mod http;
pub mod listener;
pub(crate) mod problem;
pub mod tls;
