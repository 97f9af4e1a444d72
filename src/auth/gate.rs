//! The gate: lets in who is known, and tells what they may.
//!
//! It takes what a request said about itself and knows no wire. Tokens may be exchanged while it works.

mod pass;

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::certificate::{CertificateEntry, SubjectName};
use super::denials::{self, Counts, Denial, Denials, Holder, Refused, Waits};
use super::grant::{Domains, Grant};
use super::permission::least_role;
use super::refusal::Refusal;
use super::token::Presented;
use super::tokens::{TokenEntry, Tokens};
use super::url::Target;
use crate::audit::{Action, Actor, Attempt, Role};
use crate::clock::{Clock, Timestamp};

pub use pass::{Meant, Pass};

/// What a request said about who sends it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller<'a> {
    /// Every header `authorization`, as it was sent.
    pub authorization: &'a [&'a [u8]],
    /// The names in the certificate of the connection, which was found to be good. A token beside them says who it is.
    pub certificate: &'a [SubjectName],
    /// The path and query, as they were sent.
    pub target: &'a str,
    /// Where it came from.
    pub from: Option<IpAddr>,
}

/// The name of the domain that is meant, if it is configured.
type Finding = Box<dyn Fn(Meant<'_>) -> Option<Box<str>> + Send + Sync>;

/// Lets in who is known. All clones are one.
pub struct Gate<G = Role>(Arc<Inner<G>>);

struct Inner<G> {
    tokens: ArcSwap<Tokens<G>>,
    certificates: Vec<CertificateEntry<G>>,
    counts: Mutex<Counts>,
    waits: Mutex<Waits>,
    denials: mpsc::Sender<Denial>,
    /// Told when there are other tokens.
    exchanged: Notify,
    /// Finds what records may name: anybody may write any name into a call.
    domains: OnceLock<Finding>,
    clock: Clock,
}

/// Why somebody is not let in, and whose token they have sent.
struct Stopped {
    refusal: Refusal,
    holder: Option<Holder>,
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, holder: None }
    }
}

/// Whom a caller was found to be.
struct Known<G> {
    name: Arc<str>,
    grant: G,
}

impl<G: Grant> Gate<G> {
    /// A gate for those who have one of `tokens`, and what it tells of those it refuses.
    pub fn new(tokens: impl IntoIterator<Item = TokenEntry<G>>, clock: Clock) -> (Self, Denials) {
        Self::knowing(tokens, Vec::new(), clock)
    }

    /// The same, for those as well who have one of `certificates`.
    pub fn knowing(
        tokens: impl IntoIterator<Item = TokenEntry<G>>,
        certificates: Vec<CertificateEntry<G>>,
        clock: Clock,
    ) -> (Self, Denials) {
        let (sender, denials) = mpsc::channel(denials::WAITING);
        let tokens = ArcSwap::from_pointee(Tokens::new(tokens));
        let (counts, waits) = (Mutex::default(), Mutex::default());
        let exchanged = Notify::new();
        let domains = OnceLock::new();
        let inner = Inner { tokens, certificates, counts, waits, denials: sender, exchanged, domains, clock };
        (Self(Arc::new(inner)), denials)
    }

    /// From now on, those who have one of `tokens` are let in.
    pub fn exchange(&self, tokens: impl IntoIterator<Item = TokenEntry<G>>) {
        self.0.tokens.store(Arc::new(Tokens::new(tokens)));
        self.0.exchanged.notify_one();
    }

    /// Waits until there are other tokens than when this was waited for the last time. For one who waits.
    pub async fn exchanged(&self) {
        self.0.exchanged.notified().await;
    }

    /// What `look` makes of all who are let in now.
    pub(super) fn look_at<T>(
        &self,
        look: impl FnOnce(&Tokens<G>, &[CertificateEntry<G>], Timestamp) -> T,
    ) -> T {
        look(&self.0.tokens.load(), &self.0.certificates, self.0.clock.now())
    }

    /// Tells of refusals that were counted and not told of, once their minute is over. To be called now and then.
    pub fn sweep(&self) {
        let now = self.0.clock.steady();
        self.0.waits.lock().sweep(now);
        let told = self.0.counts.lock().sweep(now);
        told.into_iter().for_each(|denial| self.tell(denial));
    }

    /// What was counted and not told of, whatever its minute: nobody is told of it later.
    pub fn rest(&self) -> Vec<Denial> {
        self.0.counts.lock().rest(self.0.clock.steady())
    }

    /// Takes back what could not be written down: it is told again, with what comes until then.
    pub fn put_back(&self, denial: Denial) {
        self.0.counts.lock().put_back(denial, self.0.clock.steady());
    }

