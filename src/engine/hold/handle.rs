//! What a caller keeps of a reservation: opaque to it, and all that is needed to settle it.
//!
//! Nothing in it is secret or believed: the name leads to a record or to none, and the times are bounded by that
//! record. Its first byte says how the others are read.

use std::fmt;

use crate::clock::Timestamp;
use crate::limits::CounterKey;

use super::unknown::Unknown;

/// How the bytes of a handle are read.
const VERSION: u8 = 2;
/// Version, what is kept, what is due if nobody tells, tag, id, and beginning.
const BYTES: usize = 1 + 1 + 1 + 8 + 16 + 8;

/// What a caller keeps of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    pub(in crate::engine) name: CounterKey,
    /// When it was reserved: by the prices of that time it is paid.
    pub(in crate::engine) began: Timestamp,
    pub(in crate::engine) kept: Kept,
    /// What is due if nobody tells what was used.
    pub(in crate::engine) unknown: Unknown,
}

/// What is kept under the name of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Kept {
    /// A record.
    Record,
    /// Nothing: there is nothing to settle.
    Nothing,
}

impl Handle {
    /// Of a call that no limit counts.
    pub(in crate::engine) const OF_NOTHING: Self = Self {
        name: CounterKey { tag: 0, id: 0 },
        began: Timestamp(0),
        kept: Kept::Nothing,
        unknown: Unknown::AS_HELD,
    };

    /// Reads what [`Display`](fmt::Display) has written.
    pub(in crate::engine) fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; BYTES];
        if text.len() != 2 * BYTES {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(digits[0])? << 4 | digit(digits[1])?;
        }
        let [VERSION, kept, unknown, fields @ ..] = bytes else { return None };
        let field = |start: usize| fields[start..start + 8].try_into().map(u64::from_be_bytes).ok();
        Some(Self {
            name: CounterKey { tag: field(0)?, id: u128::from(field(8)?) << 64 | u128::from(field(16)?) },
            began: Timestamp(field(24)?),
            kept: Kept::ALL.get(usize::from(kept)).copied()?,
            unknown: Unknown::numbered(unknown)?,
        })
    }
}

impl fmt::Display for Handle {
    /// Lower-case hex, as long for every reservation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, began, kept, unknown } = self;
        let (kept, unknown) = (*kept as u8, unknown.number());
        write!(f, "{VERSION:02x}{kept:02x}{unknown:02x}{:016x}{:032x}{:016x}", name.tag, name.id, began.0)
    }
}

impl Kept {
    /// By the number that stands for each.
    const ALL: [Self; 2] = [Self::Record, Self::Nothing];
}

fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_was_written() {
        for (place, kept) in Kept::ALL.into_iter().enumerate() {
            assert_eq!(kept as usize, place);
            let handle = Handle {
                name: CounterKey { tag: u64::MAX - 1, id: 7 << 100 | 3 },
                began: Timestamp(1_795_262_400_000_000),
                kept,
                unknown: Unknown::numbered(2).unwrap(),
            };
            assert_eq!(Handle::parse(handle.to_string().as_bytes()), Some(handle));
        }
    }

    #[test]
    fn what_was_never_written_is_none() {
        let text = Handle::OF_NOTHING.to_string();
        assert_eq!(text.len(), 70);
        let with = |at: usize, digits: &str| {
            let mut text = text.clone();
            text.replace_range(at..at + digits.len(), digits);
            text
        };
        let long = format!("{text}0");
        for garbage in [
            "",
            &text[2..],
            &long,
            &text.to_uppercase().replace('0', "g"),
            &with(0, "01"),
            &with(2, "02"),
            &with(4, "04"),
        ] {
            assert_eq!(Handle::parse(garbage.as_bytes()), None, "{garbage}");
        }
    }
}
