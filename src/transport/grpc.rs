//! The gRPC server: the rate limit call, and behind it holds, health and reflection.
//!
//! Assembly only. The rate limit call is read, decided and answered in its connection's task (`connection`, `call`),
//! by a codec of its own (`decode`, `encode`); everything else on the port is tonic's (`behind`). HTTP/2 is h2's.
//! No tonic, prost or h2 type leaves this folder but [`proto`], which is there for clients and tests. Transport
//! settings are stated one by one, because the defaults leave several protections off.

pub(crate) mod admin;
mod behind;
mod call;
mod connection;
mod convert;
mod deadline;
mod decode;
mod encode;
mod health;
mod holds;
pub(crate) mod json;
mod message;
mod standing;
mod status;

use std::net;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};
use tonic_reflection::pb::{v1, v1alpha};

use crate::engine::{Check, Hold};

use super::accept::{Connection, Connections};
use super::access::{Access, Door};
use super::health::Health;
use connection::Broken;
use deadline::WithDeadline;
use holds::Whom;

/// The messages and services of `proto/`, with keys, values and domains as bytes.
#[expect(missing_docs, reason = "generated; documented in proto/")]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/protos.rs"));
}

/// The descriptors of `proto/` as callers see them, with keys, values and domains as `string`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The same of what operators are served.
pub const ADMIN_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/admin_descriptors.bin"));

/// How long after GOAWAY was sent calls may still arrive: their callers have yet to read it.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// How the gRPC server treats connections and calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcSettings {
    /// The largest request, in bytes. A larger one is refused unread with INVALID_ARGUMENT. Default 512 KiB:
    /// eight times the headers that Envoy takes. It makes a larger one where more descriptors than that repeat
    /// a header, such as nine with a path of 59 KB.
    pub max_message_bytes: usize,
    /// The longest a call may take when its caller sets no shorter deadline. Default 1 s; decisions are bounded
    /// by the store's own deadline long before.
    pub timeout: Duration,
    /// Calls in progress on one connection. Default 1024.
    pub max_concurrent_streams: u32,
    /// Calls reset by the peer before they were begun, above which a connection is closed. Default 65,536: the
    /// peer is the operator's Envoy, which carries the calls of all its clients on one connection and passes on
    /// as a reset whatever one of them gives up, in bursts of thousands. Closing the connection would fail the
    /// calls of all others, and Envoy lets those pass; a reset call costs some hundred bytes until it is looked at.
    pub max_pending_reset_streams: usize,
    /// Calls that this side had to reset over the life of a connection, above which it is closed. Default 1024.
    pub max_error_reset_streams: usize,
    /// The largest header list, in bytes. Default 256 KiB: Envoy's tracers copy headers of its clients into the
    /// call, `tracestate` among them, of which Envoy takes 60 KiB unless told to take more. A call refused for
    /// them would pass.
    pub max_header_list_bytes: u32,
    /// How much of one request a peer may send ahead of its being read, in bytes. Default 64 KiB.
    pub stream_window_bytes: u32,
    /// The same for all requests of a connection. Default 1 MiB.
    pub connection_window_bytes: u32,
    /// How often an idle connection is asked whether it lives. Default 30 s.
    pub keepalive_interval: Duration,
    /// How long it may take to say so. Default 10 s.
    pub keepalive_timeout: Duration,
    /// How long a new connection may take to send its first bytes; where callers are asked who they are, then as long again until
    /// somebody is let in. Default 10 s.
    pub greeting_timeout: Duration,
    /// How long a connection lives before its client is asked to open another; calls in progress end in peace.
    /// Default 24 h.
    pub max_connection_age: Duration,
}

impl Default for GrpcSettings {
    fn default() -> Self {
        Self {
            max_message_bytes: 512 * 1024,
            timeout: Duration::from_secs(1),
            max_concurrent_streams: 1024,
            max_pending_reset_streams: 64 * 1024,
            max_error_reset_streams: 1024,
            max_header_list_bytes: 256 * 1024,
            stream_window_bytes: 64 * 1024,
            connection_window_bytes: 1024 * 1024,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            greeting_timeout: Duration::from_secs(10),
            max_connection_age: Duration::from_secs(24 * 3600),
        }
    }
}

