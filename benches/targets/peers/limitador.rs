//! Limitador, by Envoy's protocol.

use std::path::Path;
use std::process::Command;

use super::{Case, folder};
use crate::server::{Server, free_address};

pub(super) fn start(program: &Path, case: &Case) -> Server {
    let limit = |path: &str| {
        format!(
            "- namespace: bench\n  max_value: 1000\n  seconds: 60\n  \
             conditions: [\"descriptors[0].path == '{path}'\"]\n  variables: [\"descriptors[0].user\"]\n"
        )
    };
    let others = (1..case.limits).map(|other| limit(&format!("/v1/chat/{other}")));
    let text: String = [limit("/v1/chat")].into_iter().chain(others).collect();
    let folder = folder("limits.yaml", &text);
    let (address, http) = (free_address(), free_address());
    let mut command = Command::new(program);
    command.args(["-b", "127.0.0.1", "-p", &address.port().to_string()]);
    command.args([
        "-B",
        "127.0.0.1",
        "-P",
        &http.port().to_string(),
        "--rate-limit-headers",
        "DRAFT_VERSION_03",
    ]);
    command.arg(folder.path().join("limits.yaml"));
    match &case.redis {
        None => command.args(["memory", "--cache", "1000000"]),
        Some(redis) => command.args(["redis", &redis.url()]),
    };
    Server::told(&mut command, address, Some(folder))
}
