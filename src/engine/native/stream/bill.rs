//! What was told to be used, by model, and what it costs.

use smallvec::SmallVec;

use crate::clock::Timestamp;
use crate::engine::hold::{Usage, teach};
use crate::estimates::Estimates;
use crate::limits::MAX_AMOUNT;
use crate::prices::{Class, CostError, PriceTable, Tokens};
use crate::store::{Due, Spent};

/// Tokens by model.
#[derive(Clone, Debug, Default)]
pub(super) struct Bill<'a>(SmallVec<[(&'a [u8], Tokens); 1]>);

impl<'a> Bill<'a> {
    /// Adds `count` tokens; no more than is counted.
    pub(super) fn add(&mut self, model: &'a [u8], class: Class, count: u64) {
        let place = self.0.iter().position(|(known, _)| *known == model).unwrap_or_else(|| {
            self.0.push((model, Tokens::default()));
            self.0.len() - 1
        });
        let tokens = &mut self.0[place].1;
        let room = MAX_AMOUNT - tokens.total();
        tokens.add(class, count.min(room)).expect("there is room for so many");
    }

    /// How many tokens.
    pub(super) fn tokens(&self) -> u64 {
        self.0.iter().fold(0_u64, |sum, (_, tokens)| sum.saturating_add(tokens.total())).min(MAX_AMOUNT)
    }

    /// What they cost by the prices of `at`, in nano-USD; no more than is counted.
    pub(super) fn cost(&self, prices: &PriceTable, at: Timestamp) -> Result<u64, CostError> {
        let mut sum = 0_u64;
        for (model, tokens) in self.0.iter().filter(|(_, tokens)| tokens.total() > 0) {
            sum = sum.saturating_add(match prices.cost(model, tokens, at) {
                Ok(cost) => cost.nanos,
                Err(CostError::TooLarge) => MAX_AMOUNT,
                Err(error) => return Err(error),
            });
        }
        Ok(sum.min(MAX_AMOUNT))
    }

    /// What is due of a hold: where there is no price, what was held.
    pub(super) fn spent(&self, cost: Result<u64, CostError>) -> Spent {
        Spent { tokens: Due::Exactly(self.tokens()), money: cost.map_or(Due::AsHeld, Due::Exactly) }
    }

    /// As one usage: all tokens as those of the first model.
    pub(super) fn usage(&self) -> Usage<'a> {
        let mut tokens = Tokens::default();
        for (class, count) in self.0.iter().flat_map(|(_, tokens)| tokens.counts()) {
            tokens.add(class, count.min(MAX_AMOUNT - tokens.total())).expect("there is room for so many");
        }
        let model = self.0.first().map_or(&b""[..], |(model, _)| model);
        Usage { model, tokens, hits: 1, usd: None }
    }

    /// Has `estimates` learn from it.
    pub(super) fn teach(&self, estimates: &mut Estimates) {
        for (model, tokens) in &self.0 {
            teach(estimates, model, tokens);
        }
    }
}
