//! Bytes of a `RateLimitRequest` → what is asked, borrowed from those bytes: nothing is copied.
//!
//! It takes what prost takes, refuses what prost refuses, and means the same, which its tests hold: the last
//! value of a field counts, messages that stand twice are merged, unknown fields are passed over. Bounds are the
//! engine's to check.

mod fields;

use crate::engine::{CheckRequest, Descriptor, Direction, Override};
use crate::limits::Entry;

use super::convert;
use fields::Fields;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// A number that does not end, or does not fit 64 bits.
    #[error("a varint is too long")]
    Varint,
    /// A field number or wire type that there is none of.
    #[error("a field has an impossible key")]
    Key,
    /// A known field with the wire type of another.
    #[error("field {0} has the wrong wire type")]
    Kind(u32),
    /// A field that is longer than the message it stands in.
    #[error("a field ends after its message")]
    Short,
    /// The end of a group that was not begun.
    #[error("a group ends that was not begun")]
    Group,
    /// Groups in groups without end.
    #[error("groups are nested too deep")]
    Deep,
}

/// What the message in `bytes` asks.
pub(super) fn request(bytes: &[u8]) -> Result<CheckRequest<'_>, Malformed> {
    let mut request = CheckRequest::default();
    let mut fields = Fields::of(bytes);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => request.domain = fields.bytes(field)?,
            2 => request.descriptors.push(descriptor(fields.message(field)?)?),
            3 => request.hits = fields.uint32(field)?,
            _ => fields.skip(field)?,
        }
    }
    Ok(request)
}

