//! Where the limits of one subject stand: all of them, in one step of the store that charges nothing.

use crate::algorithm::{Op, Outcome};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::hold::LimitStanding;
use crate::engine::native::{Kept, KeptFor};
use crate::limits::{NativeDomain, TierId};
use crate::store::{Answer, Charge, Outcomes, Store};

use super::error::OperateError;
use super::number::InForce;
use super::tier::{Known, TierFrom, TierOf};
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
    /// The tier that it is assigned, which may not be the one that decides; `None` for none.
    pub assigned: Option<Box<str>>,
    /// Every limit whose subject the entries name, in the order of the file.
    pub limits: Vec<LimitUsage>,
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
    let descriptor = who.descriptor_or_all(domain)?;
    let kept_for = KeptFor::new(domain, &descriptor, engine.store.key_secret());
    let limits = kept_for.limits();
    let looks = Looks::at(domain, &kept_for, &limits)?;
    let survey = looks.ask(engine, domain).await?;
    let Known { tier, from: tier_from, .. } = survey.known;
    let told = limits.iter().map(|kept| {
        let (look, standing) = survey.of(engine, &kept_for, *kept);
        let number = InForce::of(domain, kept.id, tier, (look.key, look.overflow));
        LimitUsage { standing, number }
    });
    let limits = told.collect();
    let name = |tier: TierId| domain.tiers.names[tier.0].clone();
    Ok(SubjectUsage {
        domain: domain.name.clone(),
        tier: name(tier),
        tier_from,
        assigned: kept_for.assigned_tier().map(name),
        limits,
    })
}

/// Looks at some limits of a subject. By whose numbers they are told is known only then: so each is looked at by every number
/// that it has on any tier which may be that of the subject.
pub(super) struct Looks<'a> {
    tier: TierOf,
    looks: Vec<Charge<'a>>,
    beside: Vec<Charge<'a>>,
}

/// What came of looks, of one instant.
pub(super) struct Survey<'a> {
    pub(super) known: Known,
    pub(super) at: Timestamp,
    looks: Vec<Charge<'a>>,
    /// Of the looks, then of what was asked beside them.
    outcomes: Outcomes,
}

impl<'a> Looks<'a> {
    /// At `limits`, which are `kept_for` a subject of `domain`.
    pub(super) fn at(
        domain: &NativeDomain,
        kept_for: &KeptFor<'a, '_>,
        limits: &[Kept<'a>],
    ) -> Result<Self, OperateError> {
        let tier = TierOf::new(domain, kept_for)?;
        let mut looks: Vec<Charge<'a>> = Vec::with_capacity(limits.len());
        for kept in limits {
            let of_this = looks.len();
            for tier in tier.candidates(domain) {
                let look = kept_for.charge(*kept, tier, ONE_LEFT);
                if looks[of_this..].iter().all(|other| other.rule.number != look.rule.number) {
                    looks.push(look);
                }
            }
        }
        Ok(Self { tier, looks, beside: Vec::new() })
    }

    /// The same, and at these.
    pub(super) fn beside(self, beside: Vec<Charge<'a>>) -> Self {
        Self { beside, ..self }
    }

    pub(super) async fn ask<S: Store>(
        self,
        engine: &Engine<S>,
        domain: &NativeDomain,
    ) -> Result<Survey<'a>, OperateError> {
        let Self { tier, looks, beside } = self;
        let asked = [looks.as_slice(), &beside].concat();
        let (Answer { at, outcomes, .. }, known) = tier.ask_beside(engine, domain, &asked).await?;
        Ok(Survey { known, at, looks, outcomes })
    }
}

impl<'a> Survey<'a> {
    /// What came of what was asked beside the looks.
    pub(super) fn beside(&self) -> &[Outcome] {
        &self.outcomes[self.looks.len()..]
    }

    /// The look at `kept` by the number that it has on the tier of the subject, and how it stands.
    pub(super) fn of<S: Store>(
        &self,
        engine: &Engine<S>,
        kept_for: &KeptFor<'a, '_>,
        kept: Kept<'a>,
    ) -> (Charge<'a>, LimitStanding) {
        let wanted = kept_for.charge(kept, self.known.tier, ONE_LEFT);
        let is_it = |look: &Charge<'_>| look.key == wanted.key && look.rule.number == wanted.rule.number;
        let place = self.looks.iter().position(is_it).expect("it is looked at by the numbers of all tiers");
        let (number, enforcement) = (wanted.rule.number, engine.settings.enforcement);
        (wanted, LimitStanding::new(kept.limit, number, &self.outcomes[place], self.at, enforcement))
    }
}
