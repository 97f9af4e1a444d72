//! Every limit on every tier, and all else that is set over the files.

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::limits::{
    ALL_TIERS, LimitId, NativeDomain, Overlay, Placed, RuleSet, SubjectId, Target, TierId, Value, Whose,
};
use crate::prices::PerMillion;
use crate::store::Store;

use super::error::OperateError;
use super::number::{InForce, LimitValue, Source};
use super::stray::Stray;
use super::who::domain;

/// How much that is set for single subjects is listed.
const MOST_LISTED: usize = 1000;

/// What is in force in one domain, and what tokens cost in all.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// The domain.
    pub domain: Box<str>,
    /// Its tiers, in the order of the file; one called `all`, if it has none.
    pub tiers: Vec<Box<str>>,
    /// Every limit on every tier, limit by limit in the order of the file. The number that a limit has for all tiers stands
    /// under `all`, and under a tier only what that one has instead.
    pub limits: Vec<LimitValue>,
    /// Numbers that single subjects have, up to a thousand.
    pub own: Vec<OwnNumber>,
    /// Tiers that single subjects are put on, up to a thousand.
    pub assigned: Vec<AssignedTier>,
    /// Numbers that are set over something the files do not have, and are not in force.
    pub strays: Vec<Stray>,
    /// Tiers that single subjects are put on and the files do not have.
    pub stray_tiers: Vec<AssignedTier>,
    /// How much more there is of subjects: a thousand are told of in all.
    pub unlisted: usize,
    /// Prices that are set over the files.
    pub prices: Vec<PricePlaced>,
    /// The number of the newest record that has changed any of it.
    pub version: u64,
}

/// A number that one subject has.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnNumber {
    /// Whose.
    pub subject: SubjectId,
    /// The limit; as tier that on which its calls are that name none.
    pub value: LimitValue,
}

/// A tier that one subject is put on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedTier {
    /// Who.
    pub subject: SubjectId,
    /// The tier.
    pub tier: Box<str>,
    /// The number of the record that set it.
    pub version: u64,
    /// When it comes to its end; `None` if it does not.
    pub until: Option<Timestamp>,
}

/// A price that is set over the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PricePlaced {
    /// The model.
    pub model: Box<str>,
    /// From when on.
    pub from: Timestamp,
    /// What a million tokens cost.
    pub prices: PerMillion,
    /// The number of the record that set it.
    pub version: u64,
}

pub(super) fn list<S: Store>(engine: &Engine<S>, name: Option<&[u8]>) -> Result<Listing, OperateError> {
    // Read before the rules: whoever changes one by this version has seen at least that.
    let overlay = engine.limits.overlay();
    let (files, rules) = (engine.limits.files(), engine.limits.load());
    let domain = domain(&rules, name);
    let mut listing = match &domain {
        Ok(domain) => Listing::of(domain),
        // What is set over a domain that is gone can only be seen here.
        Err(error) => Listing::of_gone(name, &overlay).ok_or_else(|| error.clone())?,
    };
    listing.version = overlay.version();
    listing.add(domain.ok(), &files, &overlay, engine.store.now());
    Ok(listing)
}

impl Listing {
    /// What `domain` has.
    fn of(domain: &NativeDomain) -> Self {
        let limits = (0..domain.limits.len()).flat_map(|id| values(domain, LimitId(id))).collect();
        Self { tiers: domain.tiers.names.clone(), limits, ..Self::empty(&domain.name) }
    }

    /// Of the domain called `name`, which the files do not have, if there is anything set over it.
    fn of_gone(name: Option<&[u8]>, overlay: &Overlay) -> Option<Self> {
        let name = std::str::from_utf8(name?).ok()?;
        let mut domains = overlay.iter().filter_map(|(target, _)| target.domain());
        domains.any(|domain| domain == name).then(|| Self::empty(name))
    }

    fn empty(domain: &str) -> Self {
        Self {
            domain: domain.into(),
            tiers: Vec::new(),
            limits: Vec::new(),
            own: Vec::new(),
            assigned: Vec::new(),
            strays: Vec::new(),
            stray_tiers: Vec::new(),
            unlisted: 0,
            prices: Vec::new(),
            version: 0,
        }
    }

