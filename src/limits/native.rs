//! A domain written as limits, tiers and routes.

use std::collections::HashMap;
use std::sync::Arc;

use super::by_name::ByName;
use super::key::identity;
use super::limit::{Limit, LimitId};
use super::refusal::Refusals;
use super::route::Routes;
use super::subject::Subjects;
use super::webhook::Webhook;

/// A compiled native domain.
#[derive(Debug)]
pub struct NativeDomain {
    /// As configured.
    pub name: Box<str>,
    /// In file order; indexed by [`LimitId`].
    pub limits: Vec<Limit>,
    /// Who is on which tier.
    pub tiers: Tiers,
    /// Which call is charged to which limits.
    pub routes: Routes,
    /// What answers carry.
    pub headers: Headers,
    /// How many leading bits of an IPv6 address make a subject; 64 unless configured.
    pub ipv6_prefix: u8,
    /// The IANA zone of its file, where the days begin by which its usage is summed up.
    pub zone: Box<str>,
    /// Where its alerts are sent; without one they are only logged.
    pub webhook: Option<Webhook>,
    /// Limits by name.
    pub by_name: ByName<LimitId>,
    /// Those that open a breaker.
    pub breakers: Vec<LimitId>,
    /// Limits by identity, those included that they have where calls say when a period begins.
    by_identity: HashMap<u128, LimitId>,
    refusals: Vec<Refusals>,
    /// By [`TierId`].
    tier_marks: Box<[u32]>,
    /// Half of a public hash of its name: what belongs to it is told from what belongs to others.
    pub mark: u64,
}

/// Which tier of its domain; 0 where the domain has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TierId(pub usize);

/// The tiers of a domain.
#[derive(Clone, Debug)]
pub struct Tiers {
    /// Names by [`TierId`]; one tier called `all` where the domain has none.
    pub names: Vec<Box<str>>,
    /// The key of the entry that names a call's tier.
    pub from: Box<[u8]>,
    /// The tier of calls that name none, or one that does not exist.
    pub default: TierId,
    /// The tier of calls that name none and have no `user`; `None` where such calls get the default.
    pub anonymous: Option<TierId>,
}

/// What answers of a domain carry beside their verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headers {
    /// When the `X-RateLimit-*` headers are sent.
    pub send: SendHeaders,
    /// How the time of reset is written.
    pub reset: ResetForm,
    /// Whether the IETF draft's `RateLimit` and `RateLimit-Policy` headers are sent as well.
    pub ietf: bool,
    /// Whether every standing is sent in the dynamic metadata.
    pub standings: bool,
    /// The body of a refusal, with `{what}`, `{limit}` and `{retry_after}` to be filled in.
    pub body: Box<str>,
}

/// When headers are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendHeaders {
    /// With every answer.
    Always,
    /// With refusals only.
    Refused,
    /// Never.
    Off,
}

/// How a time of reset is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetForm {
    /// Seconds from now.
    Seconds,
    /// Seconds since the Unix epoch.
    Epoch,
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            send: SendHeaders::Always,
            reset: ResetForm::Seconds,
            ietf: false,
            standings: false,
            body: Self::BODY.into(),
        }
    }
}

impl Headers {
    /// The body of a refusal, unless it is written.
    pub const BODY: &str = r#"{"error":"Rate limit exceeded: {what}"}"#;
    /// The same by a limit that nobody could look at.
    pub const UNCHECKED_BODY: &str = r#"{"error":"Rate limit cannot be checked: {what}"}"#;
}

impl Tiers {
    /// The one tier of a domain that has none.
    pub fn none() -> Self {
        Self { names: vec!["all".into()], from: (*b"tier").into(), default: TierId(0), anonymous: None }
    }

    /// The tier of a call whose entries have the values `value_of` their keys.
    pub fn of<'a>(&self, value_of: impl Fn(&[u8]) -> Option<&'a [u8]>) -> TierId {
        match (value_of(&self.from), self.anonymous) {
            (Some(named), _) => self.by_name(named).unwrap_or(self.default),
            (None, Some(anonymous)) if value_of(b"user").is_none() => anonymous,
            (None, _) => self.default,
        }
    }

    /// The tier called `name`.
    pub fn by_name(&self, name: &[u8]) -> Option<TierId> {
        self.names.iter().position(|tier| tier.as_bytes() == name).map(TierId)
    }
}

