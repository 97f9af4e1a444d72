//! On which tier a subject is, and how that is known: it is given, assigned, or was seen with its last calls.

use crate::engine::Engine;
use crate::engine::native::KeptFor;
use crate::engine::seen::{mark_key, user_of};
use crate::limits::{NativeDomain, TierId, Whose};
use crate::store::{Answer, Charge, Store};

use super::ask::ask_beside;
use super::error::{Near, OperateError};

/// How a tier is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierFrom {
    /// The entries say it.
    Given,
    /// The subject was assigned to it.
    Assigned,
    /// A call brought it: of a user to any instance, of others to this one.
    Seen,
    /// Nobody knows: it is what calls get that name none.
    Default,
}

/// What is known of a tier.
pub(super) type Known = (TierId, TierFrom);

/// The tier of a subject, where it need not be seen.
pub(super) fn told(domain: &NativeDomain, kept: &KeptFor<'_, '_>) -> Result<Option<Known>, OperateError> {
    let tiers = &domain.tiers;
    match kept.value_of(&tiers.from) {
        Some(name) if domain.has_tiers() => {
            let known = || tiers.names.iter().map(|name| &**name);
            let unknown = || OperateError::UnknownTier(Near::of(name, known()));
            Ok(Some((tiers.by_name(name).ok_or_else(unknown)?, TierFrom::Given)))
        }
        _ => Ok(kept.assigned_tier().map(|tier| (tier, TierFrom::Assigned))),
    }
}

/// On which tier a subject is, as far as it need not be asked, and how it is.
pub(super) struct TierOf {
    told: Option<Known>,
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
            told: told(domain, kept)?,
            user: if domain.has_tiers() { user() } else { None },
            whose: kept.limits().into_iter().map(|kept| kept.whose).collect(),
            otherwise: kept.tier(),
        })
    }

    /// Those that it may be.
    pub(super) fn candidates(&self, domain: &NativeDomain) -> impl Iterator<Item = TierId> + Clone + use<> {
        let all = match self.told {
            Some((tier, _)) => tier.0..tier.0 + 1,
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
        let mark = self.user.filter(|_| self.told.is_none()).map(|user| mark_key(domain, user));
        let (answer, written) = ask_beside(engine, charges, mark).await?;
        let seen = || engine.seen.tier(domain, self.user, self.whose, written);
        let known = self.told.or_else(|| Some((seen()?, TierFrom::Seen)));
        Ok((answer, known.unwrap_or((self.otherwise, TierFrom::Default))))
    }
}