    /// Adds what is set over the files beside numbers of tiers, and holds at `now`.
    fn add(&mut self, domain: Option<&NativeDomain>, files: &RuleSet, overlay: &Overlay, now: Timestamp) {
        let name = self.domain.clone();
        let is_here = |target: &Target| target.domain().is_none_or(|domain| *domain == *name);
        let set = overlay.iter().filter(|(target, placed)| is_here(target) && placed.holds_at(now));
        let mut of_subjects = 0;
        for (target, placed) in set {
            of_subjects += usize::from(target.is_of_subject());
            let is_in_force = files.has(target, &placed.value);
            match (target, &placed.value) {
                (Target::Price { model, from }, Value::Price(prices)) => {
                    let (model, prices) = (model.clone(), *prices);
                    self.prices.push(PricePlaced { model, from: *from, prices, version: placed.version });
                }
                _ if target.is_of_subject() && of_subjects > MOST_LISTED => self.unlisted += 1,
                (Target::Tier { subject, .. }, Value::Tier(tier)) => {
                    let tiers = if is_in_force { &mut self.assigned } else { &mut self.stray_tiers };
                    tiers.push(AssignedTier::of(subject, tier, placed));
                }
                _ if !is_in_force => self.strays.extend(Stray::of(target, placed)),
                (Target::Own { limit, subject, .. }, _) => {
                    self.own.extend(domain.and_then(|domain| own(domain, limit, subject)));
                }
                _ => {}
            }
        }
        self.order();
    }

    /// Puts what is of single subjects in an order that does not change from one time to the next.
    fn order(&mut self) {
        self.own.sort_by(|one, other| {
            (&*one.value.limit, &one.subject).cmp(&(&*other.value.limit, &other.subject))
        });
        self.strays.sort_by(|one, other| {
            let place =
                |stray: &Stray| stray.subject.clone().map(|subject| (stray.value.limit.clone(), subject));
            place(one).cmp(&place(other))
        });
        for tiers in [&mut self.assigned, &mut self.stray_tiers] {
            tiers.sort_by(|one, other| one.subject.cmp(&other.subject));
        }
    }
}

impl AssignedTier {
    fn of(subject: &SubjectId, tier: &str, placed: &Placed) -> Self {
        let (subject, tier) = (subject.clone(), tier.into());
        Self { subject, tier, version: placed.version, until: placed.until }
    }
}

/// What the limit with this id allows, on every tier on which that is something of its own.
fn values(domain: &NativeDomain, id: LimitId) -> Vec<LimitValue> {
    let limit = domain.limit(id);
    let for_all = limit.basis.for_all;
    let value = |tier: &str, given| LimitValue::new(domain, limit, tier.into(), InForce::given(given));
    let tiers = domain.tiers.names.iter().zip(0..).filter(|_| domain.has_tiers() || for_all.is_none());
    let of_tiers = tiers.map(|(name, tier)| (name, domain.given(TierId(tier), id)));
    let of_tiers = of_tiers.filter(|(_, given)| Some(*given) != for_all);
    let all = for_all.map(|given| value(ALL_TIERS, given));
    all.into_iter().chain(of_tiers.map(|(name, given)| value(name, given))).collect()
}

/// The number of `subject`, if it is in force.
fn own(domain: &NativeDomain, limit: &str, subject: &SubjectId) -> Option<OwnNumber> {
    let id = domain.limit_named(limit)?;
    let limit = domain.limit(id);
    let assigned = domain.assigned.as_ref().and_then(|assigned| assigned.of_subject(subject.hash));
    let tier = assigned.unwrap_or(domain.tiers.default);
    let key = Whose::alone(subject.hash).counter(limit.identity);
    let number = InForce::of(domain, id, tier, (key, limit.identity));
    let value = LimitValue::new(domain, limit, domain.tiers.names[tier.0].clone(), number);
    (number.source == Source::Own).then(|| OwnNumber { subject: subject.clone(), value })
}
