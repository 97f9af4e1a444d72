//! What the body of `PUT /admin/rate-limits/{tier}/{limit}` asks for, field by field.
//!
//! Whoever writes a field means something by it: one that names nobody never stands for everybody.

use std::fmt::Display;

use serde_json::{Map, Number, Value};

use crate::admin::answer::{self, NoAnswer};
use crate::calendar::instant;
use crate::clock::Timestamp;
use crate::engine::Caution;
use crate::limits::Unit;
use crate::money::{InvalidDecimal, NANOS_PER_DOLLAR, NanoUsd};
use crate::transport::problem::Problem;

/// What a body may say.
const FIELDS: &str = "value, version, reason, force, until, user and subject";

/// What a body asks for.
pub(super) struct Wanted {
    pub(super) to: Amount,
    pub(super) version: Option<u64>,
    pub(super) reason: String,
    pub(super) caution: Caution,
    pub(super) until: Option<Timestamp>,
    /// For whom alone; nobody for a tier.
    pub(super) subject: Vec<(String, String)>,
}

/// A number as JSON has it.
pub(super) enum Amount {
    /// Back to what the file says.
    File,
    /// Whole, also of money.
    Whole(i64),
    /// With a fraction: of money only.
    Fraction(f64),
}

/// A number in the unit of a limit.
pub(super) enum Sent {
    /// Back to what the file says.
    File,
    /// So many units, or one of the numbers that stand for more: -1 and 0.
    Units(i64),
    /// So many dollars, as a decimal.
    Dollars(String),
}

impl Wanted {
    pub(super) fn read(mut fields: Map<String, Value>) -> Result<Self, NoAnswer> {
        let asked = fields.remove("value").ok_or_else(|| NoAnswer::invalid("value: must be given"))?;
        let wanted = Self {
            to: Amount::read(&asked)?,
            version: version(&mut fields)?,
            reason: answer::text(&mut fields, "reason")?.unwrap_or_default(),
            caution: caution(&mut fields)?,
            until: until(&mut fields)?,
            subject: subject(&mut fields)?,
        };
        answer::no_more(&fields, FIELDS)?;
        Ok(wanted)
    }
}

impl Amount {
    fn read(value: &Value) -> Result<Self, NoAnswer> {
        let number = match value {
            Value::Null => return Ok(Self::File),
            Value::Number(number) => number,
            other => {
                return Err(NoAnswer::invalid(format!("value: must be a number or null, and is {other}")));
            }
        };
        match (whole(number), number.as_f64()) {
            (Some(whole), _) => Ok(Self::Whole(whole)),
            (None, Some(fraction)) if fraction.fract() != 0.0 => Ok(Self::Fraction(fraction)),
            _ => Err(NoAnswer::invalid(format!("value: {number} is larger than any number of a limit"))),
        }
    }

    /// What it is for a limit that counts `unit`; `None` where nobody knows the limit.
    pub(super) fn of(&self, unit: Option<Unit>) -> Result<Sent, Problem> {
        match (self, unit) {
            (Self::File, _) => Ok(Sent::File),
            (Self::Whole(dollars @ ..-1), Some(Unit::Money)) => Err(no_dollars(dollars)),
            (Self::Whole(dollars @ 1..), Some(Unit::Money)) => Ok(Sent::Dollars(dollars.to_string())),
            (Self::Whole(units), _) => Ok(Sent::Units(*units)),
            (Self::Fraction(dollars), Some(Unit::Money)) if *dollars < 0.0 => Err(no_dollars(dollars)),
            (Self::Fraction(dollars), Some(Unit::Money)) => in_decimals(*dollars),
            (Self::Fraction(units), _) => {
                let text = format!("value: {units} has a fraction, and the limit counts whole ones");
                Err(Problem::invalid(text))
            }
        }
    }
}

/// `number`, if it is whole however it is written: `5`, `5.0`, `5e0`.
fn whole(number: &Number) -> Option<i64> {
    // A whole one is shown with all its digits, and nothing behind them.
    number.as_i64().or_else(|| number.as_f64()?.to_string().parse().ok())
}

