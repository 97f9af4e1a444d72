//! Sums of what tokens cost, as far as they have prices.
//!
//! Pure. A sum is rounded once, when it is read, however many classes and models are in it; what has no price is left out
//! of it, and said.

use super::{Class, CostError, Entry, PriceTable, Tokens};
use crate::clock::Timestamp;
use crate::money::MAX_AMOUNT;

/// The tokens that prices are for.
const MILLION: u128 = 1_000_000;

/// What tokens cost as far as they have prices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownCost {
    /// In nano-USD; what is above [`MAX_AMOUNT`] is that.
    pub nanos: u64,
    /// Why something is not in it.
    pub unpriced: Option<CostError>,
}

/// What tokens of one model cost.
#[derive(Debug, Default)]
pub(super) struct Sum<'t> {
    /// In millionths of a nano-USD.
    millionths: u128,
    pub(super) entry: Option<Entry<'t>>,
    pub(super) at_highest: bool,
    pub(super) unpriced: Option<CostError>,
}

impl PriceTable {
    /// What `used`, tokens by model, cost at `at` as far as they have prices, rounded once, up to the next nano-USD.
    pub fn known_cost<'u>(
        &self,
        used: impl IntoIterator<Item = (&'u [u8], &'u Tokens)>,
        at: Timestamp,
    ) -> KnownCost {
        let mut all = Sum::default();
        for (model, tokens) in used.into_iter().filter(|(_, tokens)| tokens.total() > 0) {
            let sum = self.sum(model, tokens, at);
            all.millionths += sum.millionths;
            all.unpriced = all.unpriced.or(sum.unpriced);
        }
        KnownCost { nanos: all.counted(), unpriced: all.unpriced }
    }

    pub(super) fn sum(&self, model: &[u8], tokens: &Tokens, at: Timestamp) -> Sum<'_> {
        let input = tokens.input();
        let known = self.in_force(model, at, input);
        let (entry, at_highest) = (known.map(|(entry, _)| entry), known.is_none());
        let mut sum = Sum { entry, at_highest, ..Sum::default() };
        if known.is_none() && !self.guesses(at) {
            sum.unpriced = Some(CostError::UnknownModel);
            return sum;
        }
        for (class, count) in tokens.counts() {
            let own = known.and_then(|(_, prices)| prices.of(class));
            sum.at_highest |= own.is_none();
            match own.or_else(|| self.highest(class, at, input)) {
                Some(price) => sum.millionths += u128::from(count) * u128::from(price.0),
                None => sum.leave_out(class),
            }
        }
        sum
    }
}

impl Sum<'_> {
    /// In nano-USD, rounded up.
    pub(super) const fn nanos(&self) -> u128 {
        self.millionths.div_ceil(MILLION)
    }

    /// The same; what is more than anything counts is as much as anything counts.
    pub(super) fn counted(&self) -> u64 {
        u64::try_from(self.nanos()).unwrap_or(u64::MAX).min(MAX_AMOUNT)
    }

    fn leave_out(&mut self, class: Class) {
        self.unpriced = self.unpriced.or(Some(CostError::UnpricedClass(class)));
    }
}
