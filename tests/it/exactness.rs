//! Many callers, three instances, one Redis, real time: no window ever holds more than its number, and nobody is
//! refused who had room.
//!
//! Each ask notes when it was sent and when its answer came; it was decided somewhere between. So an interval is
//! overfull only if admits that were sent and answered within it are, and a refusal is unjustified only if not
//! even all the admits that may have been decided before it leave no room.

use std::time::Duration;

use tollgate::clock::{Clock, Micros};
use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::RateLimitRequest;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::rate_limit_response::Code;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::support::process::Tollgate;
use crate::support::redis::RedisServer;
use crate::support::tools::Tool;

const INSTANCES: usize = 3;
const TASKS: usize = 64;
const KEYS: u64 = 50;
const NUMBER: u64 = 20;
/// Microseconds.
const WINDOW: u64 = 2_000_000;
const DURATION: Micros = Micros::from_secs(10);

const RULES: &str = "domains: {exact: {limits: {asks: 20/2s per key}}}\n";

#[derive(Clone, Copy, Debug)]
struct Ask {
    instance: usize,
    key: u64,
    hits: u64,
    sent: u64,
    answered: u64,
    admitted: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_over_one_redis_are_exact() {
    let redis = RedisServer::start(Tool::Redis);
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("exact.yaml");
    std::fs::write(&rules, RULES).unwrap();
    let url = redis.url();
    // A machine that is busy with other tests must not make decisions local.
    let environment = [("TOLLGATE_STORE_TIMEOUT", "10s")];
    let instances: Vec<Tollgate> = (0..INSTANCES)
        .map(|_| Tollgate::with(&[rules.to_str().unwrap(), "--store", &url], &environment))
        .collect();
    let mut tasks = tokio::task::JoinSet::new();
    let clock = Clock::System;
    let end = clock.now().plus(DURATION).0;
    for (instance, tollgate) in instances.iter().enumerate() {
        let client = connected(tollgate).await;
        for task in 0..TASKS {
            let seed = (instance * TASKS + task) as u64 + 1;
            tasks.spawn(keep_asking(client.clone(), instance, seed, end));
        }
    }
    let asks: Vec<Ask> = tasks.join_all().await.concat();
    judge(&asks);
}

async fn connected(tollgate: &Tollgate) -> RateLimitServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", tollgate.grpc())).unwrap();
    RateLimitServiceClient::new(endpoint.connect().await.unwrap())
}

fn request(key: u64, hits: u64) -> RateLimitRequest {
    let entry = |key: &'static str, value: String| Entry { key: key.into(), value: value.into() };
    RateLimitRequest {
        domain: "exact".into(),
        descriptors: vec![RateLimitDescriptor {
            entries: vec![entry("limit", "asks".to_owned()), entry("key", format!("k{key}"))],
            ..Default::default()
        }],
        hits_addend: u32::try_from(hits).unwrap(),
    }
}

async fn keep_asking(
    mut client: RateLimitServiceClient<Channel>,
    instance: usize,
    seed: u64,
    end: u64,
) -> Vec<Ask> {
    let clock = Clock::System;
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut asks = Vec::new();
    while clock.now().0 < end {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (key, hits) = ((random >> 33) % KEYS, 1 + (random >> 50) % 3);
        let sent = clock.now().0;
        let answer = client.should_rate_limit(request(key, hits)).await.unwrap().into_inner();
        let answered = clock.now().0;
        let admitted = answer.overall_code == i32::from(Code::Ok);
        asks.push(Ask { instance, key, hits, sent, answered, admitted });
        tokio::time::sleep(Duration::from_micros(random >> 52)).await;
    }
    asks
}

fn judge(asks: &[Ask]) {
    let (mut admits, mut refusals) = (0, 0);
    for key in 0..KEYS {
        let of_key = |admitted| asks.iter().filter(move |ask| ask.key == key && ask.admitted == admitted);
        let admitted: Vec<&Ask> = of_key(true).collect();
        let hits = |asks: &mut dyn Iterator<Item = &&Ask>| asks.map(|ask| ask.hits).sum::<u64>();
        for first in &admitted {
            let within = |ask: &&&Ask| ask.sent >= first.sent && ask.answered <= first.sent + WINDOW;
            let sum = hits(&mut admitted.iter().filter(within));
            assert!(sum <= NUMBER, "k{key}: {sum} within 2 s from {first:?}");
        }
        for refused in of_key(false) {
            let since = refused.sent - WINDOW * 51 / 50;
            let before = |ask: &&&Ask| ask.sent <= refused.answered && ask.answered >= since;
            let sum = hits(&mut admitted.iter().filter(before));
            assert!(sum + refused.hits > NUMBER, "k{key}: {refused:?} beside {sum}");
            refusals += 1;
        }
        admits += hits(&mut admitted.iter());
    }
    for instance in 0..INSTANCES {
        assert!(
            asks.iter().any(|ask| ask.instance == instance && ask.admitted),
            "{instance} let nobody pass"
        );
    }
    assert!(admits >= KEYS * NUMBER * 3 && refusals >= 1000, "{admits} admitted, {refusals} refused");
}
