//! Limits, amounts and windows in words: the body of a refusal says `10 per 1 minute`, operators read `sliding 60s`.

use super::breaker::{Breaker, Reset};
use super::limit::{Estimate, Limit, OnUnknown};
use super::native::{TierId, Tiers};
use super::number::Number;
use super::overlay::ALL_TIERS;
use super::window::{Debt, Unit, Window};
use crate::clock::Micros;
use crate::money::NanoUsd;

impl Limit {
    /// What was exceeded, where the limit allows `number` on the tier `tier` of `tiers`.
    pub fn exceeded(&self, number: Number, tiers: &Tiers, tier: TierId) -> String {
        let Number::AtMost(most) = number else {
            return "unlimited".to_owned();
        };
        if most == 0 {
            return match tiers.names.as_slice() {
                [only] if only.as_ref() == ALL_TIERS => "not available".to_owned(),
                names => format!("not available on tier {}", names[tier.0]),
            };
        }
        let amount = self.unit.in_words(most);
        match &self.window {
            Window::Calendar(calendar, _) => format!("{amount} per {}", calendar.period().name()),
            Window::Concurrent { .. } => format!("{amount} concurrent"),
            Window::Total { .. } => format!("{amount} in total"),
            Window::Request => format!("at most {amount} per request"),
            window => {
                format!("{amount} per {}", span(window.length().map_or(0, |length| length.0 / 1_000_000)))
            }
        }
    }

    /// What is missing in a call without the subject.
    pub fn needs(&self) -> String {
        format!("{} needs {}", self.name, self.subjects)
    }

    /// What stops spending while its breaker is open.
    pub fn stops(&self) -> String {
        format!("the breaker {} is open", self.name)
    }

    /// What is missing in a call whose tokens have no price.
    pub fn unpriced(&self) -> String {
        format!("{} needs a model with a price", self.name)
    }
}

impl Breaker {
    /// How it closes, as a file writes it: `reset: manual`, `reset: auto after 15m, probe: 10%`.
    pub fn in_words(&self) -> String {
        match &self.reset {
            None => "reset: manual".to_owned(),
            Some(Reset { after, probe, .. }) => {
                format!("reset: auto after {}, probe: {probe}", after.in_short())
            }
        }
    }
}

impl Unit {
    /// What it is called beside amounts in decimals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hits => "hits",
            Self::Tokens => "tokens",
            Self::Money => "USD",
        }
    }

    /// The one that [`name`](Self::name) gives.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Hits, Self::Tokens, Self::Money].into_iter().find(|unit| unit.name() == name)
    }

    /// So much of it: `10`, `10 tokens`, `$5.00`.
    pub fn in_words(self, amount: u64) -> String {
        match self {
            Self::Hits => amount.to_string(),
            Self::Tokens => format!("{amount} tokens"),
            Self::Money => NanoUsd(amount).to_string(),
        }
    }
}

impl Window {
    /// Kind, length and zone, as operators read them: `sliding 60s`, `calendar month UTC`.
    pub fn in_words(&self) -> String {
        match self {
            Self::Sliding { length } => format!("sliding {}s", length.ceil_secs()),
            Self::Fixed { length, .. } => format!("fixed {}s", length.ceil_secs()),
            Self::TokenBucket { length, burst } => {
                format!("token bucket {}s burst {burst}", length.ceil_secs())
            }
            Self::Calendar(calendar, _) => {
                format!("calendar {} {}", calendar.in_words(), calendar.zone_name())
            }
            Self::Concurrent { .. } => "concurrent".to_owned(),
            Self::Total { .. } => "total".to_owned(),
            Self::Request => "request".to_owned(),
        }
    }
}

impl Limit {
    /// What it says of debt and holds otherwise than most limits do, as a file writes it, one option each:
    /// `debt: forgive`, `lease: 60s`, `on_unknown: zero`, `estimate: {output: 500}`.
    pub fn options_in_words(&self) -> Vec<String> {
        let debt = match self.window {
            Window::Fixed { debt, .. } | Window::Calendar(_, debt) => Some(debt),
            _ => None,
        };
        let debt = debt.filter(|debt| *debt != Debt::default_for(self.unit)).map(|debt| match debt {
            Debt::Carried => "debt: carry".to_owned(),
            Debt::Forgiven => "debt: forgive".to_owned(),
        });
        let times = [("lease", self.lease), ("max_ttl", self.max_ttl), ("max_age", self.own_max_age())];
        let times =
            times.into_iter().filter_map(|(name, time)| Some(format!("{name}: {}", time?.in_short())));
        let on_unknown = match self.on_unknown {
            OnUnknown::Estimate => None,
            OnUnknown::Zero => Some("on_unknown: zero".to_owned()),
        };
        debt.into_iter().chain(times).chain(on_unknown).chain(self.estimate_in_words()).collect()
    }

    /// How long its holds live at most, where that is not what they live anyway.
    fn own_max_age(&self) -> Option<Micros> {
        let usual = matches!(self.window, Window::Concurrent { .. }).then_some(Window::USUAL_MAX_AGE);
        self.longest_hold().filter(|age| Some(*age) != usual)
    }

    /// The domain's estimate too, where it means something.
    fn estimate_in_words(&self) -> Option<String> {
        let Estimate { output, max_output } = self.estimate;
        let known = [("output", output), ("max_output", max_output)];
        let known = known.into_iter().filter_map(|(name, tokens)| Some(format!("{name}: {}", tokens?)));
        let known = known.collect::<Vec<_>>().join(", ");
        (self.unit != Unit::Hits && !known.is_empty()).then(|| format!("estimate: {{{known}}}"))
    }
}

/// A span in the largest unit that divides it, which stays singular: `15 minute`.
fn span(seconds: u64) -> String {
    let (unit, name) = [(86_400, "day"), (3_600, "hour"), (60, "minute")]
        .into_iter()
        .find(|(unit, _)| seconds.is_multiple_of(*unit))
        .unwrap_or((1, "second"));
    format!("{} {name}", seconds / unit)
}
