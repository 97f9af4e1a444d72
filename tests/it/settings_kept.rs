//! What admins set, of every kind: in force at all instances before long, and in each process that comes after, however
//! the one before ended.

use std::collections::HashMap;
use std::time::Duration;

use tollgate::transport::grpc::proto::tollgate::v1 as wire;
use tollgate::transport::grpc::proto::tollgate::v1::limit_service_client::LimitServiceClient;
use tonic::transport::Endpoint;

use crate::admin_routes::{PRODUCTS, ask};
use crate::admin_service::admin;
use crate::support::limit_calls::{subject, tokens};
use crate::support::process::Tollgate;
use crate::support::redis::RedisServer;
use crate::support::tools::Tool;

/// Five creations for all on free, seven for ann, the tier pro for bob, and a price.
async fn set(service: &Tollgate) {
    let mut client = admin(service).await;
    let creations = || wire::UpdateLimitRequest {
        domain: "aurastream".to_owned(),
        limit: "monthly_creations".to_owned(),
        ..wire::UpdateLimitRequest::default()
    };
    let free = wire::UpdateLimitRequest { tier: "free".to_owned(), max: Some(5), ..creations() };
    let of_ann = wire::UpdateLimitRequest { user: "ann".to_owned(), max: Some(7), ..creations() };
    let tier = wire::SetTierRequest {
        domain: "aurastream".to_owned(),
        subject: HashMap::from([("user".to_owned(), "bob".to_owned())]),
        tier: "pro".to_owned(),
        ..wire::SetTierRequest::default()
    };
    let usd = [("input", "100"), ("output", "150")].map(|(class, usd)| (class.to_owned(), usd.to_owned()));
    let price = wire::SetPriceRequest {
        model: "gpt-realtime".to_owned(),
        usd_per_million: HashMap::from(usd),
        force: true,
        ..wire::SetPriceRequest::default()
    };
    client.update_limit(free).await.unwrap();
    client.update_limit(of_ann).await.unwrap();
    client.set_tier(tier).await.unwrap();
    client.set_price(price).await.unwrap();
}

/// All that is set, and all that is in force of the files.
async fn listed(service: &Tollgate) -> wire::ListLimitsResponse {
    let request = wire::ListLimitsRequest { domain: "aurastream".to_owned() };
    admin(service).await.list_limits(request).await.unwrap().into_inner()
}

/// Waits until `service` lists what is `expected`; it looks for news several times a second.
async fn until_listed(service: &Tollgate, expected: &wire::ListLimitsResponse) {
    for _ in 0..600 {
        if listed(service).await == *expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(listed(service).await, *expected);
}

/// How many of ten creations of `user` pass, whose calls name no tier.
fn passing(service: &Tollgate, user: &str) -> usize {
    let call = [("method", "POST"), ("path", "/generate"), ("user", user)];
    (0..10).filter(|_| ask(service, "aurastream", &call) == 200).count()
}

/// Calls and prices go by what is set.
async fn decides_by_it(service: &Tollgate, newcomer: &str) {
    assert_eq!(passing(service, newcomer), 5);
    let endpoint = Endpoint::from_shared(format!("http://{}", service.grpc())).unwrap();
    let mut limits = LimitServiceClient::new(endpoint.connect().await.unwrap());
    let spent = wire::SettleRequest {
        subject: Some(subject("ducke", &[("route", "llm"), ("session", newcomer)])),
        used: Some(tokens(&[("output", 10_000)])),
        idempotency_key: "bill".into(),
        ..wire::SettleRequest::default()
    };
    assert_eq!(limits.settle(spent).await.unwrap().into_inner().charged_usd, "1.50");
}

/// Each of those that `start` starts decides by what was set at the first, and so do those after they are killed.
async fn outlives(start: impl Fn() -> Vec<Tollgate>) {
    let mut instances = start();
    set(&instances[0]).await;
    let expected = listed(&instances[0]).await;
    let own = expected.limits.iter().filter(|value| value.source == "user").count();
    assert_eq!((own, expected.tiers.len(), expected.prices.len(), expected.version), (1, 1, 1, 4));
    // Killed once all is answered, without a moment to write anything down.
    if let [only] = &mut instances[..] {
        only.kill();
        instances = start();
    }
    for (number, instance) in instances.iter().enumerate() {
        until_listed(instance, &expected).await;
        decides_by_it(instance, &format!("newcomer-{number}")).await;
    }
    instances.iter_mut().for_each(Tollgate::kill);
    instances = start();
    for instance in &instances {
        until_listed(instance, &expected).await;
    }
    decides_by_it(&instances[0], "the-last").await;
    assert_eq!([passing(&instances[0], "ann"), passing(&instances[0], "bob")], [7, 10]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_outlives_those_that_are_killed_in_the_data_directory() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().display().to_string();
    outlives(|| vec![Tollgate::start(&[PRODUCTS, "--data-dir", &data])]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_at_one_is_in_force_at_the_other_and_outlives_both_in_redis() {
    let redis = RedisServer::start(Tool::Redis);
    let patient = [("TOLLGATE_STORE_TIMEOUT", "10s")];
    outlives(|| (0..2).map(|_| Tollgate::with(&[PRODUCTS, "--store", &redis.url()], &patient)).collect())
        .await;
}
