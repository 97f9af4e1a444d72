//! `on_limit: trip`, and the `reset` of the breaker that it opens: `manual`, `auto after 15m`, or `{auto: 15m, probe: 10%}`.

use super::alerts::percent;
use super::{OnLimit, value};
use crate::clock::Micros;
use crate::config::diagnostic::{Field, Fields, Report};
use crate::config::short_form;
use crate::limits::Percent;

/// Whether a breaker is opened.
const TRIPS: [(&str, bool); 2] = [("deny", false), ("trip", true)];
/// Which share of the calls pass while it is half-open, where nobody says.
const USUAL_PROBE: Percent = Percent(10);
/// With this share there is nothing to try out any more: all calls pass.
const MOST_PROBE: Percent = Percent(100);

/// `on_limit`, and the `reset` of what it opens.
pub(super) fn on_limit(fields: &mut Fields<'_>, report: &mut Report) -> OnLimit {
    let reached = fields.take("on_limit");
    let trips = reached.map_or(Some(false), |field| value::choice(field, &TRIPS, report));
    let reset = fields.take("reset");
    if let (Some(reset), Some(false)) = (reset, trips) {
        report.error(reset.at, "'reset' stands without 'on_limit: trip'", "add it, or remove 'reset'");
    }
    let reset = reset.and_then(|field| reset_by(field, report));
    if trips == Some(true) { OnLimit::Trip { reset } } else { OnLimit::Deny }
}

/// After how long it tries to close by itself, and with which share of the calls; `None` if somebody has to close it.
fn reset_by(field: Field<'_>, report: &mut Report) -> Option<(Micros, Percent)> {
    if field.value.as_map().is_some() {
        return by_itself(field, report);
    }
    let text = field.value.as_text().unwrap_or_default();
    if text == "manual" {
        return None;
    }
    let Some(after) = text.strip_prefix("auto after ") else {
        let message = format!("'reset' is {}", field.value.describe());
        let fix = "write manual, 'auto after 15m', or {auto: 15m, probe: 10%}";
        report.error(field.value.at, message, fix);
        return None;
    };
    let after = value::form(field, |_| short_form::span(after), report)?;
    Some((after.value, USUAL_PROBE))
}

/// A mapping of `auto` and `probe`.
fn by_itself(field: Field<'_>, report: &mut Report) -> Option<(Micros, Percent)> {
    let mut fields = Fields::of(field.value, "'reset'", report)?;
    let after = fields.take("auto");
    if after.is_none() {
        report.error(
            field.value.at,
            "'reset' does not say when",
            "add 'auto', as in {auto: 15m, probe: 10%}",
        );
    }
    let after = after.and_then(|field| value::form(field, short_form::span, report));
    let probe = fields.take("probe").map_or(Some(USUAL_PROBE), |field| share(field, report));
    fields.finish(report);
    Some((after?.value, probe?))
}

/// A share of the calls. With none of them nobody would find out whether the limit is reached again.
fn share(field: Field<'_>, report: &mut Report) -> Option<Percent> {
    let share = field.value.as_text().and_then(percent).filter(|share| *share <= MOST_PROBE);
    if share.is_none() {
        let message = format!("'probe' is {}", field.value.describe());
        report.error(
            field.value.at,
            message,
            format!("write a whole share of the calls such as 10%, from 1% to {MOST_PROBE}"),
        );
    }
    share
}
