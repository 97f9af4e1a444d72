//! Who runs Tollgate and what they do to it, in the words that the log, the answers and the records share.
//!
//! It may assume that whoever makes an [`Actor`] has found out who it is: that is `auth`'s matter, as is who may do what.
//! No value of a caller's request stands here.

use std::fmt;
use std::net::IpAddr;

/// What somebody may do; each may do what those before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looks at everything and changes nothing.
    Viewer,
    /// Also helps single subjects, and sets breakers.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role, from the least.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role with this word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    /// The name of the token or of the certificate.
    pub name: Box<str>,
    /// What it may do.
    pub role: Role,
    /// Where it asks from, where that is known.
    pub from: Option<IpAddr>,
}

/// What somebody does, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Says who they are.
    LogIn,
    /// Reads the rules in force.
    ShowRules,
    /// Reads events of what was spent and refused.
    ReadUsage,
    /// Reads every tier and limit with its number.
    ListLimits,
    /// Reads where the limits of a subject are.
    GetUsage,
    /// Asks what a call would touch, or why one was refused.
    Explain,
    /// Asks who uses most of a limit.
    TopConsumers,
    /// Reads the records of what was done.
    ListAudit,
    /// Reads how breakers are.
    GetBreaker,
    /// Opens or closes a breaker.
    SetBreaker,
    /// Gives a subject its usage back.
    ResetUser,
    /// Puts a subject on a tier.
    SetTier,
    /// Changes how much one subject is allowed.
    UpdateLimitOfSubject,
    /// Changes how much a tier is allowed.
    UpdateLimit,
    /// Changes what tokens cost.
    SetPrice,
    /// Takes over usage that was counted elsewhere.
    ImportUsage,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 16] = [
        Self::LogIn,
        Self::ShowRules,
        Self::ReadUsage,
        Self::ListLimits,
        Self::GetUsage,
        Self::Explain,
        Self::TopConsumers,
        Self::ListAudit,
        Self::GetBreaker,
        Self::SetBreaker,
        Self::ResetUser,
        Self::SetTier,
        Self::UpdateLimitOfSubject,
        Self::UpdateLimit,
        Self::SetPrice,
        Self::ImportUsage,
    ];

    /// As records and answers write it. To change a number is one word, whomever it reaches.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LogIn => "log_in",
            Self::ShowRules => "show_rules",
            Self::ReadUsage => "read_usage",
            Self::ListLimits => "list_limits",
            Self::GetUsage => "get_usage",
            Self::Explain => "explain",
            Self::TopConsumers => "top_consumers",
            Self::ListAudit => "list_audit",
            Self::GetBreaker => "get_breaker",
            Self::SetBreaker => "set_breaker",
            Self::ResetUser => "reset_user",
            Self::SetTier => "set_tier",
            Self::UpdateLimitOfSubject | Self::UpdateLimit => "update_limit",
            Self::SetPrice => "set_price",
            Self::ImportUsage => "import_usage",
        }
    }
}
