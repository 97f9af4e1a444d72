//! The records of reservations as bytes: the version of the form, the record's own numbers, then those of each part
//! until nothing is left. A form that was ever written is never given another meaning.

use crate::algorithm::{Unreadable, read_number, write_number};
use crate::calendar::{Calendar, Period};
use crate::clock::{Micros, Timestamp};
use crate::limits::{CounterKey, Debt, Number, OnError, Unit, Window};
use crate::store::FreedBy;
use crate::store::usage::Totals;

use super::{PackedKey, PackedNumber, Perhaps, Record, RecordedPart, Reservation, Wide};

/// The form that is written.
const VERSION: u8 = 4;
/// The one before, in which parts have no memo; all else is the same.
const VERSION_WITHOUT_MEMOS: u8 = 3;
/// The one before that, which knew nothing of debt that is carried either.
const VERSION_WITHOUT_DEBT: u8 = 2;

/// What is one of few is written as its place in these lists, so nothing may ever be taken out of them or moved.
const STATES: [Reservation; 4] =
    [Reservation::Open, Reservation::Settled, Reservation::Released, Reservation::Unheld];
const UNITS: [Unit; 3] = [Unit::Hits, Unit::Tokens, Unit::Money];
const ON_ERRORS: [OnError; 3] = [OnError::Allow, OnError::Deny, OnError::Local];
const FREED_BY: [FreedBy; 3] = [FreedBy::Time, FreedBy::Hand, FreedBy::Holders];
const PERIODS: [Period; 4] = [Period::Day, Period::Week, Period::Month, Period::Year];

const SLIDING: u64 = 1;
const FIXED: u64 = 2;
const BUCKET: u64 = 3;
const CALENDAR: u64 = 4;
const CONCURRENT: u64 = 5;
const TOTAL: u64 = 6;
const REQUEST: u64 = 7;
const FIXED_WITH_DEBT: u64 = 8;
const CALENDAR_WITH_DEBT: u64 = 9;

impl Record {
    /// Writes the record behind what stands in `bytes`.
    pub(in crate::store::memory) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(VERSION);
        write_number(bytes, place(&STATES, self.state));
        let instants = [self.began, self.until, self.ends, self.kept_until];
        [self.body, self.units, self.ttl.0].iter().for_each(|number| write_number(bytes, *number));
        instants.iter().for_each(|at| write_instant(bytes, *at));
        write_number(bytes, self.about.len() as u64);
        bytes.extend_from_slice(&self.about);
        let (tokens, money, classes) = self.totals.numbers();
        [tokens, money, classes.len() as u64].iter().for_each(|number| write_number(bytes, *number));
        classes.iter().for_each(|class| write_number(bytes, *class));
        self.parts.iter().for_each(|part| part.write(bytes));
    }

    /// Reads a record that is all of `bytes`.
    pub(in crate::store::memory) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        match bytes.split_first() {
            Some((&version @ (VERSION_WITHOUT_DEBT..=VERSION), rest)) => {
                Self::read_all(version, rest).ok_or(Unreadable::Torn)
            }
            Some((version, _)) => Err(Unreadable::Version(*version)),
            None => Err(Unreadable::Torn),
        }
    }

    fn read_all(version: u8, mut rest: &[u8]) -> Option<Self> {
        let bytes = &mut rest;
        let state = one_of(&STATES, bytes)?;
        let (body, units) = (read_number(bytes)?, read_number(bytes)?);
        let ttl = read_number(bytes).map(Micros)?;
        let (began, until) = (read_instant(bytes)?, read_instant(bytes)?);
        let (ends, kept_until) = (read_instant(bytes)?, read_instant(bytes)?);
        let about = read_slice(bytes)?.into();
        let (tokens, money, classes) = (read_number(bytes)?, read_number(bytes)?, read_number(bytes)?);
        let classes = (0..classes).map(|_| read_number(bytes)).collect::<Option<_>>()?;
        let totals = Totals::of(tokens, money, classes);
        let mut parts = Vec::new();
        while !bytes.is_empty() {
            parts.push(RecordedPart::read(version, bytes)?);
        }
        Some(Self { body, state, began, until, ttl, ends, units, kept_until, about, totals, parts })
    }
}

impl RecordedPart {
    fn write(&self, bytes: &mut Vec<u8>) {
        let CounterKey { tag, id } = self.key.get();
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes.extend_from_slice(&self.limit.get().to_le_bytes());
        bytes.extend_from_slice(&self.memo.to_le_bytes());
        write_window(bytes, &self.window);
        write_number(
            bytes,
            match self.number.get() {
                Number::Unlimited => 0,
                Number::AtMost(most) => most + 1,
            },
        );
        write_number(bytes, place(&UNITS, self.unit));
        write_number(bytes, place(&ON_ERRORS, self.on_error));
        write_number(bytes, place(&FREED_BY, self.freed_by));
        write_instant(bytes, self.ends);
        let held = self.held.get().map_or(0, |held| held.saturating_add(1));
        [self.granted, held, self.paid, self.taken].iter().for_each(|amount| write_number(bytes, *amount));
    }

