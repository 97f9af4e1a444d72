//! What tokens cost: the arithmetic for any prices and any counts.

use proptest::prelude::*;
use tollgate::clock::Timestamp;
use tollgate::money::{MAX_AMOUNT, NanoUsd};
use tollgate::prices::{Class, CostError, Model, PriceTable, Tokens, Unknown, Version};

const NOW: Timestamp = Timestamp(1_780_000_000_000_000);

/// A count or a price of any magnitude up to `most`: small ones are as likely as large ones.
fn magnitude(most: u64) -> impl Strategy<Value = u64> {
    let any_bits = (0..=most.ilog2(), any::<u64>()).prop_map(|(bits, random)| random & ((2 << bits) - 1));
    any_bits.prop_map(move |value| value.min(most))
}

fn prices() -> impl Strategy<Value = [u64; 9]> {
    prop::array::uniform9(prop_oneof![4 => magnitude(NanoUsd::MAX_LIMIT.0), 1 => Just(0)])
}

/// Counts that together are no more than anything counts.
fn counts() -> impl Strategy<Value = [u64; 9]> {
    prop::array::uniform9(prop_oneof![4 => magnitude(MAX_AMOUNT / 9), 4 => 0..50_000_u64, 1 => Just(0)])
}

/// A table in which one model asks `prices` for the classes in their order.
fn table(prices: [u64; 9]) -> PriceTable {
    let prices = Class::ALL.into_iter().zip(prices.map(NanoUsd)).collect();
    let versions = vec![Version { set_by: None, from: Timestamp(0), prices, steps: Vec::new() }];
    PriceTable::new(Unknown::Deny, vec![Model { name: "m".into(), aliases: Vec::new(), versions }])
}

fn cost(table: &PriceTable, counts: [u64; 9]) -> Result<u64, CostError> {
    let mut tokens = Tokens::default();
    Class::ALL.into_iter().zip(counts).for_each(|(class, count)| tokens.add(class, count).unwrap());
    table.cost(b"m", &tokens, NOW).map(|cost| cost.nanos)
}

/// The exact sum of the products by a million, each taken apart into whole nano-USD and millionths of one, rounded up.
fn exactly(prices: [u64; 9], counts: [u64; 9]) -> u128 {
    let products = prices.into_iter().zip(counts).map(|(price, count)| u128::from(price) * u128::from(count));
    let (whole, millionths) = products.fold((0, 0), |(whole, millionths), product| {
        (whole + product / 1_000_000, millionths + product % 1_000_000)
    });
    whole + millionths / 1_000_000 + u128::from(millionths % 1_000_000 > 0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_cost_is_the_exact_sum_rounded_up_once(prices in prices(), counts in counts()) {
        let expected = exactly(prices, counts);
        match cost(&table(prices), counts) {
            Ok(nanos) => prop_assert_eq!(u128::from(nanos), expected),
            Err(error) => prop_assert!(
                error == CostError::TooLarge && expected > u128::from(MAX_AMOUNT),
                "{} for {}", error, expected
            ),
        }
    }

    #[test]
    fn more_tokens_never_cost_less(prices in prices(), counts in counts(), class in 0..9_usize, more in 0..50_000_u64) {
        let table = table(prices);
        let mut raised = counts;
        raised[class] += more;
        let beyond = |cost: Result<u64, CostError>| cost.unwrap_or(u64::MAX);
        prop_assert!(beyond(cost(&table, counts)) <= beyond(cost(&table, raised)));
    }

    /// Running totals are priced as a whole: a call that is settled in parts costs what it costs at once, and its parts
    /// priced apart never cost less.
    #[test]
    fn parts_never_cost_less_than_the_whole(prices in prices(), one in counts(), other in counts()) {
        let halves = [one, other].map(|counts| counts.map(|count| count / 2));
        let whole = std::array::from_fn(|class| halves[0][class] + halves[1][class]);
        let table = table(prices);
        if let [Ok(one), Ok(other), Ok(whole)] = [halves[0], halves[1], whole].map(|counts| cost(&table, counts)) {
            prop_assert!(whole <= one + other && one + other <= whole + 1);
        }
    }

    #[test]
    fn a_model_is_found_behind_providers_and_before_a_date(
        name in "([a-z.-]{0,8}/){0,3}[mM]([-@]20[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01]))?"
    ) {
        let table = table([1; 9]);
        prop_assert_eq!(table.model(name.as_bytes()).map(|model| &*model.name), Some("m"));
    }

    #[test]
    fn no_bytes_of_a_name_panic(name in prop::collection::vec(any::<u8>(), 0..600)) {
        _ = table([1; 9]).model(&name);
    }
}