impl NativeDomain {
    /// A domain of `limits`, with all resolved that calls would otherwise look for.
    pub fn new(
        name: Box<str>,
        mut limits: Vec<Limit>,
        tiers: Tiers,
        routes: Routes,
        headers: Headers,
        ipv6_prefix: u8,
        webhook: Option<Webhook>,
    ) -> Self {
        share_subjects(&mut limits);
        let ids = limits.iter().zip(0..).map(|(limit, index)| (limit.name.as_bytes().into(), LimitId(index)));
        let by_name = ids.collect();
        let trips = |id: &LimitId| limits[id.0].breaker.is_some();
        let breakers = (0..limits.len()).map(LimitId).filter(trips).collect();
        let by_identity = by_identity(&limits);
        let tier_marks = tiers.names.iter().map(|name| mark(name)).collect();
        let mark = mark_of_domain(&name);
        let refusals = limits.iter().map(|limit| Refusals::of(limit, &tiers, &headers.body)).collect();
        Self {
            name,
            limits,
            tiers,
            routes,
            headers,
            ipv6_prefix,
            zone: "UTC".into(),
            webhook,
            by_name,
            breakers,
            by_identity,
            refusals,
            tier_marks,
            mark,
        }
    }

    /// The same, whose file names the time zone `zone`.
    #[must_use]
    pub fn in_zone(self, zone: Box<str>) -> Self {
        Self { zone, ..self }
    }

    /// Whether it has tiers, and not only the one that stands for none.
    pub fn has_tiers(&self) -> bool {
        !matches!(self.tiers.names.as_slice(), [only] if **only == *"all")
    }

    /// The limit with this id.
    pub fn limit(&self, id: LimitId) -> &Limit {
        &self.limits[id.0]
    }

    /// The limit whose counters have this identity.
    pub fn of_identity(&self, identity: u128) -> Option<&Limit> {
        self.by_identity.get(&identity).map(|id| self.limit(*id))
    }

    /// What stands for `tier` where its name is too long, and its place may be another's after a reload: below 2^31.
    pub fn mark_of(&self, tier: TierId) -> u32 {
        self.tier_marks[tier.0]
    }

    /// The tier that `mark` stands for.
    pub fn tier_marked(&self, mark: u32) -> Option<TierId> {
        self.tier_marks.iter().position(|known| *known == mark).map(TierId)
    }

    /// What a refusal by the limit with this id says.
    pub fn refusals(&self, id: LimitId) -> &Refusals {
        &self.refusals[id.0]
    }
}

/// 31 bits of a hash of `name`: enough to tell the tiers of one domain apart.
#[expect(clippy::cast_possible_truncation, reason = "part of a hash is wanted")]
fn mark(name: &str) -> u32 {
    identity(&[b"tier", name.as_bytes()]) as u32 >> 1
}

#[expect(clippy::cast_possible_truncation, reason = "half of a hash is wanted")]
fn mark_of_domain(name: &str) -> u64 {
    identity(&[b"domain", name.as_bytes()]) as u64
}

fn by_identity(limits: &[Limit]) -> HashMap<u128, LimitId> {
    let identities = |limit: &Limit| {
        let anchored = limit.anchored.iter().map(|anchored| anchored.identity);
        anchored.chain([limit.identity]).collect::<Vec<_>>()
    };
    let ids = limits.iter().zip(0..).map(|(limit, index)| (limit, LimitId(index)));
    ids.flat_map(|(limit, id)| identities(limit).into_iter().map(move |identity| (identity, id))).collect()
}

/// Keeps equal subjects once, so that a call finds and hashes them once.
fn share_subjects(limits: &mut [Limit]) {
    let mut kept: Vec<Arc<Subjects>> = Vec::new();
    for limit in limits {
        match kept.iter().find(|kept| **kept == limit.subjects) {
            Some(same) => limit.subjects = Arc::clone(same),
            None => kept.push(Arc::clone(&limit.subjects)),
        }
    }
}
