//! A domain written for the reference service, matched as it matches.
//!
//! Entries are walked in order. At each level an exact value wins, then the first wildcard in file order,
//! then the key alone. Nothing is taken back: a more specific sibling that fails deeper down does not fall
//! back. A limit applies only where the descriptor ends. Unlike the reference, a key and a value are
//! compared as two things and not as one joined text, except by a wildcard that is written as a key alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::calendar::Period;

use super::by_name::ByName;
use super::entry::Entries;
use super::key::identity;
use super::number::Number;
use super::tally::Tally;
use super::window::Window;

/// A compiled reference domain.
#[derive(Clone, Debug, Default)]
pub struct ReferenceDomain {
    /// As configured.
    pub name: Box<str>,
    /// Whether one call charges every limit it touches or none; the reference charges each alone.
    pub atomic: bool,
    /// The top level of descriptors.
    pub root: Node,
}

/// One level of descriptors.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Descriptors with a key and a value, by both.
    pub exact: ByName<RulesByValue>,
    /// Descriptors with a `*`, in file order.
    pub wildcards: Vec<Wildcard>,
    /// Descriptors with a key alone.
    pub by_key: ByName<Rule>,
}

/// The descriptors of one key, by value.
pub type RulesByValue = ByName<Rule>;

/// For each entry of a descriptor, the value that stands for it in the path of its counter.
pub type PathValues<'a> = SmallVec<[&'a [u8]; 4]>;

/// A descriptor whose key or value holds a `*`.
#[derive(Clone, Debug)]
pub struct Wildcard {
    /// The key, split at every `*`.
    pub key: Vec<Box<[u8]>>,
    /// The value, split at every `*`. `None` has the key stand for an entry's key and value, joined by `_`.
    pub value: Option<Vec<Box<[u8]>>>,
    /// Key and value as written: asked for exactly so, it beats every other wildcard.
    pub written: (Box<[u8]>, Box<[u8]>),
    /// The pattern that stands for the value in the counter's path where `share_threshold` is set.
    pub shared_as: Option<Box<[u8]>>,
    /// What it leads to.
    pub rule: Rule,
}

/// A descriptor of the file.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Its limits: none lets pass, the additions allow several.
    pub limits: Vec<ReferenceLimit>,
    /// Its children.
    pub below: Node,
}

/// A limit of a reference domain.
#[derive(Clone, Debug)]
pub struct ReferenceLimit {
    /// What callers are shown; may be empty.
    pub name: Arc<str>,
    /// The dotted path of the rule, for `/rlconfig`.
    pub path: Box<str>,
    /// How much it allows.
    pub number: Number,
    /// When it forgets.
    pub window: Window,
    /// As [`ReferenceDomain::identity_of`] its window.
    pub identity: u128,
    /// As [`identity`](Self::identity), of this rule alone: the counter that newcomers share.
    pub overflow: u128,
    /// The window's unit as the wire names it.
    pub unit: WireUnit,
    /// How many units the window is long.
    pub multiplier: u32,
    /// Counted, never refuses.
    pub shadow: bool,
    /// Refuses only when all quota rules of a call are over.
    pub quota: bool,
    /// Names of limits that are set aside when this one is touched.
    pub replaces: Vec<Box<str>>,
    /// Merged into the dynamic metadata of answers.
    pub metadata: BTreeMap<Box<str>, Metadata>,
    /// What came of asking it.
    pub tally: Arc<Tally>,
}

/// A unit of time by its name on Envoy's wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WireUnit {
    /// No unit of time.
    Unknown,
    /// 1 s.
    Second,
    /// 60 s.
    Minute,
    /// 3,600 s.
    Hour,
    /// 86,400 s.
    Day,
    /// 7 days; fixed windows of it begin on Thursdays.
    Week,
    /// 30 days.
    Month,
    /// 365 days.
    Year,
}

/// A value of a rule's metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Metadata {
    /// Nothing.
    Null,
    /// A truth value.
    Bool(bool),
    /// Any number.
    Number(f64),
    /// A text.
    Text(Box<str>),
    /// A list.
    List(Vec<Metadata>),
    /// A mapping.
    Map(BTreeMap<Box<str>, Metadata>),
}

impl From<Period> for WireUnit {
    fn from(period: Period) -> Self {
        match period {
            Period::Day => Self::Day,
            Period::Week => Self::Week,
            Period::Month => Self::Month,
            Period::Year => Self::Year,
        }
    }
}

impl WireUnit {
    /// Its length in seconds; 0 when unknown.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Unknown => 0,
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 604_800,
            Self::Month => 2_592_000,
            Self::Year => 31_536_000,
        }
    }

    /// Its name, in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Second => "SECOND",
            Self::Minute => "MINUTE",
            Self::Hour => "HOUR",
            Self::Day => "DAY",
            Self::Week => "WEEK",
            Self::Month => "MONTH",
            Self::Year => "YEAR",
        }
    }

    /// Every unit of time, shortest first.
    pub const ALL: [Self; 7] =
        [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];
}

impl ReferenceDomain {
    /// What makes the counters of `domain` with `window` others' counters, beside the path of the entries. Never
    /// the number, and never the rule: a limit that a caller sends shares the counter of the file's.
    pub fn identity_of(domain: &str, window: &Window) -> u128 {
        identity(&[b"reference", b"counter", domain.as_bytes(), &window.identity().to_le_bytes()])
    }

