//! What a caller keeps of a reservation: opaque to it, and all that is needed to settle it.
//!
//! Nothing in it is secret: the name leads to a record or to none. Its first byte says how the others are read, and the
//! last ones are a sum of all: what was cut or changed on its way is no handle. A keyed hash ties the name to its domain, so
//! that who has the handle of another's hold cannot pass it off as one of their own.

use std::fmt;

use crate::clock::Timestamp;
use crate::hex::{self, Digits};
use crate::limits::{CounterKey, KeyHasher, KeySecret, identity};

use super::unknown::Unknown;

/// How the bytes of a handle are read.
const VERSION: u8 = 4;
/// Version, what is kept, what is due if nobody tells, tag, id, beginning, and seal.
const SUMMED: usize = 1 + 1 + 1 + 8 + 16 + 8 + 8;
/// Those, and their sum.
const BYTES: usize = SUMMED + 8;

/// What a caller keeps of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    pub(in crate::engine) name: CounterKey,
    /// When it was reserved: by the prices of that time it is paid.
    pub(in crate::engine) began: Timestamp,
    pub(in crate::engine) kept: Kept,
    /// What is due if nobody tells what was used.
    pub(in crate::engine) unknown: Unknown,
    /// Ties the name to its domain.
    pub(in crate::engine) seal: Seal,
}

/// What only a store with this secret can make of a name and its domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Seal(u64);

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
        unknown: Unknown::NOTHING,
        seal: Seal(0),
    };

    /// Whether it holds nothing of any domain but `domain`, whose store has this `secret`.
    pub(in crate::engine) fn is_of(&self, secret: KeySecret, domain: &[u8]) -> bool {
        self.kept == Kept::Nothing || self.seal == Seal::of(secret, domain, self.name)
    }

    /// All that is summed.
    fn bytes(&self) -> [u8; SUMMED] {
        let Self { name, began, kept, unknown, seal } = self;
        let mut bytes = [0; SUMMED];
        bytes[..3].copy_from_slice(&[VERSION, *kept as u8, unknown.number()]);
        bytes[3..11].copy_from_slice(&name.tag.to_be_bytes());
        bytes[11..27].copy_from_slice(&name.id.to_be_bytes());
        bytes[27..35].copy_from_slice(&began.0.to_be_bytes());
        bytes[35..].copy_from_slice(&seal.0.to_be_bytes());
        bytes
    }

    /// Reads what [`Display`](fmt::Display) has written, and no other text: a reservation has one handle.
    pub(in crate::engine) fn parse(text: &[u8]) -> Option<Self> {
        let is_written_so = !text.iter().any(u8::is_ascii_uppercase);
        let bytes = hex::bytes::<BYTES>(text).filter(|_| is_written_so)?;
        let (summed, written) = bytes.split_at(SUMMED);
        let [VERSION, kept, unknown, fields @ ..] = summed else { return None };
        if sum(summed).to_be_bytes() != written {
            return None;
        }
        let field = |start: usize| fields[start..start + 8].try_into().map(u64::from_be_bytes).ok();
        Some(Self {
            name: CounterKey { tag: field(0)?, id: u128::from(field(8)?) << 64 | u128::from(field(16)?) },
            began: Timestamp(field(24)?),
            kept: Kept::ALL.get(usize::from(*kept)).copied()?,
            unknown: Unknown::numbered(*unknown)?,
            seal: Seal(field(32)?),
        })
    }
}

impl fmt::Display for Handle {
    /// Lower-case hex, as long for every reservation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes();
        write!(f, "{}{}", Digits(&bytes), Digits(&sum(&bytes).to_be_bytes()))
    }
}

impl Seal {
    /// That of `name`, under which something of `domain` is held.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "64 bits that nobody can compute are not found by trying"
    )]
    pub(in crate::engine) fn of(secret: KeySecret, domain: &[u8], name: CounterKey) -> Self {
        let mut hasher = KeyHasher::new(secret);
        hasher.piece(b"hold");
        hasher.piece(domain);
        hasher.piece(&name.tag.to_be_bytes());
        hasher.piece(&name.id.to_be_bytes());
        Self(hasher.finish() as u64)
    }
}

/// What tells whole handles from others.
#[expect(clippy::cast_possible_truncation, reason = "half of a hash tells texts apart as well")]
fn sum(bytes: &[u8]) -> u64 {
    identity(&[b"reservation", bytes]) as u64
}

impl Kept {
    /// By the number that stands for each.
    const ALL: [Self; 2] = [Self::Record, Self::Nothing];
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
                seal: Seal(u64::MAX - 7),
            };
            assert_eq!(Handle::parse(handle.to_string().as_bytes()), Some(handle));
        }
    }

    #[test]
    fn is_of_its_own_domain_alone_whatever_is_made_of_it() {
        let (secret, name) = (KeySecret([7; 16]), CounterKey { tag: 1, id: 2 });
        let seal = Seal::of(secret, b"shop", name);
        let handle = Handle { name, kept: Kept::Record, seal, ..Handle::OF_NOTHING };
        assert!(handle.is_of(secret, b"shop"));
        assert!(!handle.is_of(secret, b"blog") && !handle.is_of(KeySecret([8; 16]), b"shop"));
        for name in [CounterKey { tag: 3, ..name }, CounterKey { id: 3, ..name }] {
            assert!(!Handle { name, ..handle }.is_of(secret, b"shop"), "another hold under the same seal");
        }
        assert!(Handle::OF_NOTHING.is_of(secret, b"blog"));
    }

    #[test]
    fn what_was_never_written_is_none() {
        let text = Handle::OF_NOTHING.to_string();
        assert_eq!(text.len(), 102);
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
        for (place, digit) in text.char_indices() {
            let other = char::from_digit(digit.to_digit(16).unwrap() ^ 1, 16).unwrap();
            assert_eq!(Handle::parse(with(place, &other.to_string()).as_bytes()), None, "{place}");
        }
    }
}
