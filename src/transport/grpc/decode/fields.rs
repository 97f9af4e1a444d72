//! The fields of a protobuf message, one after the other, borrowed from its bytes.
//!
//! It takes and refuses what prost takes and refuses, and knows no message: who asks says what a field is to be.
//! It reads no byte outside the message it was given and allocates nothing.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

use super::Malformed;

/// How deep messages and groups may be nested.
const MOST_DEPTH: u32 = 100;

/// The longest varint, and what its last byte may be at most.
const VARINT_BYTES: usize = 10;
const LAST_VARINT_BYTE: u8 = 1;

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    /// How many messages and groups may still be nested in it.
    depth: u32,
}

/// Which field comes, and how it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    /// Its number in the message.
    pub(super) number: u32,
    kind: Kind,
}

/// The wire types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Varint,
    Fixed64,
    Bytes,
    StartGroup,
    EndGroup,
    Fixed32,
}

impl<'a> Fields<'a> {
    /// Those of `message`.
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message, depth: MOST_DEPTH }
    }

    /// The next field, or `None` at the end. Its value has to be taken, or skipped, before the next is asked for.
    pub(super) fn next(&mut self) -> Result<Option<Field>, Malformed> {
        if self.rest.is_empty() { Ok(None) } else { self.field().map(Some) }
    }

    /// The value of a `uint64`.
    pub(super) fn uint64(&mut self, field: Field) -> Result<u64, Malformed> {
        field.is(Kind::Varint)?;
        self.varint()
    }

    /// The value of a `uint32`: the low half of what is written.
    #[expect(clippy::cast_possible_truncation, reason = "protobuf drops the upper half")]
    pub(super) fn uint32(&mut self, field: Field) -> Result<u32, Malformed> {
        Ok(self.uint64(field)? as u32)
    }

    /// The value of a `bool`.
    pub(super) fn bool(&mut self, field: Field) -> Result<bool, Malformed> {
        Ok(self.uint64(field)? != 0)
    }

    /// The value of a `bytes` or `string`; whether it is text is not looked at.
    pub(super) fn bytes(&mut self, field: Field) -> Result<&'a [u8], Malformed> {
        field.is(Kind::Bytes)?;
        let length = self.varint()?;
        self.take(length)
    }

    /// The fields of a message in this one.
    pub(super) fn message(&mut self, field: Field) -> Result<Self, Malformed> {
        field.is(Kind::Bytes)?;
        let depth = self.depth.checked_sub(1).ok_or(Malformed::Deep)?;
        let length = self.varint()?;
        Ok(Self { rest: self.take(length)?, depth })
    }

    /// Passes over a field that is not known.
    pub(super) fn skip(&mut self, field: Field) -> Result<(), Malformed> {
        let depth = self.depth;
        if depth == 0 {
            return Err(Malformed::Deep);
        }
        let length = match field.kind {
            Kind::Varint => self.varint().map(|_| 0)?,
            Kind::Fixed64 => 8,
            Kind::Fixed32 => 4,
            Kind::Bytes => self.varint()?,
            Kind::StartGroup => {
                self.depth -= 1;
                self.skip_group(field.number)?;
                self.depth = depth;
                0
            }
            Kind::EndGroup => return Err(Malformed::Group),
        };
        self.take(length).map(|_| ())
    }

    fn skip_group(&mut self, number: u32) -> Result<(), Malformed> {
        loop {
            match self.field()? {
                Field { number: ended, kind: Kind::EndGroup } if ended == number => return Ok(()),
                field => self.skip(field)?,
            }
        }
    }

    fn field(&mut self) -> Result<Field, Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed::Key)?;
        let kind = match key & 7 {
            0 => Kind::Varint,
            1 => Kind::Fixed64,
            2 => Kind::Bytes,
            3 => Kind::StartGroup,
            4 => Kind::EndGroup,
            5 => Kind::Fixed32,
            _ => return Err(Malformed::Key),
        };
        match key >> 3 {
            0 => Err(Malformed::Key),
            number => Ok(Field { number, kind }),
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Malformed> {
        match *self.rest {
            [byte @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (place, byte) in self.rest.iter().take(VARINT_BYTES).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                if place + 1 == VARINT_BYTES && *byte > LAST_VARINT_BYTE {
                    break;
                }
                self.rest = &self.rest[place + 1..];
                return Ok(value);
            }
        }
        Err(Malformed::Varint)
    }

    #[inline]
    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed::Short)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl Field {
    fn is(self, wanted: Kind) -> Result<(), Malformed> {
        if self.kind == wanted { Ok(()) } else { Err(Malformed::Kind(self.number)) }
    }
}
