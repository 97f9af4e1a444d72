//! Envoy's own service, which counts in Redis.

use std::path::Path;
use std::process::Command;

use super::{Case, folder};
use crate::server::{Server, free_address};

pub(super) fn start(program: &Path, case: &Case) -> Server {
    let text = "domain: bench\ndescriptors:\n  - key: path\n    value: /v1/chat\n    descriptors:\n      - key: user\n        \
                rate_limit: {unit: minute, requests_per_unit: 1000}\n";
    let folder = folder("ratelimit/config/bench.yaml", text);
    let (address, http, debug) = (free_address(), free_address(), free_address());
    let redis = case.redis.as_ref().expect("it has a Redis").url();
    let mut command = Command::new(program);
    command.env("GRPC_HOST", "127.0.0.1").env("GRPC_PORT", address.port().to_string());
    command.env("HOST", "127.0.0.1").env("PORT", http.port().to_string());
    command.env("DEBUG_HOST", "127.0.0.1").env("DEBUG_PORT", debug.port().to_string());
    command.env("USE_STATSD", "false").env("LOG_LEVEL", "error").env("BACKEND_TYPE", "redis");
    command
        .env("RUNTIME_ROOT", folder.path())
        .env("RUNTIME_SUBDIRECTORY", "ratelimit")
        .env("RUNTIME_WATCH_ROOT", "false");
    command.env("REDIS_SOCKET_TYPE", "tcp").env("REDIS_URL", redis.trim_start_matches("redis://"));
    Server::told(&mut command, address, Some(folder))
}
