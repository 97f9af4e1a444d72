//! One try to hand an alert to a webhook: a connection of its own, one request, and only the status of the answer.
//!
//! Redirects are not followed, and nothing the webhook says is kept. Why it did not take an alert is told in words that
//! hold nothing of its address.

use std::io;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, StatusCode};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use rustls::CertificateError;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::limits::{Scheme, Webhook};

use super::trust;

/// Hands alerts to webhooks.
#[derive(Default)]
pub(super) struct Post {
    /// Made when the first webhook needs it.
    tls: OnceCell<TlsConnector>,
}

/// Why a webhook did not take an alert.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untaken {
    /// Its name has no address.
    #[error("its name is not known")]
    Unknown,
    /// Nobody is there.
    #[error("it cannot be reached: {0}")]
    Unreachable(io::ErrorKind),
    /// It may be somebody else.
    #[error("its certificate is not trusted: {0}")]
    Untrusted(&'static str),
    /// It speaks no TLS that we do.
    #[error("no TLS connection comes about")]
    Insecure,
    /// It ended the connection, or its answer is none.
    #[error("it gives no HTTP answer")]
    Broken,
    /// It took too long.
    #[error("it does not answer in time")]
    Late,
    /// It does not want it.
    #[error("it answers {0}")]
    Refused(StatusCode),
}

impl Untaken {
    /// Whether the same alert may be taken later. What is wrong with the alert itself stays wrong.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Refused(status) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            _ => true,
        }
    }
}

impl Post {
    /// Hands `body` to `webhook`, which has `patience` to take it.
    pub(super) async fn send(
        &self,
        webhook: &Webhook,
        body: String,
        patience: Duration,
    ) -> Result<(), Untaken> {
        timeout(patience, self.offer(webhook, body)).await.unwrap_or(Err(Untaken::Late))
    }

    async fn offer(&self, webhook: &Webhook, body: String) -> Result<(), Untaken> {
        let tcp = dial(webhook).await?;
        let status = match webhook.scheme() {
            Scheme::Http => ask(tcp, webhook, body).await?,
            Scheme::Https => {
                let name = ServerName::try_from(webhook.host().to_owned()).map_err(|_| Untaken::Unknown)?;
                let tls = self.tls().await?;
                ask(tls.connect(name, tcp).await.map_err(|error| untrusted(&error))?, webhook, body).await?
            }
        };
        if status.is_success() { Ok(()) } else { Err(Untaken::Refused(status)) }
    }

    async fn tls(&self) -> Result<&TlsConnector, Untaken> {
        let make = || async {
            let made = tokio::task::spawn_blocking(trust::connector).await;
            made.ok().and_then(Result::ok).ok_or(Untaken::Insecure)
        };
        self.tls.get_or_try_init(make).await
    }
}

async fn dial(webhook: &Webhook) -> Result<TcpStream, Untaken> {
    let found = lookup_host((webhook.host(), webhook.port())).await.map_err(|_| Untaken::Unknown)?;
    let addresses: Vec<_> = found.collect();
    TcpStream::connect(&*addresses).await.map_err(|error| Untaken::Unreachable(error.kind()))
}

/// Posts `body` and reads the head of the answer.
async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    webhook: &Webhook,
    body: String,
) -> Result<StatusCode, Untaken> {
    let request = Request::post(webhook.target())
        .header(HOST, webhook.authority())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("tollgate/", env!("CARGO_PKG_VERSION")))
        .body(body)
        .map_err(|_| Untaken::Unknown)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|_| Untaken::Broken)?;
    // The connection carries the answer to the sender, which also hears of its end.
    let carried = async {
        _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = sender.send_request(request) => answer.map(|answer| answer.status()).map_err(|_| Untaken::Broken),
        never = carried => never,
    }
}

fn untrusted(error: &io::Error) -> Untaken {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => Untaken::Untrusted(match why {
            CertificateError::UnknownIssuer => "nobody known has signed it",
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "it is for another name"
            }
            _ => "it is not valid",
        }),
        _ => Untaken::Insecure,
    }
}
