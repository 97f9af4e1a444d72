//! From prices as written to the table that prices calls: aliases find their models, and no two names are the same but
//! for case.
//!
//! Everything that can be said is said. The table of a file with an error is built all the same, and thrown away with
//! the rest.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::diagnostic::{Report, shorten, suggestion};
use super::tollgate_file::{Named, WrittenModel, WrittenPrices};
use crate::calendar::in_utc;
use crate::clock::Timestamp;
use crate::prices::{Model, PriceTable};

/// What a name, without case, stands for.
#[derive(Clone, Copy)]
enum Meant<'p> {
    /// The model of that name, by its place.
    Model(&'p str, usize),
    /// Some model's alias.
    Alias(&'p str),
}

/// Every name so far, without case.
type Names<'p> = HashMap<String, Meant<'p>>;

/// Builds the table of `prices`, and reports what does not fit together, or will only at some instant after `now`.
pub(super) fn build(prices: &WrittenPrices, now: Timestamp, report: &mut Report) -> PriceTable {
    prices.models.iter().for_each(|model| warn_of_later(model, now, report));
    let mut names = Names::new();
    for (index, model) in prices.models.iter().enumerate() {
        take(&model.name, Meant::Model(&model.name.value, index), &mut names, report);
    }
    let mut models: Vec<Model> = prices.models.iter().map(without_aliases).collect();
    for (alias, model) in &prices.aliases {
        take(alias, Meant::Alias(&alias.value), &mut names, report);
        match names.get(&model.value.to_ascii_lowercase()) {
            Some(Meant::Model(_, index)) => models[*index].aliases.push(alias.value.clone()),
            _ => {
                let message = format!("'{}' is none of the models", shorten(&model.value));
                let known = prices.models.iter().map(|model| &*model.name.value);
                report.error(model.at, message, suggestion(&model.value, known));
            }
        }
    }
    PriceTable::new(prices.unknown, models)
}

/// Lets `name` stand for `meant`, unless it stands for something already.
fn take<'p>(name: &'p Named, meant: Meant<'p>, names: &mut Names<'p>, report: &mut Report) {
    let first = match names.entry(name.value.to_ascii_lowercase()) {
        Entry::Vacant(free) => {
            free.insert(meant);
            return;
        }
        Entry::Occupied(taken) => *taken.get(),
    };
    let shown = shorten(&name.value);
    let message = match (first, meant) {
        (Meant::Model(..), Meant::Alias(_)) => format!("'{shown}' is a model and an alias"),
        (Meant::Model(first, _) | Meant::Alias(first), _) => {
            format!("'{shown}' and '{}' differ only in case, which does not count", shorten(first))
        }
    };
    report.error(name.at, message, "keep one of them");
}

/// Warns of a model that has prices, and none yet.
fn warn_of_later(model: &WrittenModel, now: Timestamp, report: &mut Report) {
    let Some(first) = model.versions.first().filter(|first| first.from > now) else { return };
    let begins = in_utc(first.from);
    let message =
        format!("model '{}' has no price until {begins}, when its first begins", shorten(&model.name.value));
    let fix = "write the price that holds until then before it, without 'from', unless nobody asks for the model until then";
    report.warning(model.name.at, message, fix);
}

fn without_aliases(model: &WrittenModel) -> Model {
    Model { name: model.name.value.clone(), aliases: Vec::new(), versions: model.versions.clone() }
}
