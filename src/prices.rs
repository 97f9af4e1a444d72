//! Prices: what the tokens of a call cost, by model, class and time.
//!
//! Pure: which instant counts comes from the caller. A [`PriceTable`] is compiled once and never changes; whoever builds
//! one has made sure that no two names in it are the same but for case. Nothing here is ever free by accident: a price of 0
//! is a price, and what has none is an error, or costs what the dearest model costs.

mod class;
mod model;
mod name;
mod sum;
mod tokens;

use std::collections::HashMap;

use crate::clock::Timestamp;
use crate::money::{MAX_AMOUNT, NanoUsd};

pub use class::{Class, PerMillion};
pub use model::{Model, Step, Version};
pub use name::MOST_NAME_BYTES;
pub use sum::KnownCost;
pub use tokens::{Tokens, TooManyTokens};

/// What comes of tokens that have no price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// They cannot be priced.
    #[default]
    Deny,
    /// Each class costs what the model costs that asks the most for it.
    Highest,
}

/// The prices in force.
#[derive(Clone, Debug, Default)]
pub struct PriceTable {
    unknown: Unknown,
    models: Vec<Model>,
    /// Names and aliases of models, case folded.
    by_name: HashMap<Box<[u8]>, usize>,
}

/// What tokens cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost<'t> {
    /// In nano-USD, at most [`MAX_AMOUNT`].
    pub nanos: u64,
    /// The prices that were used; `None` for a model that has none.
    pub entry: Option<Entry<'t>>,
    /// Whether any of it had no price, and was priced as [`Unknown::Highest`] says.
    pub at_highest: bool,
}

/// One version of the prices of one model: what a bill names to be understood later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'t> {
    /// The model by its own name, whatever the caller called it.
    pub model: &'t str,
    /// Which of its versions: counted from 1 in the order of the file; of those that were set over it, a million and the number
    /// of the record.
    pub version: u64,
}

/// Why tokens have no cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CostError {
    /// There is no such model, or it has no prices yet at that instant.
    #[error("the model has no prices; add it to 'prices', or write 'unknown: highest' there")]
    UnknownModel,
    /// There is no price for tokens of this class, and none for a class that is never cheaper.
    #[error("there is no price for {0} tokens of the model; add it to 'prices'")]
    UnpricedClass(Class),
    /// More than anything counts.
    #[error("the tokens cost more than any limit counts")]
    TooLarge,
}

impl PriceTable {
    /// A table of `models`.
    pub fn new(unknown: Unknown, models: Vec<Model>) -> Self {
        let names = |model: &Model| {
            let own = std::iter::once(&model.name);
            own.chain(&model.aliases).map(|name| name::folded(name.as_bytes())).collect::<Vec<_>>()
        };
        let indexed = models.iter().enumerate();
        let by_name =
            indexed.flat_map(|(index, model)| names(model).into_iter().map(move |name| (name, index)));
        Self { unknown, by_name: by_name.collect(), models }
    }

    /// The same with other prices for models from some instant on, each a version of its own behind those that began before
    /// it. A model that there is not is a new one.
    #[must_use]
    pub fn with(&self, others: Vec<(&str, Version)>) -> Self {
        let mut models = self.models.clone();
        for (name, version) in others {
            let is_added = || models.iter().position(|model| model.name.eq_ignore_ascii_case(name));
            let known = self.by_name.get(&name::folded(name.as_bytes())).copied();
            let place = known.or_else(is_added).unwrap_or_else(|| {
                models.push(Model { name: name.into(), aliases: Vec::new(), versions: Vec::new() });
                models.len() - 1
            });
            models[place].add(version);
        }
        Self::new(self.unknown, models)
    }

    /// What comes of tokens that have no price.
    pub fn unknown(&self) -> Unknown {
        self.unknown
    }

    /// Every model, in the order of the file.
    pub fn models(&self) -> &[Model] {
        &self.models
    }

    /// The model that callers mean by `name`: the one of that name or alias, else without the date of a snapshot, else
    /// the same without the provider in front of it. Case does not count.
    pub fn model(&self, name: &[u8]) -> Option<&Model> {
        let index = name::candidates(name, |candidate| self.by_name.get(candidate).copied())?;
        self.models.get(index)
    }

    /// The model that has this very name or alias. Case does not count.
    pub fn exactly(&self, name: &[u8]) -> Option<&Model> {
        self.models.get(*self.by_name.get(&name::folded(name))?)
    }

    /// The name of the model that callers mean by `name`; `name` as it is, if there is none.
    pub fn name_of<'n>(&'n self, name: &'n [u8]) -> &'n [u8] {
        self.model(name).map_or(name, |model| model.name.as_bytes())
    }

    /// Since when `tokens` of `model` cost what they cost at `at`, or have no price as they have none then.
    pub fn unchanged_since(&self, model: &[u8], tokens: &Tokens, at: Timestamp) -> Timestamp {
        let own = self.model(model).and_then(|model| model.at(at)).map(|(_, version)| version);
        let has_price = |version: &Version| {
            let prices = version.prices_of(tokens.input());
            tokens.counts().all(|(class, _)| prices.of(class).is_some())
        };
        match own {
            Some(version) if self.unknown == Unknown::Deny || has_price(version) => version.from,
            None if self.unknown == Unknown::Deny => Timestamp::default(),
            // They cost what the dearest of all costs.
            _ => {
                let begun = self.models.iter().filter_map(|model| model.at(at));
                begun.map(|(_, version)| version.from).max().unwrap_or_default()
            }
        }
    }

    /// What `tokens` of `model` cost at `at`, rounded once, up to the next nano-USD: those of one call, whose input says which
    /// of the model's prices hold for all of them.
    ///
    /// # Errors
    ///
    /// That something has no price, or the sum is above [`MAX_AMOUNT`].
    pub fn cost(&self, model: &[u8], tokens: &Tokens, at: Timestamp) -> Result<Cost<'_>, CostError> {
        let sum = self.sum(model, tokens, at);
        match (sum.unpriced, sum.nanos()) {
            (Some(error), _) => Err(error),
            (None, nanos) if nanos > u128::from(MAX_AMOUNT) => Err(CostError::TooLarge),
            (None, _) => Ok(Cost { nanos: sum.counted(), entry: sum.entry, at_highest: sum.at_highest }),
        }
    }

    /// The prices of the model that callers mean by `name`, as they are at `at` for a call with so much `input`.
    fn in_force(&self, name: &[u8], at: Timestamp, input: u64) -> Option<(Entry<'_>, &PerMillion)> {
        let model = self.model(name)?;
        let (version, in_force) = model.at(at)?;
        Some((Entry { model: &model.name, version }, in_force.prices_of(input)))
    }

    /// Whether a model without prices has a cost at `at`.
    fn guesses(&self, at: Timestamp) -> bool {
        self.unknown == Unknown::Highest && self.models.iter().any(|model| model.at(at).is_some())
    }

    /// The most that any model asks for `class` at `at` in a call with so much `input`; `None` where none has a price for it,
    /// or nothing is to be priced so.
    fn highest(&self, class: Class, at: Timestamp, input: u64) -> Option<NanoUsd> {
        let prices = self.models.iter().filter_map(|model| model.at(at)?.1.prices_of(input).of(class));
        prices.max().filter(|_| self.unknown == Unknown::Highest)
    }
}

#[cfg(test)]
mod tests;
