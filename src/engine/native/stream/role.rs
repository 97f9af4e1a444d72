//! What a descriptor has to do with holds, as its entries say.

use crate::engine::hold::{Handle, Kept, Usage};
use crate::engine::native::reading::sent;
use crate::engine::native::select::Selection;
use crate::engine::odd::{Odd, Oddities};
use crate::engine::request::{Descriptor, Direction};
use crate::limits::{MAX_AMOUNT, NativeDomain};
use crate::money::{InvalidMoney, NanoUsd};
use crate::prices::{Class, MOST_NAME_BYTES, Tokens};

/// What a descriptor has to do with holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role<'a> {
    /// Nothing.
    None,
    /// It holds what a call may use.
    Begins {
        /// How much.
        asked: Asked,
        /// Of which model; may be empty.
        model: &'a [u8],
    },
    /// It tells what one has used, or that it has ended.
    Ends {
        /// The hold that it settles; `None`, if there is none or none that can be read.
        hold: Option<Handle>,
        /// Tokens of which class its hits are; `None` where it only tells the end.
        told: Option<Class>,
        /// Of which model they are; may be empty.
        model: &'a [u8],
        /// Under which what was not held is charged only once; may be empty.
        key: &'a [u8],
    },
}

/// How much is to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// So many tokens.
    Tokens(u64),
    /// So much money.
    Money(NanoUsd),
    /// As much as such a call is expected to use.
    Estimate,
}

impl<'a> Role<'a> {
    /// Of `descriptor`, which may tell of holds that `settles` is right about; what is odd about it is noted. Giving back is
    /// what it says, whatever else it does.
    pub(super) fn of(
        domain: &'a NativeDomain,
        descriptor: &'a Descriptor<'_>,
        settles: impl Fn(&Handle) -> bool,
        oddities: &Oddities,
    ) -> Self {
        let value = |key| sent(&descriptor.entries, key);
        if descriptor.direction == Direction::GiveBack {
            return Self::None;
        }
        match (value(b"hold"), value(b"usage"), value(b"reserve")) {
            (None, None, None) => Self::None,
            (None, None, Some(asked)) => Self::Begins {
                asked: Asked::read(asked).unwrap_or_else(|| {
                    oddities.note(Odd::Reserve);
                    Asked::Estimate
                }),
                model: model_of(domain, descriptor),
            },
            (hold, class, _) => Self::Ends {
                hold: hold.and_then(|hold| {
                    let settled = |handle: &Handle| handle.kept != Kept::Nothing && settles(handle);
                    Handle::parse(hold).filter(settled).or_else(|| oddities.none(Odd::Hold))
                }),
                // What nobody knows is paid like an answer, which is dear.
                told: class.map(|class| {
                    Class::named(class).or_else(|| oddities.none(Odd::Class)).unwrap_or(Class::Output)
                }),
                model: model_of(domain, descriptor),
                key: value(b"idempotency_key").unwrap_or_default(),
            },
        }
    }
}

/// The model that `descriptor` is about; may be empty. What its path captured beats what was sent. A name that is too
/// long for any model is cut where it still is: callers choose it, and it is kept.
fn model_of<'a>(domain: &'a NativeDomain, descriptor: &'a Descriptor<'_>) -> &'a [u8] {
    let captures = Selection::of(domain, descriptor).captures;
    let captured = captures.iter().find(|(name, _)| **name == *b"model").map(|(_, value)| *value);
    let name = captured.or_else(|| sent(&descriptor.entries, b"model")).unwrap_or_default();
    &name[..name.len().min(MOST_NAME_BYTES + 1)]
}

impl Asked {
    /// `2000`, `$0.02` or `auto`. An amount beyond all that is counted is as much as that. Nothing is no amount: it often
    /// comes from a header, and whoever could ask for it would spend what nobody has held.
    fn read(value: &[u8]) -> Option<Self> {
        let asked = match str::from_utf8(value).ok()? {
            "auto" => Self::Estimate,
            money if money.starts_with('$') => match NanoUsd::parse(money) {
                Ok(money) => Self::Money(money),
                Err(InvalidMoney::TooLarge(_)) => Self::Money(NanoUsd(MAX_AMOUNT)),
                Err(_) => return None,
            },
            tokens if !tokens.is_empty() && tokens.bytes().all(|byte| byte.is_ascii_digit()) => {
                Self::Tokens(tokens.parse().unwrap_or(MAX_AMOUNT).min(MAX_AMOUNT))
            }
            _ => return None,
        };
        Some(asked).filter(|asked| !matches!(asked, Self::Tokens(0) | Self::Money(NanoUsd(0))))
    }

    /// As usage of `model` by a call of so many `hits`, of which nothing but what is `expected` may be known.
    pub(super) fn usage<'m>(
        self,
        model: &'m [u8],
        hits: u64,
        expected: impl FnOnce() -> Usage<'m>,
    ) -> Usage<'m> {
        let mut tokens = Tokens::default();
        match self {
            Self::Tokens(count) => {
                tokens.add(Class::Output, count).expect("no more than is counted");
                Usage { model, tokens, hits, usd: None }
            }
            Self::Money(money) => Usage { model, tokens, hits, usd: Some(money) },
            Self::Estimate => expected(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tokens_money_and_auto() {
        for (text, expected) in [
            ("2000", Asked::Tokens(2000)),
            ("007", Asked::Tokens(7)),
            ("99999999999999999999999999", Asked::Tokens(MAX_AMOUNT)),
            ("$0.02", Asked::Money(NanoUsd(20_000_000))),
            ("$99999999999", Asked::Money(NanoUsd(MAX_AMOUNT))),
            ("auto", Asked::Estimate),
        ] {
            assert_eq!(Asked::read(text.as_bytes()), Some(expected), "{text}");
        }
        for text in [
            "", "0", "000", "$0", "$0.000", "-1", "1.5", "1e9", "2k", "$", "$-1", "AUTO", "NaN", " 7", "٥",
            "0x10",
        ] {
            assert_eq!(Asked::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Asked::read(b"\xff\xfe"), None);
    }
}
