//! What tokens cost, and what a limit of money buys of them: numbers that show at a glance that a price is a thousand
//! times too high, or a budget too small for one answer.

use std::collections::BTreeSet;

use super::aligned;
use crate::calendar::in_utc;
use crate::clock::Timestamp;
use crate::limits::{Limit, NativeDomain, Number, Unit};
use crate::money::NanoUsd;
use crate::prices::{Class, Model, PerMillion, PriceTable, Unknown, Version};

/// The class in whose tokens is said what money buys: the one that most of it goes to.
const BOUGHT: Class = Class::Output;

/// The prices of `table`, and what the limits of `domains` buy at `at`; `None` where there are no prices.
pub(super) fn text<'d>(
    table: &PriceTable,
    domains: impl Iterator<Item = &'d NativeDomain>,
    at: Timestamp,
) -> Option<String> {
    if table.models().is_empty() {
        return None;
    }
    let unknown = match table.unknown() {
        Unknown::Deny => "what has no price is refused",
        Unknown::Highest => "what has no price costs the highest of its class",
    };
    let rows = aligned(&rows(table));
    let extremes = extremes(table, at);
    let bought: String = domains.flat_map(|domain| bought(domain, &extremes)).collect();
    Some(format!("prices, in USD per 1M tokens; {unknown}\n{rows}{}{bought}", aliases(table)))
}

/// A row for each price of each model, with the classes that any of them names; with the day where prices change, and the
/// input above which they hold where any of them says.
fn rows(table: &PriceTable) -> Vec<Vec<String>> {
    let all = || table.models().iter().flat_map(Model::all_prices);
    let is_named = |class: &Class| all().any(|(.., prices)| prices.own(*class).is_some());
    let classes: Vec<Class> = Class::ALL.into_iter().filter(is_named).collect();
    let is_dated = all().any(|(_, version, ..)| version.from > Timestamp(0));
    let has_steps = all().any(|(_, _, above, _)| above.is_some());
    let first = |model: &str, from: String, above: String| {
        let columns = [Some(model.to_owned()), is_dated.then_some(from), has_steps.then_some(above)];
        columns.into_iter().flatten()
    };
    let price = |prices: &PerMillion, class: Class| {
        prices.of(class).map_or("-".to_owned(), |price| price.to_string())
    };
    let head = first("model", "from".to_owned(), "above".to_owned());
    let head = head.chain(classes.iter().map(ToString::to_string)).collect();
    let row = |(model, version, above, prices): (&Model, &Version, Option<u64>, &PerMillion)| {
        let above = above.map_or(String::new(), |tokens| tokens.to_string());
        let first = first(&model.name, day(version.from), above);
        first.chain(classes.iter().map(|class| price(prices, *class))).collect()
    };
    std::iter::once(head).chain(all().map(row)).collect()
}

/// When prices begin to hold; nothing where they always did.
fn day(from: Timestamp) -> String {
    if from == Timestamp(0) { String::new() } else { in_utc(from) }
}

fn aliases(table: &PriceTable) -> String {
    let of_model = |model: &Model| {
        model.aliases.iter().map(|alias| format!("{alias} is {}", model.name)).collect::<Vec<_>>()
    };
    let aliases: Vec<String> = table.models().iter().flat_map(of_model).collect();
    if aliases.is_empty() { String::new() } else { format!("  aliases: {}\n", aliases.join(", ")) }
}

/// The dearest and the cheapest model that are not free, with their price; one where they are the same.
fn extremes(table: &PriceTable, at: Timestamp) -> Vec<(&str, NanoUsd)> {
    let priced =
        table.models().iter().filter_map(|model| Some((&*model.name, model.at(at)?.1.prices.of(BOUGHT)?)));
    let mut priced: Vec<_> = priced.filter(|(_, price)| *price > NanoUsd(0)).collect();
    priced.sort_by_key(|(_, price)| std::cmp::Reverse(*price));
    if priced.len() > 2 {
        priced.drain(1..priced.len() - 1);
    }
    priced
}

/// What each limit of money buys, a line for each amount that some tier gives it.
fn bought(domain: &NativeDomain, models: &[(&str, NanoUsd)]) -> Vec<String> {
    let line = |limit: &Limit, most: u64| {
        let tokens = |price: NanoUsd| u128::from(most) * 1_000_000 / u128::from(price.0);
        let mut models = models.iter().map(|(model, price)| (tokens(*price), model));
        let (count, model) = models.next()?;
        let first = format!(
            "{}.{}: {} buys {count} {BOUGHT} tokens of {model}",
            domain.name,
            limit.name,
            NanoUsd(most)
        );
        let others: String = models.map(|(count, model)| format!(", {count} of {model}")).collect();
        Some(format!("  {first}{others}\n"))
    };
    let money = domain.limits.iter().filter(|limit| limit.unit == Unit::Money);
    money.flat_map(|limit| amounts(limit).into_iter().filter_map(move |most| line(limit, most))).collect()
}

/// The amounts above 0 that a limit has on any tier.
fn amounts(limit: &Limit) -> BTreeSet<u64> {
    let amount = |number: &Number| match number {
        Number::AtMost(most) if *most > 0 => Some(*most),
        _ => None,
    };
    limit.numbers.iter().filter_map(amount).collect()
}
