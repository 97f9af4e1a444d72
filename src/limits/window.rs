//! When a counter forgets, and what it counts.

use crate::calendar::Calendar;
use crate::clock::Micros;

use super::key::identity;
use super::reference::WireUnit;

/// When a counter forgets what it has counted. Each window's arithmetic and bound is derived in
/// [`crate::algorithm`].
#[derive(Clone, Debug, PartialEq)]
pub enum Window {
    /// Over the last `length`, continuously.
    Sliding {
        /// A whole number of seconds, 1 s to 366 days.
        length: Micros,
    },
    /// Over clock-aligned spans of `length` since the Unix epoch, as the reference service counts.
    Fixed {
        /// A whole number of seconds.
        length: Micros,
        /// What becomes of what was used beyond the number.
        debt: Debt,
    },
    /// A bucket of `burst`, refilled with the limit's number every `length`.
    TokenBucket {
        /// The time in which the limit's number comes back.
        length: Micros,
        /// How much the bucket holds.
        burst: u64,
    },
    /// Over calendar periods in a zone; and what becomes of what was used beyond the number.
    Calendar(Calendar, Debt),
    /// Open holds; room returns when the holder gives it back, or when the hold lapses.
    Concurrent {
        /// How long a hold lives when nobody gives it back or renews it.
        max_age: Micros,
    },
    /// A capacity: room returns only when it is given back.
    Total {
        /// How long a counter may lie idle before it is dropped; `None` keeps it for ever.
        forget: Option<Micros>,
    },
    /// The size of one call; stores nothing.
    Request,
}

/// What becomes of what was used beyond the number of a period, once that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Debt {
    /// It is forgotten.
    Forgiven,
    /// The next period begins with it as used.
    Carried,
}

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Calls, or whatever weight the caller gives them.
    Hits,
    /// Tokens of a language model.
    Tokens,
    /// Nano-USD.
    Money,
}

/// A window as Envoy's wire writes it: so many units of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireWindow {
    /// The unit; unknown where the window is no span of time.
    pub unit: WireUnit,
    /// How many of it, saturated.
    pub multiplier: u32,
}

impl From<&Window> for WireWindow {
    /// The largest unit of time that divides the window.
    fn from(window: &Window) -> Self {
        if let Window::Calendar(calendar, _) = window {
            return Self { unit: calendar.period().into(), multiplier: 1 };
        }
        let Some(length) = window.length() else {
            return Self { unit: WireUnit::Unknown, multiplier: 1 };
        };
        let seconds = length.0 / 1_000_000;
        let divides = |unit: &&WireUnit| seconds.is_multiple_of(unit.seconds());
        let unit = WireUnit::ALL.iter().rev().find(divides).copied().unwrap_or(WireUnit::Second);
        Self { unit, multiplier: u32::try_from(seconds / unit.seconds()).unwrap_or(u32::MAX) }
    }
}

impl Debt {
    /// The default for a limit that counts `unit`: money that was spent is owed.
    pub const fn default_for(unit: Unit) -> Self {
        match unit {
            Unit::Money => Self::Carried,
            Unit::Hits | Unit::Tokens => Self::Forgiven,
        }
    }
}

impl Window {
    /// How long a hold of a concurrent limit lives when nobody renews it, unless the limit says otherwise.
    pub const USUAL_MAX_AGE: Micros = Micros::from_secs(3_600);

    /// What becomes of debt, where there are periods.
    pub const fn debt(&self) -> Debt {
        match self {
            Self::Fixed { debt, .. } | Self::Calendar(_, debt) => *debt,
            _ => Debt::Forgiven,
        }
    }

    /// Whether room comes back only through a holder: these windows can be given back to.
    pub const fn is_held(&self) -> bool {
        matches!(self, Self::Concurrent { .. } | Self::Total { .. })
    }

    /// The time over which it forgets, where that is a fixed one.
    pub const fn length(&self) -> Option<Micros> {
        match self {
            Self::Sliding { length } | Self::Fixed { length, .. } | Self::TokenBucket { length, .. } => {
                Some(*length)
            }
            Self::Calendar(..) | Self::Concurrent { .. } | Self::Total { .. } | Self::Request => None,
        }
    }

    /// A public hash of what makes a counter another counter: kind, length and zone. The life of a hold is the
    /// length of its window. The number, the burst, what becomes of debt and the time after which a capacity forgets are left
    /// out, so they may change under a living counter.
    pub fn identity(&self) -> u128 {
        let of_length = |kind: &[u8], length: &Micros| identity(&[kind, &length.0.to_le_bytes()]);
        match self {
            Self::Sliding { length } => of_length(b"sliding", length),
            Self::Fixed { length, .. } => of_length(b"fixed", length),
            Self::TokenBucket { length, .. } => of_length(b"bucket", length),
            Self::Calendar(calendar, _) => identity(&[
                b"calendar",
                calendar.period().name().as_bytes(),
                calendar.zone_name().as_bytes(),
                &[calendar.anchor()],
            ]),
            Self::Concurrent { max_age } => of_length(b"concurrent", max_age),
            Self::Total { .. } => identity(&[b"total"]),
            Self::Request => identity(&[b"request"]),
        }
    }
}
