//! The window of a limit, out of its word and of the keys that only some windows have.

use super::{At, value};
use crate::calendar::{Calendar, Period};
use crate::clock::Micros;
use crate::config::diagnostic::{Field, Fields, Position, Report};
use crate::config::short_form::{Aligned, Forgets, Quantity, span};
use crate::limits::{Debt, Number, Unit, Window};

/// What can be held.
const HELD: &str = "concurrent, and tokens and money by any window but request";

const DEBTS: [(&str, Debt); 2] = [("carry", Debt::Carried), ("forgive", Debt::Forgiven)];

/// The keys of a limit that only some windows have.
pub(super) struct Written<'n> {
    at: Position,
    zone: &'n str,
    anchor: Option<At<u8>>,
    lease: Option<At<Micros>>,
    max_ttl: Option<At<Micros>>,
    max_age: Option<At<Micros>>,
    forget: Option<At<Micros>>,
    debt: Option<At<Debt>>,
    /// Where `timezone` stands.
    own_zone: Option<Position>,
}

impl<'n> Written<'n> {
    /// Of the limit at `at`, in a file of this zone.
    pub(super) fn new(at: Position, zone: &'n str) -> Self {
        Self {
            at,
            zone,
            anchor: None,
            lease: None,
            max_ttl: None,
            max_age: None,
            forget: None,
            debt: None,
            own_zone: None,
        }
    }

    /// Where the limit stands.
    pub(super) fn at(&self) -> Position {
        self.at
    }

    /// How long a hold lives unless it is renewed.
    pub(super) fn lease(&self) -> Option<Micros> {
        self.lease.map(|lease| lease.value)
    }

    /// How long a hold lives unless it is renewed, at most.
    pub(super) fn max_ttl(&self) -> Option<Micros> {
        self.max_ttl.map(|ttl| ttl.value)
    }

    /// How long a hold lives however often it is renewed.
    pub(super) fn max_age(&self) -> Option<Micros> {
        self.max_age.map(|age| age.value)
    }

