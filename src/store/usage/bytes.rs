//! Notes as bytes, as they are kept.
//!
//! Every number is of a fixed width, little-endian, amounts and times as doubles: the Redis script writes the same.

use std::ops::Range;

use crate::clock::Timestamp;
use crate::store::Before;

use super::{Note, Place, Spending};

/// How the bytes are read.
const VERSION: u8 = 1;

/// Where its time stands in the bytes of a note.
const TIME: Range<usize> = 2..10;

/// How a reservation was found, by the number that stands for it; 0 stands for a refusal.
const FOUND: [Before; 3] = [Before::Held, Before::Late, Before::Unheld];

impl Note {
    /// As bytes, without its place.
    pub(in crate::store) fn to_bytes(&self) -> Vec<u8> {
        let spending = self.spending.as_ref();
        let found = spending.and_then(|spending| FOUND.iter().position(|found| *found == spending.found));
        let mut bytes = vec![VERSION, found.map_or(0, |place| narrow::<u8>(place + 1))];
        put(&mut bytes, self.at.0);
        put(&mut bytes, spending.map_or(0, |spending| spending.tokens));
        put(&mut bytes, spending.map_or(0, |spending| spending.money));
        let classes = spending.map_or(&[][..], |spending| &spending.classes);
        bytes.push(narrow(classes.len()));
        classes.iter().for_each(|grown| put(&mut bytes, *grown));
        bytes.extend(narrow::<u32>(self.about.len()).to_le_bytes());
        bytes.extend_from_slice(&self.about);
        bytes.extend_from_slice(&self.line);
        bytes
    }

    /// As bytes, without its place and its time, which is [`TIME`] of them.
    pub(in crate::store) fn to_bytes_without_time(&self) -> Vec<u8> {
        let mut bytes = self.to_bytes();
        bytes.drain(TIME);
        bytes
    }

    /// The note at `place` that is kept as `bytes`; `None` if they are none.
    pub(in crate::store) fn of_bytes(place: Place, bytes: &[u8]) -> Option<Self> {
        let mut left = Reader(bytes);
        let [VERSION, found] = *left.take(2)? else { return None };
        let at = Timestamp(left.amount()?);
        let (tokens, money) = (left.amount()?, left.amount()?);
        let [count] = *left.take(1)? else { return None };
        let classes = (0..count).map(|_| left.amount()).collect::<Option<Vec<u64>>>()?;
        let about = u32::from_le_bytes(left.take(4)?.try_into().ok()?);
        let about = left.take(usize::try_from(about).ok()?)?.into();
        let spending = match found {
            0 => None,
            found => {
                let found = *FOUND.get(usize::from(found) - 1)?;
                Some(Spending { found, tokens, money, classes })
            }
        };
        Some(Self { place, at, spending, about, line: left.0.into() })
    }
}

#[expect(clippy::cast_precision_loss, reason = "amounts and times are below 2^53")]
fn put(bytes: &mut Vec<u8>, amount: u64) {
    bytes.extend((amount as f64).to_le_bytes());
}

fn narrow<N: TryFrom<usize>>(count: usize) -> N {
    N::try_from(count).ok().expect("classes are few, and what is known of one call is short")
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, bytes: usize) -> Option<&'b [u8]> {
        let (taken, left) = self.0.split_at_checked(bytes)?;
        self.0 = left;
        Some(taken)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it was an integer below 2^53"
    )]
    fn amount(&mut self) -> Option<u64> {
        let double = f64::from_le_bytes(self.take(8)?.try_into().ok()?);
        (double >= 0.0).then_some(double as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_AMOUNT;

    const PLACE: Place = Place { millis: 7, number: 3 };

    fn note(spending: Option<Spending>) -> Note {
        let (about, line) = (b"\0about"[..].into(), b"line\n"[..].into());
        Note { place: PLACE, at: Timestamp(1_795_262_400_123_456), spending, about, line }
    }

    #[test]
    fn are_read_as_they_were_written() {
        let spendings = FOUND.map(|found| {
            Some(Spending { found, tokens: MAX_AMOUNT, money: 1, classes: vec![0, MAX_AMOUNT, 5] })
        });
        for spending in [None].into_iter().chain(spendings) {
            let note = note(spending);
            assert_eq!(Note::of_bytes(PLACE, &note.to_bytes()), Some(note));
        }
    }

    #[test]
    fn what_was_cut_off_or_is_of_another_version_is_none() {
        let bytes =
            note(Some(Spending { found: FOUND[2], tokens: 1, money: 2, classes: vec![3] })).to_bytes();
        let head = bytes.len() - b"line\n".len();
        assert!((0..head).all(|length| Note::of_bytes(PLACE, &bytes[..length]).is_none()));
        for (at, byte) in [(0, 2), (1, 4)] {
            let mut other = bytes.clone();
            other[at] = byte;
            assert_eq!(Note::of_bytes(PLACE, &other), None);
        }
    }
}
