//! States as bytes, so that another process can go on from them.
//!
//! First the version of the form, then the kind of the state, then its numbers, seven bits a byte, the lowest first. A
//! form that was ever written is never given another meaning: whoever changes it takes the next version. What is read
//! may be anything: it becomes a state that charges can be made to, or an error, and never more than was written.

use crate::clock::Timestamp;
use crate::limits::MAX_AMOUNT;

use super::{Bucket, Capacity, Cells, Indebted, PeriodCount, State};

/// The form that is written.
const VERSION: u8 = 1;
/// The form of what the first one does not know: counts that carry debt.
const VERSION_WITH_DEBT: u8 = 2;
const CELLS: u8 = 1;
const BUCKET: u8 = 2;
const PERIOD: u8 = 3;
const TOTAL: u8 = 4;
const NOTHING: u8 = 5;
const INDEBTED: u8 = 6;

/// Why bytes are no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// They are of a form that is not known here.
    #[error("version {0} is not known here, only {VERSION} and {VERSION_WITH_DEBT}")]
    Version(u8),
    /// They are cut off, or no state was ever written so.
    #[error("torn")]
    Torn,
}

impl State {
    /// Writes the state behind what stands in `bytes`; of what is held its holders know.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let (kind, amount, instant) = match self {
            Self::Held(held) => return held.counted().write(bytes),
            Self::Cells(cells) => {
                bytes.extend([VERSION, CELLS]);
                return cells.write(bytes);
            }
            Self::Nothing => return bytes.extend([VERSION, NOTHING]),
            Self::Indebted(indebted) => {
                bytes.push(VERSION_WITH_DEBT);
                return indebted.write(bytes);
            }
            Self::Bucket(Bucket { level, at }) => (BUCKET, level, at),
            Self::Period(PeriodCount { end, used }) => (PERIOD, used, end),
            Self::Total(Capacity { used, touched }) => (TOTAL, used, touched),
        };
        bytes.extend([VERSION, kind]);
        write_number(bytes, *amount);
        write_number(bytes, instant.0);
    }

    /// Reads a state that is all of `bytes`.
    ///
    /// # Errors
    ///
    /// [`Unreadable`], where no state was written so.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let rest = &mut &*bytes;
        match take(rest) {
            Some(VERSION) => {}
            Some(VERSION_WITH_DEBT) => {
                let indebted = Indebted::read(rest).filter(|_| rest.is_empty());
                return indebted.map(|indebted| Self::Indebted(Box::new(indebted))).ok_or(Unreadable::Torn);
            }
            Some(version) => return Err(Unreadable::Version(version)),
            None => return Err(Unreadable::Torn),
        }
        let state = Self::read_kind(rest).filter(|_| rest.is_empty());
        state.ok_or(Unreadable::Torn)
    }

    fn read_kind(bytes: &mut &[u8]) -> Option<Self> {
        let kind = take(bytes)?;
        let (amount, instant) = match kind {
            CELLS => return Cells::read(bytes).map(Self::Cells),
            NOTHING => return Some(Self::Nothing),
            _ => (read_amount(bytes)?, Timestamp(read_number(bytes)?)),
        };
        match kind {
            BUCKET => Some(Self::Bucket(Bucket { level: amount, at: instant })),
            PERIOD => Some(Self::Period(PeriodCount { end: instant, used: amount })),
            TOTAL => Some(Self::Total(Capacity { used: amount, touched: instant })),
            _ => None,
        }
    }
}

impl Indebted {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(INDEBTED);
        [self.count.used, self.count.end.0, self.pays].iter().for_each(|number| write_number(bytes, *number));
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let (INDEBTED, used) = (take(bytes)?, read_amount(bytes)?) else { return None };
        let count = PeriodCount { used, end: Timestamp(read_number(bytes)?) };
        Some(Self { count, pays: read_amount(bytes)? })
    }
}

/// Writes `number` behind what stands in `bytes`, in one byte for every seven bits.
#[expect(clippy::cast_possible_truncation, reason = "all but the lowest seven bits are left for later bytes")]
pub fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number off the front of `bytes`; `None` if there is none that 64 bits hold.
pub fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = take(bytes)?;
        let bits = u64::from(byte & 0x7f);
        if (bits << shift) >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Takes a number that is an amount.
pub(super) fn read_amount(bytes: &mut &[u8]) -> Option<u64> {
    read_number(bytes).filter(|amount| *amount <= MAX_AMOUNT)
}

