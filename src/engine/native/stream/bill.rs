//! What was told to be used, by model, and what it costs.

use smallvec::SmallVec;

use crate::clock::Timestamp;
use crate::engine::hold::{Usage, teach};
use crate::estimates::Estimates;
use crate::limits::MAX_AMOUNT;
use crate::prices::{Class, KnownCost, PriceTable, Tokens};
use crate::store::{Due, Settled, Spent};

/// Tokens by model.
#[derive(Clone, Debug, Default)]
pub(in crate::engine) struct Bill {
    of: SmallVec<[(Box<[u8]>, Tokens); 1]>,
    /// Whether there is more, of which nobody knows how much.
    is_part: bool,
}

impl Bill {
    /// Adds `count` tokens; no more than is counted.
    pub(super) fn add(&mut self, model: &[u8], class: Class, count: u64) {
        let room = MAX_AMOUNT - self.tokens();
        let place = self.of.iter().position(|(known, _)| **known == *model).unwrap_or_else(|| {
            self.of.push((model.into(), Tokens::default()));
            self.of.len() - 1
        });
        self.of[place].1.add(class, count.min(room)).expect("there is room for so many");
    }

    /// Adds tokens of which nobody knows how many.
    pub(super) fn add_unknown(&mut self, model: &[u8], class: Class) {
        self.add(model, class, 0);
        self.is_part = true;
    }

    /// How many tokens.
    fn tokens(&self) -> u64 {
        self.of.iter().map(|(_, tokens)| tokens.total()).sum()
    }

    /// What they cost by the prices of `at`, as far as they have any.
    pub(super) fn cost(&self, prices: &PriceTable, at: Timestamp) -> KnownCost {
        prices.known_cost(self.of.iter().map(|(model, tokens)| (&**model, tokens)), at)
    }

    /// What is due. What has no price, and what nobody knows, is paid by what was held, if that is more than the rest
    /// costs.
    pub(super) fn spent(&self, cost: KnownCost) -> Spent {
        let due = |is_part| if is_part { Due::AtLeast } else { Due::Exactly };
        let tokens = due(self.is_part)(self.tokens());
        Spent { tokens, money: due(self.is_part || cost.unpriced.is_some())(cost.nanos) }
    }

    /// The usage of each model.
    pub(in crate::engine) fn usages(&self) -> SmallVec<[Usage<'_>; 1]> {
        let models = self.of.iter();
        models.map(|(model, tokens)| Usage { model, tokens: *tokens, hits: 1, usd: None }).collect()
    }

    /// The models of which something has no price at `at`.
    pub(in crate::engine) fn unpriced(
        &self,
        prices: &PriceTable,
        at: Timestamp,
    ) -> impl Iterator<Item = &[u8]> {
        let unpriced =
            move |model: &[u8], tokens| prices.known_cost([(model, tokens)], at).unpriced.is_some();
        self.of.iter().filter(move |(model, tokens)| unpriced(model, tokens)).map(|(model, _)| &**model)
    }

    /// Has `estimates` learn from it, as it was `settled`; nothing from a part of what was used.
    pub(in crate::engine) fn teach(&self, estimates: &mut Estimates, prices: &PriceTable, settled: &Settled) {
        for used in self.usages().iter().filter(|_| !self.is_part) {
            teach(estimates, prices, used, settled);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_told_than_is_counted() {
        let mut bill = Bill::default();
        for model in ["a", "b", "a"] {
            bill.add(model.as_bytes(), Class::Output, MAX_AMOUNT - 7);
        }
        let told: Vec<u64> = bill.usages().iter().map(|usage| usage.tokens.total()).collect();
        assert_eq!((told, bill.tokens()), (vec![MAX_AMOUNT - 7, 7], MAX_AMOUNT));
    }
}
