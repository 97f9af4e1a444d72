//! Whose counter it is: `per user|ip`, `per user+kit`, `per all`.

use std::fmt;

use smallvec::SmallVec;

use super::key::{KeyHasher, KeySecret, Whose};

/// How a limit finds the subject of a call among its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    /// Joined by `+`: every part is wanted. Empty for `all`: one counter for everybody.
    pub parts: Vec<Vec<Box<[u8]>>>,
}

/// The subject of one call for one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// For each part of the limit's [`Subjects`], the key and value that stand for it.
    pub parts: SmallVec<[Part<'a>; 2]>,
}

/// The key and the value that stand for one part of a subject; `None` where there is neither.
pub type Part<'a> = Option<(&'a [u8], &'a [u8])>;

impl Subjects {
    /// One counter for everybody.
    pub const ALL: Self = Self { parts: Vec::new() };

    /// The subject of a call whose entries have the values `value_of` their keys: for each part the first
    /// alternative that has one.
    pub fn find<'a>(&'a self, value_of: impl Fn(&[u8]) -> Option<&'a [u8]>) -> Subject<'a> {
        let part = |alternatives: &'a Vec<Box<[u8]>>| {
            alternatives.iter().find_map(|key| value_of(key).map(|value| (&**key, value)))
        };
        Subject { parts: self.parts.iter().map(part).collect() }
    }

    /// Whether `keys`, joined by `+`, name such a subject, or the first part of one.
    pub fn are_named_by(&self, keys: &str) -> bool {
        let keys: Vec<&[u8]> = keys.split('+').map(str::as_bytes).collect();
        let names = |(key, part): (&&[u8], &Vec<Box<[u8]>>)| part.iter().any(|known| **known == **key);
        let is_as_long = keys.len() == 1 || keys.len() == self.parts.len();
        !self.parts.is_empty() && is_as_long && keys.iter().zip(&self.parts).all(names)
    }
}

impl fmt::Display for Subjects {
    /// As written: `user|ip`, `user+kit`, `all`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |keys: &Vec<Box<[u8]>>| {
            keys.iter().map(|key| String::from_utf8_lossy(key)).collect::<Vec<_>>().join("|")
        };
        match self.parts.as_slice() {
            [] => f.write_str("all"),
            parts => f.write_str(&parts.iter().map(part).collect::<Vec<_>>().join("+")),
        }
    }
}

impl<'a> Subject<'a> {
    /// The one that has the `value` of `key`.
    pub fn of_one(key: &'a [u8], value: &'a [u8]) -> Self {
        Self { parts: [Some((key, value))].into_iter().collect() }
    }

    /// Whether a part that the limit wants is not among the entries.
    pub fn is_incomplete(&self) -> bool {
        self.parts.iter().any(Option::is_none)
    }

    /// The keyed hash of the subject: all its parts, grouped by the first one.
    pub fn hashed(&self, secret: KeySecret) -> Whose {
        let mut hasher = KeyHasher::new(secret);
        let Some((first, others)) = self.parts.split_first() else {
            return Whose::alone(hasher.finish());
        };
        hash_part(first, &mut hasher);
        let root = hasher.finish();
        others.iter().for_each(|part| hash_part(part, &mut hasher));
        let hash = if others.is_empty() { root } else { hasher.finish() };
        first.map_or(Whose::alone(hash), |_| Whose::grouped(hash, root))
    }
}

/// A missing part is unlike any value.
fn hash_part(part: &Part<'_>, hasher: &mut KeyHasher) {
    match part {
        Some((name, value)) => {
            hasher.piece(name);
            hasher.piece(value);
        }
        None => hasher.piece(b""),
    }
}