    fn read(version: u8, bytes: &mut &[u8]) -> Option<Self> {
        let tag = u64::from_le_bytes(take(bytes)?);
        let id = u128::from_le_bytes(take(bytes)?);
        Some(Self {
            key: PackedKey::of(CounterKey { tag, id }),
            limit: Wide::of(u128::from_le_bytes(take(bytes)?)),
            memo: if version > VERSION_WITHOUT_MEMOS { u64::from_le_bytes(take(bytes)?) } else { 0 },
            window: read_window(bytes)?,
            number: PackedNumber::of(
                read_number(bytes)?.checked_sub(1).map_or(Number::Unlimited, Number::AtMost),
            ),
            unit: one_of(&UNITS, bytes)?,
            on_error: one_of(&ON_ERRORS, bytes)?,
            freed_by: one_of(&FREED_BY, bytes)?,
            ends: read_instant(bytes)?,
            granted: read_number(bytes)?,
            held: Perhaps::of(read_number(bytes)?.checked_sub(1)),
            paid: read_number(bytes)?,
            taken: read_number(bytes)?,
        })
    }
}

fn write_window(bytes: &mut Vec<u8>, window: &Window) {
    let mut numbers = |numbers: &[u64]| numbers.iter().for_each(|number| write_number(bytes, *number));
    match window {
        Window::Sliding { length } => numbers(&[SLIDING, length.0]),
        Window::Fixed { length, debt: Debt::Forgiven } => numbers(&[FIXED, length.0]),
        Window::Fixed { length, debt: Debt::Carried } => numbers(&[FIXED_WITH_DEBT, length.0]),
        Window::TokenBucket { length, burst } => numbers(&[BUCKET, length.0, *burst]),
        Window::Concurrent { max_age } => numbers(&[CONCURRENT, max_age.0]),
        Window::Total { forget } => numbers(&[TOTAL, forget.map_or(0, |span| span.0)]),
        Window::Request => numbers(&[REQUEST]),
        Window::Calendar(calendar, debt) => {
            let zone = calendar.zone_name().as_bytes();
            let period = place(&PERIODS, calendar.period());
            let kind = if *debt == Debt::Carried { CALENDAR_WITH_DEBT } else { CALENDAR };
            numbers(&[kind, period, calendar.anchor().into(), zone.len() as u64]);
            bytes.extend_from_slice(zone);
        }
    }
}

fn read_window(bytes: &mut &[u8]) -> Option<Window> {
    Some(match read_number(bytes)? {
        SLIDING => Window::Sliding { length: read_span(bytes)? },
        FIXED => Window::Fixed { length: read_span(bytes)?, debt: Debt::Forgiven },
        FIXED_WITH_DEBT => Window::Fixed { length: read_span(bytes)?, debt: Debt::Carried },
        BUCKET => Window::TokenBucket { length: read_span(bytes)?, burst: read_number(bytes)? },
        CONCURRENT => Window::Concurrent { max_age: read_span(bytes)? },
        TOTAL => Window::Total { forget: read_number(bytes).map(|span| (span > 0).then_some(Micros(span)))? },
        REQUEST => Window::Request,
        CALENDAR => Window::Calendar(read_calendar(bytes)?, Debt::Forgiven),
        CALENDAR_WITH_DEBT => Window::Calendar(read_calendar(bytes)?, Debt::Carried),
        _ => return None,
    })
}

fn read_calendar(bytes: &mut &[u8]) -> Option<Calendar> {
    let period = one_of(&PERIODS, bytes)?;
    let anchor = u8::try_from(read_number(bytes)?).ok()?;
    let zone = read_slice(bytes)?;
    Calendar::new(period, std::str::from_utf8(zone).ok()?, anchor).ok()
}

/// As many bytes as the number before them says.
fn read_slice<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(read_number(bytes)?).ok()?;
    let (slice, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(slice)
}

/// A span that a window may have: nothing is divided by 0.
fn read_span(bytes: &mut &[u8]) -> Option<Micros> {
    read_number(bytes).filter(|span| *span > 0).map(Micros)
}

/// Never is far ahead, and short to write.
fn write_instant(bytes: &mut Vec<u8>, at: Timestamp) {
    write_number(bytes, at.0.wrapping_add(1));
}

fn read_instant(bytes: &mut &[u8]) -> Option<Timestamp> {
    read_number(bytes).map(|at| Timestamp(at.wrapping_sub(1)))
}

fn place<T: PartialEq>(list: &[T], one: T) -> u64 {
    list.iter().position(|other| *other == one).expect("the list has all there are") as u64
}

