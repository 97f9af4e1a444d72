//! What kind of a mistake an error is: what whoever asked can do about it.

use super::OperateError;

/// What kind of a mistake an [`OperateError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// A field makes no sense.
    Invalid,
    /// Something that is named does not exist.
    Unknown,
    /// Somebody else was first.
    Stale,
    /// It has to be asked otherwise.
    Guarded,
    /// There is no room for more.
    Full,
    /// None: it cannot be done now.
    Unavailable,
}

impl OperateError {
    /// What kind of a mistake it is.
    pub const fn mistake(&self) -> Mistake {
        match self {
            Self::UnknownDomain(_)
            | Self::UnknownLimit(_)
            | Self::UnknownTier(_)
            | Self::UnknownRoute(_)
            | Self::NoNumberForAll { .. }
            | Self::NoSuchPrice { .. } => Mistake::Unknown,
            Self::Stale { .. } | Self::FutureVersion { .. } => Mistake::Stale,
            Self::NeedsForce { .. }
            | Self::NewModel { .. }
            | Self::DropsSteps { .. }
            | Self::DropsStray { .. }
            | Self::ReferenceDomain(_)
            | Self::NothingToOperate => Mistake::Guarded,
            Self::NoRoom(_) => Mistake::Full,
            Self::Unavailable(_)
            | Self::Unkept(_)
            | Self::Partly { .. }
            | Self::NoJournal
            | Self::Unrecorded(_)
            | Self::Unknown(_)
            | Self::Unread(_) => Mistake::Unavailable,
            _ => Mistake::Invalid,
        }
    }
}
