//! A limit in words, as the body of a refusal says it: `10 per 1 minute`, `$5.00 in total`.

use crate::limits::{NativeDomain, Number, Unit, Window};
use crate::money::NanoUsd;

use super::{Part, Settled};

/// What was exceeded.
pub(super) fn what(domain: &NativeDomain, settled: &Settled<'_>) -> String {
    let limit = settled.touch.limit;
    if matches!(settled.touch.part, Part::Unnamed) {
        return format!("{} needs {}", limit.name, limit.subjects);
    }
    let Number::AtMost(most) = settled.touch.number else {
        return "unlimited".to_owned();
    };
    if most == 0 {
        let tier = &domain.tiers.names[settled.touch.tier.0];
        let has_tiers = domain.tiers.names.len() > 1 || domain.tiers.names[0].as_ref() != "all";
        return if has_tiers { format!("not available on tier {tier}") } else { "not available".to_owned() };
    }
    let amount = match limit.unit {
        Unit::Hits => most.to_string(),
        Unit::Tokens => format!("{most} tokens"),
        Unit::Money => NanoUsd(most).to_string(),
    };
    match &limit.window {
        Window::Calendar(calendar) => format!("{amount} per {}", calendar.period().name()),
        Window::Concurrent { .. } => format!("{amount} concurrent"),
        Window::Total { .. } => format!("{amount} in total"),
        Window::Request => format!("at most {amount} per request"),
        window => format!("{amount} per {}", span(window.length().map_or(0, |length| length.0 / 1_000_000))),
    }
}

/// A span in the largest unit that divides it, which stays singular: `15 minute`.
fn span(seconds: u64) -> String {
    let (unit, name) = [(86_400, "day"), (3_600, "hour"), (60, "minute")]
        .into_iter()
        .find(|(unit, _)| seconds.is_multiple_of(*unit))
        .unwrap_or((1, "second"));
    format!("{} {name}", seconds / unit)
}
