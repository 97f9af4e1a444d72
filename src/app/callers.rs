//! Who may call: everybody, or those who are configured; then who is refused is recorded as at the admin listener.

use std::future::pending;

use futures_util::FutureExt;

use crate::audit::Journal;
use crate::auth::{self, Gate};
use crate::clock::Clock;
use crate::config::settings::CallSettings;
use crate::transport::access::Access;

use super::Running;

/// How each of the listeners that decide is entered.
#[derive(Clone, Debug)]
pub(super) struct Callers {
    pub(super) grpc: Access,
    pub(super) http: Access,
}

impl Callers {
    /// Lets in those whom `settings` name, and keeps in step with their files for as long as those run who are beside.
    pub(super) fn admit(settings: CallSettings, journal: &Journal, running: &mut Running) -> Self {
        let CallSettings { tls, http_tls, callers } = settings;
        if let Some(tls) = tls.clone() {
            running.beside.add(tls.follow(pending()).map(Ok));
        }
        let callers = callers.map(|settings| {
            let certificates = settings.certificates.clone();
            let (gate, denials) = Gate::knowing(settings.all(), certificates, Clock::System);
            running.beside.add(auth::follow(gate.clone(), settings.tokens, settings.file, pending()).map(Ok));
            running.record_refusals(journal, &gate, denials);
            gate
        });
        Self { grpc: Access { tls, callers: callers.clone() }, http: Access { tls: http_tls, callers } }
    }
}
