//! Connections of the HTTP and the operator's listener: how many there may be, and for how long they may do nothing.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use tollgate::admin;
use tollgate::clock::Clock;
use tollgate::engine::{Engine, EngineSettings};
use tollgate::limits::{KeySecret, LimitsHandle, WireUnit};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::transport::access::Access;
use tollgate::transport::health::{Health, Serving};
use tollgate::transport::http::{self, HttpSettings};
use tollgate::transport::listener::{self, ConnectionSettings};

use crate::support::process::{Tollgate, metric};
use crate::support::server::per_key;
use crate::support::{admins, raw};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);

/// What a server that does its work needs by far.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nobody is cut off, whatever is spoken.
fn unhurried() -> ConnectionSettings {
    ConnectionSettings { head_timeout: LONG, unread_timeout: LONG, ..admin::connections() }
}

/// Both listeners under `connections`, each with a path that it answers.
async fn listeners(connections: ConnectionSettings) -> [(SocketAddr, &'static str); 2] {
    let store = MemoryStore::new(MemorySettings::default(), Clock::System, KeySecret([0; 16]));
    let rules = LimitsHandle::new(per_key("api", &[("user", 10, WireUnit::Hour)]));
    let engine = Arc::new(Engine::new(rules, store, EngineSettings::default()));
    let [asked, watched] = [listener().await, listener().await];
    let addresses = [&asked, &watched].map(|listener| listener.local_addr().unwrap());
    let settings = HttpSettings { connections, ..HttpSettings::default() };
    tokio::spawn(http::serve(
        asked,
        engine.clone(),
        Health::new(Serving::Wanted),
        settings,
        Access::default(),
        pending(),
    ));
    tokio::spawn(admin::serve(watched, engine, admins::gate(), vec![], connections, pending()));
    [(addresses[0], "/healthcheck"), (addresses[1], "/livez")]
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// A connection on which `bytes` were sent.
async fn beginning(address: SocketAddr, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has no room may have closed it by now.
    let _ = stream.write_all(bytes.as_bytes()).await;
    stream
}

/// What is heard until the server closes the connection, in peace or by a reset.
async fn heard(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut heard)).await;
    assert!(closed.is_ok(), "the connection stays open after {:?}", String::from_utf8_lossy(&heard));
    String::from_utf8_lossy(&heard).into_owned()
}

/// Asks on new connections until one is answered.
async fn is_answered_in_the_end(address: SocketAddr, path: &str) {
    let asking = async {
        let question = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        while !heard(&mut beginning(address, &question).await).await.starts_with("HTTP/1.1 200") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("there is room again");
}

#[tokio::test]
async fn those_that_ask_nothing_or_half_a_question_are_closed() {
    let head_timeout = Duration::from_millis(50);
    let settings = ConnectionSettings { head_timeout, ..admin::connections() };
    for (address, path) in listeners(settings).await {
        for (sent, answered) in [
            (String::new(), false),
            ("PRI * HTTP/2.0".to_owned(), false),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), false),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_owned(), false),
            (format!("GET {path} HTTP/1.1\r\nhost:"), false),
            (format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"), true),
            (format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\nGET"), true),
            (format!("GET {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{{"), true),
        ] {
            let heard = heard(&mut beginning(address, &sent).await).await;
            assert_eq!(heard.starts_with("HTTP/1.1 200"), answered, "{sent:?}: {heard:?}");
        }
    }
}

