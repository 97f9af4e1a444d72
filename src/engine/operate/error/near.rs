//! Names that stand for nothing, and what was meant by them perhaps.

use std::fmt;

use crate::nearest::nearest;

use super::text;

/// How many names are listed where nothing is near to what was written.
const SHOWN: usize = 24;

/// A word that stands for nothing, and what was meant by it perhaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    word: String,
    known: Vec<String>,
}

impl Near {
    /// `word`, which is none of `known`.
    pub(in crate::engine) fn of<'k>(word: &[u8], known: impl Iterator<Item = &'k str>) -> Self {
        let (word, mut all) = (text(word), known.collect::<Vec<_>>());
        all.sort_unstable();
        let known = match nearest(&word, all.iter().copied()) {
            Some(near) => vec![near.to_owned()],
            None => all.into_iter().map(str::to_owned).collect(),
        };
        Self { word, known }
    }
}

impl fmt::Display for Near {
    /// `'fre'; did you mean 'free'?`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.word)?;
        match self.known.as_slice() {
            [] => Ok(()),
            [near] => write!(f, "; did you mean '{near}'?"),
            known => {
                let more = if known.len() > SHOWN { ", …" } else { "" };
                write!(f, "; there are {}{more}", known[..known.len().min(SHOWN)].join(", "))
            }
        }
    }
}
