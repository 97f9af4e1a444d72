//! `prices: {unknown, aliases, models}`: dollars for a million tokens, by class, by the day from which they hold, and by the
//! input above which they do.

mod comma;

use super::{At, Named, WrittenModel, WrittenPrices, value};
use crate::calendar::start_of_day;
use crate::clock::Timestamp;
use crate::config::diagnostic::{Field, Fields, Position, Report, shorten, suggestion};
use crate::config::yaml::Node;
use crate::money::{InvalidDecimal, NanoUsd};
use crate::prices::{Class, MOST_NAME_BYTES, PerMillion, Step, Unknown, Version};

pub(super) use comma::Numbers;

const UNKNOWN: [(&str, Unknown); 2] = [("deny", Unknown::Deny), ("highest", Unknown::Highest)];

/// The keys that are no class: the day from which prices hold, and the input above which they do.
const FROM: &str = "from";
const ABOVE: &str = "above";

/// What the prices of a model look like.
const SHAPE: &str = "write its prices as in {input: 1.25, output: 10.00}";

/// One item of the prices of a model.
struct Written<'n> {
    from: Option<Field<'n>>,
    start: Timestamp,
    above: Option<At<u64>>,
    prices: PerMillion,
}

/// Reads `prices`. Days begin in `zone`.
pub(super) fn read(field: Field<'_>, zone: &str, report: &mut Report) -> Option<WrittenPrices> {
    let mut fields = Fields::of(field.value, "'prices'", report)?;
    let unknown = fields.take("unknown").and_then(|field| value::choice(field, &UNKNOWN, report));
    let aliases = fields
        .take("aliases")
        .and_then(|field| Fields::like("write {ALIAS: MODEL}", field.value, "'aliases'", report));
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
    let shape = "write models such as {gpt-5: {input: 1.25, output: 10.00}}";
    let Some(fields) = Fields::like(shape, field.value, "'models'", report) else { return Vec::new() };
    let written = fields.rest();
    if written.is_empty() {
        let fix = "write a model such as 'gpt-5: {input: 1.25, output: 10.00}'";
        report.error(field.value.at, "'models' is empty", fix);
    }
    written.into_iter().map(|field| model(field, zone, report)).collect()
}

/// What is wrong is reported; the name still exists then.
fn model(field: Field<'_>, zone: &str, report: &mut Report) -> WrittenModel {
    let items = field.value.as_list().unwrap_or(std::slice::from_ref(field.value));
    let versions = versions(field, items, zone, report);
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

/// Prices over time, which stand in the order of their days; behind each those for more input, the least first.
fn versions(field: Field<'_>, list: &[Node], zone: &str, report: &mut Report) -> Vec<Version> {
    if list.is_empty() {
        no_prices(field.name, field.value, report);
    }
    let mut found: Vec<Version> = Vec::new();
    for item in list {
        let Some(written) = written(field.name, item, zone, report) else { continue };
        match written.above {
            Some(above) => step(&mut found, &written, above, report),
            None => version(&mut found, &written, (field.name, item), report),
        }
    }
    found
}

/// The prices that are `written` hold from their day on.
fn version(
    found: &mut Vec<Version>,
    written: &Written<'_>,
    (model, item): (&str, &Node),
    report: &mut Report,
) {
    let fix = "write a 'from' of a later day than the one before; only the first may lack it";
    match (found.last(), written.from) {
        (Some(_), None) => {
            let message = format!("these prices of model '{}' do not say when they begin", shorten(model));
            report.error(item.at, message, fix);
        }
        (Some(before), Some(from)) if written.start <= before.from => {
            report.error(from.value.at, "these prices begin no later than those before them", fix);
        }
        _ => {}
    }
    found.push(Version { set_by: None, from: written.start, prices: written.prices, steps: Vec::new() });
}

/// The prices that are `written` hold `above` so many tokens of input, as long as those before them.
fn step(found: &mut [Version], written: &Written<'_>, above: At<u64>, report: &mut Report) {
    if let Some(from) = written.from {
        let fix = "remove it: these prices hold as long as those before them";
        report.error(from.at, "'from' stands beside 'above'", fix);
    }
    let Some(version) = found.last_mut() else {
        let fix = "write the prices of calls with less input before them, as in [{input: 1}, {above: 200000, input: 2}]";
        report.error(above.at, "these prices hold above a number, and none hold below it", fix);
        return;
    };
    let before = version.steps.last().map_or((0, &version.prices), |step| (step.above, &step.prices));
    if above.value <= before.0 {
        let fix = "write the least number first";
        report.error(above.at, "'above' is no more than that of the prices before them", fix);
    }
    for (class, less) in Class::ALL.iter().filter_map(|class| Some((*class, before.1.of(*class)?))) {
        let message = match written.prices.of(class) {
            Some(more) if more >= less => continue,
            // Said of the class that stands in for both.
            _ if before.1.own(class).is_none() && written.prices.own(class).is_none() => continue,
            Some(more) => format!(
                "'{class}' costs {more} above {} tokens of input, less than {less} before",
                above.value
            ),
            None => format!("nothing says what '{class}' costs above {} tokens of input", above.value),
        };
        report.error(above.at, message, "write all prices of such a call, none of them lower than before");
    }
    version.steps.push(Step { above: above.value, prices: written.prices });
}

/// What stands in `node`.
fn written<'n>(model: &str, node: &'n Node, zone: &str, report: &mut Report) -> Option<Written<'n>> {
    let mut fields = Fields::like(SHAPE, node, format!("model '{}'", shorten(model)), report)?;
    let (from, above) = (fields.take(FROM), fields.take(ABOVE));
    let start = from.map_or(Some(Timestamp(0)), |field| day(field, zone, report));
    let above = above.map(|field| value::tokens(field, report));
    let classes = comma::without_decimals(fields.rest(), report);
    if classes.is_empty() {
        no_prices(model, node, report);
    }
    let said = classes.len();
    let read: Vec<(Class, NanoUsd)> = classes.into_iter().filter_map(|field| price(field, report)).collect();
    let (is_whole, prices) = (said > 0 && read.len() == said, read.into_iter().collect());
    if is_whole && above.is_none() {
        warn_without_input(model, node, &prices, report);
    }
    warn_of_dear_caches(model, node, &prices, report);
    match above {
        Some(None) => None,
        above => Some(Written { from, start: start?, above: above.flatten(), prices }),
    }
}

