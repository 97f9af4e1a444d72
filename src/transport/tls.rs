//! TLS of a listener: its certificate, and whom those of its callers name.
//!
//! The files are read again when they change, and connections from then on see what is in them; those that are open stay. A
//! caller's certificate is never needed, since liveness is everybody's to ask; one that is sent has to be signed by the
//! authority that is named for it. TLS 1.2 and 1.3. No session is resumed, so that each connection proves who it is.

mod socket;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use webpki::EndEntityCert;

use crate::auth::SubjectName;

pub(super) use socket::Socket;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_millis(500);
/// What is spoken, by its names in TLS, the first before the second.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where certificates are, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The listener's, and those between it and its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Who signs those of callers, where they may have any.
    pub client_ca: Option<PathBuf>,
}

/// Why TLS cannot be spoken. Nothing of a key is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{file}: cannot be read ({problem}): name a file in PEM")]
    Unreadable {
        /// Which one.
        file: String,
        /// Why not.
        problem: String,
    },
    /// A file holds something else.
    #[error("{file}: holds no {what} in PEM")]
    Empty {
        /// Which one.
        file: String,
        /// What it should hold.
        what: &'static str,
    },
    /// The key is not that of the certificate, or the like.
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(String),
}

/// What makes TLS connections. All clones are one.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    /// Whose certificate it is, in words.
    listener: &'static str,
    files: TlsFiles,
    /// What stood in them at first.
    first: Written,
    config: ArcSwap<ServerConfig>,
}

/// What stands in the files.
#[derive(Clone, PartialEq, Eq)]
struct Written {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    /// Reads `files`, those of `listener`, as the log calls it.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn read(listener: &'static str, files: TlsFiles) -> Result<Self, TlsError> {
        let first = written(&files)?;
        let config = ArcSwap::from_pointee(config(&files, &first)?);
        Ok(Self(Arc::new(Inner { listener, files, first, config })))
    }

    /// Reads the files again when they have changed, until `shutdown` ends. What cannot be used leaves what was used.
    pub async fn follow(self, shutdown: impl Future<Output = ()>) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(shutdown);
        let mut seen = Ok(self.0.first.clone());
        loop {
            tokio::select! {
                () = &mut shutdown => return,
                _ = ticks.tick() => {}
            }
            let files = self.0.files.clone();
            let Ok(found) = tokio::task::spawn_blocking(move || written(&files)).await else { continue };
            if found != seen {
                seen.clone_from(&found);
                self.exchange(found.and_then(|written| config(&self.0.files, &written)));
            }
        }
    }

    fn exchange(&self, config: Result<ServerConfig, TlsError>) {
        match config {
            Ok(config) => {
                self.0.config.store(Arc::new(config));
                tracing::info!("the certificates of {} were read again", self.0.listener);
            }
            Err(error) => {
                tracing::error!("{error}");
                tracing::error!("the certificates were not reloaded; the last good ones stay in use");
            }
        }
    }

    /// Agrees on TLS with whoever is at the other end of `stream`, and hears what names they have.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<(TlsStream<S>, Vec<SubjectName>)> {
        let stream = TlsAcceptor::from(self.0.config.load_full()).accept(stream).await?;
        let names = names_of(stream.get_ref().1);
        Ok((stream, names))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.files).finish()
    }
}

/// The names in the certificate of a caller, which was found to be good.
fn names_of(connection: &ServerConnection) -> Vec<SubjectName> {
    let sent = connection.peer_certificates().and_then(|chain| chain.first());
    let Some(Ok(certificate)) = sent.map(EndEntityCert::try_from) else { return Vec::new() };
    let machines = certificate.valid_dns_names().map(SubjectName::dns);
    machines.chain(certificate.valid_uri_names().map(SubjectName::uri)).collect()
}

fn written(files: &TlsFiles) -> Result<Written, TlsError> {
    Ok(Written {
        cert: bytes(&files.cert)?,
        key: bytes(&files.key)?,
        client_ca: files.client_ca.as_deref().map(bytes).transpose()?,
    })
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::Unreadable {
        file: path.display().to_string(),
        problem: error.to_string(),
    })
}

fn config(files: &TlsFiles, written: &Written) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.cert, &written.cert)?;
    let key = PrivateKeyDer::from_pem_slice(&written.key).map_err(|_| empty(&files.key, "private key"))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match files.client_ca.as_deref().zip(written.client_ca.as_deref()) {
        None => builder.with_no_client_auth(),
        Some((path, pem)) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path, pem)? {
                roots.add(authority).map_err(unusable)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().map_err(unusable)?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| empty(path, "certificate"))
}

fn empty(path: &Path, what: &'static str) -> TlsError {
    TlsError::Empty { file: path.display().to_string(), what }
}

fn unusable(error: impl fmt::Display) -> TlsError {
    TlsError::Unusable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_written_before_the_first_look_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("both.pem");
        let write = |name: &str| {
            let data = format!("{}/tests/data/tls/{name}.pem", env!("CARGO_MANIFEST_DIR"));
            fs::copy(data, &file).unwrap();
        };
        write("localhost");
        let files = TlsFiles { cert: file.clone(), key: file.clone(), client_ca: None };
        let tls = Tls::read("the listener", files).unwrap();
        let first = tls.0.config.load_full();
        write("next");
        tls.clone().follow(tokio::time::sleep(10 * INTERVAL)).await;
        assert!(!Arc::ptr_eq(&first, &tls.0.config.load_full()), "what is there now is in use");
    }
}
