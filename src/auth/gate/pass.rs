//! Callers who were let in, and which domains they may ask about. It tells the gate whom it refuses.

use std::net::IpAddr;
use std::sync::Arc;

use super::Gate;
use crate::audit::{Action, Actor, Attempt, Role};
use crate::auth::denials::Refused;
use crate::auth::grant::Domains;
use crate::auth::refusal::Refusal;

/// Somebody whose calls are taken, and about which domains. All clones are one.
#[derive(Clone, Debug)]
pub struct Pass(Arc<Entered>);

#[derive(Debug)]
struct Entered {
    gate: Gate<Domains>,
    name: Arc<str>,
    domains: Domains,
    from: Option<IpAddr>,
}

impl Pass {
    pub(super) fn new(gate: Gate<Domains>, name: Arc<str>, domains: Domains, from: Option<IpAddr>) -> Self {
        Self(Arc::new(Entered { gate, name, domains, from }))
    }

    /// Whether they may ask about `domain`. Where none is named they ask about none, and hear so from whoever answers.
    ///
    /// # Errors
    ///
    /// That they may not.
    pub fn permit(&self, domain: &[u8]) -> Result<(), Refusal> {
        if domain.is_empty() { Ok(()) } else { self.permit_where(|name| name == domain) }
    }

    /// Whether they may ask about something of which `is_of` tells whether it is of a domain.
    ///
    /// # Errors
    ///
    /// That they may not.
    pub fn permit_where(&self, is_of: impl Fn(&[u8]) -> bool) -> Result<(), Refusal> {
        let Entered { gate, name, domains, from } = &*self.0;
        if domains.any(&is_of) {
            return Ok(());
        }
        let domain = gate.0.domains.get().and_then(|find| find(&is_of));
        let refusal = Refusal::Elsewhere { name: (&**name).into(), domains: domains.to_string().into() };
        let actor = Actor { name: (&**name).into(), role: Role::Caller, from: *from };
        let attempt = Attempt { domain, ..Attempt::default() };
        gate.note(Refused::known(&actor, Action::Call, refusal.name(), attempt));
        Err(refusal)
    }
}
