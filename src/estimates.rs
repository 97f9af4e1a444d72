//! How many tokens a call of a model will use, learned from what calls of it have used.
//!
//! A value: who owns it settles who may touch it, and when. Models are named by callers, so what is kept is bounded, and
//! nothing that is learned decides anything but how much is held. What is kept of a model is a histogram, not calls.
//!
//! What one caller uses is held for all others, so everybody is heard once a minute of a model, however often they call:
//! among twenty who call within a minute, one alone cannot move what is expected. Whoever can make up subjects is as many
//! callers as they make up.

mod heard;
mod histogram;

use std::collections::HashMap;

use crate::clock::Timestamp;

use heard::Heard;
use histogram::Histogram;

/// How many calls have to be known of a model before what they used says anything.
const FEWEST: u32 = 20;
/// What an answer is thought to use of a model that little is known of.
const OUTPUT_UNLEARNED: u64 = 1024;
/// The most models that are known.
const MOST_MODELS: usize = 256;
/// The longest name of a model that is known.
const MOST_NAME_BYTES: usize = 256;
/// So many of a hundred calls use no more than what is expected of one.
const PERCENT: u32 = 95;

/// What calls have used, by model.
#[derive(Debug, Default)]
pub struct Estimates {
    models: HashMap<Box<[u8]>, Learned>,
    /// How many calls were learned from.
    calls: u64,
}

/// What a call is expected to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Tokens of the prompt.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
}

/// What a call has used.
#[derive(Clone, Copy, Debug)]
pub struct Lesson<'a> {
    /// Of which model; case does not count.
    pub model: &'a [u8],
    /// Tokens of the prompt. None of a kind says nothing: nobody told.
    pub input: u64,
    /// Tokens of the answer, alike.
    pub output: u64,
    /// Whose call it was, by hashes: of nobody's own, of what it has in common with others. None are heard always.
    pub by: &'a [u64],
    /// When it was told.
    pub at: Timestamp,
}

/// What calls of one model have used.
#[derive(Debug, Default)]
struct Learned {
    heard: Heard,
    input: Histogram,
    output: Histogram,
    /// Which call it was that this was last learned from.
    last: u64,
}

impl Expected {
    /// Of a model that nothing is known of, unless somebody knows better.
    pub const UNLEARNED: Self = Self { input: 0, output: OUTPUT_UNLEARNED };
}

impl Estimates {
    /// What a call of `model` will use, more than which one call in twenty does; as long as too few calls of it are known,
    /// what it is thought to use `otherwise`. Case does not count.
    pub fn of(&self, model: &[u8], otherwise: Expected) -> Expected {
        let Some(learned) = self.models.get(&*model.to_ascii_lowercase()) else { return otherwise };
        let expected = |histogram: &Histogram, unlearned| {
            if histogram.count() < FEWEST { unlearned } else { histogram.percentile(PERCENT) }
        };
        Expected {
            input: expected(&learned.input, otherwise.input),
            output: expected(&learned.output, otherwise.output),
        }
    }

    /// Learns what a call has used, unless whose it was have been heard of its model in this minute.
    pub fn learn(&mut self, lesson: Lesson<'_>) {
        let Lesson { model, input, output, by, at } = lesson;
        if model.len() > MOST_NAME_BYTES {
            return;
        }
        let model: Box<[u8]> = model.to_ascii_lowercase().into();
        if self.models.len() >= MOST_MODELS && !self.models.contains_key(&model) {
            self.forget_one();
        }
        self.calls += 1;
        let learned = self.models.entry(model).or_default();
        learned.last = self.calls;
        if learned.heard.is_new(by, at) {
            learned.input.add(input);
            learned.output.add(output);
        }
    }

