//! One limit: in short, or a mapping whose `limit` may be in short as well.

use super::alerts::{self, LimitAlerts};
use super::estimate;
use super::window::Written;
use super::{At, Meaning, OnLimit, Whole, WrittenLimit, breaker, value};
use crate::config::diagnostic::{Field, Fields, Report, shorten};
use crate::config::short_form::{self, Quantity, ShortForm, short_form};
use crate::limits::{Estimate, Mode, OnError, OnMissing, OnUnknown, Unit};

const ON_MISSING: [(&str, OnMissing); 3] =
    [("share", OnMissing::Share), ("skip", OnMissing::Skip), ("refuse", OnMissing::Refuse)];
const ON_ERROR: [(&str, OnError); 3] =
    [("allow", OnError::Allow), ("deny", OnError::Deny), ("local", OnError::Local)];
const ON_UNKNOWN: [(&str, OnUnknown); 2] = [("estimate", OnUnknown::Estimate), ("zero", OnUnknown::Zero)];

/// The longest name: it travels in a header of every refusal.
const MAX_NAME_BYTES: usize = 128;

/// What a limit says beside amount, window and subjects.
struct Behaviour {
    on_missing: OnMissing,
    on_error: Option<OnError>,
    on_limit: OnLimit,
    mode: Mode,
    refundable: bool,
    on_unknown: Option<At<OnUnknown>>,
    alerts: LimitAlerts,
    estimate: Option<At<Estimate>>,
}

const PLAIN: Behaviour = Behaviour {
    on_missing: OnMissing::Share,
    on_error: None,
    on_limit: OnLimit::Deny,
    mode: Mode::Enforced,
    refundable: false,
    on_unknown: None,
    alerts: LimitAlerts::AsTheFile,
    estimate: None,
};

/// Reads one limit; what is wrong with it is reported.
pub(super) fn read(field: Field<'_>, whole: Whole<'_>, report: &mut Report) -> WrittenLimit {
    check_name(field, report);
    let name = At { at: field.at, value: Box::from(field.name) };
    let meaning = if field.value.as_map().is_some() {
        from_mapping(field, whole, report)
    } else {
        value::form(field, short_form, report)
            .and_then(|form| meaning(form.value, Written::new(form.at, whole.zone), PLAIN, whole, report))
    };
    WrittenLimit { name, meaning }
}

fn check_name(field: Field<'_>, report: &mut Report) {
    let name = shorten(field.name);
    if matches!(field.name, "*" | "extends") {
        report.error(
            field.at,
            format!("a limit cannot be called '{name}'"),
            "tiers use that word; choose another",
        );
    } else if field.name.is_empty() || !field.name.bytes().all(|byte| byte.is_ascii_graphic()) {
        let fix = "use letters, digits, '_', '-' and '.': the name travels in a header";
        report.error(field.at, format!("'{name}' cannot be the name of a limit"), fix);
    } else if field.name.len() > MAX_NAME_BYTES {
        let fix = format!("write at most {MAX_NAME_BYTES} characters");
        report.error(field.at, format!("the name '{name}' is too long"), fix);
    }
}

fn from_mapping(field: Field<'_>, whole: Whole<'_>, report: &mut Report) -> Option<Meaning> {
    let what = format!("limit '{}'", shorten(field.name));
    let mut fields = Fields::of(field.value, what, report)?;
    let form = form_of(&mut fields, report);
    let mut written = Written::new(field.value.at, whole.zone);
    written.read(&mut fields, report);
    let behaviour = behaviour(&mut fields, report);
    fields.finish(report);
    meaning(form?, written, behaviour, whole, report)
}

/// What `limit`, `window`, `burst` and `per` say together; none of it may be said twice.
fn form_of(fields: &mut Fields<'_>, report: &mut Report) -> Option<ShortForm> {
    let limit = fields.take("limit").map(|field| value::form(field, short_form, report));
    let (window, burst, per) = (fields.take("window"), fields.take("burst"), fields.take("per"));
    let mut is_whole = limit != Some(None);
    let mut form = limit.flatten().map_or_else(ShortForm::default, |limit| limit.value);
    for (field, is_said) in
        [(window, form.window.is_some()), (burst, form.burst.is_some()), (per, form.per.is_some())]
    {
        if let Some(field) = field.filter(|_| is_said) {
            let message = format!("'{}' is said by 'limit' already", field.name);
            report.error(field.at, message, "keep one of them");
            is_whole = false;
        }
    }
    if let Some(field) = window {
        match value::form(field, short_form, report).filter(|read| is_window_alone(read, report)) {
            Some(read) => (form.window, form.aligned) = (read.value.window, read.value.aligned),
            None => is_whole = false,
        }
    }
    if let Some(field) = burst {
        form.burst = value::form(field, short_form::quantity, report).map(|burst| burst.value);
        is_whole &= form.burst.is_some();
    }
    if let Some(field) = per {
        form.per = value::form(field, short_form::subjects, report).map(|per| per.value);
        is_whole &= form.per.is_some();
    }
    is_whole.then_some(form)
}

