//! HTTP/1.1 connections, bounded in number and in time. What is asked on them is their routers' matter.
//!
//! A connection that asks nothing, half a question, or does not read its answer is closed before long; nobody
//! can take the descriptors that gRPC and the store need by opening many.

mod patient;

use std::net;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::accept::{self, Connection, Connections};
use patient::Patient;

/// How connections are treated, whatever is asked on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// How many may be open. Those beyond are closed at once. Default 512: with the operator's, little more
    /// than half of the 1,024 descriptors that a process may have unless told otherwise.
    pub max_connections: usize,
    /// How long a connection may take to send the head of a request, from its beginning or from the answer
    /// before; so it may be idle for as long. Default 30 s.
    pub head_timeout: Duration,
    /// How long a peer may leave an answer unread, when no more of it can be sent. Default 10 s.
    pub unread_timeout: Duration,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            max_connections: 512,
            head_timeout: Duration::from_secs(30),
            unread_timeout: Duration::from_secs(10),
        }
    }
}

/// Serves `listener` by `router` until `shutdown` resolves, and then until the calls in progress have ended.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: ConnectionSettings,
    shutdown: impl Future<Output = ()>,
) {
    let (worker, connections) = accept::worker();
    let accepting = async {
        tokio::select! {
            () = accept::accept(listener, vec![worker]) => {}
            () = shutdown => {}
        }
    };
    let graceful = GracefulShutdown::new();
    tokio::join!(accepting, take(connections, &router, settings, &graceful));
    graceful.shutdown().await;
}

/// Serves each of `connections` for which there is room, until no more come.
async fn take(
    mut connections: Connections,
    router: &Router,
    settings: ConnectionSettings,
    graceful: &GracefulShutdown,
) {
    let places = Arc::new(Semaphore::new(settings.max_connections));
    let mut told = false;
    while let Some(connection) = connections.recv().await {
        if let Ok(place) = places.clone().try_acquire_owned() {
            told = false;
            tokio::spawn(converse(connection, router.clone(), settings, graceful.watcher(), place));
        } else if !std::mem::replace(&mut told, true) {
            tracing::warn!(open = settings.max_connections, "too many connections: new ones are closed");
        }
    }
}

/// Serves one connection to its end, and keeps its `place` until then.
async fn converse(
    Connection { stream, open }: Connection,
    router: Router,
    settings: ConnectionSettings,
    watcher: Watcher,
    place: OwnedSemaphorePermit,
) {
    if let Err(error) = answer(stream, router, settings, watcher).await {
        tracing::debug!(error = &*error, "a connection broke off");
    }
    drop((place, open));
}

async fn answer(
    stream: net::TcpStream,
    router: Router,
    settings: ConnectionSettings,
    watcher: Watcher,
) -> Result<(), Box<dyn std::error::Error>> {
    let stream = Patient::new(TcpStream::from_std(stream)?, settings.unread_timeout);
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(settings.head_timeout);
    let connection = protocol.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    Ok(watcher.watch(connection).await?)
}