    /// Reads the keys.
    pub(super) fn read(&mut self, fields: &mut Fields<'n>, report: &mut Report) {
        if let Some(field) = fields.take("timezone") {
            self.own_zone = Some(field.at);
            self.zone = value::zone(field, report).unwrap_or(self.zone);
        }
        self.anchor = fields.take("anchor").and_then(|field| value::small_number(field, 1, 31, report));
        let time = |field: Field<'_>, report: &mut Report| {
            let value = value::form(field, span, report)?.value;
            Some(At { at: field.at, value })
        };
        self.lease = fields.take("lease").and_then(|field| time(field, report));
        self.max_ttl = fields.take("max_ttl").and_then(|field| time(field, report));
        self.max_age = fields.take("max_age").and_then(|field| time(field, report));
        self.forget = fields.take("forget").and_then(|field| time(field, report));
        self.debt = fields.take("debt").and_then(|field| {
            let value = value::choice(field, &DEBTS, report)?;
            Some(At { at: field.at, value })
        });
    }

    /// The window; `None` where its parts do not fit, which is reported.
    pub(super) fn compile(
        &self,
        forgets: Forgets,
        aligned: Aligned,
        burst: Option<Quantity>,
        unit: Unit,
        report: &mut Report,
    ) -> Option<Window> {
        self.refuse_strangers(forgets, aligned, unit, report);
        self.refuse_long_lives(forgets, report);
        let Forgets::After(length) = forgets else {
            self.refuse_rate_words(aligned, burst, report);
            return self.compile_other(forgets, unit, report);
        };
        match (aligned, burst) {
            (Aligned::No, None) => Some(Window::Sliding { length }),
            (Aligned::Fixed, None) => Some(Window::Fixed { length, debt: self.debt(unit) }),
            (Aligned::No, Some(burst)) => {
                Some(Window::TokenBucket { length, burst: self.burst(burst, unit, report)? })
            }
            (Aligned::Fixed, Some(_)) => {
                report.error(self.at, "'burst' stands beside 'fixed'", "keep one of them");
                None
            }
        }
    }

    fn compile_other(&self, forgets: Forgets, unit: Unit, report: &mut Report) -> Option<Window> {
        match forgets {
            Forgets::Calendar(period) => {
                let anchor = self.anchor.map_or(1, |anchor| anchor.value);
                let calendar = Calendar::new(period, self.zone, anchor);
                let calendar = calendar.expect("zone and anchor have been checked");
                Some(Window::Calendar(calendar, self.debt(unit)))
            }
            Forgets::Concurrent if unit != Unit::Hits => {
                let fix = "use a time, a calendar period or 'total' for tokens and money";
                report.error(self.at, "'concurrent' counts open holds, not tokens or money", fix);
                None
            }
            Forgets::Concurrent => Some(Window::Concurrent {
                max_age: self.max_age.map_or(Window::USUAL_MAX_AGE, |age| age.value),
            }),
            Forgets::Total => Some(Window::Total { forget: self.forget.map(|forget| forget.value) }),
            Forgets::Request => Some(Window::Request),
            Forgets::After(length) => Some(Window::Sliding { length }),
        }
    }

    fn debt(&self, unit: Unit) -> Debt {
        self.debt.map_or(Debt::default_for(unit), |debt| debt.value)
    }

    /// Keys that mean nothing for this window.
    fn refuse_strangers(&self, forgets: Forgets, aligned: Aligned, unit: Unit, report: &mut Report) {
        let is_calendar = matches!(forgets, Forgets::Calendar(_));
        let is_anchored = matches!(forgets, Forgets::Calendar(Period::Month | Period::Year));
        let takes_holds =
            forgets == Forgets::Concurrent || (unit != Unit::Hits && forgets != Forgets::Request);
        let is_owed = unit != Unit::Hits && (is_calendar || aligned == Aligned::Fixed);
        let place = |value: Option<At<Micros>>| value.map(|value| value.at);
        for (key, stands_at, fits, fitting) in [
            ("timezone", self.own_zone, is_calendar, "day, week, month and year"),
            ("anchor", self.anchor.map(|anchor| anchor.at), is_anchored, "month and year"),
            ("lease", place(self.lease), takes_holds, HELD),
            ("max_ttl", place(self.max_ttl), takes_holds, HELD),
            ("max_age", place(self.max_age), takes_holds, HELD),
            (
                "debt",
                self.debt.map(|debt| debt.at),
                is_owed,
                "tokens and money by day, week, month, year or a fixed window",
            ),
            ("forget", place(self.forget), forgets == Forgets::Total, "total"),
        ] {
            if let Some(at) = stands_at.filter(|_| !fits) {
                let message = format!("'{key}' means nothing for this limit");
                report.error(at, message, format!("remove it; it is for {fitting}"));
            }
        }
    }

    /// A hold that asks for nothing lives for the lease, and none outlives the others, so a longer one says what is not so.
    fn refuse_long_lives(&self, forgets: Forgets, report: &mut Report) {
        let fix =
            "write a lease that is no longer, or remove 'max_ttl': a hold lives no longer than the lease";
        refuse_longer(("lease", self.lease), ("max_ttl", self.max_ttl), fix, report);
        let usual =
            (forgets == Forgets::Concurrent).then_some(At { at: self.at, value: Window::USUAL_MAX_AGE });
        let longest = ("max_age", self.max_age.or(usual));
        let fix = match self.max_age {
            Some(_) => "write no more: a hold ends then, however often it is renewed",
            None => {
                "write no more, or a 'max_age' that is as long: a hold ends then, however often it is renewed"
            }
        };
        refuse_longer(("lease", self.lease), longest, fix, report);
        refuse_longer(("max_ttl", self.max_ttl), longest, fix, report);
    }

    fn refuse_rate_words(&self, aligned: Aligned, burst: Option<Quantity>, report: &mut Report) {
        for (word, stands) in [("fixed", aligned == Aligned::Fixed), ("burst", burst.is_some())] {
            if stands {
                let message = format!("'{word}' means nothing for this window");
                report.error(self.at, message, "remove it; it is for times such as 1s or 15m");
            }
        }
    }

    /// How much a bucket of `unit` holds.
    fn burst(&self, burst: Quantity, unit: Unit, report: &mut Report) -> Option<u64> {
        let fits = burst.unit == Some(unit) || (burst.unit.is_none() && unit != Unit::Money);
        let example = match unit {
            Unit::Hits => "20",
            Unit::Tokens => "60k",
            Unit::Money => "$5.00",
        };
        match burst.number {
            Some(Number::AtMost(most)) if fits && most > 0 => Some(most),
            _ => {
                let fix = format!("write a number above 0 of what the limit counts, such as {example}");
                report.error(self.at, "the burst is no number that the bucket can hold", fix);
                None
            }
        }
    }
}

/// Refuses a `short` time that is longer than the `long` one.
fn refuse_longer(
    (short, value): (&str, Option<At<Micros>>),
    (long, most): (&str, Option<At<Micros>>),
    fix: &str,
    report: &mut Report,
) {
    if let (Some(value), Some(most)) = (value, most)
        && value.value > most.value
    {
        let [is, most] = [value.value, most.value].map(Micros::in_short);
        report.error(value.at, format!("'{short}' is {is}, longer than '{long}', which is {most}"), fix);
    }
}
