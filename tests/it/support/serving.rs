//! A limit service in front of an engine whose time stands still until it is moved, and a client of it.

use std::sync::Arc;

use tonic::Status;
use tonic::transport::Channel;

use tollgate::clock::{Clock, Micros};
use tollgate::engine::{Engine, EngineSettings};
use tollgate::limits::LimitsHandle;
use tollgate::store::Store;
use tollgate::transport::grpc::GrpcSettings;
use tollgate::transport::grpc::proto::tollgate::v1::limit_service_client::LimitServiceClient;
use tollgate::transport::grpc::proto::tollgate::v1::{
    Decision, ReleaseRequest, ReleaseResponse, ReserveRequest, ReserveResponse, SettleRequest, SettleResponse,
};

use super::bench::Bench;
use super::embedded::{NOON, rules};
use super::server::TestServer;

/// A service, and a client of it.
pub(crate) struct Service {
    server: TestServer,
    pub(crate) client: LimitServiceClient<Channel>,
    pub(crate) clock: Clock,
}

impl Service {
    /// Over the store of `bench` at noon, by the rules of `document`.
    pub(crate) async fn with<S: Store>(bench: &Bench<S>, document: &str, settings: EngineSettings) -> Self {
        let clock = bench.clock.clone();
        clock.set(NOON);
        let engine = Engine::new(LimitsHandle::new(rules(document)), bench.store.clone(), settings);
        Self::of(engine, clock).await
    }

    /// In front of `engine`, whose time is `clock`.
    pub(crate) async fn of<S: Store>(engine: Engine<S>, clock: Clock) -> Self {
        let server = TestServer::whole(Arc::new(engine), GrpcSettings::default()).await;
        let client = LimitServiceClient::new(server.channel().await);
        Self { server, client, clock }
    }

    /// Asks, and is answered.
    pub(crate) async fn reserve(&self, request: ReserveRequest) -> Result<ReserveResponse, Status> {
        Ok(self.client.clone().reserve(request).await?.into_inner())
    }

    /// Alike.
    pub(crate) async fn settle(&self, request: SettleRequest) -> Result<SettleResponse, Status> {
        Ok(self.client.clone().settle(request).await?.into_inner())
    }

    /// Alike.
    pub(crate) async fn release(&self, request: ReleaseRequest) -> Result<ReleaseResponse, Status> {
        Ok(self.client.clone().release(request).await?.into_inner())
    }

    /// Reserves what is granted.
    pub(crate) async fn held(&self, request: ReserveRequest) -> ReserveResponse {
        let answer = self.reserve(request).await.unwrap();
        assert_eq!(answer.decision(), Decision::Allow, "{answer:?}");
        answer
    }

    /// Lets time go by.
    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Micros::from_secs(seconds));
    }

    /// Ends it.
    pub(crate) async fn stop(self) {
        drop(self.client);
        self.server.stop().await;
    }
}
