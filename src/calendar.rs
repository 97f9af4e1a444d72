//! Calendar periods in a time zone: days, weeks from Monday, months and years with a billing anchor.
//!
//! Pure: the instant comes from the caller. The only room that knows zones and daylight saving. A
//! boundary is the first instant of a local date, so a day that loses or gains an hour is still one day.

mod last;
mod written;

use std::sync::Arc;

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};

use crate::clock::{Micros, Timestamp};

use last::LastPeriod;
pub use written::{in_utc, in_utc_to_the_microsecond, instant, start_of_day};

/// The length of a calendar period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// From local midnight to local midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the anchor day of a month to that of the next.
    Month,
    /// From the anchor day of January to that of the next January.
    Year,
}

impl Period {
    /// How long one is on the average of 400 years.
    pub const fn usual_length(self) -> Micros {
        Micros::from_secs(match self {
            Self::Day => 86_400,
            Self::Week => 604_800,
            Self::Month => 2_629_746,
            Self::Year => 31_556_952,
        })
    }

    /// Its word: `day`, `week`, `month`, `year`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

/// A recurring period in a zone. All clones are one, and as small as a pointer.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar(Arc<Periods>);

#[derive(Debug, PartialEq)]
struct Periods {
    period: Period,
    zone: TimeZone,
    zone_name: Arc<str>,
    anchor: u8,
    last: LastPeriod,
}

/// Why a calendar cannot be built.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidCalendar {
    /// No such zone in the IANA database.
    #[error("'{0}' is not an IANA time zone; write one like Europe/Berlin, or UTC")]
    Zone(String),
    /// The billing anchor is no day of a month.
    #[error("anchor {0} is not a day of a month; write 1 to 31")]
    Anchor(u8),
}

impl Calendar {
    /// A calendar of `period` in the IANA zone `zone`. `anchor` is the day of the month on which
    /// months and years begin, clamped to the last day of a short month; days and weeks ignore it.
    pub fn new(period: Period, zone: &str, anchor: u8) -> Result<Self, InvalidCalendar> {
        if !(1..=31).contains(&anchor) {
            return Err(InvalidCalendar::Anchor(anchor));
        }
        let found = TimeZone::get(zone).map_err(|_| InvalidCalendar::Zone(zone.to_owned()))?;
        let (zone_name, last) = (zone.into(), LastPeriod::default());
        Ok(Self(Arc::new(Periods { period, zone: found, zone_name, anchor, last })))
    }

    /// The same periods, begun on every day of the month in turn; none for days and weeks, which have no anchor.
    pub fn on_every_anchor(&self) -> impl Iterator<Item = Self> {
        let Periods { period, zone, zone_name, .. } = &*self.0;
        let on = |anchor| {
            let (zone, zone_name, last) = (zone.clone(), zone_name.clone(), LastPeriod::default());
            Self(Arc::new(Periods { period: *period, zone, zone_name, anchor, last }))
        };
        (1..=31).filter(|_| self.has_anchor()).map(on)
    }

    /// How long a period is.
    pub fn period(&self) -> Period {
        self.0.period
    }

    /// The zone's IANA name, as configured.
    pub fn zone_name(&self) -> &str {
        &self.0.zone_name
    }

    /// The day of the month on which months and years begin.
    pub fn anchor(&self) -> u8 {
        self.0.anchor
    }

    /// The period and, where it makes one begin on another day than the first, the anchor: `month anchor 15`.
    pub fn in_words(&self) -> String {
        match self.0.anchor {
            anchor if self.has_anchor() && anchor != 1 => format!("{} anchor {anchor}", self.0.period.name()),
            _ => self.0.period.name().to_owned(),
        }
    }

    fn has_anchor(&self) -> bool {
        matches!(self.0.period, Period::Month | Period::Year)
    }

    /// Four boundaries around `at`: the starts of the previous period, of the one that holds `at`,
    /// of the next, and of the one after it.
    ///
    /// Whoever owns the counter picks among them by its own clock, so an instance's clock may be
    /// wrong by up to one period without harm.
    pub fn boundaries(&self, at: Timestamp) -> [Timestamp; 4] {
        let current = self.current(at);
        let starts =
            [self.neighbour(current, -1), current, self.neighbour(current, 1), self.neighbour(current, 2)];
        starts.map(|start| self.instant(start))
    }

    /// The starts of the period that holds `at` and of the next.
    #[inline]
    pub fn period_of(&self, at: Timestamp) -> [Timestamp; 2] {
        self.0.last.holding(at).unwrap_or_else(|| self.next_asked(at))
    }

    /// The same, of a period that is asked for from here on.
    #[cold]
    fn next_asked(&self, at: Timestamp) -> [Timestamp; 2] {
        let current = self.current(at);
        let period = [current, self.neighbour(current, 1)].map(|start| self.instant(start));
        self.0.last.keep(period);
        period
    }

    /// The period that holds `at`, by its first date: `2026-11-21` of a day or a week, `2026-11` of a month, `2026` of a
    /// year.
    pub fn name_of(&self, at: Timestamp) -> String {
        let date = self.current(at).to_string();
        let parts = match self.0.period {
            Period::Day | Period::Week => 3,
            Period::Month => 2,
            Period::Year => 1,
        };
        date.splitn(parts + 1, '-').take(parts).collect::<Vec<_>>().join("-")
    }

    /// The first date of the period that holds `at`.
    fn current(&self, at: Timestamp) -> Date {
        let start = self.period_start(self.local_date(at));
        if self.instant(start) > at { self.neighbour(start, -1) } else { start }
    }

