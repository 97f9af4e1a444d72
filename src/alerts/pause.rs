//! How long to wait before a webhook is asked again.
//!
//! Each pause is three times the one before, and drawn from a quarter around that, so that those who failed together do
//! not come back together.

use std::time::Duration;

/// The pause after `failures` tries, the first of which is `first` long on the whole. `draw` chooses within the quarter.
pub(super) fn after(failures: u32, first: Duration, draw: u8) -> Duration {
    let whole = first.saturating_mul(3_u32.saturating_pow(failures.saturating_sub(1)));
    whole.saturating_mul(7 * 255 + 2 * u32::from(draw)) / (8 * 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ() {
        let first = Duration::from_millis(1_500);
        let all = |draw| (1..5).map(|failures| after(failures, first, draw)).collect::<Vec<_>>();
        let millis = |draw| all(draw).iter().map(Duration::as_millis).collect::<Vec<_>>();
        assert_eq!(millis(0), [1_312, 3_937, 11_812, 35_437]);
        assert_eq!(millis(255), [1_687, 5_062, 15_187, 45_562]);
        let total: Duration = all(127).iter().sum();
        assert_eq!(total.as_secs(), 59, "five tries take a minute");
    }

    #[test]
    fn no_number_of_failures_is_too_large() {
        assert!(after(u32::MAX, Duration::MAX, 255) > Duration::ZERO);
        assert_eq!(after(0, Duration::ZERO, 255), Duration::ZERO);
    }
}
