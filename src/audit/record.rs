//! A record: one line of JSON, which ends with the hash of all before that in the line.
//!
//! The hash covers the bytes as they are, so nothing has to be written in one way only. It stands at the very end, where
//! it is found by its length.

use serde_json::{Map, Value as Json};

use crate::calendar::{in_utc_to_the_microsecond, instant};
use crate::clock::Timestamp;
use crate::limits::{Overlay, Placed, SubjectId};

use super::hash::DIGITS;
use super::{Event, Hash, Head, Outcome, Set, set};

/// Where a target names whom a record is about, as far as it takes several names.
pub const SUBJECT_MEMBERS: [&str; 3] = ["subject", "with", "and"];

/// What stands before the hash, and behind it.
const BEFORE_HASH: &[u8] = b",\"hash\":\"";
const BEHIND_HASH: &[u8] = b"\"}";
const TAIL: usize = BEFORE_HASH.len() + DIGITS + BEHIND_HASH.len();

/// A record, as it is read. Roles, actions and outcomes are words: another version may know more of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its number, from 1.
    pub number: u64,
    /// When it was made, by the clock of the instance that made it.
    pub at: Timestamp,
    /// Who did it: the name of a token or a certificate. Empty if nobody knows.
    pub who: Box<str>,
    /// Their role then; empty as well.
    pub role: Box<str>,
    /// From which address, where that was known.
    pub from: Option<Box<str>>,
    /// What was done.
    pub action: Box<str>,
    /// What came of it: `done`, `refused` or `failed`.
    pub outcome: Box<str>,
    /// In which domain, where it was in one.
    pub domain: Option<Box<str>>,
    /// To what. `null` where nothing is told, as in `before` and `after`.
    pub target: Json,
    /// How it was.
    pub before: Json,
    /// How it is from then on.
    pub after: Json,
    /// Why, in their words.
    pub reason: Box<str>,
    /// What it sets over the files.
    pub sets: Vec<Set>,
    /// The hash of the record before.
    pub prev: Hash,
    /// Its own hash.
    pub hash: Hash,
}

/// What ties a line to those before it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) number: u64,
    pub(super) prev: Hash,
    /// The hash that the line says it has.
    pub(super) said: Hash,
    /// The hash that it has.
    pub(super) own: Hash,
}

/// A line, read as JSON.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) link: Link,
    members: Map<String, Json>,
}

/// The line of the record `number` behind `head` that says `event`, made `at` some instant; without an end of line.
pub(super) fn line(event: &Event, number: u64, head: Head, at: Timestamp) -> Vec<u8> {
    let mut line = format!("{{\"n\":{number}");
    let mut add = |name: &str, value: Json| {
        if !value.is_null() {
            line += &format!(",\"{name}\":{value}");
        }
    };
    let text = |text: &str| Json::from(text);
    add("at", in_utc_to_the_microsecond(at).into());
    if event.actor.is_known() {
        add("who", text(&event.actor.name));
        add("role", text(event.actor.role.name()));
    }
    add("from", event.actor.from.map(|from| from.to_string()).into());
    add("action", text(event.action.name()));
    add("outcome", text(event.outcome.name()));
    add("domain", event.domain.as_deref().map_or(Json::Null, text));
    add("target", event.target.clone());
    add("before", event.before.clone());
    add("after", event.after.clone());
    add("reason", if event.reason.is_empty() { Json::Null } else { text(&event.reason) });
    let sets: Vec<Json> = event.sets.iter().map(set::to_json).collect();
    add("sets", if sets.is_empty() { Json::Null } else { sets.into() });
    add("prev", head.hash.to_string().into());
    let mut line = line.into_bytes();
    let hash = Hash::of(&line);
    line.extend_from_slice(BEFORE_HASH);
    line.extend_from_slice(hash.to_string().as_bytes());
    line.extend_from_slice(BEHIND_HASH);
    line
}