/// What a call needs, shared by all connections of a thread.
struct Service<C> {
    check: C,
    /// What else is served on the port.
    routes: WithDeadline,
    settings: GrpcSettings,
    access: Access,
}

/// Serves `connections` of those who have `access` until `shutdown` resolves or the acceptor ends, and then until the calls in progress
/// have ended: new calls are turned away with GOAWAY, watchers of the health are told and let go. Connections that
/// outlast the longest call are not waited for: nothing is asked on them.
///
/// Whoever drains sets `health` first and gives the load balancers time to see it.
pub async fn serve(
    connections: Connections,
    check: impl Check + Hold,
    health: &Health,
    settings: &GrpcSettings,
    access: Access,
    shutdown: impl Future<Output = ()>,
) {
    let reporter = HealthReporter::new();
    let holds = holds::service(check.clone(), settings, whom(&access));
    let routes = WithDeadline::new(routes(reporter.clone()).add_service(holds).prepare(), settings.timeout);
    let service = Arc::new(Service { check, routes, settings: settings.clone(), access });
    let leave = watch::Sender::new(false);
    let reporting = async {
        health::report(health, &reporter, shutdown).await;
        leave.send_replace(true);
        tokio::time::sleep(settings.timeout + LAST_CALLS).await;
    };
    tokio::select! {
        () = converse(connections, service, &leave) => {}
        () = reporting => {}
    }
}

/// Serves each of `connections` until there are no more, or all are to `leave`; and then to the last one's end.
async fn converse<C: Check>(
    mut connections: Connections,
    service: Arc<Service<C>>,
    leave: &watch::Sender<bool>,
) {
    let mut leaving = leave.subscribe();
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connections.recv() => match accepted {
                Some(connection) => _ = open.spawn(one(connection, service.clone(), leave.subscribe())),
                None => break,
            },
            Ok(_) = leaving.wait_for(|leave| *leave), if !connections.is_closed() => connections.close(),
            Some(_) = open.join_next() => {}
        }
    }
    leave.send_replace(true);
    while open.join_next().await.is_some() {}
}

async fn one<C: Check>(connection: Connection, service: Arc<Service<C>>, leave: watch::Receiver<bool>) {
    let Connection { stream, open } = connection;
    if let Err(error) = begin(stream, service, leave).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a connection broke off");
    }
    drop(open);
}

/// Whose holds are served.
fn whom(access: &Access) -> Whom {
    if access.callers.is_some() { Whom::Known } else { Whom::All }
}

/// Hears who is at the other end of `stream`, and serves them.
async fn begin<C: Check>(
    stream: net::TcpStream,
    service: Arc<Service<C>>,
    leave: watch::Receiver<bool>,
) -> Result<(), Broken> {
    let stream = TcpStream::from_std(stream)?;
    let beginning = tokio::time::timeout(service.settings.greeting_timeout, service.access.begin(stream));
    let (stream, peer) = beginning.await.map_err(|_| Broken::Silent)??;
    let age = peer.longest_life(service.settings.max_connection_age);
    let door = Door::of(&service.access, peer);
    connection::serve(stream, (door, age), service, leave).await
}

fn routes(reporter: HealthReporter) -> Routes {
    let health = HealthServer::new(HealthService::from_health_reporter(reporter));
    with_reflection(Routes::new(health), DESCRIPTORS)
}

/// `routes`, and beside them who tells of `descriptors`.
fn with_reflection(routes: Routes, descriptors: &'static [u8]) -> Routes {
    let told = || {
        tonic_reflection::server::Builder::configure()
            .include_reflection_service(false)
            .register_encoded_file_descriptor_set(descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(v1alpha::FILE_DESCRIPTOR_SET)
    };
    routes
        .add_service(told().build_v1().expect("the descriptors were compiled with this crate"))
        .add_service(told().build_v1alpha().expect("the descriptors were compiled with this crate"))
}
