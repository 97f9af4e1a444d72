//! What is to be recorded: who does what, why, and what it sets over the files.

use serde_json::Value as Json;

use crate::clock::Timestamp;
use crate::limits::{Target, Value};

use super::{Action, Actor, Outcome};

/// What is to be recorded. It holds no value of a caller's subject, only keyed hashes; see [`subject_json`].
///
/// [`subject_json`]: super::subject_json
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Who does it.
    pub actor: Actor,
    /// What they do.
    pub action: Action,
    /// What comes of it.
    pub outcome: Outcome,
    /// In which domain, where it is in one.
    pub domain: Option<Box<str>>,
    /// To what, for people to read. `null` where there is nothing to say, as in `before` and `after`.
    pub target: Json,
    /// How it was.
    pub before: Json,
    /// How it is from then on.
    pub after: Json,
    /// Why, in their words; may be empty.
    pub reason: Box<str>,
    /// What it sets over the files: this alone counts, and only of what is [`Outcome::Done`].
    pub sets: Vec<Set>,
}

impl Event {
    /// That `actor` does `action`, with nothing else to say.
    pub fn new(actor: Actor, action: Action, outcome: Outcome) -> Self {
        let (target, before, after) = (Json::Null, Json::Null, Json::Null);
        let (reason, sets) = (Box::default(), Vec::new());
        Self { actor, action, outcome, domain: None, target, before, after, reason, sets }
    }

    /// That the same was begun, and may not be done.
    #[must_use]
    pub fn failed(&self) -> Self {
        Self { outcome: Outcome::Failed, after: Json::Null, sets: Vec::new(), ..self.clone() }
    }
}

/// What somebody would do who may not, as far as they have said. It holds no value of a caller's subject either.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// In which domain, where it is in one.
    pub domain: Option<Box<str>>,
    /// To what, as an [`Event`] that it is done would say it; `null` where there is nothing to say.
    pub target: Json,
}

/// One thing that is set over the files, or left to them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Set {
    /// It is set.
    Place {
        /// What.
        target: Target,
        /// To what.
        value: Value,
        /// The first instant at which it holds no longer; `None` if it has no end.
        until: Option<Timestamp>,
    },
    /// It is as the files have it again.
    Remove {
        /// What.
        target: Target,
    },
}
