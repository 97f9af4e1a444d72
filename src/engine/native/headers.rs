//! What an answer says to the client: headers, and the body of a refusal.

use crate::algorithm::Retry;
use crate::clock::{Micros, Timestamp};
use crate::engine::decision::{AddedHeaders, Header, HeaderValue};
use crate::limits::{Headers, ResetForm, SendHeaders};

use super::Settled;

/// How a call as a whole came out, for those who write it down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    /// It may pass.
    Passed,
    /// It may not, and may come back then.
    Refused(Retry),
}

/// The headers of an answer that shows `shown`, decided at `at`.
pub(super) fn headers(settings: &Headers, shown: &Settled<'_>, whole: Whole, at: Timestamp) -> AddedHeaders {
    let mut headers = AddedHeaders::new();
    let mut add = |name: &'static str, value: HeaderValue| headers.push(Header { name: name.into(), value });
    let sent = match settings.send {
        SendHeaders::Always => true,
        SendHeaders::Refused => whole != Whole::Passed,
        SendHeaders::Off => false,
    };
    if let Some((most, left)) = shown.amounts().filter(|_| sent) {
        add("X-RateLimit-Limit", most.into());
        add("X-RateLimit-Remaining", left.into());
        if let Some(reset_after) = shown.outcome.standing.reset_after {
            add("X-RateLimit-Reset", reset(settings.reset, reset_after, at).into());
        }
        if settings.ietf {
            add("RateLimit-Policy", ietf_policy(shown, most).into());
            add("RateLimit", ietf_standing(shown, left).into());
        }
    }
    if let Whole::Refused(retry) = whole {
        if let (true, Retry::After(wait)) = (sent, retry) {
            add("Retry-After", wait.ceil_secs().max(1).into());
        }
        if sent {
            add("X-Tollgate-Limit", (&shown.touch.limit.name).into());
        }
        add("Content-Type", "application/json".into());
    }
    headers
}

fn reset(form: ResetForm, reset_after: Micros, at: Timestamp) -> u64 {
    match form {
        ResetForm::Seconds => reset_after.ceil_secs(),
        ResetForm::Epoch => Micros(at.plus(reset_after).0).ceil_secs(),
    }
}

/// The policy as in draft-ietf-httpapi-ratelimit-headers-10: quota and, where it has one, window.
fn ietf_policy(shown: &Settled<'_>, most: u64) -> String {
    let window = shown.touch.limit.window.length().map_or(String::new(), |w| format!(";w={}", w.ceil_secs()));
    format!("\"{}\";q={most}{window}", shown.touch.limit.name)
}

/// The standing as in the same draft: what remains and, where time brings it back, when.
fn ietf_standing(shown: &Settled<'_>, left: u64) -> String {
    let reset = shown.outcome.standing.reset_after;
    let time = reset.map_or(String::new(), |reset| format!(";t={}", reset.ceil_secs()));
    format!("\"{}\";r={left}{time}", shown.touch.limit.name)
}

/// The body of a refusal, by template.
pub(super) fn body(template: &str, what: &str, shown: &Settled<'_>, retry: Retry) -> String {
    let retry_after = match retry {
        Retry::After(wait) => wait.ceil_secs().max(1).to_string(),
        Retry::Never => "null".to_owned(),
    };
    template
        .replace("{what}", &escaped(what))
        .replace("{limit}", &escaped(&shown.touch.limit.name))
        .replace("{retry_after}", &retry_after)
}

/// Fit to stand inside a JSON string.
fn escaped(text: &str) -> String {
    let escape = |character: char| match character {
        '"' | '\\' => format!("\\{character}"),
        control if control.is_control() => format!("\\u{:04x}", u32::from(control)),
        plain => plain.to_string(),
    };
    text.chars().map(escape).collect()
}
