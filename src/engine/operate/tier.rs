//! On which tier a subject is, and how that is known: it is given, was seen with its last calls, or is assigned. What calls
//! name decides before what is assigned, so what was seen of late is told before it. What no call has named since says nothing
//! of today's calls, and is told only where nothing is assigned.

use crate::engine::Engine;
use crate::engine::native::KeptFor;
use crate::engine::seen::{mark_key, user_of};
use crate::limits::{NativeDomain, TierId, Whose};
use crate::store::{Answer, Charge, MarkAge, Store};

use super::ask::ask_beside;
use super::error::{Near, OperateError};
use super::who::{Who, secret};

/// How a tier is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierFrom {
    /// The entries say it.
    Given,
    /// A call brought it: of a user to any instance, of others to this one.
    Seen,
    /// The subject was assigned to it, and no call of late is known to bring another.
    Assigned,
    /// Nobody knows: it is what calls get that name none.
    Default,
}

/// What is known of the tier of a subject.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) tier: TierId,
    pub(super) from: TierFrom,
    /// When it was seen, if it was.
    pub(super) age: Option<MarkAge>,
}

/// The tier that the entries say.
pub(super) fn given(domain: &NativeDomain, kept: &KeptFor<'_, '_>) -> Result<Option<TierId>, OperateError> {
    let tiers = &domain.tiers;
    let Some(name) = kept.value_of(&tiers.from).filter(|_| domain.has_tiers()) else { return Ok(None) };
    let known = tiers.names.iter().map(|name| &**name);
    tiers.by_name(name).map(Some).ok_or_else(|| OperateError::UnknownTier(Near::of(name, known)))
}

/// The tier that is told of whom `who` names, if it is told because calls have named it.
pub(super) async fn seen<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    who: &Who<'_>,
) -> Result<Option<TierId>, OperateError> {
    let known = known(engine, domain, who).await?;
    Ok(Some(known.tier).filter(|_| known.from == TierFrom::Seen))
}

/// The tier that calls of late name themselves, of whom `who` names; `None` if none is known, or the entries say one.
pub(super) async fn named_of_late<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    who: &Who<'_>,
) -> Result<Option<TierId>, OperateError> {
    let known = known(engine, domain, who).await?;
    Ok(Some(known.tier).filter(|_| known.age == Some(MarkAge::Recent)))
}

async fn known<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    who: &Who<'_>,
) -> Result<Known, OperateError> {
    let descriptor = who.descriptor(domain)?;
    let kept_for = KeptFor::new(domain, &descriptor, secret(engine)?);
    let tier_of = TierOf::new(domain, &kept_for)?;
    tier_of.ask_beside(engine, domain, &[]).await.map(|(_, known)| known)
}

/// On which tier a subject is, as far as it need not be asked, and how it is.
pub(super) struct TierOf {
    given: Option<TierId>,
    assigned: Option<TierId>,
    user: Option<Whose>,
    /// Whose counters it has.
    whose: Vec<Whose>,
    /// If nobody knows.
    otherwise: TierId,
}

impl TierOf {
    /// Of the subject whose counters `kept` are.
    pub(super) fn new(domain: &NativeDomain, kept: &KeptFor<'_, '_>) -> Result<Self, OperateError> {
        let user = || user_of(kept.secret(), |key| kept.value_of(key));
        Ok(Self {
            given: given(domain, kept)?,
            assigned: kept.assigned_tier(),
            user: if domain.has_tiers() { user() } else { None },
            whose: kept.limits().into_iter().map(|kept| kept.whose).collect(),
            otherwise: kept.tier(),
        })
    }

    /// Those that it may be.
    pub(super) fn candidates(&self, domain: &NativeDomain) -> impl Iterator<Item = TierId> + Clone + use<> {
        let all = match self.given {
            Some(tier) => tier.0..tier.0 + 1,
            None => 0..domain.tiers.names.len(),
        };
        all.map(TierId)
    }

    /// What the store says of `charges`, and of the tier in the same step.
    pub(super) async fn ask_beside<S: Store>(
        self,
        engine: &Engine<S>,
        domain: &NativeDomain,
        charges: &[Charge<'_>],
    ) -> Result<(Answer, Known), OperateError> {
        let mark = self.user.filter(|_| self.given.is_none()).map(|user| mark_key(domain, user));
        let (answer, written) = ask_beside(engine, charges, mark).await?;
        let seen = || engine.seen.tier(domain, self.user, self.whose, written);
        let seen = if self.given.is_none() { seen() } else { None };
        let seen = seen.map(|(tier, age)| Known { tier, from: TierFrom::Seen, age: Some(age) });
        let unseen = |from| move |tier| Known { tier, from, age: None };
        let given = self.given.map(unseen(TierFrom::Given));
        let recent = seen.filter(|seen| seen.age == Some(MarkAge::Recent));
        let assigned = self.assigned.map(unseen(TierFrom::Assigned));
        let known = given.or(recent).or(assigned).or(seen);
        Ok((answer, known.unwrap_or_else(|| unseen(TierFrom::Default)(self.otherwise))))
    }
}
