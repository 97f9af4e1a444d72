//! What operators change: breakers, opened and closed by hand.
//!
//! Whatever is changed is in the log, with the reason, before it is answered. Subjects are not: they are the callers'.

use std::sync::Arc;

use crate::limits::{Domain, Entry, NativeDomain, RuleSet};
use crate::store::{Store, StoreError};

use super::native::set_breaker;
use super::request::Descriptor;
use super::{Engine, Inspect};

/// What operators change.
pub trait Operate: Inspect {
    /// Opens or closes a breaker. How it was before.
    ///
    /// # Errors
    ///
    /// What is wrong with the request, and that the store did not answer: then it may or may not have been done.
    fn set_breaker(
        &self,
        request: SetBreaker<'_>,
    ) -> impl Future<Output = Result<BreakerState, SetBreakerError>> + Send;
}

/// Open or close a breaker.
#[derive(Clone, Debug)]
pub struct SetBreaker<'a> {
    /// Of which domain; may be `None` where there is one.
    pub domain: Option<&'a [u8]>,
    /// The name of its limit.
    pub limit: &'a [u8],
    /// For whom.
    pub subject: Vec<Entry<'a>>,
    /// What it is to be.
    pub to: BreakerState,
    /// Why.
    pub reason: &'a str,
}

/// Whether a breaker stops all spending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It does.
    Open,
    /// It does not.
    Closed,
}

/// Why a breaker is not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetBreakerError {
    /// Nobody could tell why it was done.
    #[error("reason: must not be empty")]
    NoReason,
    /// Several domains are configured.
    #[error("domain: must be given, there are several")]
    NoDomain,
    /// It is not configured, or has no breakers.
    #[error("domain: there is no domain '{0}' in a Tollgate file")]
    UnknownDomain(String),
    /// The domain has no such limit.
    #[error("limit: the domain has no limit '{0}'")]
    UnknownLimit(String),
    /// The limit opens none.
    #[error("limit: '{0}' has no breaker; write 'on_limit: trip' into it")]
    NoBreaker(Arc<str>),
    /// The limit is not kept for it.
    #[error("{key}: the limit is per {subjects}")]
    NotASubject {
        /// What was sent.
        key: String,
        /// What would be read.
        subjects: String,
    },
    /// It is for nobody.
    #[error("the limit {0}")]
    NoSubject(String),
    /// The store did not say whether it was done.
    #[error("the store does not answer ({0}); ask again")]
    Unavailable(StoreError),
}

impl<S: Store> Operate for Arc<Engine<S>> {
    async fn set_breaker(&self, request: SetBreaker<'_>) -> Result<BreakerState, SetBreakerError> {
        if request.reason.trim().is_empty() {
            return Err(SetBreakerError::NoReason);
        }
        let rules = self.limits.load();
        let domain = domain(&rules, request.domain)?;
        let id = domain.by_name.get(request.limit);
        let limit = domain.limit(*id.ok_or_else(|| SetBreakerError::UnknownLimit(text(request.limit)))?);
        let is_read =
            |entry: &&Entry<'_>| limit.subjects.parts.iter().flatten().all(|key| **key != *entry.key);
        if let Some(entry) = request.subject.iter().find(is_read) {
            let subjects = limit.subjects.to_string();
            return Err(SetBreakerError::NotASubject { key: text(entry.key), subjects });
        }
        let descriptor =
            Descriptor { entries: request.subject.into_iter().collect(), ..Descriptor::default() };
        let outcome = set_breaker(self, domain, limit, &descriptor, request.to).await;
        let (domain, limit, reason) = (&*domain.name, &*limit.name, request.reason);
        match &outcome {
            Ok(before) => {
                tracing::warn!(domain, limit, ?before, to = ?request.to, reason, "a breaker was set by hand");
            }
            Err(error) => {
                tracing::warn!(domain, limit, %error, to = ?request.to, reason, "a breaker may have been set by hand");
            }
        }
        outcome
    }
}

/// The domain that is called `name`, or the only one.
fn domain<'r>(rules: &'r RuleSet, name: Option<&[u8]>) -> Result<&'r NativeDomain, SetBreakerError> {
    let found = match name {
        Some(name) => rules.domains.get(name),
        None if rules.domains.len() == 1 => rules.domains.values().next(),
        None => return Err(SetBreakerError::NoDomain),
    };
    match found {
        Some(Domain::Native(domain)) => Ok(domain),
        _ => Err(SetBreakerError::UnknownDomain(text(name.unwrap_or_default()))),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
