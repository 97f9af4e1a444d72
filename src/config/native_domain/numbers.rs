//! How much every limit allows on every tier.
//!
//! Which of its numbers counts is for [`Basis`] to say. Nothing found is an error: it never means no limit.

use std::collections::HashMap;

use super::{Names, find_limit, name};
use crate::config::diagnostic::{Report, shorten};
use crate::config::short_form::Quantity;
use crate::config::tollgate_file::{At, Meaning, WrittenDomain, WrittenLimit, WrittenTier};
use crate::limits::{Basis, Given, LimitId, Lineage, Number, TierId, Unit};

/// The numbers that one tier gives by name.
type Own = HashMap<LimitId, At<Quantity>>;

/// What each limit is given; `None` where that is not enough, which is reported.
pub(super) fn resolve(
    domain: &WrittenDomain,
    names: &Names<'_>,
    lineage: &Lineage,
    report: &mut Report,
) -> Vec<Option<Basis>> {
    let own: Vec<Own> = domain.tiers.iter().map(|tier| own(tier, domain, names, report)).collect();
    check_others(domain, lineage, &own, report);
    let limits = domain.limits.iter().enumerate();
    limits
        .map(|(index, limit)| {
            let basis = basis(LimitId(index), limit, &own, lineage);
            complete(limit, basis, domain, lineage, report)
        })
        .collect()
}

/// What the limit with this `id` is given by itself, and as each tier's `own`.
fn basis(id: LimitId, limit: &WrittenLimit, own: &[Own], lineage: &Lineage) -> Basis {
    let number = limit.meaning.as_ref().and_then(|meaning| meaning.number);
    let by_tier = |tier: usize| own.get(tier)?.get(&id)?.value.number;
    Basis {
        for_all: number.map(Given::by_file),
        by_tier: (0..lineage.lines.len()).map(|tier| by_tier(tier).map(Given::by_file)).collect(),
    }
}

/// The `basis` of a limit, if there is a number for every tier.
fn complete(
    limit: &WrittenLimit,
    basis: Basis,
    domain: &WrittenDomain,
    lineage: &Lineage,
    report: &mut Report,
) -> Option<Basis> {
    if basis.on_each(lineage).is_some() {
        return Some(basis);
    }
    if limit.meaning.is_some() {
        let without = |(tier, _): &(usize, &WrittenTier)| basis.on(TierId(*tier), lineage).is_none();
        let without = domain.tiers.iter().enumerate().filter(without);
        let tiers: Vec<String> = without.map(|(_, tier)| shorten(&tier.name.value)).collect();
        let (place, fix) = match tiers.len() {
            0 => (String::new(), "write one, as in 5/15m"),
            _ => (
                format!(" on tier {}", tiers.join(", ")),
                "give it one there, or a '\"*\"' to the tier, or a number to the limit",
            ),
        };
        report.error(limit.name.at, format!("limit '{}' has no number{place}", name(limit)), fix);
    }
    None
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
fn check_others(domain: &WrittenDomain, lineage: &Lineage, own: &[Own], report: &mut Report) {
    for (tier, line) in domain.tiers.iter().zip(&lineage.lines) {
        let Some(others) = &tier.others else { continue };
        let takes = |index: usize, meaning: &Meaning| {
            meaning.number.is_none() && line.iter().all(|tier| !own[tier.0].contains_key(&LimitId(index)))
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