fn is_window_alone(read: &At<ShortForm>, report: &mut Report) -> bool {
    let ShortForm { quantity, window, aligned: _, burst, per } = &read.value;
    let alone = *quantity == Quantity::default() && window.is_some() && burst.is_none() && per.is_none();
    if !alone {
        let fix = "write a window such as 15m, '1m fixed', month or concurrent; the amount goes to 'limit'";
        report.error(read.at, "'window' is not a window alone", fix);
    }
    alone
}

fn behaviour(fields: &mut Fields<'_>, report: &mut Report) -> Behaviour {
    let on_missing = fields.take("on_missing").and_then(|field| value::choice(field, &ON_MISSING, report));
    let on_error = fields.take("on_error").and_then(|field| value::choice(field, &ON_ERROR, report));
    let mut flag = |key| {
        let field = fields.take(key)?;
        value::flag(field, report)?.then_some(field.at)
    };
    let (shadow, soft, refundable) = (flag("shadow"), flag("soft"), flag("refundable").is_some());
    let on_limit = breaker::on_limit(fields, report);
    let alerts = fields.take("alerts").map_or(PLAIN.alerts, |field| alerts::of_limit(field, report));
    let estimate = fields.take("estimate").and_then(|field| {
        let value = estimate::read(field, report)?;
        Some(At { at: field.at, value })
    });
    let on_unknown = fields.take("on_unknown").and_then(|field| {
        let value = value::choice(field, &ON_UNKNOWN, report)?;
        Some(At { at: field.at, value })
    });
    if let (Some(_), Some(at)) = (shadow, soft) {
        report.error(at, "'soft' stands beside 'shadow'", "keep one: both never refuse, soft alerts");
    }
    let mode = match (shadow, soft) {
        (Some(_), _) => Mode::Shadow,
        (None, Some(_)) => Mode::Soft,
        (None, None) => Mode::Enforced,
    };
    let on_missing = on_missing.unwrap_or(PLAIN.on_missing);
    Behaviour { on_missing, on_error, on_limit, mode, refundable, on_unknown, alerts, estimate }
}

fn meaning(
    form: ShortForm,
    written: Written<'_>,
    behaviour: Behaviour,
    whole: Whole<'_>,
    report: &mut Report,
) -> Option<Meaning> {
    let unit = form.quantity.unit.unwrap_or(Unit::Hits);
    let at = written.at();
    let Some(forgets) = form.window else {
        let fix = "say when it forgets, as in 5/15m, 3/month, '10 concurrent' or '50 total'";
        report.error(at, "the limit has no window", fix);
        return None;
    };
    refuse_strangers(&behaviour, unit, report);
    let window = written.compile(forgets, form.aligned, form.burst, unit, report)?;
    Some(Meaning {
        unit,
        number: form.quantity.number,
        subjects: form.per,
        on_missing: behaviour.on_missing,
        on_error: behaviour.on_error.unwrap_or_else(|| OnError::default_for(unit, &window)),
        on_limit: behaviour.on_limit,
        mode: behaviour.mode,
        refundable: behaviour.refundable,
        on_unknown: behaviour.on_unknown.map_or(OnUnknown::Estimate, |on_unknown| on_unknown.value),
        estimate: behaviour.estimate.map_or(Estimate::default(), |estimate| estimate.value),
        lease: written.lease(),
        max_ttl: written.max_ttl(),
        max_age: written.max_age(),
        thresholds: behaviour.alerts.thresholds(whole.alerts, unit, &window, report),
        window,
    })
}

/// Keys that mean nothing for what counts hits: these cost what they cost from the start.
fn refuse_strangers(behaviour: &Behaviour, unit: Unit, report: &mut Report) {
    let estimate = behaviour.estimate.map(|estimate| estimate.at);
    let on_unknown = behaviour.on_unknown.map(|on_unknown| on_unknown.at);
    for (key, stands_at) in [("estimate", estimate), ("on_unknown", on_unknown)] {
        if let Some(at) = stands_at.filter(|_| unit == Unit::Hits) {
            let message = format!("'{key}' means nothing for this limit");
            report.error(at, message, "remove it; it is for limits of tokens and money");
        }
    }
}
