//! A receiver of webhooks: takes one request a connection, keeps it, and answers with the status it was told to.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::http::split;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running receiver; dropping it ends it.
pub(crate) struct Receiver {
    address: SocketAddr,
    requests: UnboundedReceiver<Request>,
    _tasks: JoinSet<()>,
}

/// What was sent.
#[derive(Debug)]
pub(crate) struct Request {
    /// The request line and the headers, their names in small letters.
    pub(crate) head: String,
    /// The body, which is JSON.
    pub(crate) body: Value,
}

impl Receiver {
    /// Answers with `statuses` in their order, and with the last of them ever after. 0 is no answer at all.
    pub(crate) async fn start(statuses: &[u16]) -> Self {
        Self::on("127.0.0.1:0".parse().unwrap(), statuses).await
    }

    /// As [`Receiver::start`], at `address`.
    pub(crate) async fn on(address: SocketAddr, statuses: &[u16]) -> Self {
        Self::serve(address, statuses, None).await
    }

    /// As [`Receiver::start`], over TLS, as `localhost`.
    pub(crate) async fn over_tls(statuses: &[u16]) -> Self {
        let pem = include_bytes!("../../data/tls/localhost.pem");
        let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_slice(pem).unwrap())
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        Self::serve("127.0.0.1:0".parse().unwrap(), statuses, Some(tls)).await
    }

    async fn serve(address: SocketAddr, statuses: &[u16], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = unbounded_channel();
        let mut statuses: VecDeque<u16> = statuses.iter().copied().collect();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let status =
                    if statuses.len() > 1 { statuses.pop_front() } else { statuses.front().copied() };
                let status = status.expect("a status");
                let Some(tls) = &tls else {
                    answer(stream, status, &sender).await;
                    continue;
                };
                // Whoever does not trust us says so by leaving.
                if let Ok(stream) = tls.accept(stream).await {
                    answer(stream, status, &sender).await;
                }
            }
        });
        Self { address, requests, _tasks: tasks }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next request.
    pub(crate) async fn next(&mut self) -> Request {
        let next = tokio::time::timeout(PATIENCE, self.requests.recv());
        next.await.expect("a request comes").expect("the receiver runs")
    }

    /// Whether there has been a request that nobody waited for.
    pub(crate) fn has_more(&mut self) -> bool {
        self.requests.try_recv().is_ok()
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    status: u16,
    requests: &UnboundedSender<Request>,
) {
    let Some(request) = read(&mut stream).await else { return };
    // Nobody may be waiting for it any more.
    _ = requests.send(request);
    if status == 0 {
        // Whoever asks is to lose patience.
        _ = stream.read(&mut [0]).await;
        return;
    }
    let answer = format!("HTTP/1.1 {status} so\r\ncontent-length: 2\r\n\r\nso");
    _ = stream.write_all(answer.as_bytes()).await;
    _ = stream.shutdown().await;
}

/// One whole request; `None` if it breaks off, or is none.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        if !bytes[0].is_ascii_alphabetic() {
            return None;
        }
        let Some((head, body)) = split(&bytes) else { continue };
        let head = String::from_utf8(head.to_vec()).expect("a head is text").to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        if body.len() == length.parse::<usize>().expect("a number") {
            return Some(Request { body: serde_json::from_slice(body).expect("JSON"), head });
        }
    }
}
