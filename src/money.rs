//! Money as an integer: nano-USD, with decimal strings at the edges; and the largest amount of anything.
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

/// The largest amount of hits, tokens or nano-USD that anything counts: 2^53 − 1, the largest integer
/// that a double (and so a Redis script) holds exactly together with all below it.
pub const MAX_AMOUNT: u64 = (1 << 53) - 1;

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

/// Why a text is not a decimal number of dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDecimal {
    /// Not digits, with or without a point and more digits behind it: so neither negative nor with an exponent.
    #[error("it is not a decimal number of dollars; write it as 5.00")]
    Form,
    /// More digits after the point than a nano-USD has.
    #[error("it has more than nine decimals")]
    TooFine,
    /// Larger than [`NanoUsd::MAX_LIMIT`].
    #[error("it is above the largest amount, 9000000")]
    TooLarge,
}

impl NanoUsd {
    /// The largest amount a limit may have, $9,000,000: in nano-USD it stays below 2^53.
    pub const MAX_LIMIT: Self = Self(9_000_000 * NANOS_PER_DOLLAR);

    /// Reads `$5`, `$0.50` or `$1.000000001`.
    pub fn parse(text: &str) -> Result<Self, InvalidMoney> {
        let decimal = text.strip_prefix('$').ok_or(InvalidDecimal::Form);
        decimal.and_then(Self::parse_decimal).map_err(|error| match error {
            InvalidDecimal::Form => InvalidMoney::Form(text.to_owned()),
            InvalidDecimal::TooFine => InvalidMoney::TooFine(text.to_owned()),
            InvalidDecimal::TooLarge => InvalidMoney::TooLarge(text.to_owned()),
        })
    }

    /// Reads dollars as they travel: `5`, `0.50` or `1.000000001`.
    pub fn parse_decimal(text: &str) -> Result<Self, InvalidDecimal> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return Err(InvalidDecimal::Form);
        }
        if fraction.len() > 9 {
            return Err(InvalidDecimal::TooFine);
        }
        let dollars: u64 = whole.parse().map_err(|_| InvalidDecimal::TooLarge)?;
        let nanos: u64 = format!("{fraction:0<9}").parse().map_err(|_| InvalidDecimal::Form)?;
        dollars
            .checked_mul(NANOS_PER_DOLLAR)
            .and_then(|amount| amount.checked_add(nanos))
            .map(Self)
            .filter(|amount| *amount <= Self::MAX_LIMIT)
            .ok_or(InvalidDecimal::TooLarge)
    }

    /// Dollars as they travel, with at least two decimals, more only where they are needed: `5.00`, `0.0001`.
    pub fn to_decimal(self) -> String {
        let decimals = format!("{:09}", self.0 % NANOS_PER_DOLLAR);
        let needed = decimals.trim_end_matches('0').len().max(2);
        format!("{}.{}", self.0 / NANOS_PER_DOLLAR, &decimals[..needed])
    }
}

impl fmt::Display for NanoUsd {
    /// [`to_decimal`](Self::to_decimal) behind a dollar sign: `$5.00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.to_decimal())
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidDecimal, InvalidMoney, NanoUsd};

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
            assert_eq!(NanoUsd::parse_decimal(&text[1..]), Ok(amount), "{text}");
            assert_eq!(NanoUsd::parse_decimal(&amount.to_decimal()), Ok(amount), "{text}");
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

    #[test]
    fn a_decimal_has_no_sign_and_no_exponent() {
        for text in
            ["", "$5.00", "-5.00", "+5", "5.", ".5", "1e3", "NaN", "inf", "1,000", " 5", "5\u{0}", "٥"]
        {
            assert_eq!(NanoUsd::parse_decimal(text), Err(InvalidDecimal::Form), "{text}");
        }
        assert_eq!(NanoUsd::parse_decimal("0.0000000001"), Err(InvalidDecimal::TooFine));
        for text in ["9000000.000000001", "99999999999999999999"] {
            assert_eq!(NanoUsd::parse_decimal(text), Err(InvalidDecimal::TooLarge), "{text}");
        }
    }
}
