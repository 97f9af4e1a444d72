//! Opens a connection to the admin listener of a running server, encrypted where its address says so.
//!
//! Its certificate has to be signed by an authority of the web or of the machine; `SSL_CERT_FILE` names a file that stands
//! for the machine's.

use anyhow::{Context, anyhow};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::alerts;

/// What is sent and heard on a connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Where a listener is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    is_encrypted: bool,
    host: &'a str,
    /// The host and port.
    pub(super) authority: &'a str,
}

impl<'a> Place<'a> {
    /// Reads an address such as `http://127.0.0.1:6070`.
    pub(super) fn read(address: &'a str) -> anyhow::Result<Self> {
        let read = || {
            let (scheme, authority) = address.split_once("://")?;
            let authority = authority.trim_end_matches('/');
            let is_encrypted = ["http", "https"].iter().position(|known| *known == scheme)? == 1;
            let (host, port) = authority.rsplit_once(':')?;
            port.parse::<u16>().ok()?;
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            (!host.is_empty()).then_some(Self { is_encrypted, host, authority })
        };
        read().ok_or_else(|| {
            anyhow!("--admin: '{address}' is no address of an admin listener; write http://127.0.0.1:6070")
        })
    }

    /// A connection to it.
    pub(super) async fn connect(self) -> anyhow::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(self.authority).await?;
        if !self.is_encrypted {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(self.host.to_owned()).context("it has no name of a machine")?;
        let connector = tokio::task::spawn_blocking(alerts::connector).await??;
        Ok(Box::new(connector.connect(name, stream).await.context("no TLS connection comes about")?))
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn addresses_are_read_with_their_schemes() {
        for (address, is_encrypted, host, authority) in [
            ("http://127.0.0.1:6070", false, "127.0.0.1", "127.0.0.1:6070"),
            ("https://tollgate.example:6070/", true, "tollgate.example", "tollgate.example:6070"),
            ("https://[::1]:1", true, "::1", "[::1]:1"),
        ] {
            assert_eq!(Place::read(address).unwrap(), Place { is_encrypted, host, authority }, "{address}");
        }
        for address in
            ["127.0.0.1:6070", "ftp://a:1", "https://a", "http://:1", "http://a:port", "http://a:1/x"]
        {
            assert!(Place::read(address).is_err(), "{address}");
        }
    }
}