/// Every call sends something: without a price for it none of them can be priced.
fn warn_without_input(model: &str, node: &Node, prices: &PerMillion, report: &mut Report) {
    if [Class::Input, Class::AudioInput].iter().all(|class| prices.of(*class).is_none()) {
        let message = format!("model '{}' has no price for 'input'", shorten(model));
        report.warning(node.at, message, "add it, as in {input: 1.25, output: 10.00}; 0 where it is free");
    }
}

/// What a cache has costs less everywhere: a higher price is likely one for something else.
fn warn_of_dear_caches(model: &str, node: &Node, prices: &PerMillion, report: &mut Report) {
    for (cached, uncached) in
        [(Class::CachedInput, Class::Input), (Class::AudioCachedInput, Class::AudioInput)]
    {
        let (Some(with), Some(without)) = (prices.own(cached), prices.own(uncached)) else { continue };
        if with > without {
            let message = format!(
                "'{cached}' of model '{}' costs {with}, more than '{uncached}', which costs {without}",
                shorten(model)
            );
            let fix = "look whether they are swapped, or a point is misplaced; what it costs to write a cache is 'cache_write'";
            report.warning(node.at, message, fix);
        }
    }
}

fn no_prices(model: &str, node: &Node, report: &mut Report) {
    let message = format!("model '{}' has no prices", shorten(model));
    report.error(node.at, message, SHAPE);
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
        let known = Class::ALL.map(Class::name).into_iter().chain([FROM, ABOVE]);
        report.error(field.at, message, suggestion(field.name, known));
    }
    let text = value::text(field, report)?;
    match NanoUsd::parse_decimal(text) {
        Ok(price) => Some((class?, price)),
        Err(error) => {
            no_price(field.value.at, text, error, report);
            None
        }
    }
}

fn no_price(at: Position, text: &str, error: InvalidDecimal, report: &mut Report) {
    let fix = match error {
        InvalidDecimal::Form => comma::fix(text)
            .unwrap_or_else(|| "write dollars for a million tokens, such as 1.25, not below 0".to_owned()),
        InvalidDecimal::TooFine => "round it to nine decimals".to_owned(),
        InvalidDecimal::TooLarge => "write at most 9000000".to_owned(),
    };
    report.error(at, format!("'{}' is no price", shorten(text)), fix);
}
