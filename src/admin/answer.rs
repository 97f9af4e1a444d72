//! What REST reads and writes alike: fields, problems, amounts.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::limits::{Number, Unit};
use crate::money::{NANOS_PER_DOLLAR, NanoUsd};
use crate::transport::problem::Problem;

pub(super) const JSON: &str = "application/json";

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct NoAnswer {
    status: StatusCode,
    problem: Problem,
}

pub(super) type Answer = Result<Value, NoAnswer>;

impl<P: Into<Problem>> From<P> for NoAnswer {
    fn from(problem: P) -> Self {
        let problem = problem.into();
        let status = StatusCode::from_u16(problem.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, problem }
    }
}

impl NoAnswer {
    /// A body or a field that makes no sense, as `text` says.
    pub(super) fn invalid(text: impl std::fmt::Display) -> Self {
        Problem::invalid(text).into()
    }

    /// The same, with a status of its own.
    pub(super) fn with(status: StatusCode, text: impl std::fmt::Display) -> Self {
        Self { status, problem: Problem::invalid(text) }
    }
}

impl IntoResponse for NoAnswer {
    fn into_response(self) -> Response {
        let Problem { kind, text } = self.problem;
        let body = json!({"error": text, "code": kind.name()});
        (self.status, [(CONTENT_TYPE, JSON)], format!("{body}\n")).into_response()
    }
}

/// How `answer` goes out.
pub(super) fn respond(answer: Answer) -> Response {
    match answer {
        Ok(told) => ([(CONTENT_TYPE, JSON)], format!("{told}\n")).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// Does `call` even if its caller does not wait for it: what is on the record is also done.
pub(super) async fn to_the_end<T: Send + 'static>(
    call: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, NoAnswer> {
    Ok(tokio::spawn(call).await.unwrap_or_else(|_| Err(Problem::broken()))?)
}

/// The text in the field `name`, if there is one.
pub(super) fn text(fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, NoAnswer> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(NoAnswer::invalid(format!("{name}: must be a text, and is {other}"))),
    }
}

/// Sees that nothing is left of `fields`: whoever writes one means something by it.
pub(super) fn no_more(fields: &Map<String, Value>, known: &str) -> Result<(), NoAnswer> {
    match fields.keys().next() {
        None => Ok(()),
        Some(name) => Err(NoAnswer::invalid(format!("{name}: is not read here; there are {known}"))),
    }
}

/// So many units, of money dollars.
pub(super) fn amount(unit: Unit, units: u64) -> Value {
    match unit {
        Unit::Hits | Unit::Tokens => units.into(),
        Unit::Money => dollars(units),
    }
}

/// What is left of `most` units of which `taken` are gone: below 0 if that is more.
pub(super) fn remaining(unit: Unit, most: u64, taken: u64) -> Value {
    match (most.checked_sub(taken), amount(unit, taken.abs_diff(most))) {
        (Some(_), left) => left,
        (None, owed) => match owed.as_i64() {
            Some(owed) => (-owed).into(),
            None => (-owed.as_f64().unwrap_or_default()).into(),
        },
    }
}

/// How much is allowed; -1 is unlimited.
pub(super) fn number(unit: Unit, number: Number) -> Value {
    match number {
        Number::Unlimited => (-1).into(),
        Number::AtMost(most) => amount(unit, most),
    }
}

/// Dollars as a number: the shortest that is read again as the same amount.
fn dollars(nanos: u64) -> Value {
    match nanos % NANOS_PER_DOLLAR {
        0 => (nanos / NANOS_PER_DOLLAR).into(),
        _ => NanoUsd(nanos).to_decimal().parse::<f64>().unwrap_or_default().into(),
    }
}
