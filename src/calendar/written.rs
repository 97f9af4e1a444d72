//! Instants and days in words: what files and callers write, and what answers say.

use super::{Calendar, Period, instant_of};
use crate::clock::Timestamp;

/// The first instant of the day `date`, written as `2026-12-01`, in the IANA zone `zone`. `None` where one of them is
/// none. What is before 1970 begins with it.
pub fn start_of_day(date: &str, zone: &str) -> Option<Timestamp> {
    let fits = |(at, byte): (usize, u8)| match at {
        4 | 7 => byte == b'-',
        _ => byte.is_ascii_digit(),
    };
    if date.len() != 10 || !date.bytes().enumerate().all(fits) {
        return None;
    }
    let days = Calendar::new(Period::Day, zone, 1).ok()?;
    Some(days.instant(date.parse().ok()?))
}

/// The instant that is written as `2026-12-01T00:00:00Z`, or with another offset. What is before 1970 begins with it.
pub fn instant(text: &str) -> Option<Timestamp> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(u64::try_from(instant.as_microsecond()).unwrap_or(0)))
}

/// `at` in UTC, as `2026-12-01T00:00:00Z`.
pub fn in_utc(at: Timestamp) -> String {
    instant_of(at).to_string()
}

/// `at` in UTC to the microsecond, as `2026-12-01T00:00:00.000000Z`: such texts sort as their instants do.
pub fn in_utc_to_the_microsecond(at: Timestamp) -> String {
    format!("{:.6}", instant_of(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_they_are_written_and_periods_named_by_their_first_day() {
        let at = instant("2026-03-01T04:59:59.999999Z").unwrap();
        assert_eq!(in_utc_to_the_microsecond(at), "2026-03-01T04:59:59.999999Z");
        assert_eq!(instant("2026-02-28T23:59:59.999999-05:00"), Some(at));
        assert_eq!([instant("2026-03-01"), instant("now"), instant("")], [None; 3]);
        let name = |period| Calendar::new(period, "America/New_York", 1).unwrap().name_of(at);
        let periods = [Period::Day, Period::Week, Period::Month, Period::Year];
        assert_eq!(periods.map(name), ["2026-02-28", "2026-02-23", "2026-02", "2026"]);
    }

    #[test]
    fn a_date_begins_at_local_midnight() {
        for (date, zone, expected) in [
            ("2026-12-01", "UTC", Some("2026-12-01T00:00:00Z")),
            ("2026-12-01", "Europe/Berlin", Some("2026-11-30T23:00:00Z")),
            ("2018-11-04", "America/Sao_Paulo", Some("2018-11-04T03:00:00Z")), // midnight itself was skipped
            ("1969-01-01", "UTC", Some("1970-01-01T00:00:00Z")),
            ("2026-02-29", "UTC", None),
            ("20261201", "UTC", None),
            ("2026-12-01T00:00", "UTC", None),
            ("2026-12-1", "UTC", None),
            ("2026-12-01", "Mars/Olympus", None),
        ] {
            assert_eq!(start_of_day(date, zone).map(in_utc).as_deref(), expected, "{date} {zone}");
        }
    }
}
