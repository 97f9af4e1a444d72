//! A listener and its connections, bounded in number and in time. What is asked on them is their routers' matter.
//!
//! All of them speak HTTP/1.1 and HTTP/2, as the peer begins: clients choose HTTP/2 where TLS offers it. A connection that
//! asks nothing, half a question, or does not read its answer is closed before long; nobody can take the descriptors that
//! gRPC and the store need by opening many.

mod activity;
mod greeting;
mod patient;
mod places;

use std::io;
use std::net::{self, IpAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::accept::{self, Connection, Connections};
use activity::Activity;
use greeting::{Greeted, Greeting};
use patient::Patient;
use places::{Full, Place, Places};

use super::tls::Tls;
use crate::auth::SubjectName;

/// What requests are read from and answers written to.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// How connections are treated, whatever is asked on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// How many may be open. Those beyond are closed at once. Default 512; the service takes fewer where it may have fewer
    /// than 4,096 descriptors.
    pub max_connections: usize,
    /// How long a connection may take to send the head of a request, from its beginning or from the answer
    /// before; so it may be idle for as long. Default 30 s.
    pub head_timeout: Duration,
    /// How many of them those of one address may have; of IPv6, of one /64. This machine is not bounded. Default: all.
    pub max_of_address: Option<usize>,
    /// How long an answer may wait for its next part. Default a minute: none here waits for long but by whoever wants to
    /// keep its place.
    pub longest_silence: Duration,
    /// How long a connection lives before it is asked to come again, whatever is asked on it. One of a peer that has shown a
    /// certificate lives for ten minutes at most: it may have expired by then, or be trusted no longer. Default an hour.
    pub max_age: Duration,
    /// How long a peer may leave an answer unread, when no more of it can be sent. Default 10 s.
    pub unread_timeout: Duration,
}

/// Who is at the other end, as the extensions of each request tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its address, where that is known.
    pub address: Option<IpAddr>,
    /// The names in its certificate, where it has sent one that is good.
    pub names: Arc<[SubjectName]>,
}

impl Peer {
    /// How long a connection of it may live, where those of others may for `max_age`.
    pub(super) fn longest_life(&self, max_age: Duration) -> Duration {
        if self.names.is_empty() { max_age } else { max_age.min(LIFE_BY_CERTIFICATE) }
    }
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            max_connections: 512,
            max_of_address: None,
            longest_silence: Duration::from_secs(60),
            max_age: Duration::from_secs(3600),
            head_timeout: Duration::from_secs(30),
            unread_timeout: Duration::from_secs(10),
        }
    }
}

/// The most that one connection of HTTP/2 may ask at a time.
const MAX_STREAMS: u32 = 32;
/// The largest headers of a request of HTTP/2, in bytes.
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// How long a connection lives whose peer has shown a certificate.
const LIFE_BY_CERTIFICATE: Duration = Duration::from_secs(600);

/// How long the calls of a connection that is told to come again may go on.
const LAST_CALLS: Duration = Duration::from_secs(10);

/// What all connections of a listener are served by.
#[derive(Clone)]
struct Served {
    router: Router,
    settings: ConnectionSettings,
    tls: Option<Tls>,
    /// Whether they are to end. Each connection keeps one.
    stop: watch::Receiver<bool>,
}

/// Where connections come from, and whether they are encrypted.
#[derive(Debug)]
pub struct Listening {
    /// The socket.
    pub socket: TcpListener,
    /// What they are encrypted by.
    pub tls: Option<Tls>,
}

impl From<TcpListener> for Listening {
    fn from(socket: TcpListener) -> Self {
        Self { socket, tls: None }
    }
}

/// Serves `listener` by `router` until `shutdown` resolves, and then until the calls in progress have ended.
pub async fn serve(
    listener: impl Into<Listening>,
    router: Router,
    settings: ConnectionSettings,
    shutdown: impl Future<Output = ()>,
) {
    let Listening { socket, tls } = listener.into();
    let (worker, connections) = accept::worker();
    let accepting = async {
        tokio::select! {
            () = accept::accept(socket, vec![worker]) => {}
            () = shutdown => {}
        }
    };
    let (stopper, stop) = watch::channel(false);
    tokio::join!(accepting, take(connections, Served { router, settings, tls, stop }));
    stopper.send_replace(true);
    stopper.closed().await;
}

