//! How much every limit allows on every tier.
//!
//! A tier's own number comes first, then those of the tiers it extends, then the limit's own, then the tier's
//! `"*"` and those it extends. Nothing found is an error: it never means no limit.

use std::collections::HashMap;

use super::{Names, find_limit, name};
use crate::config::diagnostic::{Report, shorten};
use crate::config::short_form::Quantity;
use crate::config::tollgate_file::{At, Meaning, WrittenDomain, WrittenLimit, WrittenTier};
use crate::limits::{LimitId, Number, Unit};

/// The numbers that one tier gives by name.
type Own = HashMap<LimitId, At<Quantity>>;

/// The numbers of each limit by tier; `None` where something is wrong, which is reported.
pub(super) fn resolve(
    domain: &WrittenDomain,
    names: &Names<'_>,
    lineage: &[Vec<usize>],
    report: &mut Report,
) -> Vec<Option<Vec<Number>>> {
    let own: Vec<Own> = domain.tiers.iter().map(|tier| own(tier, domain, names, report)).collect();
    let found: Vec<Vec<Option<Number>>> = domain
        .limits
        .iter()
        .enumerate()
        .map(|(index, limit)| {
            let number = limit.meaning.as_ref().and_then(|meaning| meaning.number);
            if lineage.is_empty() {
                return vec![number];
            }
            let on_tier = |line: &Vec<usize>| {
                let explicit = line.iter().find_map(|tier| own[*tier].get(&LimitId(index)));
                let others = || line.iter().find_map(|tier| domain.tiers[*tier].others.as_ref());
                let by_tier = |quantity: &At<Quantity>| quantity.value.number;
                explicit.and_then(by_tier).or(number).or_else(|| others().and_then(by_tier))
            };
            lineage.iter().map(on_tier).collect()
        })
        .collect();
    check_others(domain, lineage, &own, report);
    let limits = domain.limits.iter().zip(found);
    limits.map(|(limit, numbers)| complete(limit, numbers, domain, report)).collect()
}

/// All numbers of a limit, if there is one for every tier.
fn complete(
    limit: &WrittenLimit,
    numbers: Vec<Option<Number>>,
    domain: &WrittenDomain,
    report: &mut Report,
) -> Option<Vec<Number>> {
    let whole: Option<Vec<Number>> = numbers.iter().copied().collect();
    if whole.is_none() && limit.meaning.is_some() {
        let without = domain.tiers.iter().zip(&numbers).filter(|(_, number)| number.is_none());
        let tiers: Vec<String> = without.map(|(tier, _)| shorten(&tier.name.value)).collect();
        let (place, fix) = match tiers.len() {
            0 => (String::new(), "write one, as in 5/15m"),
            _ => (
                format!(" on tier {}", tiers.join(", ")),
                "give it one there, or a '\"*\"' to the tier, or a number to the limit",
            ),
        };
        report.error(limit.name.at, format!("limit '{}' has no number{place}", name(limit)), fix);
    }
    whole
}

/// What a tier gives by name, each checked against what its limit counts.
fn own(tier: &WrittenTier, domain: &WrittenDomain, names: &Names<'_>, report: &mut Report) -> Own {
    let whose = format!("tier '{}'", shorten(&tier.name.value));
    let mut own = Own::new();
    for (named, quantity) in &tier.numbers {
        let Some(id) = find_limit(named, names, &whose, report) else { continue };
        let limit = &domain.limits[id.0];
        if let Some(Meaning { unit, .. }) = limit.meaning
            && !fits(quantity.value, unit)
        {
            let message =
                format!("limit '{}' counts {}, and this number does not", name(limit), unit_name(unit));
            report.error(quantity.at, message, format!("write it as {}", example(unit)));
        }
        own.insert(id, *quantity);
    }
    own
}

/// A `"*"` has to fit every limit that takes its number from it.
fn check_others(domain: &WrittenDomain, lineage: &[Vec<usize>], own: &[Own], report: &mut Report) {
    for (tier, line) in domain.tiers.iter().zip(lineage) {
        let Some(others) = &tier.others else { continue };
        let takes = |index: usize, meaning: &Meaning| {
            meaning.number.is_none() && line.iter().all(|tier| !own[*tier].contains_key(&LimitId(index)))
        };
        for (index, limit) in domain.limits.iter().enumerate() {
            let Some(meaning) = &limit.meaning else { continue };
            if takes(index, meaning) && !fits(others.value, meaning.unit) {
                let message = format!(
                    "'*' does not fit limit '{}', which counts {}",
                    name(limit),
                    unit_name(meaning.unit)
                );
                let fix = format!("give the limit its own number here, such as {}", example(meaning.unit));
                report.error(others.at, message, fix);
            }
        }
    }
}

/// Whether a number of a tier can stand for what a limit counts. None and all are the same in every unit.
fn fits(quantity: Quantity, unit: Unit) -> bool {
    match (quantity.unit, quantity.number) {
        (Some(said), _) => said == unit,
        (None, Some(Number::Unlimited | Number::AtMost(0))) => true,
        (None, _) => unit != Unit::Money,
    }
}

const fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Hits => "hits",
        Unit::Tokens => "tokens",
        Unit::Money => "money",
    }
}

const fn example(unit: Unit) -> &'static str {
    match unit {
        Unit::Hits => "60",
        Unit::Tokens => "2M or '2M tokens'",
        Unit::Money => "$5.00",
    }
}
