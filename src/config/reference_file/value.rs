//! The values of one mapping by key, read as the reference reads them: an absent or empty value is nothing.
//!
//! Numbers with a fraction and integers beyond 64 bits are errors wherever they stand; [`super::keys`] has said
//! so already, so they are passed over here.

use crate::config::diagnostic::{Position, Report, shorten};
use crate::config::yaml::{Kind, Node};

/// The keys and values of one mapping.
#[derive(Clone, Copy)]
pub(super) struct Values<'n>(&'n [(Node, Node)]);

impl<'n> Values<'n> {
    /// Of `node`; none where it is no mapping.
    pub(super) fn of(node: &'n Node) -> Self {
        Self(node.as_map().unwrap_or_default())
    }

    /// The value of `key`, unless it is empty.
    pub(super) fn get(self, key: &str) -> Option<&'n Node> {
        self.entry(key).map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// Where `key` stands.
    pub(super) fn at(self, key: &str) -> Option<Position> {
        self.entry(key).map(|(key, _)| key.at)
    }

    /// The text of `key`; a number or truth value is the text it was written as.
    pub(super) fn text(self, key: &str, report: &mut Report) -> &'n str {
        let Some(value) = self.get(key) else { return "" };
        value.as_text().unwrap_or_else(|| {
            report.error(value.at, format!("'{key}' is {}", value.describe()), "write a text");
            ""
        })
    }

    /// Whether `key` is set to true.
    pub(super) fn flag(self, key: &str, report: &mut Report) -> bool {
        let Some(value) = self.get(key) else { return false };
        value.as_bool().unwrap_or_else(|| {
            if !is_reported(value) {
                let message = format!("'{key}' is {}", value.describe());
                report.error(value.at, message, "write true or false, without quotes");
            }
            false
        })
    }

    /// The whole number of `key`, within `from` and 4294967295.
    pub(super) fn number(self, key: &str, from: u32, report: &mut Report) -> Option<u32> {
        let value = self.get(key)?;
        if is_reported(value) {
            return None;
        }
        let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| *number >= from);
        if number.is_none() {
            let fix = format!("write a whole number from {from} to {}, without quotes", u32::MAX);
            report.error(value.at, format!("'{key}' is {}", value.describe()), fix);
        }
        number
    }

    /// The items of the list of `key` that are mappings; others have been reported as such.
    pub(super) fn mappings(self, key: &str, report: &mut Report) -> Vec<&'n Node> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let Kind::List(items) = &value.kind else {
            let message = format!("'{key}' is {}", value.describe());
            report.error(value.at, message, format!("write a list: begin each item of '{key}' with '- '"));
            return Vec::new();
        };
        items.iter().filter(|item| item.as_map().is_some()).collect()
    }

    fn entry(self, key: &str) -> Option<&'n (Node, Node)> {
        self.0.iter().find(|(name, _)| name.literal() == Some(key))
    }
}

/// Whether `value` is a number that is an error wherever it stands.
pub(super) fn is_reported(value: &Node) -> bool {
    value.is_float() || value.as_integer().is_some_and(|number| number > i128::from(i64::MAX))
}

/// A name from a file between quotes, for messages.
pub(super) fn quoted(name: &str) -> String {
    format!("'{}'", shorten(name))
}