/// Resolves once the connections are to end.
async fn asked_to(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Serves each of `connections` for which there is room, until no more come.
async fn take(mut connections: Connections, served: Served) {
    let ConnectionSettings { max_connections, max_of_address, .. } = served.settings;
    let places = Places::new(max_connections, max_of_address);
    let mut told = false;
    while let Some(connection) = connections.recv().await {
        let address = connection.stream.peer_addr().ok().map(|address| address.ip());
        match places.take(address) {
            Ok(place) => {
                told = false;
                tokio::spawn(converse(connection, address, served.clone(), place));
            }
            Err(full) => tell(full, &served.settings, std::mem::replace(&mut told, true)),
        }
    }
}

/// Says in the log why connections are closed, once until one is served again.
fn tell(full: Full, settings: &ConnectionSettings, was_told: bool) {
    let open = settings.max_connections;
    match full {
        _ if was_told => {}
        Full::All => tracing::warn!(open, "too many connections: new ones are closed"),
        Full::Of(address) => {
            tracing::warn!(%address, "too many connections of one address: new ones of it are closed")
        }
    }
}

/// Serves one connection to its end, and keeps its `place` until then.
async fn converse(
    Connection { stream, open }: Connection,
    address: Option<IpAddr>,
    served: Served,
    place: Place,
) {
    if let Err(error) = begin(stream, address, served).await {
        tracing::debug!(error = &*error, "a connection broke off");
    }
    drop((place, open));
}

type Broken = Box<dyn std::error::Error + Send + Sync>;

async fn begin(stream: net::TcpStream, address: Option<IpAddr>, served: Served) -> Result<(), Broken> {
    let peer = Peer { address, ..Peer::default() };
    let stream = Patient::new(TcpStream::from_std(stream)?, served.settings.unread_timeout);
    let Some(tls) = &served.tls else { return answer(stream, peer, served).await };
    let Some((stream, names)) = greet(tls.accept(stream), &served).await? else { return Ok(()) };
    answer(stream, Peer { names: names.into(), ..peer }, served).await
}

/// What comes of `greeting`, which may take as long as a head. `None`: connections are to end, and this one has not begun;
/// one on which something was asked by then is answered.
async fn greet<T>(
    greeting: impl Future<Output = io::Result<T>>,
    served: &Served,
) -> Result<Option<T>, Broken> {
    let mut stop = served.stop.clone();
    tokio::select! {
        biased;
        greeted = tokio::time::timeout(served.settings.head_timeout, greeting) => Ok(Some(greeted??)),
        () = asked_to(&mut stop) => Ok(None),
    }
}

/// Answers what is asked on `stream` by `peer`.
async fn answer(stream: impl Stream, peer: Peer, served: Served) -> Result<(), Broken> {
    match greet(Greeted::hear(stream), &served).await? {
        Some((Greeting::Http1, stream)) => http1(stream, peer, served).await,
        Some((Greeting::Http2, stream)) => http2(stream, peer, served).await,
        None => Ok(()),
    }
}

/// Speaks HTTP/1.1. A connection that has lived for long is closed behind the answer of the time.
async fn http1(stream: impl Stream, peer: Peer, served: Served) -> Result<(), Broken> {
    let Served { router, settings, mut stop, .. } = served;
    let (age, activity) = (peer.longest_life(settings.max_age), Activity::new(settings.longest_silence));
    let mut protocol = http1::Builder::new();
    protocol.timer(TokioTimer::new()).header_read_timeout(settings.head_timeout);
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), activity.watch(router, peer)));
    tokio::select! {
        ended = &mut connection => return Ok(ended?),
        () = asked_to(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            return Ok(connection.await?);
        }
        () = tokio::time::sleep(age) => {}
    }
    connection.as_mut().graceful_shutdown();
    Ok(tokio::time::timeout(LAST_CALLS, connection).await??)
}

/// Speaks HTTP/2. A connection on which nothing has been asked for as long as a head may take, or that has lived for long,
/// is told to come again.
async fn http2(stream: impl Stream, peer: Peer, served: Served) -> Result<(), Broken> {
    let Served { router, settings, mut stop, .. } = served;
    let mut protocol = http2::Builder::new(TokioExecutor::new());
    protocol
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .keep_alive_interval(settings.head_timeout)
        .keep_alive_timeout(settings.unread_timeout);
    let (age, activity) = (peer.longest_life(settings.max_age), Activity::new(settings.longest_silence));
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), activity.watch(router, peer)));
    tokio::select! {
        ended = &mut connection => return Ok(ended?),
        () = asked_to(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            return Ok(connection.await?);
        }
        () = activity.ceases(settings.head_timeout) => {}
        () = tokio::time::sleep(age) => {}
    }
    connection.as_mut().graceful_shutdown();
    Ok(tokio::time::timeout(LAST_CALLS, connection).await??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_came_by_a_certificate_shows_it_again_before_long() {
        let hour = Duration::from_secs(3600);
        let certified = Peer { names: [SubjectName::dns("a.example")].into(), ..Peer::default() };
        assert_eq!(Peer::default().longest_life(hour), hour);
        assert_eq!(certified.longest_life(hour), LIFE_BY_CERTIFICATE);
        assert_eq!(certified.longest_life(Duration::from_secs(1)), Duration::from_secs(1));
    }
}
