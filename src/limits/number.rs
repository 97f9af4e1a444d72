//! The N of a limit: how much it allows.

/// The most limits that one route or one descriptor of a file may list. A call's work is bounded by it: 32
/// descriptors touch their routes' limits and those of every call.
pub const MOST_LIMITS: usize = 256;

/// How much a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Number {
    /// Never refuses, still counts. Written `-1` or `unlimited`.
    Unlimited,
    /// At most this many units, up to [`MAX_AMOUNT`](crate::money::MAX_AMOUNT). 0 (`blocked`) refuses always.
    AtMost(u64),
}

impl Number {
    /// What is left once `spent` is gone; `u64::MAX` if unlimited.
    pub const fn left_after(self, spent: u64) -> u64 {
        match self {
            Self::Unlimited => u64::MAX,
            Self::AtMost(most) => most.saturating_sub(spent),
        }
    }

    /// Whether everything is refused.
    pub const fn is_blocked(self) -> bool {
        matches!(self, Self::AtMost(0))
    }
}
