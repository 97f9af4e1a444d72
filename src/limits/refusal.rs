//! What the body of a refusal says, filled in at load with all that is known then.
//!
//! A refusal is the answer that costs the most to word and that an attacker gets most often. Only the time to wait
//! is left to the call.

use std::sync::Arc;

use super::limit::Limit;
use super::native::{Headers, TierId, Tiers};

/// The bodies of all refusals by one limit.
#[derive(Clone, Debug)]
pub struct Refusals {
    /// For a call of each tier that finds no room.
    by_tier: Vec<Refusal>,
    /// For a call without the subject.
    unnamed: Refusal,
    /// For a call while its breaker is open.
    stopped: Refusal,
}

/// The body of a refusal by one limit, in the pieces around the time to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(Box<[Arc<str>]>);

impl Refusals {
    /// The bodies by `template` of refusals by `limit`.
    pub fn of(limit: &Limit, tiers: &Tiers, template: &str) -> Self {
        let exceeded = |(number, tier)| limit.exceeded(number, tiers, TierId(tier));
        let by_tier = limit.numbers.iter().copied().zip(0..).map(exceeded);
        Self {
            by_tier: by_tier.map(|what| Refusal::new(template, &what, limit)).collect(),
            unnamed: Refusal::new(template, &limit.needs(), limit),
            stopped: Refusal::new(template, &limit.stops(), limit),
        }
    }

    /// Of a call of `tier` that finds no room within the tier's own number.
    pub fn on(&self, tier: TierId) -> &Refusal {
        &self.by_tier[tier.0]
    }

    /// Of a call without the subject.
    pub fn unnamed(&self) -> &Refusal {
        &self.unnamed
    }

    /// Of a call that wants to spend while the limit's breaker is open.
    pub fn stopped(&self) -> &Refusal {
        &self.stopped
    }
}

impl Refusal {
    /// Fills `{what}` and `{limit}` of `template` in, as the insides of JSON strings.
    pub fn new(template: &str, what: &str, limit: &Limit) -> Self {
        let filled = template.replace("{what}", &escaped(what)).replace("{limit}", &escaped(&limit.name));
        Self(filled.split("{retry_after}").map(Arc::from).collect())
    }

    /// As [`Refusal::new`], where nobody could look whether `what` is exceeded: the default says no more than that. A
    /// template of somebody's own may begin with any words, so there `what` says it.
    pub fn unchecked(template: &str, what: &str, limit: &Limit) -> Self {
        if template == Headers::BODY {
            return Self::new(Headers::UNCHECKED_BODY, what, limit);
        }
        Self::new(template, &format!("{what} cannot be checked now"), limit)
    }

    /// The whole body, with the seconds to wait filled in; `None` says that waiting does not help.
    pub fn body(&self, retry_after: Option<u64>) -> Arc<str> {
        match &*self.0 {
            [whole] => Arc::clone(whole),
            pieces => {
                let wait = retry_after.map_or_else(|| "null".to_owned(), |seconds| seconds.to_string());
                pieces.join(&*wait).into()
            }
        }
    }
}

/// Fit to stand inside a JSON string.
fn escaped(text: &str) -> String {
    let escape = |character: char| match character {
        '"' | '\\' => format!("\\{character}"),
        control if control.is_control() => format!("\\u{:04x}", u32::from(control)),
        plain => plain.to_string(),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::{Refusal, escaped};

    #[test]
    fn only_the_wait_is_left_to_the_call() {
        let pieces = |text: &str| Refusal(text.split("{retry_after}").map(Into::into).collect());
        assert_eq!(
            &*pieces("{\"in\":{retry_after},\"again\":{retry_after}}").body(Some(7)),
            "{\"in\":7,\"again\":7}"
        );
        assert_eq!(&*pieces("{retry_after}").body(None), "null");
        assert_eq!(&*pieces("no").body(Some(7)), "no");
    }

    #[test]
    fn texts_fit_into_json() {
        assert_eq!(escaped("a\"b\\c\n"), "a\\\"b\\\\c\\u000a");
    }
}
