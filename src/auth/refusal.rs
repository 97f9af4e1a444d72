//! Why somebody is not let in, or not let do what they ask for.

use super::permission::Needed;
use crate::audit::{Action, Role};
use crate::clock::Micros;

/// Why not. No text repeats anything of what was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing says who it is.
    #[error(
        "no token was sent: send the header 'Authorization: Bearer TOKEN'; `tollgate token new` makes one"
    )]
    Missing,
    /// What was sent is no token.
    #[error(
        "what was sent is no token: send one header 'Authorization: Bearer TOKEN', as `tollgate token new` printed it"
    )]
    Malformed,
    /// Nobody has this token, or the certificate is nobody's.
    #[error(
        "nobody here has this token or certificate: `tollgate token new` makes a token and the line for the settings"
    )]
    Unknown,
    /// It was right until then.
    #[error("the token of {name} has expired: `tollgate token new --name {name}` makes another")]
    Expired {
        /// Whose it was.
        name: Box<str>,
    },
    /// A token in a URL is kept by whatever passes it on.
    #[error(
        "a token in a URL is read by others on its way: make a new one, and send it as the header 'Authorization: Bearer TOKEN'"
    )]
    InUrl,
    /// Too many were refused from this address lately.
    #[error("too many were refused from this address: wait for {} seconds, or send a token that is right", .retry_after.ceil_secs())]
    TooMany {
        /// When a refusal says again what is wrong.
        retry_after: Micros,
    },
    /// It is known who asks, and they may not.
    #[error("{}: needs the role {}, and {name} has the role {role}", .action.name(), Needed(*.action))]
    Forbidden {
        /// Who asks.
        name: Box<str>,
        /// What they may.
        role: Role,
        /// What they ask for.
        action: Action,
    },
    /// It is known who calls, and they may not ask about this domain.
    #[error(
        "{name} may ask about {domains} alone: its line in the settings names the domains that it may ask about"
    )]
    Elsewhere {
        /// Who calls.
        name: Box<str>,
        /// What they may ask about.
        domains: Box<str>,
    },
}

impl Refusal {
    /// As records and metrics write it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired { .. } => "expired",
            Self::InUrl => "in_url",
            Self::TooMany { .. } => "too_many",
            Self::Forbidden { .. } => "forbidden",
            Self::Elsewhere { .. } => "other_domain",
        }
    }
}
