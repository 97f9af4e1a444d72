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

/// Which domain is meant.
pub enum Meant<'a> {
    /// The one of this name.
    Named(&'a [u8]),
    /// The one of which this is so. It may be asked of all there are.
    Such(&'a dyn Fn(&[u8]) -> bool),
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
        let Entered { gate, domains, .. } = &*self.0;
        if domain.is_empty() || domains.has(domain) {
            return Ok(());
        }
        let refusal = self.elsewhere();
        gate.note(self.refused(&refusal, gate.domain(Meant::Named(domain))));
        Err(refusal)
    }

    /// Whether they may ask about something of which `is_of` tells whether it is of a domain.
    ///
    /// # Errors
    ///
    /// That they may not.
    pub fn permit_where(&self, is_of: impl Fn(&[u8]) -> bool) -> Result<(), Refusal> {
        let Entered { gate, domains, .. } = &*self.0;
        if domains.any(&is_of) {
            return Ok(());
        }
        let refusal = self.elsewhere();
        if let Some(mut denial) = gate.counted(self.refused(&refusal, None)) {
            // All there are may be gone through: for what is written down, not for each call. Several may be of several.
            if denial.times == 1 {
                denial.refused.attempt.domain = gate.domain(Meant::Such(&is_of));
            }
            gate.tell(denial);
        }
        Err(refusal)
    }

    /// That they may not ask about `domain`, if it is known.
    fn refused(&self, refusal: &Refusal, domain: Option<Box<str>>) -> Refused {
        let Entered { name, from, .. } = &*self.0;
        let actor = Actor { name: (&**name).into(), role: Role::Caller, from: *from };
        let attempt = Attempt { domain, ..Attempt::default() };
        Refused::known(&actor, Action::Call, refusal.name(), attempt)
    }

    fn elsewhere(&self) -> Refusal {
        let Entered { name, domains, .. } = &*self.0;
        Refusal::Elsewhere { name: (&**name).into(), domains: domains.to_string().into() }
    }
}
