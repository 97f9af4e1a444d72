//! What answers carry: one word, or a mapping.

use super::value;
use crate::config::diagnostic::{Field, Fields, Report, shorten, suggestion};
use crate::limits::{Headers, ResetForm, SendHeaders};

const SEND: [(&str, SendHeaders); 3] =
    [("always", SendHeaders::Always), ("refused", SendHeaders::Refused), ("off", SendHeaders::Off)];
const RESET: [(&str, ResetForm); 2] = [("seconds", ResetForm::Seconds), ("epoch", ResetForm::Epoch)];

/// What a body may hold between braces.
const PLACEHOLDERS: [&str; 3] = ["what", "limit", "retry_after"];

/// Reads `headers`; what is wrong or left out is as by default.
pub(super) fn read(field: Field<'_>, report: &mut Report) -> Headers {
    let mut headers = Headers::default();
    if field.value.as_map().is_none() {
        headers.send = value::choice(field, &SEND, report).unwrap_or(headers.send);
        return headers;
    }
    let Some(mut fields) = Fields::of(field.value, "'headers'", report) else { return headers };
    if let Some(send) = fields.take("send").and_then(|field| value::choice(field, &SEND, report)) {
        headers.send = send;
    }
    if let Some(reset) = fields.take("reset").and_then(|field| value::choice(field, &RESET, report)) {
        headers.reset = reset;
    }
    let mut flag = |key| fields.take(key).and_then(|field| value::flag(field, report)).unwrap_or(false);
    (headers.ietf, headers.standings) = (flag("ietf"), flag("standings"));
    if let Some(body) = fields.take("body").and_then(|field| body(field, report)) {
        headers.body = body.into();
    }
    fields.finish(report);
    headers
}

fn body<'n>(field: Field<'n>, report: &mut Report) -> Option<&'n str> {
    let body = value::text(field, report)?;
    // Other braces are the body's own: it is JSON more often than not.
    let words = body.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(word, _)| word);
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    for word in words.filter(is_word).filter(|word| !PLACEHOLDERS.contains(word)) {
        let message = format!("nothing stands for '{{{}}}' in a body", shorten(word));
        report.error(field.value.at, message, suggestion(word, PLACEHOLDERS));
    }
    Some(body)
}
