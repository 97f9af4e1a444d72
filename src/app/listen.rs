//! Takes the addresses to listen on, or says which one is not to be had and how to name another.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::config::settings::keys::{self, Key};
use crate::config::settings::{Address, Listeners};

/// The three listeners, taken.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) grpc: TcpListener,
    pub(super) http: TcpListener,
    pub(super) admin: TcpListener,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: name another with {flag} or {env}")]
pub struct NoListener {
    address: String,
    flag: &'static str,
    env: &'static str,
    source: io::Error,
}

impl Bound {
    /// Takes all three.
    pub(super) async fn take(listeners: &Listeners) -> Result<Self, NoListener> {
        Ok(Self {
            grpc: bind(&listeners.grpc, &keys::GRPC).await?,
            http: bind(&listeners.http, &keys::HTTP).await?,
            admin: bind(&listeners.admin, &keys::ADMIN).await?,
        })
    }

    /// Where each of them really listens; with port 0 nobody knows before.
    pub(super) fn addresses(&self) -> io::Result<Addresses> {
        let Self { grpc, http, admin } = self;
        Ok(Addresses { grpc: grpc.local_addr()?, http: http.local_addr()?, admin: admin.local_addr()? })
    }
}

/// Where the service really listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    grpc: SocketAddr,
    http: SocketAddr,
    admin: SocketAddr,
}

impl Addresses {
    /// Where operators ask.
    pub(super) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Says so in the log, one line each.
    pub(super) fn announce(&self) {
        let Self { grpc, http, admin } = self;
        for (listener, address) in [("grpc", grpc), ("http", http), ("admin", admin)] {
            tracing::info!(listener, %address, "listening");
        }
    }
}

async fn bind(address: &Address, key: &Key) -> Result<TcpListener, NoListener> {
    TcpListener::bind((address.host.as_str(), address.port)).await.map_err(|source| NoListener {
        address: address.to_string(),
        flag: key.flag.unwrap_or_default(),
        env: key.env,
        source,
    })
}
