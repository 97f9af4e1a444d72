//! Tells `grpc.health.v1` what the instance's health is, under every name that clients ask for.

use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_reflection::pb::{v1, v1alpha};

use crate::transport::health::{Health, Serving};

use super::proto::envoy::service::ratelimit::v3::rate_limit_service_server::SERVICE_NAME;
use super::proto::tollgate::v1::limit_service_server;

/// The instance as a whole, the name the reference service goes by, and each service.
const NAMES: [&str; 7] = [
    "",
    "ratelimit",
    SERVICE_NAME,
    limit_service_server::SERVICE_NAME,
    tonic_health::pb::health_server::SERVICE_NAME,
    v1::server_reflection_server::SERVICE_NAME,
    v1alpha::server_reflection_server::SERVICE_NAME,
];

/// Passes every change on to `reporter` until `shutdown` resolves; then says that calls are unwanted and lets
/// go of those who watch, so that their streams do not hold up the drain.
pub(super) async fn report(health: &Health, reporter: &HealthReporter, shutdown: impl Future<Output = ()>) {
    let mut changes = health.watch();
    let follow = async {
        loop {
            let serving = *changes.borrow_and_update();
            tell(reporter, serving).await;
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = shutdown => {}
        () = follow => {}
    }
    tell(reporter, Serving::Unwanted).await;
    let mut reporter = reporter.clone();
    for name in NAMES {
        reporter.clear_service_status(name).await;
    }
}

async fn tell(reporter: &HealthReporter, serving: Serving) {
    let status = match serving {
        Serving::Wanted => ServingStatus::Serving,
        Serving::Unwanted => ServingStatus::NotServing,
    };
    for name in NAMES {
        reporter.set_service_status(name, status).await;
    }
}
