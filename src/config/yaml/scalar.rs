//! What a scalar means, by YAML 1.1 as Go's yaml.v2 reads it: the reference service's files rely on it.
//!
//! Only plain scalars are numbers, truth values or null.

use super::{Kind, Node, Style};

const TRUE: [&str; 11] = ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"];
const FALSE: [&str; 11] = ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"];
const NULL: [&str; 5] = ["", "~", "null", "Null", "NULL"];
const NOT_FINITE: [&str; 12] =
    [".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF"];

impl Node {
    /// The literal text of a scalar, null included.
    pub fn literal(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The literal text of a scalar that is not null: `5` and `yes` are texts too.
    pub fn as_text(&self) -> Option<&str> {
        if self.is_null() { None } else { self.literal() }
    }

    /// The items of a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The keys and values of a mapping.
    pub fn as_map(&self) -> Option<&[(Node, Node)]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// Whether it is null, or not there at all.
    pub fn is_null(&self) -> bool {
        self.plain().is_some_and(|text| NULL.contains(&text))
    }

    /// The truth value it stands for.
    pub fn as_bool(&self) -> Option<bool> {
        let text = self.plain()?;
        if TRUE.contains(&text) {
            return Some(true);
        }
        FALSE.contains(&text).then_some(false)
    }

    /// The integer it stands for, from `i64::MIN` to `u64::MAX`: decimal, `0x`, `0b`, `0o` or a leading `0`
    /// for octal, underscores anywhere but first.
    pub fn as_integer(&self) -> Option<i128> {
        let digits = number_text(self.plain()?)?;
        let (negative, magnitude) = match digits.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, digits.strip_prefix('+').unwrap_or(&digits)),
        };
        let value = i128::from(magnitude_of(magnitude)?);
        let value = if negative { -value } else { value };
        (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(value)
    }

    /// The number it stands for where it is no integer; not finite for `.inf` and `.nan`.
    pub fn as_float(&self) -> Option<f64> {
        let text = self.plain()?;
        if NOT_FINITE.contains(&text) {
            let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
            return Some(if text.to_ascii_lowercase().ends_with("nan") {
                f64::NAN
            } else {
                sign * f64::INFINITY
            });
        }
        if self.as_integer().is_some() {
            return None;
        }
        let digits = if text.starts_with('.') { text.replace('_', "") } else { number_text(text)? };
        is_decimal(&digits).then(|| digits.parse().ok())?
    }

    /// Whether it is a number that is no integer.
    pub fn is_float(&self) -> bool {
        self.as_float().is_some()
    }

    fn plain(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, style: Style::Plain } => Some(text),
            _ => None,
        }
    }
}

/// `text` without underscores, where it begins as a number does.
fn number_text(text: &str) -> Option<String> {
    text.starts_with(|first: char| first.is_ascii_digit() || first == '-' || first == '+')
        .then(|| text.replace('_', ""))
}

fn magnitude_of(digits: &str) -> Option<u64> {
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (&lower[..], 10),
    };
    // `from_str_radix` would take a second sign.
    if digits.starts_with(['+', '-']) { None } else { u64::from_str_radix(digits, radix).ok() }
}

/// Digits with at most one point among or before them, then perhaps an exponent.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_is_fine = match mantissa.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction) && mantissa.len() > 1,
        None => digits(mantissa) && !mantissa.is_empty(),
    };
    mantissa_is_fine && exponent.is_none_or(|exponent| digits(exponent) && !exponent.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Node, Style};
    use crate::config::diagnostic::Position;

    fn scalar(text: &str, style: Style) -> Node {
        Node { at: Position::FILE, kind: Kind::Scalar { text: text.into(), style } }
    }

    #[test]
    fn plain_integers() {
        for (text, value) in [
            ("0", Some(0)),
            ("60", Some(60)),
            ("-1", Some(-1)),
            ("+7", Some(7)),
            ("1_000", Some(1_000)),
            ("0x10", Some(16)),
            ("-0X1f", Some(-31)),
            ("0b101", Some(5)),
            ("0o17", Some(15)),
            ("017", Some(15)),
            ("08", None),
            ("18446744073709551615", Some(i128::from(u64::MAX))),
            ("18446744073709551616", None),
            ("-9223372036854775808", Some(i128::from(i64::MIN))),
            ("-9223372036854775809", None),
            ("_1", None),
            ("--1", None),
            ("-+1", None),
            ("0x-1", None),
            ("0x", None),
            ("-", None),
            ("1.0", None),
            ("1e3", None),
            ("ten", None),
            ("１", None),
        ] {
            assert_eq!(scalar(text, Style::Plain).as_integer(), value, "{text}");
            assert_eq!(scalar(text, Style::Quoted).as_integer(), None, "quoted {text}");
        }
    }

    #[test]
    fn plain_floats() {
        for (text, is_float) in [
            ("1.0", true),
            ("1.", true),
            (".5", true),
            ("-1e3", true),
            ("1_0.5", true),
            ("08", true),
            (".inf", true),
            (".NaN", true),
            ("18446744073709551616", true),
            ("1", false),
            (".", false),
            ("1.2.3", false),
            ("1e", false),
            ("NaN", false),
            ("$5.00", false),
        ] {
            assert_eq!(scalar(text, Style::Plain).is_float(), is_float, "{text}");
            assert!(!scalar(text, Style::Quoted).is_float(), "quoted {text}");
        }
    }

    #[test]
    fn truth_values_and_null() {
        for (text, value) in [
            ("y", Some(true)),
            ("On", Some(true)),
            ("NO", Some(false)),
            ("oN", None),
            ("1", None),
            ("", None),
        ] {
            assert_eq!(scalar(text, Style::Plain).as_bool(), value, "{text}");
            assert_eq!(scalar(text, Style::Quoted).as_bool(), None, "quoted {text}");
        }
        assert!(scalar("", Style::Plain).is_null() && scalar("~", Style::Plain).is_null());
        assert!(!scalar("", Style::Quoted).is_null() && !scalar("nil", Style::Plain).is_null());
        assert_eq!(scalar("yes", Style::Plain).as_text(), Some("yes"));
        assert_eq!(scalar("null", Style::Plain).as_text(), None);
    }
}
