//! A decision → the bytes of a `RateLimitResponse` in its gRPC frame, written once and from left to right.
//!
//! What it writes is what [`convert::response`] and prost would send, which its tests hold. The length of a message
//! stands before it: one byte is left for it, and more room is made where it is longer than most are.

use bytes::Bytes;

use crate::engine::{CurrentLimit, Decision, DescriptorStatus, HeaderValue};
use crate::limits::Metadata;

use super::convert;
use super::message::PREFIX_BYTES;

/// Room for the answer to most calls: one status, three headers, and the body of a refusal.
const MOST_BYTES: usize = 256;

/// What a length may be at most to fit the byte that is left for it.
const SHORT: usize = 0x7f;

/// Wire types.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;

/// `decision` in a frame of its own.
pub(super) fn response(decision: &Decision) -> Bytes {
    let mut frame = Vec::with_capacity(MOST_BYTES);
    frame.extend_from_slice(&[0; PREFIX_BYTES]);
    answer(&mut frame, decision);
    let length = u32::try_from(frame.len() - PREFIX_BYTES)
        .expect("an answer is made of one request and the configuration");
    frame[1..PREFIX_BYTES].copy_from_slice(&length.to_be_bytes());
    frame.into()
}

fn answer(out: &mut Vec<u8>, decision: &Decision) {
    number(out, 1, convert::code(decision.code));
    for one in &decision.statuses {
        message(out, 2, |out| status(out, one));
    }
    for header in &decision.headers {
        message(out, 3, |out| {
            text(out, 1, &header.name);
            match &header.value {
                HeaderValue::Text(value) => text(out, 2, value),
                HeaderValue::Number(value) => text(out, 2, itoa::Buffer::new().format(*value)),
            }
        });
    }
    if let Some(body) = decision.body.as_deref().filter(|body| !body.is_empty()) {
        text(out, 5, body);
    }
    if let Some(fields) = &decision.metadata {
        message(out, 6, |out| structure(out, fields));
    }
}

fn status(out: &mut Vec<u8>, status: &DescriptorStatus) {
    number(out, 1, convert::code(status.code));
    if let Some(shown) = &status.limit {
        message(out, 2, |out| limit(out, shown));
    }
    uint(out, 3, u64::from(status.remaining));
    if let Some(seconds) = status.reset_seconds {
        message(out, 4, |out| uint(out, 1, seconds.min(i64::MAX.cast_unsigned())));
    }
}

fn limit(out: &mut Vec<u8>, limit: &CurrentLimit) {
    uint(out, 1, u64::from(limit.requests_per_unit));
    number(out, 2, convert::unit(limit.unit));
    if !limit.name.is_empty() {
        text(out, 3, &limit.name);
    }
    if limit.multiplier > 1 {
        message(out, 4, |out| uint(out, 1, u64::from(limit.multiplier)));
    }
}

fn structure<'a>(out: &mut Vec<u8>, fields: impl IntoIterator<Item = (&'a Box<str>, &'a Metadata)>) {
    for (name, field) in fields {
        message(out, 1, |out| {
            text(out, 1, name);
            message(out, 2, |out| value(out, field));
        });
    }
}

/// A value of a structure. One of its fields has to be there, whatever it holds.
fn value(out: &mut Vec<u8>, metadata: &Metadata) {
    match metadata {
        Metadata::Null => out.extend_from_slice(&[key(1, VARINT), 0]),
        Metadata::Number(number) => {
            out.push(key(2, FIXED64));
            out.extend_from_slice(&number.to_le_bytes());
        }
        Metadata::Text(string) => text(out, 3, string),
        Metadata::Bool(flag) => out.extend_from_slice(&[key(4, VARINT), u8::from(*flag)]),
        Metadata::Map(fields) => message(out, 5, |out| structure(out, fields)),
        Metadata::List(items) => message(out, 6, |out| {
            for item in items {
                message(out, 1, |out| value(out, item));
            }
        }),
    }
}

/// The key of field `number`, which is below 16.
const fn key(number: u8, kind: u8) -> u8 {
    number << 3 | kind
}

/// A number that is left out where it is 0.
fn uint(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        out.push(key(field, VARINT));
        varint(out, value);
    }
}

/// A value of an enumeration, none of which is negative.
fn number(out: &mut Vec<u8>, field: u8, value: impl Into<i32>) {
    uint(out, field, u64::try_from(value.into()).unwrap_or_default());
}

/// A text, also an empty one.
fn text(out: &mut Vec<u8>, field: u8, text: &str) {
    out.push(key(field, BYTES));
    varint(out, u64::try_from(text.len()).expect("a length fits 64 bits"));
    out.extend_from_slice(text.as_bytes());
}

