//! `alerts: {at: [50%, 80%], webhook: "${NAME}"}` of a file, and `alerts: off` or `{at: […]}` of a limit.
//!
//! What a file says is for its limits of tokens, money and calendar periods. Other limits alert when they say so
//! themselves.

use super::secret::{NoValue, expand};
use super::{At, value};
use crate::config::diagnostic::{Field, Fields, Position, Report, shorten};
use crate::config::source::Environment;
use crate::limits::{InvalidWebhook, Percent, Unit, Webhook, Window};

/// What is alerted on when nobody says at what.
const USUAL: [Percent; 3] = [Percent(50), Percent(80), Percent(100)];

/// What a file says of alerts.
#[derive(Clone, Debug)]
pub(super) struct FileAlerts {
    thresholds: Vec<Percent>,
    /// Where they are sent.
    pub(super) webhook: Option<Webhook>,
}

/// What a limit says of alerts.
#[derive(Clone, Debug)]
pub(super) enum LimitAlerts {
    /// Nothing.
    AsTheFile,
    /// None for this limit.
    Off,
    /// At these shares, or at those of the file where it names none.
    At(At<Option<Vec<Percent>>>),
}

/// Reads what a file says.
pub(super) fn of_file(field: Field<'_>, environment: Environment<'_>, report: &mut Report) -> FileAlerts {
    let mut said = FileAlerts { thresholds: USUAL.to_vec(), webhook: None };
    let shape =
        "write {at: [50%, 80%, 100%]}, or remove it: no limit of the file alerts then unless it says so";
    let Some(mut fields) = Fields::like(shape, field.value, "'alerts'", report) else { return said };
    if let Some(shares) = fields.take("at") {
        said.thresholds = read_shares(shares, report);
    }
    said.webhook = fields.take("webhook").and_then(|webhook| read_webhook(webhook, environment, report));
    fields.finish(report);
    said
}

/// Reads what a limit says.
pub(super) fn of_limit(field: Field<'_>, report: &mut Report) -> LimitAlerts {
    if field.value.literal() == Some("off") {
        return LimitAlerts::Off;
    }
    if field.value.as_map().is_none() {
        let message = format!("'alerts' is {}", field.value.describe());
        report.error(field.value.at, message, "write off, or {at: [80%, 100%]}");
        return LimitAlerts::Off;
    }
    let Some(mut fields) = Fields::of(field.value, "'alerts'", report) else { return LimitAlerts::Off };
    let shares = fields.take("at").map(|shares| read_shares(shares, report));
    fields.finish(report);
    LimitAlerts::At(At { at: field.at, value: shares })
}

impl LimitAlerts {
    /// The shares that a limit of this unit and window alerts at, in a file that says `file`.
    pub(super) fn thresholds(
        self,
        file: Option<&FileAlerts>,
        unit: Unit,
        window: &Window,
        report: &mut Report,
    ) -> Vec<Percent> {
        let of_file = || file.map(|file| file.thresholds.clone());
        match self {
            Self::Off => Vec::new(),
            Self::AsTheFile if is_spent(unit, window) => of_file().unwrap_or_default(),
            Self::AsTheFile => Vec::new(),
            Self::At(own) => {
                refuse_unspent(own.at, window, report);
                own.value.or_else(of_file).unwrap_or_else(|| USUAL.to_vec())
            }
        }
    }
}

/// Whether it is a budget or a quota, which somebody wants to know of before it is gone.
fn is_spent(unit: Unit, window: &Window) -> bool {
    match window {
        Window::Request => false,
        Window::Calendar(..) => true,
        _ => unit != Unit::Hits,
    }
}

/// Nothing is used up of what is only held, or only measured.
fn refuse_unspent(at: Position, window: &Window, report: &mut Report) {
    if matches!(window, Window::Concurrent { .. } | Window::Request) {
        report.error(
            at,
            "'alerts' means nothing for this window",
            "remove it; alerts tell of what is used up",
        );
    }
}

/// Shares from the least, each once.
fn read_shares(field: Field<'_>, report: &mut Report) -> Vec<Percent> {
    let shares = field.value.as_list().unwrap_or_default();
    if shares.is_empty() {
        let what = if field.value.as_list().is_some() { "empty".to_owned() } else { field.value.describe() };
        report.error(field.value.at, format!("'at' is {what}"), "write a list such as [50%, 80%, 100%]");
    }
    let mut read = Vec::with_capacity(shares.len());
    for share in shares {
        match share.as_text().and_then(percent) {
            Some(percent) => read.push(percent),
            None => {
                let message = format!("an item of 'at' is {}", share.describe());
                report.error(
                    share.at,
                    message,
                    format!("write a whole share such as 90%, from 1% to {}", Percent::MAX),
                );
            }
        }
    }
    read.sort_unstable();
    read.dedup();
    read
}

/// A share of 1 % or more.
pub(super) fn percent(text: &str) -> Option<Percent> {
    let percent = text.strip_suffix('%')?.parse().map(Percent).ok()?;
    (Percent(1)..=Percent::MAX).contains(&percent).then_some(percent)
}

fn read_webhook(field: Field<'_>, environment: Environment<'_>, report: &mut Report) -> Option<Webhook> {
    let text = value::text(field, report)?;
    let at = field.value.at;
    match expand(text, environment) {
        Ok(address) => Webhook::parse(&address).map_err(|invalid| refuse(invalid, at, report)).ok(),
        Err(NoValue::Unset(name)) => {
            let message = format!("{} is not set, so the webhook is off", shorten(&name));
            report.warning(at, message, "set it, or remove 'webhook'");
            None
        }
        Err(NoValue::Malformed) => {
            report.error(at, "a '${' has no name and closing '}'", "write it as in ${ALERT_WEBHOOK}");
            None
        }
    }
}

/// What came out of the environment may be a secret; it is not shown.
fn refuse(invalid: InvalidWebhook, at: Position, report: &mut Report) {
    let fix = match invalid {
        InvalidWebhook::Scheme => "write https://… or http://…, or a ${NAME} that holds one",
        InvalidWebhook::Address => {
            "write https://HOST[:PORT]/PATH without spaces, '#' and letters beyond ASCII, or a ${NAME} that holds one"
        }
        InvalidWebhook::Login => "put what proves who sends into its path or query",
    };
    report.error(at, invalid.to_string(), fix);
}
