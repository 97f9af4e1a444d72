//! How counters and records of reservations are called in Redis.
//!
//! `tollgate:{<tag>}:<id>`, both in hexadecimal, and with `:r` behind it a record; what the scripts keep beside a counter
//! has an ending too. So nothing of a caller's values is in it, and counters of one
//! subject carry the same hash tag, so that they share a slot.

use crate::limits::CounterKey;
use crate::store::Trail;

/// The key that holds the secret under which all other keys are made.
pub(super) const SECRET: &str = "tollgate:secret";

/// The key that is written to find out whether writing works.
pub(super) const PROBE: &str = "tollgate:probe";

/// The stream of a trail of usage. Of all callers together, so in no slot with their counters.
pub(super) const fn trail(trail: Trail) -> &'static str {
    match trail {
        Trail::Spent => "tollgate:usage:spent",
        Trail::Refused => "tollgate:usage:refused",
    }
}

/// A stream that is written to find out whether that works.
pub(super) const TRAIL_PROBE: &str = "tollgate:usage:probe";

/// The stream of what admins do.
pub(super) const AUDIT: &str = "tollgate:audit";

/// A name with room for tag and id.
const FORM: &[u8; LENGTH] = b"tollgate:{................}:................................";
const LENGTH: usize = 60;

/// The name of a counter.
pub(super) fn counter(key: CounterKey) -> [u8; LENGTH] {
    let mut name = *FORM;
    hexadecimal(&mut name[10..26], &key.tag.to_be_bytes());
    hexadecimal(&mut name[28..], &key.id.to_be_bytes());
    name
}

/// The counter of this name; `None` if it is none of a counter.
pub(super) fn key_of(name: &[u8; LENGTH]) -> Option<CounterKey> {
    let name = str::from_utf8(name).ok()?;
    let (tag, id) = name.strip_prefix("tollgate:{")?.split_once("}:")?;
    Some(CounterKey { tag: u64::from_str_radix(tag, 16).ok()?, id: u128::from_str_radix(id, 16).ok()? })
}

/// The name of the record of a reservation.
pub(super) fn record(name: CounterKey) -> [u8; LENGTH + 2] {
    let mut key = [0; LENGTH + 2];
    key[..LENGTH].copy_from_slice(&counter(name));
    key[LENGTH..].copy_from_slice(b":r");
    key
}

fn hexadecimal(text: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&PAIRS[usize::from(*byte)]);
    }
}

/// The two digits of every byte: a batch writes many names.
const PAIRS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carry_their_tag_in_braces_at_full_width() {
        let key = CounterKey { tag: 0xab, id: 0x12 };
        assert_eq!(&counter(key), b"tollgate:{00000000000000ab}:00000000000000000000000000000012");
        assert_eq!(key_of(&counter(key)), Some(key));
        assert_eq!(key_of(&[b'0'; LENGTH]), None);
    }
}
