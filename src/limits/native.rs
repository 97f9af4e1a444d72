//! A domain written as limits, tiers and routes.

use std::collections::HashMap;
use std::sync::Arc;

use super::basis::{Given, Lineage, TierOrAll};
use super::by_name::ByName;
use super::key::{KeySecret, identity};
use super::limit::{Limit, LimitId};
use super::overlay::ALL_TIERS;
use super::own::Assigned;
use super::refusal::Refusals;
use super::route::Routes;
use super::subject::Subjects;
use super::webhook::Webhook;

/// A compiled native domain.
#[derive(Clone, Debug)]
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
    /// The tiers of subjects whose calls do not say; `None` where nobody is assigned one.
    pub assigned: Option<Arc<Assigned>>,
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

/// The tier that a call is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTier {
    /// It names this one of several, or one that there is not, which is decided as the default.
    Named(TierId),
    /// It does not say.
    Unnamed(TierId),
}

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
    /// Which extend which.
    pub lineage: Lineage,
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

impl OnTier {
    /// The tier.
    pub const fn tier(self) -> TierId {
        match self {
            Self::Named(tier) | Self::Unnamed(tier) => tier,
        }
    }
}

impl Tiers {
    /// The one tier of a domain that has none.
    pub fn none() -> Self {
        Self {
            names: vec![ALL_TIERS.into()],
            from: (*b"tier").into(),
            default: TierId(0),
            anonymous: None,
            lineage: Lineage::none(),
        }
    }

    /// The tier of a call whose entries have the values `value_of` their keys, of subjects of which none is `assigned` one.
    fn of<'a>(
        &self,
        value_of: impl Fn(&[u8]) -> Option<&'a [u8]>,
        assigned: impl FnOnce() -> Option<TierId>,
    ) -> OnTier {
        if self.names.len() == 1 {
            return OnTier::Unnamed(TierId(0));
        }
        if let Some(named) = value_of(&self.from) {
            return OnTier::Named(self.by_name(named).unwrap_or(self.default));
        }
        OnTier::Unnamed(assigned().unwrap_or_else(|| match self.anonymous {
            Some(anonymous) if value_of(b"user").is_none() => anonymous,
            _ => self.default,
        }))
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
            assigned: None,
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
        !matches!(self.tiers.names.as_slice(), [only] if &**only == ALL_TIERS)
    }

    /// The tier of a call whose entries have the values `value_of` their keys, by the keyed hashes under `secret`.
    pub fn tier_of<'a>(&self, secret: KeySecret, value_of: impl Fn(&[u8]) -> Option<&'a [u8]>) -> TierId {
        self.on_tier(secret, value_of).tier()
    }

    /// The same, and whether the call names it.
    pub fn on_tier<'a>(&self, secret: KeySecret, value_of: impl Fn(&[u8]) -> Option<&'a [u8]>) -> OnTier {
        self.tiers.of(&value_of, || self.assigned_tier(secret, &value_of))
    }

    /// The tier that such a call is assigned by what is set over the files, whatever it says itself.
    pub fn assigned_tier<'a>(
        &self,
        secret: KeySecret,
        value_of: impl Fn(&[u8]) -> Option<&'a [u8]>,
    ) -> Option<TierId> {
        self.assigned.as_ref()?.of(secret, value_of)
    }

    /// How much the limit with this id allows on `tier`, and who says so.
    pub fn given(&self, tier: TierId, limit: LimitId) -> Given {
        let given = self.limit(limit).basis.on(tier, &self.tiers.lineage);
        given.expect("nothing is built of a limit that has no number on some tier")
    }

    /// Whose number of the limit with this id is called `tier`; `None` if there is no such tier, or the limit has no number
    /// for all of them.
    pub fn tier_or_all(&self, tier: &str, limit: LimitId) -> Option<TierOrAll> {
        if tier == ALL_TIERS {
            return self.limit(limit).basis.for_all.map(|_| TierOrAll::All);
        }
        self.tiers.by_name(tier.as_bytes()).map(TierOrAll::Tier)
    }

    /// The tiers on which the limit with this id allows what `by` gives it, or would once `by` did.
    pub fn reaches(&self, by: TierOrAll, limit: LimitId) -> Vec<TierId> {
        self.limit(limit).basis.reaches(by, &self.tiers.lineage)
    }

    /// The limit with this name.
    pub fn limit_named(&self, name: &str) -> Option<LimitId> {
        self.by_name.get(name.as_bytes()).copied()
    }

    /// Has the limit with this id allow what it is given by now.
    pub(super) fn renumber(&mut self, id: LimitId) {
        let limit = &mut self.limits[id.0];
        if let Some(numbers) = limit.basis.on_each(&self.tiers.lineage) {
            limit.numbers = numbers;
        }
        self.refusals[id.0] = Refusals::of(limit, &self.tiers, &self.headers.body);
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
