//! From texts to values: reads one setting at a time and collects what is wrong, so that all of it is said in
//! one go. A parser answers in words what is wrong and what to write instead.

use std::time::Duration;

use super::error::SettingError;
use super::keys::Key;
use super::layers::{Found, Merged};

/// What a parser makes of a text.
pub(super) type Parsed<T> = Result<T, String>;

/// Reads settings and collects what is wrong with them.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) merged: &'a Merged,
    pub(super) errors: &'a mut Vec<SettingError>,
}

impl Reader<'_> {
    /// The value of a setting that has a default. What cannot be read is collected, and the default stands in.
    pub(super) fn value<T>(&mut self, key: &Key, parse: impl Fn(&str) -> Parsed<T>) -> T {
        self.optional(key, &parse).unwrap_or_else(|| parse(key.default).expect("defaults are read by a test"))
    }

    /// The value of a setting that may be absent.
    pub(super) fn optional<T>(&mut self, key: &Key, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        let found = self.merged.get(key.path)?;
        let [text] = found.texts.as_slice() else {
            self.reject(key, "is a list: write one value".to_owned());
            return None;
        };
        match parse(text.trim()) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.reject(key, problem);
                None
            }
        }
    }

    /// Every text of a setting that is a list.
    pub(super) fn list(&self, key: &Key) -> &[String] {
        self.merged.get(key.path).map_or(&[], |found| &found.texts)
    }

    /// Whether somebody gave the setting a value.
    pub(super) fn is_given(&self, key: &Key) -> bool {
        self.merged.get(key.path).is_some_and(|found| found.origin.is_some())
    }

    /// What to call `key`: the flag that gave it its value, or its name in the environment.
    pub(super) fn name_of(&self, key: &Key) -> String {
        let origin = self.merged.get(key.path).and_then(|found| found.origin.as_deref());
        origin.filter(|origin| origin.starts_with("--")).unwrap_or(key.env).to_owned()
    }

    /// Collects that the value of `key` has `problem`.
    pub(super) fn reject(&mut self, key: &Key, problem: String) {
        let Some(Found { texts, origin }) = self.merged.get(key.path) else { return };
        let origin = origin.as_deref().unwrap_or("default");
        self.errors.push(SettingError::value(key, origin, &texts.join(", "), problem));
    }
}

/// A truth value, in the spellings that the reference takes.
pub(super) fn truth(text: &str) -> Parsed<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("is neither true nor false: write true or false".to_owned()),
    }
}

/// A whole number of at least `least`.
pub(super) fn at_least<T>(least: T) -> impl Fn(&str) -> Parsed<T>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    move |text| match text.parse::<T>() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(format!("is no whole number of {least} or more: write digits only")),
    }
}

/// A whole number from `least` to `most`; `why` says what is wrong with more.
pub(super) fn between<T>(least: T, most: T, why: &'static str) -> impl Fn(&str) -> Parsed<T>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
{
    move |text| match at_least(least)(text)? {
        number if number <= most => Ok(number),
        _ => Err(format!("is too many: write {least} to {most}; {why}")),
    }
}

/// A span of time between `least` and `most`, with its unit.
pub(super) fn span(least: Duration, most: Duration) -> impl Fn(&str) -> Parsed<Duration> {
    move |text| match duration(text) {
        Some(span) if (least..=most).contains(&span) => Ok(span),
        Some(_) => Err(format!("is out of range: write {} to {}", written(least), written(most))),
        None => Err("is no span of time: write a number and ms, s, m, h or d, such as 10ms".to_owned()),
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(HOUR).map(Duration::from_secs),
        "d" => number.checked_mul(24 * HOUR).map(Duration::from_secs),
        _ => None,
    }
}

/// The seconds of an hour.
const HOUR: u64 = 3600;

/// A span of time as it is written: in whole days, hours or seconds, else in milliseconds.
fn written(span: Duration) -> String {
    match (span.subsec_millis(), span.as_secs()) {
        (0, seconds @ 1..) if seconds % (24 * HOUR) == 0 => format!("{}d", seconds / (24 * HOUR)),
        (0, seconds @ 1..) if seconds % HOUR == 0 => format!("{}h", seconds / HOUR),
        (0, _) => format!("{}s", span.as_secs()),
        _ => format!("{}ms", span.as_millis()),
    }
}

/// A text as it is.
pub(super) fn text(text: &str) -> Parsed<String> {
    Ok(text.to_owned())
}

/// The name of a header.
pub(super) fn header_name(text: &str) -> Parsed<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.is_empty() && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("is no name of a header: write letters, digits and dashes".to_owned())
    }
}

/// 128 bits as hexadecimal digits.
pub(super) fn secret(text: &str) -> Parsed<[u8; 16]> {
    match u128::from_str_radix(text, 16) {
        Ok(bits) if text.len() == 32 && !text.starts_with('+') => Ok(bits.to_be_bytes()),
        _ => {
            Err("is no secret: write 32 hexadecimal digits, such as `openssl rand -hex 16` prints".to_owned())
        }
    }
}
