//! Where the limits of one subject stand: all of them, in one step of the store that charges nothing.

use crate::algorithm::Op;
use crate::engine::Engine;
use crate::engine::hold::LimitStanding;
use crate::engine::native::KeptFor;
use crate::engine::seen::SeenTiers;
use crate::limits::{NativeDomain, TierId};
use crate::store::{Charge, Store};

use super::ask::ask;
use super::error::{Near, OperateError};
use super::number::InForce;
use super::who::{Who, domain};

/// Where the limits of a subject stand.
#[derive(Clone, Debug, PartialEq)]
pub struct SubjectUsage {
    /// The domain.
    pub domain: Box<str>,
    /// By whose numbers.
    pub tier: Box<str>,
    /// How that is known.
    pub tier_from: TierFrom,
    /// Every limit whose subject the entries name, in the order of the file.
    pub limits: Vec<LimitUsage>,
}

/// How a tier is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierFrom {
    /// The entries say it.
    Given,
    /// The subject was assigned to it.
    Assigned,
    /// A call of the subject that this instance decided brought it.
    Seen,
    /// Nobody knows: it is what calls get that name none.
    Default,
}

/// Where one limit stands.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitUsage {
    /// As Reserve answers it. Refused, if it has no room for one unit.
    pub standing: LimitStanding,
    /// How much it allows, and who says so.
    pub number: InForce,
}

/// Asks whether one unit is left.
pub(super) const ONE_LEFT: Op = Op::Take { room: 1, charge: 0 };

pub(super) async fn usage_of<S: Store>(
    engine: &Engine<S>,
    who: &Who<'_>,
) -> Result<SubjectUsage, OperateError> {
    let rules = engine.limits.load();
    let domain = domain(&rules, who.domain)?;
    let descriptor = who.descriptor(domain)?;
    let kept = KeptFor::new(domain, &descriptor, engine.store.key_secret());
    let (tier, tier_from) = tier(&engine.seen, domain, &kept)?;
    let limits = kept.limits();
    let looks: Vec<Charge<'_>> = limits.iter().map(|limit| kept.charge(*limit, tier, ONE_LEFT)).collect();
    let answer = ask(engine, &looks).await?;
    let told = limits.iter().zip(&looks).zip(&answer.outcomes).map(|((kept, look), outcome)| {
        let number = InForce::of(domain, kept.id, tier, (look.key, look.overflow));
        let enforcement = engine.settings.enforcement;
        let standing = LimitStanding::new(kept.limit, number.number, outcome, answer.at, enforcement);
        LimitUsage { standing, number }
    });
    let limits = told.collect();
    Ok(SubjectUsage {
        domain: domain.name.clone(),
        tier: domain.tiers.names[tier.0].clone(),
        tier_from,
        limits,
    })
}

/// On which tier a subject is, and how that is known.
pub(super) fn tier(
    seen: &SeenTiers,
    domain: &NativeDomain,
    kept: &KeptFor<'_, '_>,
) -> Result<(TierId, TierFrom), OperateError> {
    let tiers = &domain.tiers;
    match kept.value_of(&tiers.from) {
        Some(name) if domain.has_tiers() => {
            let known = || tiers.names.iter().map(|name| &**name);
            let unknown = || OperateError::UnknownTier(Near::of(name, known()));
            Ok((tiers.by_name(name).ok_or_else(unknown)?, TierFrom::Given))
        }
        _ => {
            let assigned = kept.assigned_tier().map(|tier| (tier, TierFrom::Assigned));
            let seen = || kept.limits().iter().find_map(|kept| seen.of(domain, kept.whose));
            let known = assigned.or_else(|| Some((seen()?, TierFrom::Seen)));
            Ok(known.unwrap_or_else(|| (kept.tier(), TierFrom::Default)))
        }
    }
}