#[tokio::test]
async fn those_beyond_the_limit_are_closed_and_those_within_are_served() {
    let settings = ConnectionSettings { max_connections: 2, ..unhurried() };
    for (address, path) in listeners(settings).await {
        let question = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut within = [beginning(address, &question).await, beginning(address, &question).await];
        for stream in &mut within {
            stream.read_exact(&mut [0; 12]).await.unwrap();
        }
        for _ in 0..3 {
            assert_eq!(heard(&mut TcpStream::connect(address).await.unwrap()).await, "");
        }
        let [one, mut other] = within;
        drop(one);
        is_answered_in_the_end(address, path).await;
        other
            .write_all(question.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        assert!(heard(&mut other).await.contains("HTTP/1.1 200"), "the one within is served as before");
    }
}

#[tokio::test]
async fn those_that_do_not_read_their_answer_are_closed() {
    static LARGE: [u8; 32 * 1024 * 1024] = [b'x'; 32 * 1024 * 1024];
    let unread_timeout = Duration::from_millis(50);
    let settings = ConnectionSettings { max_connections: 1, unread_timeout, ..unhurried() };
    let listener = listener().await;
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", get(|| async { &LARGE[..] })).route("/small", get("small"));
    tokio::spawn(listener::serve(listener, router, settings, pending()));
    let mut lazy = beginning(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    lazy.read_exact(&mut [0; 12]).await.unwrap();
    is_answered_in_the_end(address, "/small").await;
}

/// Asks for the health of the whole by gRPC.
async fn health(channel: &Channel) -> Result<ServingStatus, Status> {
    let mut client = HealthClient::new(channel.clone());
    Ok(client.check(HealthCheckRequest::default()).await?.into_inner().status())
}

#[tokio::test]
async fn grpc_is_served_beside_all_else_on_one_port_and_comes_again_when_it_was_idle() {
    let head_timeout = Duration::from_millis(300);
    let settings = ConnectionSettings { head_timeout, max_connections: 1, ..admin::connections() };
    let (address, path) = listeners(settings).await[1];
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    assert_eq!(health(&channel).await.unwrap(), ServingStatus::Serving);
    // It is told to come again, and leaves room for others.
    is_answered_in_the_end(address, path).await;
    assert_eq!(health(&channel).await.unwrap(), ServingStatus::Serving);
}

#[tokio::test]
async fn who_is_told_of_changes_is_not_idle() {
    let head_timeout = Duration::from_millis(50);
    let settings = ConnectionSettings { head_timeout, ..admin::connections() };
    let (address, _) = listeners(settings).await[1];
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = HealthClient::new(channel);
    let mut watched = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let more = tokio::time::timeout(head_timeout * 8, watched.message()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn nobody_is_told_of_changes_for_ever() {
    let longest_silence = Duration::from_millis(50);
    let head_timeout = Duration::from_millis(100);
    let settings =
        ConnectionSettings { head_timeout, longest_silence, max_connections: 1, ..admin::connections() };
    let (address, path) = listeners(settings).await[1];
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut watched =
        HealthClient::new(channel).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let more = tokio::time::timeout(PATIENCE, watched.message()).await.expect("it breaks off");
    assert!(more.is_err(), "{more:?}");
    // And whoever watches leaves the place to others.
    is_answered_in_the_end(address, path).await;
}

#[tokio::test]
async fn those_that_have_asked_for_long_come_again() {
    let settings = ConnectionSettings { max_age: Duration::from_millis(100), ..unhurried() };
    for (address, path) in listeners(settings).await {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let question = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        let asking = async {
            let mut answer = [0; 4096];
            loop {
                // One that is closed may take a question and never answer it.
                let asked = stream.write_all(question.as_bytes()).await;
                match stream.read(&mut answer).await {
                    Ok(1..) if asked.is_ok() => tokio::time::sleep(Duration::from_millis(1)).await,
                    _ => return,
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("it is closed although it is in use");
        is_answered_in_the_end(address, path).await;
    }
}

#[test]
fn one_who_asks_from_elsewhere_holds_a_quarter_of_the_places() {
    let ConnectionSettings { max_connections, max_of_address, .. } = admin::connections();
    assert_eq!((max_connections, max_of_address), (64, Some(16)));
}

#[tokio::test]
async fn connections_leave_descriptors_for_all_else() {
    const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    // 168 are for the other listeners, the store, files and one thread.
    let few = ["sh", "-c", "ulimit -n 256; exec \"$0\" \"$@\""];
    let service = Tollgate::under(&few, &["examples/tollgate.yaml", "--threads", "1"], &[]);
    let mut greeted = Vec::new();
    for _ in 0..88 {
        let mut stream = TcpStream::connect(service.grpc()).await.unwrap();
        stream.write_all(HELLO).await.unwrap();
        stream.read_exact(&mut [0; 9]).await.unwrap();
        greeted.push(stream);
    }
    let mut beyond = TcpStream::connect(service.grpc()).await.unwrap();
    let heard = beyond.read(&mut [0]).await;
    assert!(matches!(heard, Ok(0) | Err(_)), "it is closed: {heard:?}");
    assert_eq!(metric(&service, "grpc_connections_refused").await, 1);
    let told = raw::http(service.admin(), "GET", "/metrics", b"").await.body;
    assert!(told.contains("\ntollgate_grpc_connections 88\n"), "{told}");
    let ready = raw::http(service.admin(), "GET", "/readyz", b"").await;
    assert!(ready.status == 200 && ready.body.contains("connections: 88 are open"), "{ready:?}");
    service.logs("too many connections for the file descriptors");
    assert_eq!(raw::http(service.http(), "GET", "/healthcheck", b"").await.status, 200);
    greeted.truncate(86);
    for _ in 0..1_000 {
        let mut stream = TcpStream::connect(service.grpc()).await.unwrap();
        _ = stream.write_all(HELLO).await;
        if stream.read_exact(&mut [0; 9]).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("there is no room again");
}

#[test]
fn as_many_descriptors_are_asked_for_as_are_allowed() {
    let few = ["sh", "-c", "ulimit -Sn 256; ulimit -Hn 512; exec \"$0\" \"$@\""];
    let service = Tollgate::under(&few, &["examples/tollgate.yaml"], &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", service.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line.split_whitespace().filter(|word| word.parse::<u64>().is_ok()).collect();
    assert_eq!(numbers, ["512", "512"], "{line}");
}
