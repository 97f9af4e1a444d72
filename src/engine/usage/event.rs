//! One usage event, put together of what was written down.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::calendar;
use crate::clock::Timestamp;
use crate::money::NanoUsd;
use crate::prices::Class;
use crate::store::{Before, Note, Place, Spending, Trail};

/// What was spent at once, or refused.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) at: Timestamp,
    pub(super) spending: Option<Spending>,
    members: Map<String, Value>,
}

/// Which event: where it stands in which trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventId {
    millis: u64,
    trail: Trail,
    number: u64,
}

impl Event {
    /// What `note` of `trail` says; `None` if it is none of ours.
    pub(super) fn of(note: Note, trail: Trail) -> Option<Self> {
        let mut members: Map<String, Value> = serde_json::from_slice(&note.about).ok()?;
        let line: Map<String, Value> = serde_json::from_slice(&note.line).ok()?;
        let says = |name| line.contains_key(name);
        if (says("named") || says("models")) && !says("unpriced") {
            // What was reserved for another model is priced as what it was used for.
            members.remove("model");
        }
        members.extend(line);
        members.insert("id".into(), EventId::new(trail, note.place).to_string().into());
        members.insert("time".into(), calendar::in_utc_to_the_microsecond(note.at).into());
        members.insert("kind".into(), if note.spending.is_some() { "settle" } else { "refusal" }.into());
        if let Some(spending) = &note.spending {
            members.insert("found".into(), found(spending.found).into());
            members.insert("tokens".into(), spending.tokens.into());
            members.insert("classes".into(), json!(classes(spending).collect::<Map<_, _>>()));
            members.insert("nano_usd".into(), spending.money.into());
            members.insert("usd".into(), NanoUsd(spending.money).to_decimal().into());
        }
        Some(Self { at: note.at, spending: note.spending, members })
    }

    /// The domain it happened in.
    pub(super) fn domain(&self) -> &str {
        self.members.get("domain").and_then(Value::as_str).unwrap_or_default()
    }

    /// The keyed hash of its subject by `key`.
    pub(super) fn subject(&self, key: &str) -> Option<&str> {
        self.members.get("subject")?.get(key)?.as_str()
    }

    /// As JSON, in one line.
    pub(super) fn to_line(&self) -> String {
        serde_json::to_string(&self.members).unwrap_or_default() + "\n"
    }
}

/// The classes of which any tokens were spent, by name.
pub(super) fn classes(spending: &Spending) -> impl Iterator<Item = (String, Value)> {
    let counts = Class::ALL.into_iter().zip(&spending.classes).filter(|(_, count)| **count > 0);
    counts.map(|(class, count)| (class.name().to_owned(), Value::from(*count)))
}

const fn found(before: Before) -> &'static str {
    match before {
        Before::Held => "held",
        Before::Late => "late",
        Before::Unheld => "unheld",
        Before::Settled => "settled",
        Before::Unknown => "unknown",
    }
}

impl EventId {
    /// Of what stands at `place` of `trail`.
    pub(super) const fn new(trail: Trail, place: Place) -> Self {
        Self { millis: place.millis, trail, number: place.number }
    }

    /// Reads what [`Display`](fmt::Display) has written.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (trail, place) = match text.strip_prefix('s') {
            Some(place) => (Trail::Spent, place),
            None => (Trail::Refused, text.strip_prefix('r')?),
        };
        let (millis, number) = place.split_once('-')?;
        Some(Self { millis: millis.parse().ok()?, trail, number: number.parse().ok()? })
    }

    /// Where `trail` goes on behind it. Of one millisecond, what was spent comes first.
    pub(super) fn place_behind(self, trail: Trail) -> Place {
        let Self { millis, number, .. } = self;
        match trail.cmp(&self.trail) {
            std::cmp::Ordering::Equal => Place { millis, number }.next(),
            std::cmp::Ordering::Less => Place { millis: millis.saturating_add(1), number: 0 },
            std::cmp::Ordering::Greater => Place { millis, number: 0 },
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trail = match self.trail {
            Trail::Spent => 's',
            Trail::Refused => 'r',
        };
        write!(f, "{trail}{}-{}", self.millis, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_all_behind_it_is_behind() {
        for trail in [Trail::Spent, Trail::Refused] {
            let id = EventId::new(trail, Place { millis: 1_795_262_400_123, number: 7 });
            assert_eq!(EventId::parse(&id.to_string()), Some(id));
            for other in [Trail::Spent, Trail::Refused] {
                let behind = EventId::new(other, id.place_behind(other));
                assert!(behind > id, "{behind} {id}");
            }
        }
        for text in ["", "s", "s1", "1-1", "x1-1", "s-1", "s1-", "s1-1-1", "s1-a"] {
            assert_eq!(EventId::parse(text), None, "{text}");
        }
    }
}
