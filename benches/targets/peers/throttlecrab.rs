//! throttlecrab, by its own gRPC method.

use std::path::Path;
use std::process::Command;

use prost::Message;

use super::{Case, USERS};
use crate::load::Calls;
use crate::server::{Server, free_address};

pub(super) fn start(program: &Path, _: &Case) -> Server {
    let address = free_address();
    let mut command = Command::new(program);
    command.args(["--grpc", "--grpc-host", "127.0.0.1", "--grpc-port", &address.port().to_string()]);
    Server::told(&mut command, address, None)
}

/// What throttlecrab is asked: its own message, by the numbers of its fields.
#[derive(Message)]
struct Throttle {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(int32, tag = "2")]
    max_burst: i32,
    #[prost(int32, tag = "3")]
    count_per_period: i32,
    #[prost(int32, tag = "4")]
    period: i32,
    #[prost(int32, tag = "5")]
    quantity: i32,
}

pub(super) fn calls() -> Calls {
    let message = |user| {
        let key = format!("user-{user}");
        Throttle { key, max_burst: 1_000, count_per_period: 1_000, period: 60, quantity: 1 }
    };
    Calls::new("/throttlecrab.RateLimiter/Throttle", (0..USERS).map(message), is_allowed)
}

/// The first field of its answer.
#[derive(Message)]
struct Throttled {
    #[prost(bool, tag = "1")]
    allowed: bool,
}

fn is_allowed(answer: &[u8]) -> bool {
    Throttled::decode(answer).is_ok_and(|throttled| throttled.allowed)
}
