//! What a call is expected to use where nobody says, and what calls teach about that.
//!
//! A caller who asks for more than a limit ever allows is told so. What is only expected is no reason to refuse: of that
//! no more is asked for than the limits allow at all, or a limit below one estimate would refuse its very first call.

use std::cell::Cell;
use std::num::NonZeroU64;

use smallvec::SmallVec;

use crate::algorithm::{Rule, Share};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::native::Plan;
use crate::engine::request::Descriptor;
use crate::estimates::{Estimates, Expected, Lesson};
use crate::limits::{Estimate, Limit, MAX_AMOUNT, Mode, NativeDomain, Number, Unit};
use crate::prices::{Class, PriceTable, Tokens};
use crate::store::{Settled, Store};

use super::amounts::{cost, only, part};
use super::request::Usage;

/// The most that the limits of a call ever allow it, and how long an answer they think it has.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    tokens: u64,
    nanos: u64,
    estimate: Estimate,
}

impl Bounds {
    /// Those of the limits that `descriptor` comes to. One that refuses nobody bounds nothing, and one that allows nothing
    /// refuses whatever is asked.
    fn of<S: Store>(engine: &Engine<S>, domain: &NativeDomain, descriptor: &Descriptor<'_>) -> Self {
        let (tokens, nanos) = (Cell::new(u64::MAX), Cell::new(u64::MAX));
        let estimate = Cell::new(Estimate::default());
        let mut plan = Plan::new(engine);
        plan.add(domain, descriptor, |limit: &Limit, number, _| {
            if limit.unit != Unit::Hits {
                estimate.set(estimate.get().and(limit.estimate));
            }
            if let Number::AtMost(most @ 1..) = (Rule { window: &limit.window, number }).most()
                && limit.mode == Mode::Enforced
            {
                match limit.unit {
                    Unit::Tokens => tokens.set(tokens.get().min(most)),
                    Unit::Money => nanos.set(nanos.get().min(most)),
                    Unit::Hits => {}
                }
            }
            None
        });
        Self { tokens: tokens.get(), nanos: nanos.get(), estimate: estimate.get() }
    }
}

impl<'a> Usage<'a> {
    /// What a call of `model` with so many `hits` is expected to use of the limits that `descriptor` comes to: never more
    /// than they allow at all, by the `prices` of now.
    pub(in crate::engine) fn expected<S: Store>(
        engine: &Engine<S>,
        (model, hits): (&'a [u8], u64),
        (domain, descriptor): (&NativeDomain, &Descriptor<'_>),
        prices: &PriceTable,
    ) -> Self {
        let bounds = Bounds::of(engine, domain, descriptor);
        let expected = expected(prices.name_of(model), &engine.estimates.lock(), bounds.estimate);
        let usage = Self::guessed((model, hits), expected);
        usage.within(bounds, prices, engine.store.now())
    }

    /// Of a call of `model` with so many `hits`, as is `expected`.
    fn guessed((model, hits): (&'a [u8], u64), expected: Expected) -> Self {
        let mut tokens = Tokens::default();
        for (class, count) in [(Class::Input, expected.input), (Class::Output, expected.output)] {
            tokens.add(class, count.min(MAX_AMOUNT - tokens.total())).expect("there is room for so many");
        }
        Self { model, tokens, hits, usd: None }
    }

    /// As much of it as `bounds` allow: of all classes alike, since all are guesses.
    fn within(self, bounds: Bounds, prices: &PriceTable, at: Timestamp) -> Self {
        let Some(total) = NonZeroU64::new(self.tokens.total()) else { return self };
        let whole = Share { granted: total.get(), of: total.get() };
        let in_tokens = whole.within(bounds.tokens, 0, total.get());
        let share = match cost(&self, prices, at) {
            Ok(nanos) => in_tokens.within(bounds.nanos, 0, nanos),
            Err(_) => in_tokens,
        };
        Self { tokens: only(&self.tokens, |_, count| part(count, share.granted, total)), ..self }
    }
}

/// What a call of `model` uses, as `estimates` have learned, or as the limits say.
fn expected(model: &[u8], estimates: &Estimates, said: Estimate) -> Expected {
    let unlearned = Expected::UNLEARNED;
    let otherwise = Expected { output: said.output.unwrap_or(unlearned.output), ..unlearned };
    let expected = estimates.of(model, otherwise);
    Expected { output: expected.output.min(said.max_output.unwrap_or(u64::MAX)), ..expected }
}

/// Has `estimates` learn from a call that `used` so much, as it was `settled`. A model is the same by whatever name
/// `prices` find it.
pub(in crate::engine) fn teach(
    estimates: &mut Estimates,
    prices: &PriceTable,
    used: &Usage<'_>,
    settled: &Settled,
) {
    let (model, input) = (prices.name_of(used.model), used.tokens.input());
    let output = used.tokens.total() - input;
    let mut by: SmallVec<[u64; 4]> = settled.parts.iter().filter_map(|part| part.key.root()).collect();
    if by.is_empty() {
        // Nobody's own: all that share its counters speak as one.
        by.extend(settled.parts.iter().map(|part| part.key.tag));
    }
    estimates.learn(Lesson { model, input, output, by: &by, at: settled.at });
}