fn no_dollars(dollars: impl Display) -> Problem {
    let most = NanoUsd::MAX_LIMIT.0 / NANOS_PER_DOLLAR;
    Problem::invalid(format!(
        "value: {dollars} is no number of a limit; write -1 for unlimited, 0 for blocked, or dollars up to {most}"
    ))
}

/// Dollars with a fraction. Whoever adds such numbers up gets more digits than they mean.
fn in_decimals(dollars: f64) -> Result<Sent, Problem> {
    let text = dollars.to_string();
    let meant = || NanoUsd::parse_decimal(&format!("{dollars:.9}"));
    match (NanoUsd::parse_decimal(&text), meant()) {
        (Err(InvalidDecimal::TooFine), Ok(meant)) => {
            let meant = meant.to_decimal();
            let text =
                format!("value: {text} has more than nine decimals, which no amount has; write {meant}");
            Err(Problem::invalid(text))
        }
        _ => Ok(Sent::Dollars(text)),
    }
}

fn version(fields: &mut Map<String, Value>) -> Result<Option<u64>, NoAnswer> {
    let Some(value) = fields.remove("version").filter(|value| !value.is_null()) else { return Ok(None) };
    let number = value.as_number().and_then(whole).and_then(|number| u64::try_from(number).ok());
    let wrong = || NoAnswer::invalid(format!("version: must be a whole number from 0, and is {value}"));
    number.map(Some).ok_or_else(wrong)
}

fn caution(fields: &mut Map<String, Value>) -> Result<Caution, NoAnswer> {
    match fields.remove("force") {
        None | Some(Value::Null | Value::Bool(false)) => Ok(Caution::Kept),
        Some(Value::Bool(true)) => Ok(Caution::Forced),
        Some(other) => Err(NoAnswer::invalid(format!("force: must be true or false, and is {other}"))),
    }
}

fn until(fields: &mut Map<String, Value>) -> Result<Option<Timestamp>, NoAnswer> {
    let read = |text: String| {
        let wrong = || {
            NoAnswer::invalid(format!(
                "until: '{text}' is no time from 1970 to 9999-12-30, such as 2026-12-01T00:00:00Z"
            ))
        };
        instant(&text).ok_or_else(wrong)
    };
    answer::text(fields, "until")?.map(read).transpose()
}

/// For whom alone, by the fields `user` and `subject`; nobody where neither is there.
fn subject(fields: &mut Map<String, Value>) -> Result<Vec<(String, String)>, NoAnswer> {
    let (user, subject) = (fields.remove("user"), fields.remove("subject"));
    let named = match (user, subject) {
        (None, None) => return Ok(Vec::new()),
        (Some(_), Some(_)) => return Err(NoAnswer::invalid("user: write one of user and subject")),
        (Some(user), None) => vec![("user".to_owned(), named("user", user)?)],
        (None, Some(Value::Object(entries))) => {
            let entry = |(key, value)| Ok((key, named("subject", value)?));
            entries.into_iter().map(entry).collect::<Result<Vec<_>, NoAnswer>>()?
        }
        (None, Some(other)) => {
            let text = format!("subject: must be an object such as {{\"email\": \"…\"}}, and is {other}");
            return Err(NoAnswer::invalid(text));
        }
    };
    if named.is_empty() {
        return Err(names_nobody("subject"));
    }
    Ok(named)
}

/// Who `value` names, in the field `field`.
fn named(field: &str, value: Value) -> Result<String, NoAnswer> {
    match value {
        Value::String(value) if !value.is_empty() => Ok(value),
        Value::Null | Value::String(_) => Err(names_nobody(field)),
        other => Err(NoAnswer::invalid(format!("{field}: must be a text, and is {other}"))),
    }
}

fn names_nobody(field: &str) -> NoAnswer {
    NoAnswer::invalid(format!("{field}: names nobody; leave it out to change what the whole tier is allowed"))
}
