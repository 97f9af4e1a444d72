//! Single values of a field: texts, switches, choices, whole numbers. What does not fit is reported.

use super::At;
use crate::calendar::{Calendar, Period};
use crate::config::diagnostic::{Field, Report, nearest, shorten};
use crate::config::short_form::{InvalidForm, Quantity, quantity};
use crate::limits::{Number, Unit};

/// A text that is not empty. Numbers and words like `off` are the text they are written as.
pub(super) fn text<'n>(field: Field<'n>, report: &mut Report) -> Option<&'n str> {
    let text = field.value.as_text().filter(|text| !text.is_empty());
    if text.is_none() {
        let message = format!("'{}' is {}", shorten(field.name), field.value.describe());
        report.error(field.value.at, message, "write a text");
    }
    text
}

/// What `read` makes of the field's text, at its place.
pub(super) fn form<T>(
    field: Field<'_>,
    read: impl FnOnce(&str) -> Result<T, InvalidForm>,
    report: &mut Report,
) -> Option<At<T>> {
    let at = field.value.at;
    match read(text(field, report)?) {
        Ok(value) => Some(At { at, value }),
        Err(InvalidForm { message, fix }) => {
            report.error(at, format!("{message} (in '{}')", shorten(field.name)), fix);
            None
        }
    }
}

/// One of `choices`, by its word.
pub(super) fn choice<T: Copy>(field: Field<'_>, choices: &[(&str, T)], report: &mut Report) -> Option<T> {
    let word = field.value.literal().unwrap_or_default();
    let chosen = choices.iter().find(|(name, _)| *name == word);
    if chosen.is_none() {
        let message = format!("'{}' is {}", shorten(field.name), field.value.describe());
        let words: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let fix = match nearest(word, words.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("write {}", words.join(" or ")),
        };
        report.error(field.value.at, message, fix);
    }
    chosen.map(|(_, value)| *value)
}

/// A truth value.
pub(super) fn flag(field: Field<'_>, report: &mut Report) -> Option<bool> {
    let flag = field.value.as_bool();
    if flag.is_none() {
        let message = format!("'{}' is {}", shorten(field.name), field.value.describe());
        report.error(field.value.at, message, "write true or false, without quotes");
    }
    flag
}

/// A whole number from `least` to `most`.
pub(super) fn small_number(field: Field<'_>, least: u8, most: u8, report: &mut Report) -> Option<At<u8>> {
    let number = field.value.as_integer().and_then(|number| u8::try_from(number).ok());
    let number = number.filter(|number| (least..=most).contains(number));
    if number.is_none() {
        let message = format!("'{}' is {}", shorten(field.name), field.value.describe());
        report.error(field.value.at, message, format!("write a whole number from {least} to {most}"));
    }
    number.map(|value| At { at: field.value.at, value })
}

/// A number of tokens above 0.
pub(super) fn tokens(field: Field<'_>, report: &mut Report) -> Option<At<u64>> {
    let At { at, value: written } = form(field, quantity, report)?;
    match written {
        Quantity { number: Some(Number::AtMost(value @ 1..)), unit: None | Some(Unit::Tokens) } => {
            Some(At { at, value })
        }
        _ => {
            let message = format!("'{}' is {}", shorten(field.name), field.value.describe());
            report.error(at, message, "write a number of tokens above 0, such as 200000 or 200k");
            None
        }
    }
}

/// The name of a time zone.
pub(super) fn zone<'n>(field: Field<'n>, report: &mut Report) -> Option<&'n str> {
    let name = text(field, report)?;
    if Calendar::new(Period::Day, name, 1).is_ok() {
        return Some(name);
    }
    let message = format!("'{}' is not an IANA time zone", shorten(name));
    report.error(field.value.at, message, "write one like Europe/Berlin, or UTC");
    None
}
