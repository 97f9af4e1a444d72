//! What an answer says to the client in headers.

use crate::algorithm::Retry;
use crate::clock::{Micros, Timestamp};
use crate::engine::decision::{AddedHeaders, Header, HeaderValue};
use crate::engine::hold::Known;
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

/// The headers of an answer that shows `shown`, of which so much is `known`, decided at `at`.
pub(super) fn headers(
    settings: &Headers,
    (shown, known): (Settled<'_>, Known),
    whole: Whole,
    at: Timestamp,
) -> AddedHeaders {
    let mut headers = AddedHeaders::with_capacity(if whole == Whole::Passed { 3 } else { 6 });
    let mut add = |name: &'static str, value: HeaderValue| headers.push(Header { name: name.into(), value });
    let sent = match settings.send {
        SendHeaders::Always => true,
        SendHeaders::Refused => whole != Whole::Passed,
        SendHeaders::Off => false,
    };
    if let Some((most, left)) = shown.amounts().filter(|_| sent) {
        add("X-RateLimit-Limit", most.into());
        if known == Known::Amounts {
            add("X-RateLimit-Remaining", left.into());
        }
        if let Some(reset_after) = shown.outcome.standing.reset_after {
            add("X-RateLimit-Reset", reset(settings.reset, reset_after, at).into());
        }
        if settings.ietf {
            add("RateLimit-Policy", ietf_policy(shown, most).into());
            if known == Known::Amounts {
                add("RateLimit", ietf_standing(shown, left).into());
            }
        }
    }
    if let Whole::Refused(retry) = whole {
        if sent {
            if let Some(seconds) = seconds_until(retry) {
                add("Retry-After", seconds.into());
            }
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
fn ietf_policy(shown: Settled<'_>, most: u64) -> String {
    let window = shown.touch.limit.window.length().map_or(String::new(), |w| format!(";w={}", w.ceil_secs()));
    format!("\"{}\";q={most}{window}", shown.touch.limit.name)
}

/// The standing as in the same draft: what remains and, where time brings it back, when.
fn ietf_standing(shown: Settled<'_>, left: u64) -> String {
    let reset = shown.outcome.standing.reset_after;
    let time = reset.map_or(String::new(), |reset| format!(";t={}", reset.ceil_secs()));
    format!("\"{}\";r={left}{time}", shown.touch.limit.name)
}

/// Whole seconds after which a refused call may come back, at least one; `None` where waiting does not help.
pub(super) fn seconds_until(retry: Retry) -> Option<u64> {
    match retry {
        Retry::After(wait) => Some(wait.ceil_secs().max(1)),
        Retry::Never => None,
    }
}
