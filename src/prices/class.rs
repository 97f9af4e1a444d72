//! The classes of tokens that models are priced by, and a price for each.
//!
//! Classes are disjoint: a token is of one class, and is paid for once. How the counts of a provider, which overlap, come
//! apart into them is the caller's to know; `examples/token-classes.md` says how.

use std::fmt;

use crate::money::NanoUsd;

/// What a token is to a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Text of the prompt that no cache had.
    Input,
    /// Text of the prompt that a cache had.
    CachedInput,
    /// Text of the prompt that is put into a cache.
    CacheWrite,
    /// Text of the answer.
    Output,
    /// What the model thought, and is paid for like an answer.
    Reasoning,
    /// Speech of the caller that no cache had.
    AudioInput,
    /// Speech of the caller that a cache had.
    AudioCachedInput,
    /// Speech of the model.
    AudioOutput,
    /// Images, where a model has a price of its own for them.
    Image,
}

impl Class {
    /// How many there are.
    pub(super) const COUNT: usize = 9;

    /// Every class.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Input,
        Self::CachedInput,
        Self::CacheWrite,
        Self::Output,
        Self::Reasoning,
        Self::AudioInput,
        Self::AudioCachedInput,
        Self::AudioOutput,
        Self::Image,
    ];

    /// As files and callers write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::CachedInput => "cached_input",
            Self::CacheWrite => "cache_write",
            Self::Output => "output",
            Self::Reasoning => "reasoning",
            Self::AudioInput => "audio_input",
            Self::AudioCachedInput => "audio_cached_input",
            Self::AudioOutput => "audio_output",
            Self::Image => "image",
        }
    }

    /// The class called `name`.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name().as_bytes() == name)
    }

    /// Whether the model makes these tokens, so that nobody knows their number before the answer ends.
    pub const fn is_output(self) -> bool {
        matches!(self, Self::Output | Self::Reasoning | Self::AudioOutput)
    }

    /// The class whose price is taken where this one has none: one that is never cheaper. Writing into a cache, speech
    /// and images may cost more than plain text, so nothing stands in for them.
    const fn stand_in(self) -> Option<Self> {
        match self {
            Self::CachedInput => Some(Self::Input),
            Self::AudioCachedInput => Some(Self::AudioInput),
            Self::Reasoning => Some(Self::Output),
            _ => None,
        }
    }

    pub(super) const fn place(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a million tokens cost, by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerMillion([Option<NanoUsd>; Class::COUNT]);

impl PerMillion {
    /// The price for `class`: its own, else that of the class that stands in for it.
    pub fn of(&self, class: Class) -> Option<NanoUsd> {
        self.own(class).or_else(|| self.own(class.stand_in()?))
    }

    /// The price that is written for `class`.
    pub fn own(&self, class: Class) -> Option<NanoUsd> {
        self.0[class.place()]
    }
}

impl FromIterator<(Class, NanoUsd)> for PerMillion {
    fn from_iter<I: IntoIterator<Item = (Class, NanoUsd)>>(prices: I) -> Self {
        let mut found = Self::default();
        prices.into_iter().for_each(|(class, price)| found.0[class.place()] = Some(price));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, PerMillion};
    use crate::money::NanoUsd;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (place, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class.place(), place);
            assert_eq!(Class::named(class.name().as_bytes()), Some(class));
        }
        for name in ["", "Input", "inputs", "input ", "total"] {
            assert_eq!(Class::named(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn what_the_model_makes_is_output() {
        let output: Vec<&str> =
            Class::ALL.into_iter().filter(|class| class.is_output()).map(Class::name).collect();
        assert_eq!(output, ["output", "reasoning", "audio_output"]);
    }

    #[test]
    fn an_own_price_beats_a_stand_in_even_at_zero() {
        let prices: PerMillion =
            [(Class::Input, NanoUsd(5)), (Class::CachedInput, NanoUsd(0))].into_iter().collect();
        assert_eq!(prices.of(Class::CachedInput), Some(NanoUsd(0)));
        assert_eq!((prices.of(Class::Reasoning), prices.of(Class::CacheWrite)), (None, None));
    }
}
