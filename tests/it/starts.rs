//! The first moments of a process over Redis: whoever is served has an answer from there, if there is a Redis.

use std::net::{SocketAddr, TcpListener};

use tollgate::transport::grpc::proto::tollgate::v1::limit_service_client::LimitServiceClient;
use tollgate::transport::grpc::proto::tollgate::v1::{Decision, ReserveResponse};
use tonic::transport::Endpoint;

use crate::support::books::{Limits, ask};
use crate::support::limit_calls::standing;
use crate::support::process::Tollgate;
use crate::support::raw;
use crate::support::redis::RedisServer;
use crate::support::tools::Tool;

const STARTS: u64 = 20;
const CALLERS: u64 = 8;

/// Serves `limits` on two threads, over the Redis at `store`.
fn serve(limits: &Limits, store: &str, environment: &[(&str, &str)]) -> Tollgate {
    Tollgate::with(&[&limits.path, "--store", store, "--threads", "2"], environment)
}

/// What a caller with a connection of its own is told first.
async fn first_answer(service: SocketAddr, key: String) -> ReserveResponse {
    let channel = Endpoint::from_shared(format!("http://{service}")).unwrap().connect().await.unwrap();
    LimitServiceClient::new(channel).reserve(ask("all", &key, 1)).await.unwrap().into_inner()
}

#[tokio::test]
async fn the_first_calls_of_all_connections_are_answered_by_redis() {
    let (limits, redis) = (Limits::new(), RedisServer::start(Tool::Redis));
    for start in 0..STARTS {
        let service = serve(&limits, &redis.url(), &[("TOLLGATE_STORE_TIMEOUT", "10s")]);
        let mut callers = tokio::task::JoinSet::new();
        for caller in 0..CALLERS {
            callers.spawn(first_answer(service.grpc(), format!("{start} {caller}")));
        }
        for answer in callers.join_all().await {
            assert_eq!(answer.decision(), Decision::Allow, "start {start}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_redis_that_is_away_or_silent_keeps_nobody_from_starting() {
    let (limits, silent) = (Limits::new(), TcpListener::bind("127.0.0.1:0").unwrap());
    for store in ["redis://127.0.0.1:1".to_owned(), format!("redis://{}", silent.local_addr().unwrap())] {
        let service = serve(&limits, &store, &[]);
        let answer = first_answer(service.grpc(), "key".to_owned()).await;
        assert_eq!(standing(&answer.standings, "spend").reason, "store_unavailable", "{answer:?}");
        let ready = raw::http(service.admin(), "GET", "/readyz", b"").await;
        assert!(ready.status == 200 && ready.body.contains("store: down, answering by policy"), "{ready:?}");
    }
}
