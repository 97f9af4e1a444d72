//! What operators are served by: the admin listener, those who are let in there, and the records of those who are not.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use futures_util::FutureExt;
use tokio::net::TcpListener;

use crate::admin::{self, Probe};
use crate::audit::Journal;
use crate::auth::{self, AuthSettings};
use crate::engine::Engine;
use crate::store::Lanes;
use crate::transport::listener::Listening;
use crate::transport::tls::Tls;

use super::running::Running;
use super::token::Entrance;

/// How operators come in.
#[derive(Debug)]
pub(super) struct Operators {
    /// Where they ask.
    pub(super) socket: TcpListener,
    /// Where that is.
    pub(super) address: SocketAddr,
    /// What it is encrypted by.
    pub(super) tls: Option<Tls>,
    /// Who is let in.
    pub(super) auth: AuthSettings,
    /// Who lets them in.
    pub(super) entrance: Entrance,
}

impl Operators {
    /// Serves them until their turn to end, and tells them of `probes`.
    pub(super) fn serve<S: Lanes>(
        self,
        engine: Arc<Engine<S>>,
        journal: &Journal,
        probes: Vec<Probe>,
        running: &mut Running,
    ) -> anyhow::Result<()> {
        let Self { socket, address, tls, auth, mut entrance } = self;
        let scheme = if tls.is_some() { "https" } else { "http" };
        entrance.announce(scheme, address).context("cannot show the token that was made")?;
        let Entrance { gate, denials, .. } = entrance;
        running.record_refusals(journal, &gate, denials);
        running.beside.add(auth::follow(gate.clone(), auth.tokens, auth.file, pending()).map(Ok));
        if let Some(tls) = tls.clone() {
            running.beside.add(tls.follow(pending()).map(Ok));
        }
        let listening = Listening { socket, tls };
        let stop = running.operating.stop().asked();
        let serving = admin::serve(listening, engine, gate, probes, admin::connections(), stop);
        running.operating.parts.add(serving.map(Ok));
        Ok(())
    }
}
