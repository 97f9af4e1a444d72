//! `alerts: {at: [50%, 80%], webhook: "${NAME}"}`: checked, and without effect so far.

use super::secret::{NoValue, expand};
use super::{not_yet, value};
use crate::config::diagnostic::{Field, Fields, Report, shorten};
use crate::config::source::Environment;

/// The highest share of a limit that can be alerted on, in percent; soft limits may be passed.
const MAX_PERCENT: u32 = 1_000;

/// Checks `alerts`.
pub(super) fn check(field: Field<'_>, environment: Environment<'_>, report: &mut Report) {
    let Some(mut fields) = Fields::of(field.value, "'alerts'", report) else { return };
    if let Some(shares) = fields.take("at") {
        check_shares(shares, report);
    }
    if let Some(webhook) = fields.take("webhook") {
        check_webhook(webhook, environment, report);
    }
    fields.finish(report);
    not_yet("alerts", field.at, report);
}

fn check_shares(field: Field<'_>, report: &mut Report) {
    let Some(shares) = field.value.as_list() else {
        report.error(field.value.at, format!("'at' is {}", field.value.describe()), "write [50%, 80%, 100%]");
        return;
    };
    for share in shares {
        let percent =
            share.as_text().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse().ok());
        if !percent.is_some_and(|percent: u32| (1..=MAX_PERCENT).contains(&percent)) {
            let message = format!("an item of 'at' is {}", share.describe());
            report.error(share.at, message, format!("write a share from 1% to {MAX_PERCENT}%"));
        }
    }
}

fn check_webhook(field: Field<'_>, environment: Environment<'_>, report: &mut Report) {
    let Some(text) = value::text(field, report) else { return };
    let at = field.value.at;
    match expand(text, environment) {
        Ok(address) if address.starts_with("https://") || address.starts_with("http://") => {}
        // What came out of the environment may be a secret; it is not shown.
        Ok(_) => {
            report.error(at, "the webhook is no address", "write https://…, or a ${NAME} that holds one")
        }
        Err(NoValue::Unset(name)) => {
            let message = format!("{} is not set, so the webhook is off", shorten(&name));
            report.warning(at, message, "set it, or remove 'webhook'");
        }
        Err(NoValue::Malformed) => {
            report.error(at, "a '${' has no name and closing '}'", "write it as in ${ALERT_WEBHOOK}");
        }
    }
}
