//! `prices: {unknown, aliases, models}`: dollars for a million tokens. Checked, and without effect so far.

use std::collections::HashSet;

use super::{not_yet, value};
use crate::config::diagnostic::{Field, Fields, Report, shorten, suggestion};
use crate::money::{InvalidMoney, NanoUsd};

/// What a call to a model without a price comes to.
const UNKNOWN: [(&str, ()); 2] = [("deny", ()), ("highest", ())];

/// The classes of tokens that models are known to be priced by.
const CLASSES: [&str; 9] = [
    "input",
    "cached_input",
    "cache_write",
    "output",
    "reasoning",
    "audio_input",
    "audio_cached_input",
    "audio_output",
    "image",
];

/// Checks `prices`.
pub(super) fn check(field: Field<'_>, report: &mut Report) {
    let Some(mut fields) = Fields::of(field.value, "'prices'", report) else { return };
    if let Some(unknown) = fields.take("unknown") {
        value::choice(unknown, &UNKNOWN, report);
    }
    let aliases = fields.take("aliases").and_then(|field| Fields::of(field.value, "'aliases'", report));
    let models = match fields.take("models") {
        Some(field) => Fields::of(field.value, "'models'", report),
        None => {
            report.error(field.at, "'prices' has no models", "write 'models: {NAME: {input: 1.25}}'");
            None
        }
    };
    let models: Vec<Field<'_>> = models.map_or_else(Vec::new, Fields::rest);
    models.iter().for_each(|model| check_model(*model, report));
    let names: HashSet<&str> = models.iter().map(|model| model.name).collect();
    for alias in aliases.map_or_else(Vec::new, Fields::rest) {
        check_alias(alias, &names, report);
    }
    fields.finish(report);
    not_yet("prices", field.at, report);
}

fn check_model(model: Field<'_>, report: &mut Report) {
    let Some(fields) = Fields::of(model.value, format!("model '{}'", shorten(model.name)), report) else {
        return;
    };
    let classes = fields.rest();
    if classes.is_empty() {
        let message = format!("model '{}' has no prices", shorten(model.name));
        report.error(model.value.at, message, "write them as in {input: 1.25, output: 10.00}");
    }
    for class in classes {
        if !CLASSES.contains(&class.name) {
            let message = format!("'{}' is no class of tokens", shorten(class.name));
            report.error(class.at, message, suggestion(class.name, CLASSES));
        }
        check_price(class, report);
    }
}

fn check_price(class: Field<'_>, report: &mut Report) {
    let Some(text) = value::text(class, report) else { return };
    let fix = match NanoUsd::parse(&format!("${text}")) {
        Ok(_) => return,
        Err(InvalidMoney::Form(_)) => "write dollars for a million tokens, such as 1.25, not below 0",
        Err(InvalidMoney::TooFine(_)) => "round it to nine decimals",
        Err(InvalidMoney::TooLarge(_)) => "write at most 9000000",
    };
    report.error(class.value.at, format!("'{}' is no price", shorten(text)), fix);
}

fn check_alias(alias: Field<'_>, models: &HashSet<&str>, report: &mut Report) {
    let Some(target) = value::text(alias, report) else { return };
    if models.contains(alias.name) {
        let message = format!("'{}' is a model and an alias", shorten(alias.name));
        report.error(alias.at, message, "keep one of them");
    }
    if !models.contains(target) {
        let message = format!("'{}' is none of the models", shorten(target));
        report.error(alias.value.at, message, suggestion(target, models.iter().copied()));
    }
}