    /// Makes room: of the models that least is known of, for the one that was not called for the longest time.
    fn forget_one(&mut self) {
        let known = |learned: &Learned| learned.input.count().max(learned.output.count());
        let least = self.models.iter().min_by_key(|(_, learned)| (known(learned), learned.last));
        if let Some(model) = least.map(|(model, _)| model.clone()) {
            self.models.remove(&model);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::Timestamp;

    use super::{Estimates, Expected, FEWEST, Lesson, MOST_MODELS};

    fn lesson(model: &str, input: u64, output: u64) -> Lesson<'_> {
        Lesson { model: model.as_bytes(), input, output, by: &[], at: Timestamp(0) }
    }

    fn learned(model: &str, outputs: impl IntoIterator<Item = u64>) -> Estimates {
        let mut estimates = Estimates::default();
        outputs.into_iter().for_each(|output| estimates.learn(lesson(model, 0, output)));
        estimates
    }

    #[test]
    fn one_of_twenty_callers_does_not_raise_what_is_expected_of_all() {
        let mut estimates = Estimates::default();
        for minute in 0..10 {
            let at = Timestamp(minute * 60_000_000 + 7);
            for _ in 0..1_000 {
                estimates.learn(Lesson { by: &[99], at, ..lesson("m", 1 << 30, 1 << 30) });
            }
            for by in 0..20 {
                estimates.learn(Lesson { by: &[by, 1_000 + by], at, ..lesson("m", 50, 100) });
            }
        }
        assert_eq!(
            (estimates.of(b"m", Expected::UNLEARNED).input, estimates.of(b"m", Expected::UNLEARNED).output),
            (51, 103)
        );
    }

    #[test]
    fn nothing_is_expected_of_a_model_before_twenty_calls_are_known() {
        let nineteen = learned("gpt-5", (1..20).map(|_| 100));
        assert_eq!(nineteen.of(b"gpt-5", Expected::UNLEARNED), Expected::UNLEARNED);
        let twenty = learned("gpt-5", (0..20).map(|_| 100));
        assert_eq!(
            twenty.of(b"GPT-5", Expected::UNLEARNED).output,
            103,
            "the end of the step that 100 is in"
        );
        assert_eq!(twenty.of(b"gpt-5", Expected::UNLEARNED).input, 0, "nobody told");
        assert_eq!(twenty.of(b"gpt-5-mini", Expected::UNLEARNED), Expected::UNLEARNED);
    }

    #[test]
    fn one_call_in_twenty_may_use_more() {
        let estimates = learned("m", (0..95).map(|_| 200).chain((0..5).map(|_| 9_000)));
        assert!(
            (200..=223).contains(&estimates.of(b"m", Expected::UNLEARNED).output),
            "{:?}",
            estimates.of(b"m", Expected::UNLEARNED)
        );
        let estimates = learned("m", (0..94).map(|_| 200).chain((0..6).map(|_| 9_000)));
        assert!(
            (9_000..=9_999).contains(&estimates.of(b"m", Expected::UNLEARNED).output),
            "{:?}",
            estimates.of(b"m", Expected::UNLEARNED)
        );
    }

    #[test]
    fn what_calls_use_now_counts_for_more_than_what_they_used() {
        let mut estimates = learned("m", (0..5_000).map(|_| 100_000));
        (0..5_000).for_each(|_| estimates.learn(lesson("m", 0, 10)));
        assert_eq!(estimates.of(b"m", Expected::UNLEARNED).output, 10);
    }

    #[test]
    fn prompts_and_answers_are_learned_apart() {
        let mut estimates = Estimates::default();
        (0..FEWEST).for_each(|_| estimates.learn(lesson("m", 4, 0)));
        assert_eq!(
            estimates.of(b"m", Expected::UNLEARNED),
            Expected { input: 4, output: Expected::UNLEARNED.output }
        );
    }

    #[test]
    fn models_that_nobody_knows_do_not_push_out_one_that_is_known() {
        let mut estimates = learned("known", (0..FEWEST).map(|_| 7));
        for n in 0..10 * MOST_MODELS {
            estimates.learn(lesson(&format!("made up {n}"), 1, 1));
        }
        assert_eq!(estimates.models.len(), MOST_MODELS);
        assert_eq!(estimates.of(b"known", Expected::UNLEARNED).output, 7);
        let last = format!("made up {}", 10 * MOST_MODELS - 1);
        assert!(estimates.models.contains_key(last.as_bytes()), "a new one is learned");
    }
}
