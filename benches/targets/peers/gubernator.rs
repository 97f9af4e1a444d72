//! gubernator as one node, by its own gRPC method.

use std::path::Path;
use std::process::Command;

use prost::Message;

use super::{Case, USERS};
use crate::load::Calls;
use crate::server::{Server, free_address};

/// It answers with errors until it knows a node that owns the counter, be it itself: so it is in a list of members, alone.
/// It listens for HTTP only after that.
pub(super) fn start(program: &Path, _: &Case) -> Server {
    let (address, http, members) = (free_address(), free_address(), free_address().to_string());
    let mut command = Command::new(program);
    command.env("GUBER_GRPC_ADDRESS", address.to_string()).env("GUBER_HTTP_ADDRESS", http.to_string());
    command.env("GUBER_ADVERTISE_ADDRESS", address.to_string());
    command.env("GUBER_PEER_DISCOVERY_TYPE", "member-list");
    for variable in ["ADDRESS", "BIND_ADDRESS", "KNOWN_NODES"] {
        command.env(format!("GUBER_MEMBERLIST_{variable}"), &members);
    }
    command.env("GUBER_CACHE_SIZE", "1000000");
    Server::told(&mut command, http, None).at(address)
}

/// What gubernator is asked: a list of one, by the numbers of its fields.
#[derive(Message)]
struct RateLimits {
    #[prost(message, repeated, tag = "1")]
    requests: Vec<RateLimit>,
}

#[derive(Message)]
struct RateLimit {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    unique_key: String,
    #[prost(int64, tag = "3")]
    hits: i64,
    #[prost(int64, tag = "4")]
    limit: i64,
    /// In milliseconds.
    #[prost(int64, tag = "5")]
    duration: i64,
}

pub(super) fn calls() -> Calls {
    let message = |user| {
        let (name, unique_key) = ("calls".to_owned(), format!("user-{user}"));
        RateLimits { requests: vec![RateLimit { name, unique_key, hits: 1, limit: 1_000, duration: 60_000 }] }
    };
    Calls::new("/pb.gubernator.V1/GetRateLimits", (0..USERS).map(message), is_allowed)
}

/// What it answers. It says in the message that it failed; the call succeeds all the same.
#[derive(Message)]
struct Answers {
    #[prost(message, repeated, tag = "1")]
    responses: Vec<Answer>,
}

#[derive(Message)]
struct Answer {
    /// 0 is under the limit.
    #[prost(int32, tag = "1")]
    status: i32,
    #[prost(string, tag = "5")]
    error: String,
}

fn is_allowed(answers: &[u8]) -> bool {
    let is_under = |answer: &Answer| answer.status == 0 && answer.error.is_empty();
    Answers::decode(answers)
        .is_ok_and(|answers| matches!(&answers.responses[..], [answer] if is_under(answer)))
}