fn one_of<T: Copy>(list: &[T], bytes: &mut &[u8]) -> Option<T> {
    list.get(usize::try_from(read_number(bytes)?).ok()?).copied()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn windows() -> Vec<Window> {
        let span = Micros::from_secs(60);
        let calendars = PERIODS.map(|period| Calendar::new(period, "Europe/Berlin", 31).unwrap());
        let others = [
            Window::Sliding { length: span },
            Window::Fixed { length: span, debt: Debt::Forgiven },
            Window::Fixed { length: span, debt: Debt::Carried },
            Window::TokenBucket { length: span, burst: 7 },
            Window::Concurrent { max_age: span },
            Window::Total { forget: None },
            Window::Total { forget: Some(span) },
            Window::Request,
        ];
        let calendars = calendars.into_iter().flat_map(|calendar| {
            [Debt::Forgiven, Debt::Carried].map(|debt| Window::Calendar(calendar.clone(), debt))
        });
        calendars.chain(others).collect()
    }

    fn part() -> impl Strategy<Value = RecordedPart> {
        let number = prop_oneof![Just(Number::Unlimited), (0..1_u64 << 53).prop_map(Number::AtMost)];
        let kinds = (prop::sample::select(UNITS.to_vec()), prop::sample::select(FREED_BY.to_vec()));
        let on_error = prop::sample::select(ON_ERRORS.to_vec());
        let window = prop::sample::select(windows());
        let numbers = (any::<u64>(), any::<u128>(), any::<[u64; 5]>());
        (window, number, kinds, on_error, numbers).prop_map(
            |(window, number, (unit, freed_by), on_error, (tag, id, [ends, granted, held, paid, taken]))| {
                let (key, limit, held) = (CounterKey { tag, id }, id.rotate_left(9), held.checked_sub(1));
                let ends = Timestamp(ends);
                RecordedPart {
                    key: PackedKey::of(key),
                    limit: Wide::of(limit),
                    memo: tag.rotate_left(7),
                    window,
                    number: PackedNumber::of(number),
                    unit,
                    on_error,
                    freed_by,
                    ends,
                    granted,
                    held: Perhaps::of(held),
                    paid,
                    taken,
                }
            },
        )
    }

    fn record() -> impl Strategy<Value = Record> {
        let parts = prop::collection::vec(part(), 0..6);
        let about = prop::collection::vec(any::<u8>(), 0..200);
        let totals = (any::<u64>(), any::<u64>(), prop::collection::vec(any::<u64>(), 0..5));
        let state = prop::sample::select(STATES.to_vec());
        (state, any::<[u64; 7]>(), about, totals, parts).prop_map(
            |(
                state,
                [body, units, ttl, began, until, ends, kept_until],
                about,
                (tokens, money, classes),
                parts,
            )| {
                let [began, until, ends, kept_until] = [began, until, ends, kept_until].map(Timestamp);
                let (about, totals, ttl) = (about.into(), Totals::of(tokens, money, classes), Micros(ttl));
                Record { body, state, began, until, ttl, ends, units, kept_until, about, totals, parts }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn a_record_is_read_as_it_was_written(record in record(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = Vec::new();
            record.write(&mut bytes);
            let read = Record::read(&bytes).unwrap();
            prop_assert_eq!(format!("{read:?}"), format!("{record:?}"));
            let (_, cut) = bytes.split_last().unwrap();
            prop_assert_eq!(Record::read(cut).unwrap_err(), Unreadable::Torn);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            // It may be another record, but nothing breaks.
            drop(Record::read(&bytes));
        }
    }

    #[test]
    fn another_version_is_said() {
        assert_eq!(Record::read(&[1, 0]).unwrap_err(), Unreadable::Version(1));
        assert_eq!(Record::read(&[2, 9, 0]).unwrap_err(), Unreadable::Torn);
        assert_eq!(Record::read(&[3, 9, 0]).unwrap_err(), Unreadable::Torn);
        assert_eq!(Record::read(&[VERSION + 1, 0]).unwrap_err(), Unreadable::Version(VERSION + 1));
    }

    #[test]
    fn a_record_from_before_there_were_memos_is_read_without() {
        let part = RecordedPart {
            key: PackedKey::of(CounterKey { tag: 1, id: 2 }),
            limit: Wide::of(3),
            memo: 4,
            window: Window::Request,
            number: PackedNumber::of(Number::AtMost(5)),
            unit: Unit::Tokens,
            on_error: OnError::Deny,
            freed_by: FreedBy::Holders,
            ends: Timestamp(6),
            granted: 7,
            held: Perhaps::of(Some(8)),
            paid: 9,
            taken: 10,
        };
        let mut bytes = Vec::new();
        part.write(&mut bytes);
        bytes.drain(40..48);
        let read = RecordedPart::read(VERSION_WITHOUT_MEMOS, &mut &bytes[..]).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", RecordedPart { memo: 0, ..part }));
    }
}