    fn known(&self, caller: &Caller<'_>) -> Result<Known<G>, Stopped> {
        let target = Target::of(caller.target);
        if target.holds_token() {
            let holder = target.tokens().find_map(|sent| self.holder(sent));
            return Err(Stopped { refusal: Refusal::InUrl, holder });
        }
        let sent = match caller.authorization {
            [] => return Ok(self.certified(caller)?),
            [sent] => bearer(sent).and_then(Presented::read).ok_or(Refusal::Malformed)?,
            _ => return Err(Refusal::Malformed.into()),
        };
        let tokens = self.0.tokens.load();
        let entry = tokens.find(sent).ok_or(Refusal::Unknown)?;
        if entry.has_expired(self.0.clock.now()) {
            let name = entry.name();
            let holder = Some(Holder { name: name.into(), has_expired: true });
            return Err(Stopped { refusal: Refusal::Expired { name: name.into() }, holder });
        }
        Ok(Known { name: entry.name.clone(), grant: entry.grant().clone() })
    }

    /// Whose token was sent where none belongs.
    fn holder(&self, sent: Presented<'_>) -> Option<Holder> {
        let tokens = self.0.tokens.load();
        let entry = tokens.find(sent)?;
        Some(Holder { name: entry.name().into(), has_expired: entry.has_expired(self.0.clock.now()) })
    }

    /// Who it is by the names of their certificate alone.
    fn certified(&self, caller: &Caller<'_>) -> Result<Known<G>, Refusal> {
        let known = self.0.certificates.iter().find(|entry| entry.is_among(caller.certificate));
        match known {
            Some(entry) => Ok(Known { name: entry.name.clone(), grant: entry.grant().clone() }),
            None if caller.certificate.is_empty() => Err(Refusal::Missing),
            None => Err(Refusal::Unknown),
        }
    }

    /// Counts who is not let in.
    fn note_stopped(&self, from: Option<IpAddr>, stopped: &Stopped) {
        self.note(Refused::at(from, G::ENTRY, stopped.refusal.name(), stopped.holder.clone()));
    }

    fn note(&self, refused: Refused) {
        self.counted(refused).into_iter().for_each(|denial| self.tell(denial));
    }

    /// What is to be told now, with one more.
    fn counted(&self, refused: Refused) -> Option<Denial> {
        self.0.counts.lock().note(refused, self.0.clock.steady())
    }

    fn tell(&self, denial: Denial) {
        if let Err(mpsc::error::TrySendError::Full(denial)) = self.0.denials.try_send(denial) {
            self.put_back(denial);
        }
    }
}

impl Gate {
    /// Who it is.
    ///
    /// # Errors
    ///
    /// Why they are not let in.
    pub fn admit(&self, caller: &Caller<'_>) -> Result<Actor, Refusal> {
        let known = self.known(caller).map_err(|stopped| self.stopped(caller.from, stopped))?;
        Ok(Actor { name: (&*known.name).into(), role: known.grant, from: caller.from })
    }

    /// Whether `actor` may do `action`.
    ///
    /// # Errors
    ///
    /// Which role it needs.
    pub fn permit(&self, actor: &Actor, action: Action) -> Result<(), Refusal> {
        self.permit_to(actor, action, Attempt::default)
    }

    /// Whether `actor` may do `action`. What that would be is asked for if they may not, for the records.
    ///
    /// # Errors
    ///
    /// Which role it needs.
    pub fn permit_to(
        &self,
        actor: &Actor,
        action: Action,
        attempt: impl FnOnce() -> Attempt,
    ) -> Result<(), Refusal> {
        if actor.role >= least_role(action) {
            return Ok(());
        }
        let Actor { name, role, .. } = actor.clone();
        let refusal = Refusal::Forbidden { name, role, action };
        // To wait would help nobody who may not; only what is written down is bounded.
        self.note(Refused::known(actor, action, refusal.name(), attempt()));
        Err(refusal)
    }

    /// Counts who is not let in, and tells what they are answered.
    fn stopped(&self, from: Option<IpAddr>, stopped: Stopped) -> Refusal {
        self.note_stopped(from, &stopped);
        match self.0.waits.lock().note(from, self.0.clock.steady()) {
            Some(retry_after) => Refusal::TooMany { retry_after },
            None => stopped.refusal,
        }
    }
}

impl Gate<Domains> {
    /// From now on records of refusals name the domain that was asked about, where `find` finds it. It is told of the first
    /// time only.
    pub fn find_domains(&self, find: impl Fn(Meant<'_>) -> Option<Box<str>> + Send + Sync + 'static) {
        _ = self.0.domains.set(Box::new(find));
    }

    fn domain(&self, meant: Meant<'_>) -> Option<Box<str>> {
        self.0.domains.get().and_then(|find| find(meant))
    }

    /// Whose call it is. However many are refused, each is told why: what calls is a program, which would read anything else
    /// as a limit that it has reached.
    ///
    /// # Errors
    ///
    /// Why they are not let in.
    pub fn enter(&self, caller: &Caller<'_>) -> Result<Pass, Refusal> {
        let known = self.known(caller).map_err(|stopped| {
            self.note_stopped(caller.from, &stopped);
            stopped.refusal
        });
        let Known { name, grant } = known?;
        Ok(Pass::new(self.clone(), name, grant, caller.from))
    }
}

impl<G> Clone for Gate<G> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<G> fmt::Debug for Gate<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&*self.0.tokens.load()).finish()
    }
}

/// What follows the word `Bearer`, however it is written.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = header.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests;