    fn local_date(&self, at: Timestamp) -> Date {
        self.0.zone.to_datetime(instant_of(at)).date()
    }

    fn period_start(&self, date: Date) -> Date {
        match self.0.period {
            Period::Day => date,
            Period::Week => shift(date, i64::from(date.weekday().since(Weekday::Monday)).days().negate()),
            Period::Month => {
                let start = self.anchored(date.first_of_month());
                if start <= date { start } else { self.anchored(shift(date.first_of_month(), (-1).months())) }
            }
            Period::Year => {
                let start = self.anchored(date.first_of_year());
                if start <= date { start } else { self.anchored(shift(date.first_of_year(), (-1).years())) }
            }
        }
    }

    fn neighbour(&self, start: Date, steps: i64) -> Date {
        match self.0.period {
            Period::Day => shift(start, steps.days()),
            Period::Week => shift(start, steps.weeks()),
            Period::Month => self.anchored(shift(start.first_of_month(), steps.months())),
            Period::Year => self.anchored(shift(start.first_of_month(), steps.years())),
        }
    }

    /// The anchor day in the month that begins on `first`.
    fn anchored(&self, first: Date) -> Date {
        let day = i64::from(self.0.anchor).min(i64::from(first.days_in_month()));
        shift(first, (day - 1).days())
    }

    fn instant(&self, date: Date) -> Timestamp {
        let micros = self
            .0
            .zone
            .to_zoned(date.at(0, 0, 0, 0))
            .map_or(i64::MAX, |midnight| midnight.timestamp().as_microsecond());
        Timestamp(u64::try_from(micros).unwrap_or(0))
    }
}

fn instant_of(at: Timestamp) -> jiff::Timestamp {
    let micros = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX)
}

fn shift(date: Date, span: Span) -> Date {
    date.saturating_add(span)
}

#[cfg(test)]
mod tests {
    use super::{Calendar, InvalidCalendar, Period};
    use crate::clock::Timestamp;

    fn at(text: &str) -> Timestamp {
        let instant: jiff::Timestamp = text.parse().unwrap();
        Timestamp(u64::try_from(instant.as_microsecond()).unwrap())
    }

    /// The four boundaries around `now`, as instants.
    fn check(period: Period, zone: &str, anchor: u8, now: &str, expected: [&str; 4]) {
        let calendar = Calendar::new(period, zone, anchor).unwrap();
        assert_eq!(calendar.boundaries(at(now)), expected.map(at), "{period:?} {zone} {anchor} at {now}");
        assert_eq!(calendar.period_of(at(now)), [at(expected[1]), at(expected[2])]);
    }

    #[test]
    fn days_begin_at_local_midnight_whatever_the_clocks_do() {
        check(
            Period::Day,
            "Europe/Berlin",
            1,
            "2026-03-29T12:00:00Z", // the day that loses an hour
            ["2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"],
        );
        check(
            Period::Day,
            "America/Sao_Paulo",
            1,
            "2018-11-04T12:00:00Z", // midnight itself was skipped
            ["2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z", "2018-11-06T02:00:00Z"],
        );
    }

    #[test]
    fn weeks_begin_on_monday() {
        check(
            Period::Week,
            "UTC",
            1,
            "2026-11-22T23:59:59Z",
            ["2026-11-09T00:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"],
        );
        check(
            Period::Week,
            "UTC",
            1,
            "2026-11-23T00:00:00Z",
            ["2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z", "2026-12-07T00:00:00Z"],
        );
    }

    #[test]
    fn an_anchor_is_clamped_in_short_months_and_comes_back() {
        check(
            Period::Month,
            "UTC",
            31,
            "2026-03-15T00:00:00Z",
            ["2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z", "2026-04-30T00:00:00Z"],
        );
        check(
            Period::Month,
            "UTC",
            15,
            "2026-01-14T23:59:59.999999Z",
            ["2025-11-15T00:00:00Z", "2025-12-15T00:00:00Z", "2026-01-15T00:00:00Z", "2026-02-15T00:00:00Z"],
        );
    }

    #[test]
    fn years_begin_on_the_anchor_of_january() {
        check(
            Period::Year,
            "UTC",
            1,
            "2024-02-29T10:00:00Z",
            ["2023-01-01T00:00:00Z", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z", "2026-01-01T00:00:00Z"],
        );
        check(
            Period::Year,
            "Asia/Kolkata",
            10,
            "2026-01-05T00:00:00Z",
            ["2024-01-09T18:30:00Z", "2025-01-09T18:30:00Z", "2026-01-09T18:30:00Z", "2027-01-09T18:30:00Z"],
        );
    }

    #[test]
    fn an_instant_belongs_to_the_period_that_it_begins() {
        let calendar = Calendar::new(Period::Month, "UTC", 1).unwrap();
        let [_, start, end, _] = calendar.boundaries(at("2026-11-01T00:00:00Z"));
        assert_eq!((start, end), (at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z")));
    }

    #[test]
    fn refuses_what_is_no_zone_or_day() {
        let error = Calendar::new(Period::Day, "Mars/Olympus", 1).unwrap_err();
        assert_eq!(error, InvalidCalendar::Zone("Mars/Olympus".to_owned()));
        for anchor in [0, 32] {
            assert_eq!(
                Calendar::new(Period::Month, "UTC", anchor).unwrap_err(),
                InvalidCalendar::Anchor(anchor)
            );
        }
    }
}
