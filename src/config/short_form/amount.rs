//! Amounts: `60`, `2M`, `40k tokens`, `$5.00`, `-1` or `unlimited`, `0` or `blocked`, or only a unit.

use super::InvalidForm;
use crate::config::diagnostic::{nearest, shorten};
use crate::limits::{MAX_AMOUNT, Number, Unit};
use crate::money::{InvalidMoney, NanoUsd};

/// How much, and of what. Both may be left to somebody else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantity {
    /// How much.
    pub number: Option<Number>,
    /// What is counted, where it is said.
    pub unit: Option<Unit>,
}

const FIX: &str = "write a whole number such as 60, 40k, 2M, 40k tokens or $5.00, unlimited or blocked";

/// Reads an amount; an empty text says nothing.
///
/// # Errors
///
/// What is no amount, or a larger one than anything counts.
pub fn quantity(text: &str) -> Result<Quantity, InvalidForm> {
    let says = |number, unit| Ok(Quantity { number, unit });
    match text {
        "" => return Ok(Quantity::default()),
        "$" => return says(None, Some(Unit::Money)),
        "tokens" => return says(None, Some(Unit::Tokens)),
        _ => {}
    }
    if text.starts_with('$') {
        return says(Some(Number::AtMost(money(text)?)), Some(Unit::Money));
    }
    if let Some(digits) = dollars(text) {
        let message = format!("'{}' is not how dollars are written", shorten(text));
        return Err(InvalidForm::new(message, format!("write ${digits}")));
    }
    match text.split_once(' ') {
        None => says(Some(number(text)?), None),
        Some((amount, "tokens")) => says(Some(number(amount)?), Some(Unit::Tokens)),
        Some((amount, word)) => {
            number(amount)?;
            Err(InvalidForm::new(format!("'{}' is no unit", shorten(word)), unit_fix(word)))
        }
    }
}

fn unit_fix(word: &str) -> String {
    match nearest(word, ["tokens", "concurrent", "total", "request"]) {
        Some(near) => format!("did you mean '{near}'?"),
        None => "leave it out for hits, or write tokens".to_owned(),
    }
}

fn money(text: &str) -> Result<u64, InvalidForm> {
    NanoUsd::parse(text).map(|amount| amount.0).map_err(|error| match error {
        InvalidMoney::Form(text) => InvalidForm::new(
            format!("'{}' is not an amount of dollars", shorten(&text)),
            "write it as $5 or $5.00, without commas or exponents",
        ),
        InvalidMoney::TooFine(text) => InvalidForm::new(
            format!("'{}' has more than nine decimals", shorten(&text)),
            "money is counted in billionths of a dollar; round it to nine decimals",
        ),
        InvalidMoney::TooLarge(text) => InvalidForm::new(
            format!("'{}' is above the largest amount of money", shorten(&text)),
            "write at most $9000000, or unlimited",
        ),
    })
}

fn number(text: &str) -> Result<Number, InvalidForm> {
    match text {
        "-1" | "unlimited" => return Ok(Number::Unlimited),
        "blocked" => return Ok(Number::AtMost(0)),
        _ => {}
    }
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1_000),
        Some(b'M') => (&text[..text.len() - 1], 1_000_000),
        Some(b'G') => (&text[..text.len() - 1], 1_000_000_000),
        _ => (text, 1),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(not_a_number(text));
    }
    if digits.len() > 1 && digits.starts_with('0') {
        let fix = format!("write {} without leading zeros", digits.trim_start_matches('0'));
        return Err(InvalidForm::new(format!("'{}' begins with a zero", shorten(text)), fix));
    }
    let whole = digits.parse::<u64>().ok().and_then(|digits| digits.checked_mul(factor));
    whole.filter(|number| *number <= MAX_AMOUNT).map(Number::AtMost).ok_or_else(|| {
        let message = format!("'{}' is above the largest amount, {MAX_AMOUNT}", shorten(text));
        InvalidForm::new(message, "write a smaller one, or unlimited")
    })
}

/// The digits of what says dollars in other words: `5 USD`, `5$`, `USD 5`.
fn dollars(text: &str) -> Option<&str> {
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    let digits = text.trim_matches(|c| !is_digit(c));
    let words = text.trim_matches(|c: char| is_digit(c) || c.is_whitespace()).to_lowercase();
    let is_whole = !digits.is_empty() && digits.chars().all(is_digit);
    (is_whole && ["$", "usd", "us$", "dollar", "dollars"].contains(&&*words)).then_some(digits)
}

fn not_a_number(text: &str) -> InvalidForm {
    let tokens = text.strip_suffix("tokens").filter(|amount| number(amount).is_ok());
    let fix = match tokens.map(|amount| format!("write {amount} tokens")) {
        Some(fix) => fix,
        None => nearest_to(text),
    };
    InvalidForm::new(format!("'{}' is not an amount", shorten(text)), fix)
}

/// What to write in place of a `text` that is no amount.
fn nearest_to(text: &str) -> String {
    match nearest(text, ["unlimited", "blocked", "tokens"]) {
        Some(near) => format!("did you mean '{near}'?"),
        None if text.starts_with('-') => {
            "write -1 for unlimited, 0 for blocked, or a positive number".to_owned()
        }
        None => FIX.to_owned(),
    }
}
