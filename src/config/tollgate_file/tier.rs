//! Tiers: the numbers they give, what they extend, and how a call finds its own.

use super::{At, Named, TierChoice, WrittenTier, value};
use crate::config::diagnostic::{Field, Fields, Report, shorten};
use crate::config::short_form::{Quantity, quantity};
use crate::limits::{ALL_TIERS, Number};

/// What stands in the addresses of operators where a tier would, or beside the tiers in what they are told.
const OF_OPERATORS: [&str; 5] = ["breaker", "details", "prices", "reset", "usage"];

/// Reads `tier: {from, default, anonymous}`.
pub(super) fn choice(field: Field<'_>, report: &mut Report) -> Option<TierChoice> {
    let mut fields = Fields::of(field.value, "'tier'", report)?;
    let mut name = |key| fields.take(key).and_then(|field| named(field, report));
    let (from, default, anonymous) = (name("from"), name("default"), name("anonymous"));
    fields.finish(report);
    Some(TierChoice { at: field.at, from: from.map(|from| from.value), default, anonymous })
}

/// Reads one tier.
pub(super) fn read(field: Field<'_>, report: &mut Report) -> Option<WrittenTier> {
    let name = At { at: field.at, value: Box::from(field.name) };
    let fix = match field.name {
        "" | "*" => Some("give it a name, such as free"),
        ALL_TIERS => Some("give it another name: 'all' stands for every tier"),
        name if OF_OPERATORS.contains(&name) => {
            Some("give it another name: in /admin/rate-limits/ this one is no tier's")
        }
        _ => None,
    };
    if let Some(fix) = fix {
        report.error(field.at, format!("a tier is called '{}'", field.name), fix);
    }
    if field.value.is_null() {
        return Some(WrittenTier { name, extends: None, others: None, numbers: Vec::new() });
    }
    let mut fields = Fields::of(field.value, format!("tier '{}'", shorten(field.name)), report)?;
    let extends = fields.take("extends").and_then(|field| named(field, report));
    let others = fields.take("*").map(|field| number(field, report));
    let own = |field: Field<'_>| (At { at: field.at, value: Box::from(field.name) }, number(field, report));
    let numbers = fields.rest().into_iter().map(own).collect();
    Some(WrittenTier { name, extends, others, numbers })
}

fn named(field: Field<'_>, report: &mut Report) -> Option<Named> {
    value::text(field, report).map(|text| At { at: field.value.at, value: text.into() })
}

/// A tier's number. What is none is reported, and blocks from there on: nothing is built of a file with an
/// error, and a number that is there but wrong should not be missed as well.
fn number(field: Field<'_>, report: &mut Report) -> At<Quantity> {
    let blocked = Quantity { number: Some(Number::AtMost(0)), unit: None };
    let wrong = At { at: field.value.at, value: blocked };
    let Some(number) = value::form(field, quantity, report) else { return wrong };
    if number.value.number.is_none() {
        let message = format!("'{}' has a unit and no number", shorten(field.name));
        report.error(number.at, message, "write a number such as 60, 2M, $5.00, unlimited or blocked");
        return wrong;
    }
    number
}
