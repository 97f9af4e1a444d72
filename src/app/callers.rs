//! Who may call: everybody, or those who are configured; then who is refused is recorded as at the admin listener, and who is
//! let in for nothing is told of in the log.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;

use crate::audit::Journal;
use crate::auth::{self, Astray, AuthSettings, Denials, Domains, Gate, Meant};
use crate::clock::Clock;
use crate::config::reload::ReloadStatus;
use crate::config::settings::CallSettings;
use crate::limits::{LimitsHandle, RuleSet};
use crate::transport::access::Access;

use super::running::Running;

/// How often it is looked whether tokens have expired.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);

/// How each of the listeners that decide is entered.
#[derive(Clone, Debug)]
pub(super) struct Callers {
    pub(super) grpc: Access,
    pub(super) http: Access,
}

impl Callers {
    /// Lets in those whom `settings` name, and keeps in step with their files and with `files` for as long as those run who
    /// are beside.
    pub(super) fn admit(
        settings: CallSettings,
        journal: &Journal,
        files: Files,
        running: &mut Running,
    ) -> Self {
        let CallSettings { tls, http_tls, callers } = settings;
        if let Some(tls) = tls.clone() {
            running.beside.add(tls.follow(pending()).map(Ok));
        }
        let callers = callers.map(|settings| {
            let (gate, denials) = gate(&settings);
            running.beside.add(auth::follow(gate.clone(), settings.tokens, settings.file, pending()).map(Ok));
            running.record_refusals(journal, &gate, denials);
            let limits = files.limits.clone();
            gate.find_domains(move |meant| domain_of(&limits.files(), meant));
            running.beside.add(files.tell_astray(gate.clone()).map(|never| match never {}));
            gate
        });
        Self { grpc: Access { tls, callers: callers.clone() }, http: Access { tls: http_tls, callers } }
    }
}

/// Lets in those whom `settings` name.
fn gate(settings: &AuthSettings<Domains>) -> (Gate<Domains>, Denials) {
    Gate::knowing(settings.all(), settings.certificates.clone(), Clock::System)
}

/// What keeps those out whom `settings` name, where what is limited is `rules`.
pub(super) fn astray(settings: &AuthSettings<Domains>, rules: &RuleSet) -> Vec<Astray> {
    gate(settings).0.astray(rules.domains.keys().map(|name| &**name))
}

/// The domain in `rules` that is meant.
fn domain_of(rules: &RuleSet, meant: Meant<'_>) -> Option<Box<str>> {
    let found = match meant {
        Meant::Named(name) => rules.domains.get_key_value(name).map(|(name, _)| name),
        Meant::Such(is_it) => rules.domains.keys().find(|name| is_it(name)),
    };
    found.map(|name| String::from_utf8_lossy(name).into())
}

/// What is limited, and when it is read again.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) limits: LimitsHandle,
    pub(super) reloads: watch::Receiver<ReloadStatus>,
}

impl Files {
    /// Says what keeps callers out: all of it when tokens or limits are other ones, and in between that all have expired.
    async fn tell_astray(mut self, gate: Gate<Domains>) -> Infallible {
        loop {
            let found = gate.astray(self.limits.files().domains.keys().map(|name| &**name));
            found.iter().for_each(|astray| tracing::warn!("{astray}"));
            let mut told = found.into_iter().next();
            loop {
                tokio::select! {
                    () = gate.exchanged() => break,
                    Ok(()) = self.reloads.changed() => break,
                    () = tokio::time::sleep(BETWEEN_LOOKS) => {}
                }
                let nobody = gate.lets_nobody_in();
                if let Some(astray) = nobody.filter(|nobody| told.as_ref() != Some(nobody)) {
                    tracing::warn!("{astray}");
                    told = Some(astray);
                }
            }
        }
    }
}
