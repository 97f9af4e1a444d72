//! How much of what is asked is granted, where less is accepted.
//!
//! Pure. In doubles, as the Redis script has them, so that both stores grant the same.

/// The part `granted` of `of` that is granted of what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// So many units.
    pub granted: u64,
    /// Of so many.
    pub of: u64,
}

/// Products below this are exact in a double, and so are their quotients rounded either way.
const EXACT: f64 = (1_u64 << 53) as f64;
/// By how much others are shaded, to the safe side.
const SHADE: f64 = 1.0 / (1_u64 << 50) as f64;

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self { granted: 1, of: 1 };

    /// The least of it that is more than nothing.
    pub fn least(self) -> Self {
        Self { granted: 1, ..self }
    }

    /// The part of `units`, rounded up. In doubles, as the Redis script has it.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most 2^53, and not negative"
    )]
    pub fn part_of(self, units: u64) -> u64 {
        if self.granted >= self.of {
            return units;
        }
        let product = units as f64 * self.granted as f64;
        let shade = if product < EXACT { 1.0 } else { 1.0 + SHADE };
        ((product / self.of as f64 * shade).ceil() as u64).min(units)
    }

    /// As much of `self` as leaves a part of `flexible`, beside what is `fixed`, within `room`; 0 granted if not even
    /// what is fixed fits.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most 2^53, and not negative"
    )]
    pub fn within(self, room: u64, fixed: u64, flexible: u64) -> Self {
        let Some(left) = room.checked_sub(fixed) else {
            return Self { granted: 0, ..self };
        };
        if self.part_of(flexible) <= left {
            return self;
        }
        let product = left as f64 * self.of as f64;
        let shade = if product < EXACT { 1.0 } else { 1.0 - SHADE };
        let mut less = Self { granted: (product / flexible as f64 * shade).floor() as u64, ..self };
        while less.granted > 0 && less.part_of(flexible) > left {
            less.granted -= 1;
        }
        less
    }
}
