//! How counters are called in Redis.
//!
//! `tollgate:{<tag>}:<id>`, both in hexadecimal: nothing of a caller's values is in it, and counters of one
//! subject carry the same hash tag, so that they share a slot.

use crate::limits::CounterKey;

/// The key that holds the secret under which all other keys are made.
pub(super) const SECRET: &str = "tollgate:secret";

/// The key that is written to find out whether writing works.
pub(super) const PROBE: &str = "tollgate:probe";

/// The name of a counter.
pub(super) fn counter(key: CounterKey) -> String {
    format!("tollgate:{{{:016x}}}:{:032x}", key.tag, key.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carry_their_tag_in_braces_at_full_width() {
        let key = CounterKey { tag: 0xab, id: 0x12 };
        assert_eq!(counter(key), "tollgate:{00000000000000ab}:00000000000000000000000000000012");
    }
}
