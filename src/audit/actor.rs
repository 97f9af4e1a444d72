//! Who runs Tollgate, and who calls it.

use std::fmt;
use std::net::IpAddr;

/// What somebody may do; each may do what those before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Calls, and runs nothing. No setting gives it.
    Caller,
    /// Looks at everything and changes nothing.
    Viewer,
    /// Also helps single subjects, and sets breakers.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role of those who run it, from the least.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
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
    /// The name of the token or of the certificate; empty of one who is not known, and has no role either.
    pub name: Box<str>,
    /// What it may do.
    pub role: Role,
    /// Where it asks from, where that is known.
    pub from: Option<IpAddr>,
}

impl Actor {
    /// Tollgate itself, which acts where nobody has asked it to.
    pub fn tollgate() -> Self {
        Self { name: "tollgate".into(), role: Role::Admin, from: None }
    }

    /// Somebody who did not say who they are, or not in a way that is believed.
    pub fn unknown(from: Option<IpAddr>) -> Self {
        Self { name: "".into(), role: Role::Viewer, from }
    }

    /// Whether it was found out who it is.
    pub fn is_known(&self) -> bool {
        !self.name.is_empty()
    }
}
