//! The service as its clients meet it: real listeners on free ports, stopped by their own handle.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::engine::{
    Check, CheckRequest, Decision, Engine, EngineSettings, Hold, HoldError, InvalidRequest, ReleaseAnswer,
    ReleaseRequest, ReserveAnswer, ReserveRequest, SettleAnswer, SettleRequest,
};
use tollgate::limits::{
    Debt, Domain, KeySecret, LimitsHandle, Node, Number, ReferenceDomain, ReferenceLimit, Rule, RuleSet,
    Window, WireUnit,
};
use tollgate::store::StoreError;
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::transport::accept;
use tollgate::transport::access::Access;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use tollgate::transport::grpc::{self, GrpcSettings};
use tollgate::transport::health::{Health, Serving};
use tollgate::transport::http::{self, HttpSettings};

/// A running service; dropping it ends it, [`TestServer::stop`] ends it and sees that it ends in peace.
pub(crate) struct TestServer {
    /// Where gRPC is served.
    pub(crate) grpc: SocketAddr,
    /// Where `/json` and `/healthcheck` are served.
    pub(crate) http: SocketAddr,
    /// What the service says of itself.
    pub(crate) health: Health,
    shutdown: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl TestServer {
    /// The service with `rules` in force, over a memory store at a standing clock.
    pub(crate) async fn start(rules: RuleSet) -> Self {
        Self::with_clock(rules, Clock::manual(Timestamp(1_700_000_000_000_000))).await
    }

    /// The service with `rules` in force, over a memory store at `clock`.
    pub(crate) async fn with_clock(rules: RuleSet, clock: Clock) -> Self {
        let store = MemoryStore::new(MemorySettings::default(), clock, KeySecret([7; 16]));
        let engine = Engine::new(LimitsHandle::new(rules), store, EngineSettings::default());
        Self::whole(Arc::new(engine), GrpcSettings::default()).await
    }

    /// The wires in front of `check`, which holds nothing.
    pub(crate) async fn of(check: impl Check, settings: GrpcSettings) -> Self {
        Self::whole(Checking(check), settings).await
    }

    /// The wires in front of `check`.
    pub(crate) async fn whole(check: impl Check + Hold, settings: GrpcSettings) -> Self {
        let health = Health::new(Serving::Wanted);
        let (shutdown, _) = watch::channel(false);
        let mut tasks = JoinSet::new();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = listener.local_addr().unwrap();
        let (worker, connections) = accept::worker();
        let stopped = signal(&shutdown);
        tasks.spawn(async move {
            tokio::select! { () = accept::accept(listener, vec![worker]) => {}, () = stopped => {} }
        });
        let stopped = signal(&shutdown);
        let (asked, told) = (check.clone(), health.clone());
        tasks.spawn(async move {
            grpc::serve(connections, asked, &told, &settings, Access::default(), stopped).await;
        });

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap();
        let (stopped, told) = (signal(&shutdown), health.clone());
        tasks.spawn(async move {
            http::serve(listener, check, told, HttpSettings::default(), Access::default(), stopped).await;
        });
        Self { grpc, http, health, shutdown, tasks }
    }

    /// A new connection.
    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap().connect().await.unwrap()
    }

    /// A client of the rate limit service, on a new connection.
    pub(crate) async fn client(&self) -> RateLimitServiceClient<Channel> {
        RateLimitServiceClient::new(self.channel().await)
    }

    /// Asks the service to stop, without waiting.
    pub(crate) fn ask_to_stop(&self) {
        self.shutdown.send_replace(true);
    }

    /// Stops the service and waits until the last call has ended.
    pub(crate) async fn stop(mut self) {
        self.ask_to_stop();
        while let Some(task) = self.tasks.join_next().await {
            task.unwrap();
        }
    }
}

/// One that checks, and has no store to hold anything in.
#[derive(Clone)]
struct Checking<C>(C);

const NOTHING_HELD: HoldError = HoldError::Unavailable(StoreError::Unavailable);

impl<C: Check> Check for Checking<C> {
    fn check(
        &self,
        request: CheckRequest<'_>,
    ) -> impl Future<Output = Result<Decision, InvalidRequest>> + Send {
        self.0.check(request)
    }
}

impl<C: Check> Hold for Checking<C> {
    async fn reserve(&self, _: ReserveRequest<'_>) -> Result<ReserveAnswer, HoldError> {
        Err(NOTHING_HELD)
    }

    async fn settle(&self, _: SettleRequest<'_>) -> Result<SettleAnswer, HoldError> {
        Err(NOTHING_HELD)
    }

    async fn release(&self, _: ReleaseRequest<'_>) -> Result<ReleaseAnswer, HoldError> {
        Err(NOTHING_HELD)
    }

    fn is_of(&self, _: &[u8], _: &[u8]) -> bool {
        true
    }
}

fn signal(shutdown: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut shutdown = shutdown.subscribe();
    async move { drop(shutdown.wait_for(|stop| *stop).await) }
}

/// A rule set of one reference domain `name`, in which each key allows so many per unit for each value.
pub(crate) fn per_key(name: &str, keys: &[(&str, u64, WireUnit)]) -> RuleSet {
    let rule = |(key, number, unit): &(&str, u64, WireUnit)| {
        let path = format!("{name}.{key}");
        let window = Window::Fixed { length: Micros::from_secs(unit.seconds()), debt: Debt::Forgiven };
        let limit = ReferenceLimit {
            name: "".into(),
            identity: ReferenceDomain::identity_of(name, &window),
            overflow: ReferenceDomain::overflow_of(name, &window, &path),
            path: path.into(),
            number: Number::AtMost(*number),
            window,
            unit: *unit,
            multiplier: 1,
            shadow: false,
            quota: false,
            replaces: Vec::new(),
            metadata: [].into(),
            tally: Arc::default(),
        };
        (key.as_bytes().into(), Rule { limits: vec![limit], below: Node::default() })
    };
    let root = Node { by_key: keys.iter().map(rule).collect(), ..Node::default() };
    let domain = ReferenceDomain { name: name.into(), atomic: false, root };
    let domains = [(name.as_bytes().into(), Domain::Reference(domain.into()))];
    RuleSet { domains: domains.into_iter().collect(), ..RuleSet::default() }
}
