//! Whom a webhook's certificate has to be signed by: the web's authorities, and those of this machine, which the
//! variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name if they are set.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

/// What opens TLS connections. Reads files: not for a thread that must not wait.
pub(crate) fn connector() -> Result<TlsConnector, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let machine = rustls_native_certs::load_native_certs();
    for error in machine.errors {
        tracing::warn!(%error, "a file of certificates cannot be read");
    }
    roots.add_parsable_certificates(machine.certs);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
