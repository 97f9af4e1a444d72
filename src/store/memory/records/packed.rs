//! Numbers of a record in as little memory as they need.
//!
//! There are as many records as there are calls in an hour or a day, and each is written where nobody was for long: it
//! waits for every cache line of it. Only what is remembered is packed, and whoever uses it unpacks it.

use crate::limits::{CounterKey, Number};

/// A number of sixteen bytes that leaves no gap beside one of eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::memory) struct Wide([u8; 16]);

impl Wide {
    pub(in crate::store::memory) const fn of(number: u128) -> Self {
        Self(number.to_ne_bytes())
    }

    pub(in crate::store::memory) const fn get(self) -> u128 {
        u128::from_ne_bytes(self.0)
    }
}

/// The key of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::memory) struct PackedKey {
    tag: u64,
    id: Wide,
}

impl PackedKey {
    pub(in crate::store::memory) const fn of(key: CounterKey) -> Self {
        Self { tag: key.tag, id: Wide::of(key.id) }
    }

    pub(in crate::store::memory) const fn get(self) -> CounterKey {
        CounterKey { tag: self.tag, id: self.id.get() }
    }
}

/// An amount, one more than it is, or 0 for none. Nothing counts as many as the largest number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::memory) struct Perhaps(u64);

impl Perhaps {
    pub(in crate::store::memory) const NONE: Self = Self(0);

    pub(in crate::store::memory) const fn of(amount: Option<u64>) -> Self {
        match amount {
            Some(amount) => Self(amount.saturating_add(1)),
            None => Self::NONE,
        }
    }

    pub(in crate::store::memory) const fn get(self) -> Option<u64> {
        self.0.checked_sub(1)
    }
}

/// How much a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::memory) struct PackedNumber(Perhaps);

impl PackedNumber {
    pub(in crate::store::memory) const fn of(number: Number) -> Self {
        Self(match number {
            Number::AtMost(most) => Perhaps::of(Some(most)),
            Number::Unlimited => Perhaps::NONE,
        })
    }

    pub(in crate::store::memory) const fn get(self) -> Number {
        match self.0.get() {
            Some(most) => Number::AtMost(most),
            None => Number::Unlimited,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::records::RecordedPart;

    #[test]
    fn two_cache_lines_have_room_for_a_part() {
        assert_eq!(size_of::<RecordedPart>(), 128);
    }

    #[test]
    fn what_is_packed_is_unpacked_as_it_was() {
        let key = CounterKey { tag: 1 << 63, id: 1 << 127 };
        assert_eq!((PackedKey::of(key).get(), Wide::of(u128::MAX - 1).get()), (key, u128::MAX - 1));
        for amount in [None, Some(0), Some(1), Some(u64::MAX - 1)] {
            assert_eq!(Perhaps::of(amount).get(), amount);
            let number = amount.map_or(Number::Unlimited, Number::AtMost);
            assert_eq!(PackedNumber::of(number).get(), number);
        }
    }
}
