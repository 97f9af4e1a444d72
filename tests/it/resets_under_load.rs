//! Users are reset while many calls are decided: nobody ever sees half a reset, whichever store keeps the counts, and no
//! call is lost beside them.
//!
//! Every call charges 1 to each of five limits, which count for longer than the test takes. So whoever finds them unlike,
//! in the answer to a call, in what a reset found or in what is used after it, has seen half a reset.

use std::time::Duration;

use prost_types::{Struct, Value, value::Kind};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::interval;

use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::RateLimitRequest;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use tollgate::transport::grpc::proto::tollgate::v1 as wire;
use tonic::transport::{Channel, Endpoint};

use crate::admin_service::admin;
use crate::support::limit_calls::subject;
use crate::support::process::Tollgate;
use crate::support::redis::RedisServer;
use crate::support::tools::Tool;

const FILE: &str = "
domains:
  shop:
    per: user
    headers: {standings: true}
    limits:
      day:   -1/1d
      year:  -1/year
      fixed: -1/366d fixed
      many:  1000000/1d
      all:   -1 total
    routes: {all: [day, year, fixed, many, all]}
";
const LIMITS: [&str; 5] = ["day", "year", "fixed", "many", "all"];

/// Two thousand calls a second where the machine is fast enough for it, and a reset beside every hundred of them.
const TICK: Duration = Duration::from_millis(10);
const A_TICK: usize = 20;
const CALLS: usize = 6_000;
const A_RESET: usize = 100;
const USERS: usize = 4;
/// How many calls may go on at once.
const OPEN: usize = 500;

/// How much was used of each user.
type Used = [i64; USERS];

fn name(user: usize) -> String {
    format!("u{user}")
}

/// What is used of every limit, which is the same of each.
fn alike(used: &[i64]) -> i64 {
    assert!(
        used.len() == LIMITS.len() && used.iter().all(|other| *other == used[0]),
        "half a reset: {used:?}"
    );
    used[0]
}

fn field<'s>(of: &'s Struct, name: &str) -> &'s Kind {
    let found = of.fields.get(name).and_then(|value: &Value| value.kind.as_ref());
    found.unwrap_or_else(|| panic!("no {name}: {of:?}"))
}

/// A call of a user, which may pass.
async fn call(mut client: RateLimitServiceClient<Channel>, user: usize) {
    let entry = |key: &'static str, value: String| Entry { key: key.into(), value: value.into() };
    let entries = vec![entry("route", "all".to_owned()), entry("user", name(user))];
    let descriptors = vec![RateLimitDescriptor { entries, ..RateLimitDescriptor::default() }];
    let request = RateLimitRequest { domain: "shop".into(), descriptors, hits_addend: 0 };
    let answer = client.should_rate_limit(request).await.unwrap().into_inner();
    let metadata = answer.dynamic_metadata.expect("it tells where limits stand");
    let Kind::StructValue(standings) = field(&metadata, "standings") else { panic!("{metadata:?}") };
    let used = LIMITS.map(|limit| {
        let Kind::StructValue(standing) = field(standings, limit) else { panic!("{standings:?}") };
        let Kind::NumberValue(used) = field(standing, "used") else { panic!("{standing:?}") };
        used.to_string().parse().expect("a whole number")
    });
    alike(&used);
}

/// Makes calls of all users at all instances, a few at a time, and has a user reset now and then.
async fn calls(instances: &[Tollgate], due: mpsc::Sender<usize>) -> Used {
    let mut clients = Vec::new();
    for instance in instances {
        let endpoint = Endpoint::from_shared(format!("http://{}", instance.grpc())).unwrap();
        clients.push(RateLimitServiceClient::new(endpoint.connect().await.unwrap()));
    }
    let (mut open, mut made, mut ticks) = (JoinSet::new(), [0; USERS], interval(TICK));
    for number in 0..CALLS {
        if number % A_TICK == 0 {
            ticks.tick().await;
        }
        if number % A_RESET == 0 {
            due.send(number / A_RESET % USERS).await.unwrap();
        }
        let user = number % USERS;
        made[user] += 1;
        open.spawn(call(clients[number / USERS % clients.len()].clone(), user));
        while open.len() >= OPEN {
            open.join_next().await.expect("there are some").unwrap();
        }
    }
    open.join_all().await;
    made
}

/// Resets whoever is due, and looks at them then. What was used, each time.
async fn resets(service: &Tollgate, mut due: mpsc::Receiver<usize>) -> Used {
    let (mut client, mut cleared) = (admin(service).await, [0; USERS]);
    let used =
        |standings: Vec<wire::Standing>| alike(&standings.iter().map(|one| one.used).collect::<Vec<_>>());
    while let Some(user) = due.recv().await {
        let who = Some(subject("shop", &[("user", &name(user))]));
        let limits = LIMITS.map(str::to_owned).to_vec();
        let reset = wire::ResetUserRequest { subject: who.clone(), limits, reason: "a test".into() };
        cleared[user] += used(client.reset_user(reset).await.unwrap().into_inner().before);
        used(client.get_usage(wire::GetUsageRequest { subject: who }).await.unwrap().into_inner().standings);
    }
    cleared
}

async fn nobody_is_half_reset(instances: &[Tollgate]) {
    let (due, when) = mpsc::channel(1);
    let (made, mut cleared) = tokio::join!(calls(instances, due), resets(&instances[0], when));
    let (due, when) = mpsc::channel(USERS);
    for user in 0..USERS {
        due.send(user).await.unwrap();
    }
    drop(due);
    let left = resets(&instances[0], when).await;
    cleared.iter_mut().zip(left).for_each(|(cleared, left)| *cleared += left);
    assert_eq!(cleared, made, "every call was counted, and cleared once");
}

fn file() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.yaml");
    std::fs::write(&path, FILE).unwrap();
    let path = path.display().to_string();
    (folder, path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_half_reset_in_the_data_directory() {
    let (folder, file) = file();
    let data = folder.path().join("data").display().to_string();
    nobody_is_half_reset(&[Tollgate::start(&[&file, "--data-dir", &data])]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_half_reset_by_one_of_two_over_redis() {
    let (redis, (_folder, file)) = (RedisServer::start(Tool::Redis), file());
    let patient = [("TOLLGATE_STORE_TIMEOUT", "10s")];
    let instances = [(); 2].map(|()| Tollgate::with(&[&file, "--store", &redis.url()], &patient));
    nobody_is_half_reset(&instances).await;
}
