//! Who comes in to the listeners that decide: everybody, unless callers are configured.
//!
//! A certificate is looked at once, when its connection begins; a token with each call, which costs one hash. Whoever is let
//! in has a [`Pass`], and each call is held against it once it is known what it is about.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{HeaderMap, Uri};
use tokio::net::TcpStream;

use crate::auth::{Domains, Gate, Pass, Refusal};

use super::credentials;
use super::listener::Peer;
use super::tls::{Socket, Tls};

/// Who comes in, and how.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// What connections are encrypted by; `None` if they are not.
    pub tls: Option<Tls>,
    /// Who is let in; `None` if everybody is.
    pub callers: Option<Gate<Domains>>,
}

/// The door of one connection where callers are asked who they are.
#[derive(Debug)]
pub(super) struct Door {
    callers: Gate<Domains>,
    peer: Peer,
    /// Of whoever has shown a certificate.
    certified: Option<Pass>,
    entered: Entered,
}

/// Whether anybody has come in by a door; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Entered(Arc<AtomicBool>);

impl Entered {
    /// Whether anybody has.
    pub(super) fn by_anybody(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Access {
    /// Begins to speak on `stream`, and hears who is at its other end where that is asked for.
    pub(super) async fn begin(&self, stream: TcpStream) -> io::Result<(Socket, Peer)> {
        let address = || stream.peer_addr().ok().as_ref().map(SocketAddr::ip);
        match (&self.tls, &self.callers) {
            (None, None) => Ok((Socket::Plain(stream), Peer::default())),
            (None, Some(_)) => {
                let address = address();
                Ok((Socket::Plain(stream), Peer { address, ..Peer::default() }))
            }
            (Some(tls), _) => {
                let address = address();
                let (stream, names) = tls.accept(stream).await?;
                Ok((Socket::Encrypted(Box::new(stream)), Peer { address, names: names.into() }))
            }
        }
    }
}

impl Door {
    /// That of a connection of `peer`; `None` if everybody may come in.
    pub(super) fn of(access: &Access, peer: Peer) -> Option<Self> {
        let callers = access.callers.clone()?;
        let by_certificate = || credentials::enter(&callers, &HeaderMap::new(), &Uri::default(), &peer).ok();
        let certified = if peer.names.is_empty() { None } else { by_certificate() };
        let entered = Entered(Arc::new(AtomicBool::new(certified.is_some())));
        Some(Self { callers, peer, certified, entered })
    }

    /// Whose call it is that was sent to `uri` with `headers`.
    pub(super) fn enter(&self, headers: &HeaderMap, uri: &Uri) -> Result<Pass, Refusal> {
        let pass = match &self.certified {
            Some(pass) if !credentials::are_among(headers) => Ok(pass.clone()),
            _ => credentials::enter(&self.callers, headers, uri, &self.peer),
        };
        if pass.is_ok() {
            self.entered.0.store(true, Ordering::Relaxed);
        }
        pass
    }

    /// Whether anybody has come in by it.
    pub(super) fn entered(&self) -> Entered {
        self.entered.clone()
    }
}
