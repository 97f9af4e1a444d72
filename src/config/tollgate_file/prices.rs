//! `prices: {unknown, aliases, models}`: dollars for a million tokens, by class, and by the day from which they hold.

use super::{At, Named, WrittenModel, WrittenPrices, value};
use crate::calendar::start_of_day;
use crate::clock::Timestamp;
use crate::config::diagnostic::{Field, Fields, Report, shorten, suggestion};
use crate::config::yaml::Node;
use crate::money::{InvalidDecimal, NanoUsd};
use crate::prices::{Class, MOST_NAME_BYTES, Unknown, Version};

const UNKNOWN: [(&str, Unknown); 2] = [("deny", Unknown::Deny), ("highest", Unknown::Highest)];

/// The key that is no class: the day from which prices hold.
const FROM: &str = "from";

/// Reads `prices`. Days begin in `zone`.
pub(super) fn read(field: Field<'_>, zone: &str, report: &mut Report) -> Option<WrittenPrices> {
    let mut fields = Fields::of(field.value, "'prices'", report)?;
    let unknown = fields.take("unknown").and_then(|field| value::choice(field, &UNKNOWN, report));
    let aliases = fields.take("aliases").and_then(|field| Fields::of(field.value, "'aliases'", report));
    let models = match fields.take("models") {
        Some(field) => models(field, zone, report),
        None => {
            report.error(field.at, "'prices' has no models", "write 'models: {NAME: {input: 1.25}}'");
            Vec::new()
        }
    };
    let aliases = aliases.map_or_else(Vec::new, Fields::rest);
    let aliases = aliases.into_iter().filter_map(|field| alias(field, report)).collect();
    fields.finish(report);
    Some(WrittenPrices { at: field.at, unknown: unknown.unwrap_or_default(), aliases, models })
}

fn models(field: Field<'_>, zone: &str, report: &mut Report) -> Vec<WrittenModel> {
    let Some(fields) = Fields::of(field.value, "'models'", report) else { return Vec::new() };
    let written = fields.rest();
    if written.is_empty() {
        let fix = "write a model such as 'gpt-5: {input: 1.25, output: 10.00}'";
        report.error(field.value.at, "'models' is empty", fix);
    }
    written.into_iter().map(|field| model(field, zone, report)).collect()
}

/// What is wrong is reported; the name still exists then.
fn model(field: Field<'_>, zone: &str, report: &mut Report) -> WrittenModel {
    let versions = match field.value.as_list() {
        None => {
            version(field.name, field.value, zone, report).into_iter().map(|(_, version)| version).collect()
        }
        Some(list) => versions(field, list, zone, report),
    };
    WrittenModel { name: name(field, report), versions }
}

fn name(field: Field<'_>, report: &mut Report) -> Named {
    if field.name.is_empty() {
        report.error(field.at, "a model has no name", "name it as callers do");
    } else if field.name.len() > MOST_NAME_BYTES {
        let message = format!("the name '{}' is too long", shorten(field.name));
        report.error(field.at, message, format!("write at most {MOST_NAME_BYTES} bytes"));
    }
    At { at: field.at, value: field.name.into() }
}

fn alias(field: Field<'_>, report: &mut Report) -> Option<(Named, Named)> {
    let model = value::text(field, report)?;
    Some((name(field, report), At { at: field.value.at, value: model.into() }))
}

/// Prices over time, which stand in the order of their days.
fn versions(field: Field<'_>, list: &[Node], zone: &str, report: &mut Report) -> Vec<Version> {
    if list.is_empty() {
        no_prices(field.name, field.value, report);
    }
    let mut found: Vec<Version> = Vec::new();
    for item in list {
        let Some((from, version)) = version(field.name, item, zone, report) else { continue };
        let fix = "write a 'from' of a later day than the one before; only the first may lack it";
        match (found.last(), from) {
            (Some(_), None) => {
                let message =
                    format!("these prices of model '{}' do not say when they begin", shorten(field.name));
                report.error(item.at, message, fix);
            }
            (Some(before), Some(from)) if version.from <= before.from => {
                let message = "these prices begin no later than those before them";
                report.error(from.value.at, message, fix);
            }
            _ => {}
        }
        found.push(version);
    }
    found
}

/// The prices in `node`, and the field that says from when they hold.
fn version<'n>(
    model: &str,
    node: &'n Node,
    zone: &str,
    report: &mut Report,
) -> Option<(Option<Field<'n>>, Version)> {
    let mut fields = Fields::of(node, format!("model '{}'", shorten(model)), report)?;
    let from = fields.take(FROM);
    let start = from.map_or(Some(Timestamp(0)), |field| day(field, zone, report));
    let classes = fields.rest();
    if classes.is_empty() {
        no_prices(model, node, report);
    }
    let prices = classes.into_iter().filter_map(|field| price(field, report)).collect();
    Some((from, Version { from: start?, prices }))
}

fn no_prices(model: &str, node: &Node, report: &mut Report) {
    let message = format!("model '{}' has no prices", shorten(model));
    report.error(node.at, message, "write them as in {input: 1.25, output: 10.00}");
}

fn day(field: Field<'_>, zone: &str, report: &mut Report) -> Option<Timestamp> {
    let text = value::text(field, report)?;
    let start = start_of_day(text, zone);
    if start.is_none() {
        report.error(
            field.value.at,
            format!("'{}' is no day", shorten(text)),
            "write one such as 2026-12-01",
        );
    }
    start
}

fn price(field: Field<'_>, report: &mut Report) -> Option<(Class, NanoUsd)> {
    let class = Class::named(field.name.as_bytes());
    if class.is_none() {
        let message = format!("'{}' is no class of tokens", shorten(field.name));
        let known = Class::ALL.map(Class::name).into_iter().chain([FROM]);
        report.error(field.at, message, suggestion(field.name, known));
    }
    let text = value::text(field, report)?;
    let fix = match NanoUsd::parse_decimal(text) {
        Ok(price) => return Some((class?, price)),
        Err(InvalidDecimal::Form) => "write dollars for a million tokens, such as 1.25, not below 0",
        Err(InvalidDecimal::TooFine) => "round it to nine decimals",
        Err(InvalidDecimal::TooLarge) => "write at most 9000000",
    };
    report.error(field.value.at, format!("'{}' is no price", shorten(text)), fix);
    None
}
