//! One hit of one limit, as the engine would charge it.

use tollgate::algorithm::{Op, Rule};
use tollgate::limits::{CounterKey, Number, OnError, Unit, Window};
use tollgate::store::{Admission, Binding, Call, Charge, FreedBy};

/// The key of the counter `number`: spread as a hash would be.
pub(crate) fn key(number: usize) -> CounterKey {
    let number = u128::try_from(number).expect("a number of a counter");
    let mut id = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    id ^= id >> 64;
    CounterKey { tag: 0, id: id.wrapping_mul(0xD6E8_FEB8_6659_FD93_A076_1D64_78BD_642F) }
}

/// What one hit charges to the counter `key`, of `most` in `window`.
pub(crate) fn charge(window: &Window, most: u64, key: CounterKey) -> Charge<'_> {
    Charge {
        key,
        overflow: key.id,
        rule: Rule { window, number: Number::AtMost(most) },
        op: Op::Take { room: 1, charge: 1 },
        binding: Binding::Enforced,
        on_error: OnError::Local,
        freed_by: FreedBy::Time,
        unit: Unit::Hits,
        memo: 0,
    }
}

/// The call that makes `charges`.
pub(crate) fn call<'a>(charges: &'a [Charge<'a>]) -> Call<'a> {
    Call { charges, admission: Admission::AllOrNone, expenses: &[] }
}