/// What `write` writes, with its length before it.
fn message(out: &mut Vec<u8>, field: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(&[key(field, BYTES), 0]);
    let start = out.len();
    write(out);
    match u8::try_from(out.len() - start) {
        Ok(length) if usize::from(length) <= SHORT => out[start - 1] = length,
        _ => make_room(out, start),
    }
}

/// Moves what stands from `start` on to the right, and writes how long it is before it.
#[cold]
fn make_room(out: &mut Vec<u8>, start: usize) {
    let mut length = Vec::new();
    varint(&mut length, u64::try_from(out.len() - start).expect("a length fits 64 bits"));
    out.splice(start - 1..start, length);
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use prost::Message;

    use crate::engine::{
        AddedHeaders, Code, CurrentLimit, Decision, DescriptorStatus, Header, HeaderValue, Text,
    };
    use crate::limits::{Metadata, WireUnit};

    use super::super::convert;
    use super::super::proto::envoy::service::ratelimit::v3::RateLimitResponse;
    use super::response;

    const UNITS: [WireUnit; 8] = [
        WireUnit::Unknown,
        WireUnit::Second,
        WireUnit::Minute,
        WireUnit::Hour,
        WireUnit::Day,
        WireUnit::Week,
        WireUnit::Month,
        WireUnit::Year,
    ];

    /// Texts of every length around those where the length takes one more byte.
    fn any_text() -> impl Strategy<Value = String> {
        let long = prop::sample::select(vec![126_usize, 127, 128, 129, 16_383, 16_384, 40_000]);
        prop_oneof![8 => "\\PC{0,12}", 1 => long.prop_map(|length| "x".repeat(length))]
    }

    fn any_code() -> impl Strategy<Value = Code> {
        prop_oneof![Just(Code::Ok), Just(Code::OverLimit)]
    }

    fn any_status() -> impl Strategy<Value = DescriptorStatus> {
        let number = prop_oneof![Just(0), Just(1), any::<u32>()];
        let limit = (any_text(), number.clone(), prop::sample::select(UNITS.to_vec()), number.clone())
            .prop_map(|(name, requests_per_unit, unit, multiplier)| CurrentLimit {
                name: Text::from(name),
                requests_per_unit,
                unit,
                multiplier,
            });
        let reset = prop::option::of(prop_oneof![Just(0), any::<u64>(), 0..100_000_u64]);
        (any_code(), prop::option::of(limit), number, reset).prop_map(
            |(code, limit, remaining, reset_seconds)| DescriptorStatus {
                code,
                limit,
                remaining,
                reset_seconds,
            },
        )
    }

    fn any_metadata() -> impl Strategy<Value = Metadata> {
        let leaf = prop_oneof![
            Just(Metadata::Null),
            any::<bool>().prop_map(Metadata::Bool),
            prop::num::f64::ANY.prop_filter("a number", |n| !n.is_nan()).prop_map(Metadata::Number),
            any_text().prop_map(|text| Metadata::Text(text.into())),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Metadata::List),
                any_map(inner).prop_map(Metadata::Map),
            ]
        })
    }

    fn any_map(
        values: impl Strategy<Value = Metadata>,
    ) -> impl Strategy<Value = BTreeMap<Box<str>, Metadata>> {
        prop::collection::btree_map(any_text().prop_map(String::into_boxed_str), values, 0..4)
    }

    fn any_header() -> impl Strategy<Value = Header> {
        let value = prop_oneof![
            any::<u64>().prop_map(HeaderValue::Number),
            any_text().prop_map(|text| HeaderValue::Text(Text::from(text))),
        ];
        (any_text(), value).prop_map(|(name, value)| Header { name: Text::from(name), value })
    }

    fn any_decision() -> impl Strategy<Value = Decision> {
        let headers = prop::collection::vec(any_header(), 0..5).prop_map(AddedHeaders::from_vec);
        let statuses = prop::collection::vec(any_status(), 0..5);
        let body = prop::option::of(any_text());
        let metadata = prop::option::of(any_map(any_metadata()));
        (any_code(), statuses, headers, body, metadata).prop_map(
            |(code, statuses, headers, body, metadata)| Decision {
                code,
                statuses: statuses.into(),
                headers,
                body: body.map(Text::from),
                metadata,
                unclaimed: None,
            },
        )
    }

    proptest! {
        #[test]
        fn decisions_are_written_as_prost_writes_them(decision in any_decision()) {
            let frame = response(&decision);
            let (prefix, message) = frame.split_at(5);
            prop_assert_eq!(prefix[0], 0);
            let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
            prop_assert_eq!(usize::try_from(length).unwrap(), message.len());
            prop_assert_eq!(RateLimitResponse::decode(message).unwrap(), convert::response(decision));
        }
    }
}
