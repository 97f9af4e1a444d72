//! What a reservation remembers of each counter that it charges, for whoever settles it: the tier of the call, whether that
//! said the number, and which model was asked for.
//!
//! A store keeps it with the counter and does not read it. Names are kept as hashes: they outlive a reload, as places in
//! lists do not. What has a name no longer is not known any more.

use crate::limits::{Limit, NativeDomain, Number, TierId, identity};
use crate::prices::{Model, PriceTable};
use crate::store::Part;

/// From the highest bit: 32 of the model, 31 of the tier, and one that is set where the caller brought its own number.
const MODEL_AT: u32 = 32;
const TIER_AT: u32 = 1;
const OWN_NUMBER: u64 = 1;

/// Of a call on `tier` that asks for `model`, to which a limit allows `number`, and `usual` is what it allows where a call says no number.
pub(super) fn write(
    domain: &NativeDomain,
    tier: TierId,
    [number, usual]: [Number; 2],
    model: Option<&Model>,
) -> u64 {
    let model = u64::from(model.map_or(0, hash)) << MODEL_AT;
    let tier = u64::from(domain.mark_of(tier)) << TIER_AT;
    model | tier | if number == usual { 0 } else { OWN_NUMBER }
}

/// The tier of the call that is charged `part`, if `domain` still has it.
#[expect(clippy::cast_possible_truncation, reason = "the bits of the model are above those of the tier")]
pub(super) fn tier(domain: &NativeDomain, part: &Part) -> Option<TierId> {
    domain.tier_marked((part.memo as u32) >> TIER_AT)
}

/// The model that the first of `parts` was reserved for, if `prices` still have it.
pub(super) fn model<'p>(prices: &'p PriceTable, parts: &[Part]) -> Option<&'p Model> {
    let asked = parts.first()?.memo >> MODEL_AT;
    prices.models().iter().find(|model| asked != 0 && u64::from(hash(model)) == asked)
}

/// What `limit` of `domain` allows now whoever is charged `part`: what they or their tier have by now, unless the call brought
/// its own number. Of whom nobody knows the tier, nothing is taken that any has.
pub(super) fn number_now(domain: &NativeDomain, limit: &Limit, part: &Part) -> Number {
    let of_tier = || tier(domain, part).map(|tier| limit.number(tier));
    match limit.own_number(part.key, part.limit).or_else(of_tier) {
        None => limit.largest_since(part.number),
        Some(now) if now.is_blocked() || part.memo & OWN_NUMBER == 0 => now,
        Some(_) => part.number,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a quarter of a hash tells the models of one table apart"
)]
fn hash(model: &Model) -> u32 {
    identity(&[b"model", model.name.as_bytes()]) as u32
}