fn take(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Unreadable, read_number, write_number};
    use crate::algorithm::{Op, Overrun, Rule, State};
    use crate::calendar::{Calendar, Period};
    use crate::clock::{Micros, Timestamp};
    use crate::limits::{Debt, MAX_AMOUNT, Number, Window};

    fn windows() -> Vec<Window> {
        let minute = Micros::from_secs(60);
        vec![
            Window::Sliding { length: minute },
            Window::Sliding { length: Micros::from_secs(366 * 86_400) },
            Window::Concurrent { max_age: minute },
            Window::TokenBucket { length: minute, burst: 50 },
            Window::Fixed { length: minute, debt: Debt::Forgiven },
            Window::Fixed { length: minute, debt: Debt::Carried },
            Window::Calendar(Calendar::new(Period::Month, "Europe/Berlin", 31).unwrap(), Debt::Carried),
            Window::Total { forget: None },
            Window::Total { forget: Some(minute) },
            Window::Request,
        ]
    }

    fn op() -> impl Strategy<Value = Op> {
        let amount = prop_oneof![6 => 1..4_u64, 3 => 1..2000_u64, 1 => 0..=MAX_AMOUNT];
        (amount, 0..6_u8).prop_map(|(amount, kind)| match kind {
            0 => Op::GiveBack { units: amount },
            _ => Op::Take { room: 1, charge: amount },
        })
    }

    fn step() -> impl Strategy<Value = (u64, Op)> {
        (prop_oneof![0..3_000_000_u64, Just(0), 0..90_000_000_u64], op())
    }

    fn written(state: &State) -> Vec<u8> {
        let mut bytes = Vec::new();
        state.write(&mut bytes);
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

        #[test]
        fn what_is_read_goes_on_as_what_was_written(
            window in 0..windows().len(),
            before in prop::collection::vec(step(), 0..80),
            after in prop::collection::vec(step(), 1..30),
        ) {
            let window = &windows()[window];
            let rule = Rule { window, number: Number::AtMost(1000) };
            let (mut state, mut at) = (State::fresh(window), Timestamp(1_700_000_000_000_000));
            for (pause, op) in before {
                at = at.plus(Micros(pause));
                state.charge(rule, op, Overrun::Count, at);
            }
            let bytes = written(&state);
            let mut read = State::read(&bytes).unwrap();
            prop_assert_eq!(written(&read), bytes.clone());
            for cut in 0..bytes.len() {
                prop_assert_eq!(State::read(&bytes[..cut]).unwrap_err(), Unreadable::Torn);
            }
            for (pause, op) in after {
                at = at.plus(Micros(pause));
                let expected = state.charge(rule, op, Overrun::Refuse, at);
                prop_assert_eq!(read.charge(rule, op, Overrun::Refuse, at), expected);
                prop_assert_eq!(read.idle_from(rule), state.idle_from(rule));
            }
        }

        #[test]
        fn anything_that_is_read_can_be_charged(
            kind in 0..7_u8,
            numbers in prop::collection::vec(prop_oneof![0..60_u64, any::<u64>()], 0..10),
            pause in any::<u64>(),
        ) {
            let mut bytes = vec![if kind == 6 { 2 } else { 1 }, kind];
            numbers.iter().for_each(|number| write_number(&mut bytes, *number));
            if let Ok(mut state) = State::read(&bytes) {
                let mut once_more = Vec::new();
                state.write(&mut once_more);
                prop_assert_eq!(once_more, bytes);
                let take = Op::Take { room: 1, charge: 1 };
                for window in &windows() {
                    let rule = Rule { window, number: Number::AtMost(1000) };
                    for at in [0, 1_700_000_000_000_000, pause % (1 << 53)] {
                        state.charge(rule, take, Overrun::Count, Timestamp(at));
                        state.idle_from(rule);
                    }
                }
            }
        }

        #[test]
        fn a_number_is_read_as_it_was_written(number in any::<u64>(), bits in 0..64_u32) {
            let mut bytes = Vec::new();
            write_number(&mut bytes, number >> bits);
            prop_assert_eq!(read_number(&mut &*bytes), Some(number >> bits));
        }
    }

    #[test]
    fn what_no_state_was_written_as_is_said() {
        let mut full = vec![1, 4];
        write_number(&mut full, MAX_AMOUNT);
        write_number(&mut full, 5);
        assert!(State::read(&full).is_ok());
        let mut beyond = vec![1, 4];
        write_number(&mut beyond, MAX_AMOUNT + 1);
        write_number(&mut beyond, 5);
        assert_eq!(State::read(&beyond).unwrap_err(), Unreadable::Torn);
        assert_eq!(State::read(&[full, vec![0]].concat()).unwrap_err(), Unreadable::Torn);
        assert_eq!(State::read(&[3, 5]).unwrap_err(), Unreadable::Version(3));
        assert_eq!(State::read(&[2, 5]).unwrap_err(), Unreadable::Torn);
        assert_eq!(State::read(&[1, 9, 0, 0]).unwrap_err(), Unreadable::Torn);
        for endless in [[0xff; 10], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]] {
            assert_eq!(read_number(&mut &endless[..]), None);
        }
    }

    #[test]
    fn a_state_takes_few_bytes() {
        let at = Timestamp(1_795_262_400_000_000);
        for window in &windows() {
            let mut state = State::fresh(window);
            let rule = Rule { window, number: Number::AtMost(1000) };
            state.charge(rule, Op::Take { room: 1, charge: 1 }, Overrun::Refuse, at);
            assert!(written(&state).len() <= 13, "{window:?}");
        }
    }
}
