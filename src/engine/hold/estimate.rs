//! What a call is expected to use where nobody says, and what calls teach about that.

use crate::estimates::Estimates;
use crate::prices::{Class, Tokens};

use super::request::Usage;

impl<'a> Usage<'a> {
    /// What a call of `model` with so many `hits` is expected to use.
    pub(in crate::engine) fn expected(model: &'a [u8], hits: u64, estimates: &Estimates) -> Self {
        let expected = estimates.of(model);
        let mut tokens = Tokens::default();
        for (class, count) in [(Class::Input, expected.input), (Class::Output, expected.output)] {
            tokens.add(class, count).expect("what is learned is far below what is counted");
        }
        Self { model, tokens, hits, usd: None }
    }
}

/// Has `estimates` learn from a call of `model` that used `tokens`.
pub(in crate::engine) fn teach(estimates: &mut Estimates, model: &[u8], tokens: &Tokens) {
    let input = tokens.input();
    estimates.learn(model, input, tokens.total() - input);
}
