//! Windows by their words: `15m`, `day`, `concurrent`, `total`, `request`.

use super::InvalidForm;
use crate::calendar::Period;
use crate::clock::Micros;
use crate::config::diagnostic::{nearest, shorten};

/// When a limit forgets, as one word says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgets {
    /// After a time.
    After(Micros),
    /// At the boundaries of a calendar.
    Calendar(Period),
    /// When the holder lets go.
    Concurrent,
    /// When it is given back.
    Total,
    /// At once.
    Request,
}

const WORDS: [(&str, Forgets); 7] = [
    ("day", Forgets::Calendar(Period::Day)),
    ("week", Forgets::Calendar(Period::Week)),
    ("month", Forgets::Calendar(Period::Month)),
    ("year", Forgets::Calendar(Period::Year)),
    ("concurrent", Forgets::Concurrent),
    ("total", Forgets::Total),
    ("request", Forgets::Request),
];

/// The longest time that is written: 366 days.
const LONGEST_SECONDS: u64 = 366 * 86_400;

/// Reads a window.
///
/// # Errors
///
/// What is neither a word for one nor a time.
pub fn forgets(text: &str) -> Result<Forgets, InvalidForm> {
    if let Some((_, window)) = WORDS.iter().find(|(word, _)| *word == text) {
        return Ok(*window);
    }
    match Time::read(text) {
        Time::Span(seconds) => {
            in_bounds(text, seconds, "; beyond, use month, year or total").map(Forgets::After)
        }
        Time::NoUnit => {
            let message = format!("the window '{}' has no unit", shorten(text));
            Err(InvalidForm::new(message, format!("write {}s for seconds, or use m, h or d", shorten(text))))
        }
        Time::No => Err(InvalidForm::new(format!("'{}' is not a window", shorten(text)), window_fix(text))),
    }
}

/// Reads a time: `1s` to `366d`.
///
/// # Errors
///
/// What is no time, or out of those bounds.
pub fn span(text: &str) -> Result<Micros, InvalidForm> {
    match Time::read(text) {
        Time::Span(seconds) => in_bounds(text, seconds, ""),
        _ => {
            let fix = "write a whole number and a unit, such as 90s, 15m, 1h or 30d";
            Err(InvalidForm::new(format!("'{}' is not a time", shorten(text)), fix))
        }
    }
}

/// Whether somebody who wrote `text` may have meant a window.
pub(super) fn is_like_one(text: &str) -> bool {
    !matches!(Time::read(text), Time::No) || nearest(text, WORDS.iter().map(|(word, _)| *word)).is_some()
}

enum Time {
    /// In seconds; saturated.
    Span(u64),
    NoUnit,
    No,
}

impl Time {
    fn read(text: &str) -> Self {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let factor = match &text[digits.len()..] {
            _ if !is_whole => return Self::No,
            "" => return Self::NoUnit,
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Self::No,
        };
        Self::Span(digits.parse().unwrap_or(u64::MAX).saturating_mul(factor))
    }
}

/// The time of so many seconds; what else to write where they are too many is said by `beyond`.
fn in_bounds(text: &str, seconds: u64, beyond: &str) -> Result<Micros, InvalidForm> {
    if (1..=LONGEST_SECONDS).contains(&seconds) {
        return Ok(Micros::from_secs(seconds));
    }
    let message = format!("'{}' is out of bounds", shorten(text));
    Err(InvalidForm::new(message, format!("write a time from 1s to 366d{beyond}")))
}

fn window_fix(text: &str) -> String {
    let lower = text.to_lowercase();
    if lower != text && forgets(&lower).is_ok() {
        return format!("did you mean '{lower}'?");
    }
    match nearest(text, WORDS.iter().map(|(word, _)| *word)) {
        Some(near) => format!("did you mean '{near}'?"),
        None => {
            "write a time such as 15m (s, m, h, d), or day, week, month, year, concurrent, total, request"
                .to_owned()
        }
    }
}