fn descriptor(mut fields: Fields<'_>) -> Result<Descriptor<'_>, Malformed> {
    let mut descriptor = Descriptor::default();
    let mut number = None;
    while let Some(field) = fields.next()? {
        match field.number {
            1 => descriptor.entries.push(entry(fields.message(field)?)?),
            2 => number.get_or_insert_with(Number::default).merge(fields.message(field)?)?,
            3 => {
                let hits = descriptor.hits.unwrap_or_default();
                descriptor.hits = Some(wrapped(hits, fields.message(field)?, Fields::uint64)?);
            }
            4 if fields.bool(field)? => descriptor.direction = Direction::GiveBack,
            4 => descriptor.direction = Direction::Charge,
            _ => fields.skip(field)?,
        }
    }
    descriptor.number = number.map(Number::read);
    Ok(descriptor)
}

fn entry(mut fields: Fields<'_>) -> Result<Entry<'_>, Malformed> {
    let mut entry = Entry { key: &[], value: &[] };
    while let Some(field) = fields.next()? {
        match field.number {
            1 => entry.key = fields.bytes(field)?,
            2 => entry.value = fields.bytes(field)?,
            _ => fields.skip(field)?,
        }
    }
    Ok(entry)
}

/// The value of a wrapper message, which stays as it was where the wrapper says nothing.
fn wrapped<'a, T>(
    mut value: T,
    mut fields: Fields<'a>,
    read: impl Fn(&mut Fields<'a>, fields::Field) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    while let Some(field) = fields.next()? {
        match field.number {
            1 => value = read(&mut fields, field)?,
            _ => fields.skip(field)?,
        }
    }
    Ok(value)
}

/// An override as it is written.
#[derive(Default)]
struct Number {
    requests_per_unit: u32,
    unit: u32,
    multiplier: Option<u32>,
}

impl Number {
    fn merge(&mut self, mut fields: Fields<'_>) -> Result<(), Malformed> {
        while let Some(field) = fields.next()? {
            match field.number {
                1 => self.requests_per_unit = fields.uint32(field)?,
                2 => self.unit = fields.uint32(field)?,
                3 => {
                    let multiplier = self.multiplier.unwrap_or_default();
                    self.multiplier = Some(wrapped(multiplier, fields.message(field)?, Fields::uint32)?);
                }
                _ => fields.skip(field)?,
            }
        }
        Ok(())
    }

    fn read(self) -> Override {
        Override {
            requests_per_unit: self.requests_per_unit,
            unit: convert::unit_of(self.unit.cast_signed()),
            multiplier: self.multiplier.unwrap_or(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::super::convert;
    use super::super::proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
    use super::super::proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::{
        Entry, RateLimitOverride,
    };
    use super::super::proto::envoy::service::ratelimit::v3::RateLimitRequest;
    use super::{Malformed, request};

    /// Both read `bytes`, or neither does, and both understand the same. Whether they are read.
    fn alike(bytes: &[u8]) -> bool {
        let theirs = RateLimitRequest::decode(bytes);
        let ours = request(bytes);
        match (&theirs, &ours) {
            (Ok(theirs), Ok(ours)) => {
                assert_eq!(format!("{ours:?}"), format!("{:?}", convert::request(theirs)), "{bytes:02x?}");
            }
            (Err(_), Err(_)) => {}
            _ => panic!("{bytes:02x?}: prost {theirs:?}, here {ours:?}"),
        }
        ours.is_ok()
    }

    fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(any::<u8>(), 0..12)
    }

    fn any_request() -> impl Strategy<Value = RateLimitRequest> {
        let entry = (any_bytes(), any_bytes())
            .prop_map(|(key, value)| Entry { key: key.into(), value: value.into() });
        let limit = (any::<u32>(), -1..9, any::<Option<u32>>()).prop_map(
            |(requests_per_unit, unit, unit_multiplier)| RateLimitOverride {
                requests_per_unit,
                unit,
                unit_multiplier,
            },
        );
        let descriptor =
            (
                prop::collection::vec(entry, 0..4),
                prop::option::of(limit),
                any::<Option<u64>>(),
                any::<bool>(),
            )
                .prop_map(|(entries, limit, hits_addend, is_negative_hits)| {
                    RateLimitDescriptor { entries, limit, hits_addend, is_negative_hits }
                });
        (any_bytes(), prop::collection::vec(descriptor, 0..4), any::<u32>()).prop_map(
            |(domain, descriptors, hits_addend)| RateLimitRequest {
                domain: domain.into(),
                descriptors,
                hits_addend,
            },
        )
    }

    /// Varints, with some that are longer than they have to be, or too long.
    fn any_varint() -> impl Strategy<Value = Vec<u8>> {
        let padded = (any::<u64>(), 0..3_usize).prop_map(|(value, padding)| {
            let mut bytes = Vec::new();
            prost::encoding::encode_varint(value >> (value % 64), &mut bytes);
            for _ in 0..padding {
                *bytes.last_mut().unwrap() |= 0x80;
                bytes.push(0);
            }
            bytes
        });
        prop_oneof![20 => padded, 1 => Just(vec![0xff; 10]), 1 => Just([vec![0xff; 9], vec![2]].concat())]
    }

    fn key(number: u32, kind: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(u64::from(number << 3 | kind), &mut bytes);
        bytes
    }

    /// Fields of any number and wire type, in each other, mostly well-formed.
    fn any_fields() -> impl Strategy<Value = Vec<u8>> {
        let leaf = prop_oneof![
            4 => (1..6_u32, any_varint()).prop_map(|(number, value)| [key(number, 0), value].concat()),
            1 => (0..6_u32, 0..8_u32).prop_map(|(number, kind)| key(number, kind)),
            1 => (1..6_u32, any::<[u8; 8]>()).prop_map(|(number, value)| [key(number, 1), value.to_vec()].concat()),
            1 => (1..6_u32, any::<[u8; 4]>()).prop_map(|(number, value)| [key(number, 5), value.to_vec()].concat()),
            1 => (1..4_u32, any_varint()).prop_map(|(number, length)| [key(number, 2), length].concat()),
        ];
        leaf.prop_recursive(5, 40, 4, |inner| {
            let several = prop::collection::vec(inner, 0..4).prop_map(|fields| fields.concat());
            prop_oneof![
                4 => (1..6_u32, several.clone()).prop_map(|(number, inside)| {
                    let length = u8::try_from(inside.len() % 256).unwrap();
                    let length = if length < 0x80 { vec![length] } else { vec![length, 1] };
                    [key(number, 2), length, inside].concat()
                }),
                1 => (1..8_u32, 0..9_u32, several.clone()).prop_map(|(number, other, inside)| {
                    let end = if other == 0 { number + 1 } else { number };
                    [key(number, 3), inside, key(end, 4)].concat()
                }),
                3 => several,
            ]
        })
    }

    proptest! {
        #[test]
        fn messages_are_read_as_prost_reads_them(message in any_request()) {
            prop_assert!(alike(&message.encode_to_vec()));
        }

        #[test]
        fn bent_messages_are_read_as_prost_reads_them(
            message in any_request(),
            second in any_request(),
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let bytes = message.encode_to_vec();
            // One message after the other is the merger of both.
            prop_assert!(alike(&[bytes.clone(), second.encode_to_vec()].concat()));
            let at = place.index(bytes.len() + 1);
            alike(&bytes[..at]);
            alike(&[&bytes[..at], &[byte], &bytes[at..]].concat());
            let Some(rest) = bytes.get(at + 1..) else { return Ok(()) };
            alike(&[&bytes[..at], rest].concat());
            alike(&[&bytes[..at], &[byte], rest].concat());
        }

        #[test]
        fn any_fields_are_read_as_prost_reads_them(fields in any_fields()) {
            alike(&fields);
        }
    }

    #[test]
    fn messages_that_stand_twice_are_merged() {
        let hits = |bytes: &[u8]| request(bytes).unwrap().descriptors[0].hits;
        assert_eq!(hits(&[0x12, 0]), None);
        assert_eq!(hits(&[0x12, 6, 0x1a, 2, 8, 5, 0x1a, 0]), Some(5));
        assert_eq!(hits(&[0x12, 8, 0x1a, 2, 8, 5, 0x1a, 2, 8, 0]), Some(0));
        let number = |bytes: &[u8]| request(bytes).unwrap().descriptors[0].number.unwrap();
        let once = number(&[0x12, 10, 0x12, 8, 8, 7, 0x10, 2, 0x1a, 2, 8, 9]);
        let twice = number(&[0x12, 12, 0x12, 2, 8, 7, 0x12, 6, 0x10, 2, 0x1a, 2, 8, 9]);
        assert_eq!((once.requests_per_unit, once.multiplier), (7, 9));
        assert_eq!(once, twice);
    }

    #[test]
    fn groups_are_passed_over_as_deep_as_prost_does() {
        for (depth, read) in [(1, true), (99, true), (100, true), (101, false), (50_000, false)] {
            let message = [vec![0x3b; depth], vec![0x3c; depth]].concat();
            assert_eq!(alike(&message), read, "{depth}");
        }
        assert_eq!(request(&[0x3b; 200]).unwrap_err(), Malformed::Deep);
    }
}
