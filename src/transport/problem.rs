//! Why an operator is not answered: one kind and one text, whatever wire it goes out by.

use std::fmt;

use crate::auth::Refusal;
use crate::engine::{BreakerError, Mistake, OperateError};

/// Why an operator is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Problem {
    /// What kind of a problem it is.
    pub(crate) kind: Kind,
    /// What is wrong, beginning with the field if there is one.
    pub(crate) text: String,
}

/// What kind of a problem it is: the codes of gRPC that are used here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A field makes no sense.
    InvalidArgument,
    /// Nobody knows who asks.
    Unauthenticated,
    /// They may not.
    PermissionDenied,
    /// What is named does not exist.
    NotFound,
    /// Somebody else was first.
    Aborted,
    /// It has to be asked otherwise.
    FailedPrecondition,
    /// Too often, or too much.
    ResourceExhausted,
    /// It cannot be done now.
    Unavailable,
    /// The program has a mistake.
    Internal,
}

impl Kind {
    /// As gRPC names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::Aborted => "ABORTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }

    /// As HTTP numbers it.
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::InvalidArgument => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::Aborted => 409,
            Self::FailedPrecondition => 412,
            Self::ResourceExhausted => 429,
            Self::Unavailable => 503,
            Self::Internal => 500,
        }
    }
}

impl Problem {
    /// A field that makes no sense, as `text` says.
    pub(crate) fn invalid(text: impl fmt::Display) -> Self {
        Self { kind: Kind::InvalidArgument, text: text.to_string() }
    }

    /// Something that does not exist, as `text` says.
    pub(crate) fn unknown(text: impl fmt::Display) -> Self {
        Self { kind: Kind::NotFound, text: text.to_string() }
    }

    /// The same about a field that is called `name` where it was sent, if it is about `field`.
    pub(crate) fn renamed(self, field: &str, name: &str) -> Self {
        match self.text.strip_prefix(field).filter(|rest| rest.starts_with(':')) {
            Some(rest) => Self { text: format!("{name}{rest}"), ..self },
            None => self,
        }
    }

    /// A call that made the program panic.
    pub(crate) fn broken() -> Self {
        Self { kind: Kind::Internal, text: "the call could not be answered".to_owned() }
    }
}

impl From<OperateError> for Problem {
    fn from(error: OperateError) -> Self {
        let kind = match error.mistake() {
            Mistake::Invalid => Kind::InvalidArgument,
            Mistake::Unknown => Kind::NotFound,
            Mistake::Stale => Kind::Aborted,
            Mistake::Guarded => Kind::FailedPrecondition,
            Mistake::Full => Kind::ResourceExhausted,
            Mistake::Unavailable => Kind::Unavailable,
        };
        Self { kind, text: error.to_string() }
    }
}

impl From<BreakerError> for Problem {
    fn from(error: BreakerError) -> Self {
        let kind = match error {
            BreakerError::UnknownDomain(_) | BreakerError::UnknownLimit(_) => Kind::NotFound,
            BreakerError::Operate(error) => return error.into(),
            BreakerError::NoReason
            | BreakerError::NoDomain
            | BreakerError::NoBreaker(_)
            | BreakerError::NotASubject { .. }
            | BreakerError::NoSubject(_) => Kind::InvalidArgument,
        };
        Self { kind, text: error.to_string() }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::Forbidden { .. } | Refusal::Elsewhere { .. } => Kind::PermissionDenied,
            Refusal::TooMany { .. } => Kind::ResourceExhausted,
            _ => Kind::Unauthenticated,
        };
        Self { kind, text: refusal.to_string() }
    }
}
