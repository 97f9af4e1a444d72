//! What the record of a reservation says of a counter to those who settle it, and its terms behind that: the script
//! hands it back, and reads of it the unit, the counter's name and the terms.

use crate::algorithm::Rule;
use crate::calendar::{Calendar, Period};
use crate::clock::Timestamp;
use crate::limits::{CounterKey, Debt, Number, Unit, Window};
use crate::store::redis::keys;
use crate::store::{Charge, StoreError};

/// Bytes that say how long the rest is, but for the terms.
const LENGTH: usize = 2;
const UNITS: [Unit; 3] = [Unit::Hits, Unit::Tokens, Unit::Money];
const PERIODS: [Period; 4] = [Period::Day, Period::Week, Period::Month, Period::Year];
/// Of a window that only holds, and of one that is neither that nor a calendar's.
const ONLY_HOLDS: u8 = b'h';
const OTHER: u8 = b'o';
const CALENDAR: u8 = b'c';
const CALENDAR_WITH_DEBT: u8 = b'd';

/// A counter of a reservation.
#[derive(Debug)]
pub(super) struct Info<'i> {
    pub(super) unit: Unit,
    pub(super) key: CounterKey,
    pub(super) limit: u128,
    pub(super) memo: u64,
    pub(super) number: Number,
    /// The most that may be used and held at once.
    pub(super) most: Number,
    kind: u8,
    calendar: &'i [u8],
}

/// What the record says of the counter of `charge`, which has these terms.
pub(super) fn write(charge: &Charge<'_>, terms: &[u8]) -> Vec<u8> {
    let Rule { window, number } = charge.rule;
    let mut info = vec![0, 0, place(&UNITS, &charge.unit)];
    info.extend(keys::counter(charge.key));
    info.extend(charge.overflow.to_be_bytes());
    info.extend(charge.memo.to_be_bytes());
    for number in [number, charge.rule.most()] {
        info.extend(double(number).to_le_bytes());
    }
    match window {
        Window::Concurrent { .. } => info.push(ONLY_HOLDS),
        Window::Calendar(calendar, debt) => {
            let kind = if *debt == Debt::Carried { CALENDAR_WITH_DEBT } else { CALENDAR };
            info.extend([kind, place(&PERIODS, &calendar.period()), calendar.anchor()]);
            info.extend(calendar.zone_name().as_bytes());
        }
        _ => info.push(OTHER),
    }
    let length = u16::try_from(info.len() - LENGTH).expect("no zone has a long name");
    info[..LENGTH].copy_from_slice(&length.to_le_bytes());
    info.extend(terms);
    info
}

/// The boundaries around `at` of the calendar of a counter of which the record says `info`, in the form that
/// `lua/settle.lua` reads.
///
/// # Errors
///
/// [`StoreError::Corrupt`], if it has none.
pub(super) fn write_boundaries(info: &[u8], at: Timestamp) -> Result<Vec<u8>, StoreError> {
    let Some(Window::Calendar(calendar, _)) = read(info)?.calendar() else {
        return Err(StoreError::Corrupt);
    };
    let (length, rest) = info.split_first_chunk().ok_or(StoreError::Corrupt)?;
    let mut written = Vec::from(*length);
    written.extend(&rest[..u16::from_le_bytes(*length).into()]);
    calendar.boundaries(at).iter().for_each(|boundary| super::number(&mut written, boundary.0));
    Ok(written)
}

/// What was written.
///
/// # Errors
///
/// [`StoreError::Corrupt`], if it never was.
pub(super) fn read(info: &[u8]) -> Result<Info<'_>, StoreError> {
    parse(info).ok_or(StoreError::Corrupt)
}

fn parse(info: &[u8]) -> Option<Info<'_>> {
    let (length, rest) = info.split_first_chunk()?;
    let info = rest.get(..u16::from_le_bytes(*length).into())?;
    let (unit, rest) = info.split_first()?;
    let (name, rest) = rest.split_first_chunk()?;
    let (limit, rest) = rest.split_first_chunk()?;
    let (memo, rest) = rest.split_first_chunk()?;
    let (number, rest) = rest.split_first_chunk()?;
    let (most, rest) = rest.split_first_chunk()?;
    let (kind, calendar) = rest.split_first()?;
    Some(Info {
        unit: *UNITS.get(usize::from(*unit))?,
        key: keys::key_of(name)?,
        limit: u128::from_be_bytes(*limit),
        memo: u64::from_be_bytes(*memo),
        number: number_of(f64::from_le_bytes(*number)),
        most: number_of(f64::from_le_bytes(*most)),
        kind: *kind,
        calendar,
    })
}

impl Info<'_> {
    /// Whether its window only holds.
    pub(super) fn only_holds(&self) -> bool {
        self.kind == ONLY_HOLDS
    }

    /// Its window, if that has a calendar.
    pub(super) fn calendar(&self) -> Option<Window> {
        let (&[period, anchor], zone) = self.calendar.split_first_chunk()?;
        let zone = str::from_utf8(zone).ok()?;
        let calendar = Calendar::new(*PERIODS.get(usize::from(period))?, zone, anchor).ok()?;
        let debt = if self.kind == CALENDAR_WITH_DEBT { Debt::Carried } else { Debt::Forgiven };
        Some(Window::Calendar(calendar, debt))
    }
}

fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    let place = all.iter().position(|other| other == one).and_then(|place| u8::try_from(place).ok());
    place.expect("all of them are listed")
}

fn double(number: Number) -> f64 {
    match number {
        Number::Unlimited => f64::INFINITY,
        Number::AtMost(most) => most as f64,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was made of a whole number")]
fn number_of(double: f64) -> Number {
    if double.is_finite() { Number::AtMost(double as u64) } else { Number::Unlimited }
}
