//! Money as an integer: nano-USD, with decimal strings at the edges.
//!
//! Pure. No floating point ever holds an amount. Prices and usage classes are not known here.

use std::fmt;

/// An amount of money in billionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NanoUsd(pub u64);

/// The nano-USD in one dollar.
pub const NANOS_PER_DOLLAR: u64 = 1_000_000_000;

/// The nano-USD in one micro-USD, the unit in which money travels in Envoy's `uint32` fields.
pub const NANOS_PER_MICRO: u64 = 1_000;

/// Why a text is not an amount of money.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoney {
    /// Not of the form `$12` or `$12.345`.
    #[error("'{0}' is not an amount of dollars; write it as $5 or $5.00")]
    Form(String),
    /// More digits after the point than a nano-USD has.
    #[error("'{0}' has more than nine decimals")]
    TooFine(String),
    /// Larger than nine million dollars, the largest limit that a double holds exactly in nano-USD.
    #[error("'{0}' is above the largest amount, $9000000")]
    TooLarge(String),
}

impl NanoUsd {
    /// The largest amount a limit may have, $9,000,000: in nano-USD it stays below 2^53.
    pub const MAX_LIMIT: Self = Self(9_000_000 * NANOS_PER_DOLLAR);

    /// Reads `$5`, `$0.50` or `$1.000000001`.
    pub fn parse(text: &str) -> Result<Self, InvalidMoney> {
        let form = || InvalidMoney::Form(text.to_owned());
        let digits = text.strip_prefix('$').ok_or_else(form)?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return Err(form());
        }
        if fraction.len() > 9 {
            return Err(InvalidMoney::TooFine(text.to_owned()));
        }
        let too_large = || InvalidMoney::TooLarge(text.to_owned());
        let dollars: u64 = whole.parse().map_err(|_| too_large())?;
        let nanos: u64 = format!("{fraction:0<9}").parse().map_err(|_| form())?;
        dollars
            .checked_mul(NANOS_PER_DOLLAR)
            .and_then(|amount| amount.checked_add(nanos))
            .map(Self)
            .filter(|amount| *amount <= Self::MAX_LIMIT)
            .ok_or_else(too_large)
    }
}

impl fmt::Display for NanoUsd {
    /// At least two decimals, more only where they are needed: `$5.00`, `$0.0001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:09}", self.0 % NANOS_PER_DOLLAR);
        let needed = decimals.trim_end_matches('0').len().max(2);
        write!(f, "${}.{}", self.0 / NANOS_PER_DOLLAR, &decimals[..needed])
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidMoney, NanoUsd};

    #[test]
    fn reads_and_writes_decimal_dollars() {
        for (text, nanos, shown) in [
            ("$5.00", 5_000_000_000, "$5.00"),
            ("$5", 5_000_000_000, "$5.00"),
            ("$0.50", 500_000_000, "$0.50"),
            ("$0.000000001", 1, "$0.000000001"),
            ("$2000", 2_000_000_000_000, "$2000.00"),
            ("$9000000", 9_000_000_000_000_000, "$9000000.00"),
        ] {
            let amount = NanoUsd::parse(text).unwrap();
            assert_eq!((amount.0, amount.to_string().as_str()), (nanos, shown), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_an_amount() {
        for text in ["5", "$", "$-1", "$1.", "$.5", "$1e3", "$1,000", "$NaN", "$ 5"] {
            assert!(matches!(NanoUsd::parse(text), Err(InvalidMoney::Form(_))), "{text}");
        }
        assert!(matches!(NanoUsd::parse("$0.0000000001"), Err(InvalidMoney::TooFine(_))));
        for text in ["$9000000.000000001", "$99999999999999999999"] {
            assert!(matches!(NanoUsd::parse(text), Err(InvalidMoney::TooLarge(_))), "{text}");
        }
    }
}