impl Read {
    /// Reads a line; `None` if it is no record at all.
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        let (body, tail) = line.split_at(line.len().checked_sub(TAIL)?);
        let said = tail.strip_prefix(BEFORE_HASH)?.strip_suffix(BEHIND_HASH)?;
        let said = Hash::parse(std::str::from_utf8(said).ok()?)?;
        let members: Map<String, Json> = serde_json::from_slice(line).ok()?;
        let number = members.get("n")?.as_u64()?;
        let prev = Hash::parse(members.get("prev")?.as_str()?)?;
        Some(Self { link: Link { number, prev, said, own: Hash::of(body) }, members })
    }

    /// All that it says; `None` if that makes no sense to this version.
    pub(super) fn record(&self) -> Option<Record> {
        let text = |name: &str| Some(Box::<str>::from(self.members.get(name)?.as_str()?));
        let json = |name: &str| self.members.get(name).cloned().unwrap_or_default();
        let sets = match self.members.get("sets") {
            None => Vec::new(),
            Some(sets) => sets.as_array()?.iter().map(set::of_json).collect::<Option<_>>()?,
        };
        Some(Record {
            number: self.link.number,
            at: instant(&text("at")?)?,
            who: text("who").unwrap_or_default(),
            role: text("role").unwrap_or_default(),
            from: text("from"),
            action: text("action")?,
            outcome: text("outcome")?,
            domain: text("domain"),
            target: json("target"),
            before: json("before"),
            after: json("after"),
            reason: text("reason").unwrap_or_default(),
            sets,
            prev: self.link.prev,
            hash: self.link.said,
        })
    }
}

impl Record {
    /// Reads a line, whatever its place in a chain; `None` if it is none that this version understands.
    pub fn of_line(line: &[u8]) -> Option<Self> {
        Read::of(line)?.record()
    }

    /// Whether it is about `subjects`, all at once; if there are none, whether it is about what all share. What is named
    /// beside them does not matter, and neither do other rows.
    pub fn is_about(&self, subjects: &[SubjectId]) -> bool {
        let each = self.target.get("each").and_then(Json::as_array);
        let of_one = std::slice::from_ref(&self.target);
        each.map_or(of_one, Vec::as_slice).iter().any(|target| {
            let named = || SUBJECT_MEMBERS.iter().filter_map(|member| target.get(member));
            let is_named =
                |subject: &SubjectId| named().filter_map(set::subject).any(|named| named == *subject);
            match subjects {
                [] => is_of_a_limit(target) && target.get("tier").is_none() && named().next().is_none(),
                _ => subjects.iter().all(is_named),
            }
        })
    }

    /// Sets in `overlay` what it sets, if it is done.
    pub(super) fn fold(&self, overlay: &mut Overlay) {
        if *self.outcome != *Outcome::Done.name() {
            return;
        }
        for set in &self.sets {
            match set.clone() {
                Set::Place { target, value, until } => {
                    // By the time of the record, so that all who fold it keep the same.
                    overlay.make_room(self.at);
                    overlay.place(target, Placed { value, until, version: self.number });
                }
                Set::Remove { target } => overlay.remove(&target, self.number),
            }
        }
    }
}

/// Whether a target names limits.
fn is_of_a_limit(target: &Json) -> bool {
    ["limit", "limits"].iter().any(|member| target.get(member).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Action, Actor};
    use crate::limits::{Number, Target, Unit, Value};

    #[test]
    fn what_has_ended_by_a_record_makes_room_for_what_it_sets() {
        let own = |user| Target::Own {
            domain: "shop".into(),
            limit: "login".into(),
            subject: SubjectId { key: "user".into(), hash: user },
        };
        let value = Value::Number(Number::AtMost(1), Unit::Hits);
        let mut overlay = Overlay::default();
        for user in 0..Overlay::MOST_OF_SUBJECTS as u128 {
            let until = Some(Timestamp(10 + u64::from(user > 0)));
            overlay.place(own(user), Placed { value: value.clone(), until, version: 1 });
        }
        let mut event = Event::new(Actor::tollgate(), Action::UpdateLimit, Outcome::Done);
        event.sets = vec![Set::Place { target: own(u128::MAX), value, until: None }];
        let made = line(&event, 2, Head::default(), Timestamp(10));
        Record::of_line(&made).unwrap().fold(&mut overlay);
        let is_set = |user| overlay.get(&own(user)).is_some();
        assert_eq!([is_set(0), is_set(1), is_set(u128::MAX)], [false, true, true]);
    }
}