    /// The name of the one counter that newcomers to the rule at `path` share when a store is full.
    pub fn overflow_of(domain: &str, window: &Window, path: &str) -> u128 {
        let window = window.identity().to_le_bytes();
        identity(&[b"reference", b"overflow", domain.as_bytes(), &window, path.as_bytes()])
    }

    /// The rule at which `entries` end, and for each entry the value that stands for it in the path of the
    /// counter: its own, or the shared pattern.
    pub fn find<'a>(&'a self, entries: &Entries<'a>) -> Option<(&'a Rule, PathValues<'a>)> {
        let mut level = &self.root;
        let mut path = PathValues::new();
        let mut found = None;
        for entry in entries {
            let (rule, shown) = level.step(entry.key, entry.value)?;
            path.push(shown);
            level = &rule.below;
            found = Some(rule);
        }
        found.map(|rule| (rule, path))
    }
}

impl Node {
    fn step<'a>(&'a self, key: &[u8], value: &'a [u8]) -> Option<(&'a Rule, &'a [u8])> {
        if let Some(rule) = self.exact.get(key).and_then(|values| values.get(value)) {
            return Some((rule, value));
        }
        let as_written = |wildcard: &&Wildcard| wildcard.is_written_as(key, value);
        let taking = |wildcard: &&Wildcard| wildcard.takes(key, value);
        if let Some(wildcard) =
            self.wildcards.iter().find(as_written).or_else(|| self.wildcards.iter().find(taking))
        {
            return Some((&wildcard.rule, wildcard.shared_as.as_deref().unwrap_or(value)));
        }
        self.by_key.get(key).or_else(|| self.called(key)).map(|rule| (rule, value))
    }

    /// The rule of a wildcard whose text is just `key`, which its own pattern need not take.
    fn called(&self, key: &[u8]) -> Option<&Rule> {
        let named = |wildcard: &&Wildcard| wildcard.value.is_none() && *wildcard.written.0 == *key;
        self.wildcards.iter().find(named).map(|wildcard| &wildcard.rule)
    }
}

impl Wildcard {
    /// Whether an entry of `key` and `value` is one of those it stands for.
    pub fn takes(&self, key: &[u8], value: &[u8]) -> bool {
        match &self.value {
            Some(parts) => matches_pattern(&self.key, key) && matches_pattern(parts, value),
            None => matches_pattern(&self.key, &joined(key, value)),
        }
    }

    /// Whether it takes all that `later` takes. A pattern that takes another one's text does: the `*` of that
    /// text are the only thing in it that a `*` can match.
    pub fn hides(&self, later: &Self) -> bool {
        let (key, value) = (&*later.written.0, &*later.written.1);
        match (&self.value, &later.value) {
            (None, None) => matches_pattern(&self.key, key),
            (Some(_), None) => false,
            (_, Some(_)) => self.takes(key, value),
        }
    }

    fn is_written_as(&self, key: &[u8], value: &[u8]) -> bool {
        match &self.value {
            Some(_) => *self.written.0 == *key && *self.written.1 == *value,
            None => *self.written.0 == *joined(key, value),
        }
    }
}

/// An entry as one text, as the reference compares it.
fn joined(key: &[u8], value: &[u8]) -> SmallVec<[u8; 128]> {
    [key, b"_", value].into_iter().flatten().copied().collect()
}

/// Whether `text` is the literal `parts` in order, with anything between each and the next: first and last
/// are anchored, the middle ones are taken as far left as they go.
fn matches_pattern(parts: &[Box<[u8]>], text: &[u8]) -> bool {
    let [first, middle @ .., last] = parts else {
        return parts.first().is_some_and(|whole| **whole == *text);
    };
    let Some(inner) = text.strip_prefix(&**first).and_then(|rest| rest.strip_suffix(&**last)) else {
        return false;
    };
    middle
        .iter()
        .try_fold(inner, |rest, part| {
            if part.is_empty() {
                return Some(rest);
            }
            let at = rest.windows(part.len()).position(|window| *window == **part)?;
            Some(&rest[at + part.len()..])
        })
        .is_some()
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[test]
    fn wildcards_stand_for_any_text() {
        let split = |pattern: &str| -> Vec<Box<[u8]>> {
            pattern.split('*').map(|part| part.as_bytes().into()).collect()
        };
        for (pattern, yes, no) in [
            ("foo*", vec!["foo", "foo1"], vec!["fo", "xfoo"]),
            ("bar*b", vec!["barb", "bar123b"], vec!["bara", "xbarb", "bar"]),
            ("foo*bar*baz", vec!["foobarbaz", "foo1bar2baz"], vec!["foo1baz", "bar2baz", "foobaz"]),
            ("a*a", vec!["aa", "aba"], vec!["a"]),
            ("*", vec!["", "x"], vec![]),
            ("**x", vec!["x", "yx"], vec!["xy"]),
        ] {
            for text in yes {
                assert!(matches_pattern(&split(pattern), text.as_bytes()), "{pattern} takes {text}");
            }
            for text in no {
                assert!(!matches_pattern(&split(pattern), text.as_bytes()), "{pattern} refuses {text}");
            }
        }
    }
}
