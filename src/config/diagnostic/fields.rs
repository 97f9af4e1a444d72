//! The keys of a mapping, handed out by name; what nobody asked for is unknown.
//!
//! Shared by every reader of files. It knows no key by itself.

use super::{Position, Report, nearest};
use crate::config::yaml::{Kind, Node};

/// One key of a mapping and its value.
#[derive(Clone, Copy, Debug)]
pub struct Field<'n> {
    /// The key.
    pub name: &'n str,
    /// Where the key stands.
    pub at: Position,
    /// The value.
    pub value: &'n Node,
}

/// The keys of one mapping.
#[derive(Debug)]
pub struct Fields<'n> {
    what: String,
    left: Vec<Field<'n>>,
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The keys of `node`, which `what` describes ("domain 'shop'"). Reports what is no mapping, and keys that
    /// are no text.
    pub fn of(node: &'n Node, what: impl Into<String>, report: &mut Report) -> Option<Self> {
        Self::like("write a mapping of keys and values", node, what, report)
    }

    /// The same, where `fix` says what such a mapping looks like.
    pub fn like(fix: &str, node: &'n Node, what: impl Into<String>, report: &mut Report) -> Option<Self> {
        let what = what.into();
        let Kind::Map(entries) = &node.kind else {
            report.error(node.at, format!("{what} is {}", node.describe()), fix);
            return None;
        };
        let mut left = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            match key.literal() {
                Some(name) => left.push(Field { name, at: key.at, value }),
                None => report.error(
                    key.at,
                    format!("a key of {what} is {}", key.describe()),
                    "write a plain word as the key",
                ),
            }
        }
        Some(Self { what, left, known: Vec::new() })
    }

    /// What the mapping describes.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The field called `name`, which is known from now on, whether it is there or not.
    pub fn take(&mut self, name: &'static str) -> Option<Field<'n>> {
        self.known.push(name);
        let index = self.left.iter().position(|field| field.name == name)?;
        Some(self.left.remove(index))
    }

    /// The fields nobody has asked for, in file order: for mappings whose keys the author chooses.
    pub fn rest(self) -> Vec<Field<'n>> {
        self.left
    }

    /// Reports every field that nobody has asked for as an error.
    pub fn finish(self, report: &mut Report) {
        self.finish_but(|_| None, report);
    }

    /// The same, where `home` says of a key that is known elsewhere how it is written there.
    pub fn finish_but(self, home: impl Fn(&str) -> Option<String>, report: &mut Report) {
        for field in &self.left {
            let fix = home(field.name).unwrap_or_else(|| suggestion(field.name, self.known.iter().copied()));
            report.error(field.at, format!("unknown key '{}' in {}", shorten(field.name), self.what), fix);
        }
    }
}

/// What to write in place of the unknown `word`: the nearest of `known`, or one of all.
pub fn suggestion<'k>(word: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> String {
    const SHOWN: usize = 24;
    if let Some(near) = nearest(word, known.clone()) {
        return format!("did you mean '{}'?", shorten(near));
    }
    let mut words: Vec<&str> = known.into_iter().collect();
    words.sort_unstable();
    let more = if words.len() > SHOWN { ", …" } else { "" };
    let shown: Vec<String> = words.iter().take(SHOWN).map(|word| shorten(word)).collect();
    match words.len() {
        0 => "remove it".to_owned(),
        1 => format!("known is only {}", shown[0]),
        _ => format!("known are {}{more}", shown.join(", ")),
    }
}

/// A text from a file as it is shown in a message: short, and on one line.
pub fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    shown = shown.replace("\\'", "'").replace("\\\"", "\"");
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
