//! What an admin may know of what is changed: nobody changes what they have not seen.

use proptest::prelude::*;

use tollgate::clock::Micros;
use tollgate::engine::{Change, ChangeTerms, Listing, Operate, OperateError, SetPrice, SetTier, Who};
use tollgate::limits::Number;
use tollgate::prices::{Class, Tokens};

use crate::operate_update::{Shop, forced, knowing, of_subject, on_tier, said};
use crate::support::admins::ann;
use crate::support::embedded::NOON;
use crate::support::shop::entries;

const BACK: Change<'static> = Change::BackToFile;

fn stale<T: std::fmt::Debug>(changed: Result<T, OperateError>, expected: u64, found: u64) {
    assert_eq!(changed.unwrap_err(), OperateError::Stale { expected, found });
}

#[tokio::test]
async fn what_was_taken_back_is_not_changed_unseen() {
    let shop = Shop::new();
    let change = |to| on_tier("free", "month", Change::Number(to));
    shop.update(change(5)).await;
    shop.update(on_tier("free", "month", BACK)).await;
    stale(shop.try_update(knowing(change(6), 1)).await, 1, 2);
    assert_eq!(shop.update(knowing(change(6), 0)).await.version, 3, "it is as the file has it");
    shop.update(on_tier("free", "month", BACK)).await;
    assert_eq!(shop.update(knowing(change(6), 4)).await.version, 5);
}

#[tokio::test]
async fn who_falls_back_to_an_older_number_has_changed() {
    let shop = Shop::new();
    shop.update(on_tier("free", "api", Change::Number(50))).await;
    shop.update(on_tier("pro", "api", Change::Number(70))).await;
    let back = shop.update(on_tier("pro", "api", BACK)).await;
    assert_eq!(
        (said(back.after.as_ref().unwrap()).0, said(back.after.as_ref().unwrap()).2),
        (Number::AtMost(50), 1),
        "as free has it"
    );
    let change = |version| knowing(on_tier("pro", "api", Change::Number(80)), version);
    stale(shop.try_update(change(2)).await, 2, 3);
    assert_eq!(shop.update(change(1)).await.version, 4, "who knows what is in force knows enough");
    // What lies behind a number that comes first has not changed it.
    shop.update(on_tier("free", "month", Change::Number(5))).await;
    assert_eq!(shop.update(knowing(on_tier("pro", "month", Change::Number(60)), 4)).await.version, 6);
    stale(shop.try_update(knowing(of_subject("user=u", "month", Change::Number(9)), 4)).await, 4, 5);
}

#[tokio::test]
async fn what_subjects_and_models_had_is_not_changed_unseen() {
    let shop = Shop::new();
    let own = |to| of_subject("user=u", "month", to);
    shop.update(own(Change::Number(6))).await;
    shop.update(own(BACK)).await;
    stale(shop.try_update(knowing(own(Change::Number(7)), 1)).await, 1, 2);
    assert_eq!(shop.update(knowing(own(Change::Number(7)), 0)).await.version, 3);
    shop.update(of_subject("user=v", "month", Change::Number(6))).await;
    shop.update(of_subject("user=v", "month", BACK)).await;
    shop.update(knowing(own(Change::Number(8)), 3)).await;

    let put = async |tier: Option<&'static str>, version| {
        let terms = ChangeTerms { if_version: Some(version), ..ChangeTerms::default() };
        let who = Who { domain: None, entries: entries("user=u").collect() };
        let request = SetTier { who, tier: tier.map(str::as_bytes), until: None, terms };
        shop.engine.set_tier(&ann(), request).await.map(|changed| changed.version)
    };
    assert_eq!(put(Some("pro"), 6).await, Ok(7));
    assert_eq!(put(None, 7).await, Ok(8));
    stale(put(Some("pro"), 7).await, 7, 8);
    assert_eq!(put(Some("pro"), 0).await, Ok(9));

    let price = async |usd: &'static str, version| {
        let usd: Vec<(&[u8], &[u8])> = match usd {
            "" => Vec::new(),
            usd => vec![(b"input", usd.as_bytes()), (b"output", b"30")],
        };
        let terms = ChangeTerms { if_version: Some(version), ..ChangeTerms::default() };
        let from = Some(NOON.plus(Micros::from_secs(60)));
        let request = SetPrice { model: b"gpt-5", usd, from, terms };
        shop.set_price(request).await.map(|changed| changed.version)
    };
    assert_eq!(price("9", 9).await, Ok(10));
    assert_eq!(price("", 10).await, Ok(11));
    stale(price("8", 10).await, 10, 11);
    assert_eq!(price("8", 11).await, Ok(12));
}

#[tokio::test]
async fn what_one_subject_had_is_no_matter_of_another() {
    let shop = Shop::new();
    shop.update(of_subject("user=o", "month", Change::Number(6))).await;
    shop.update(of_subject("user=o", "month", BACK)).await;
    let own = |user| knowing(of_subject(user, "month", Change::Number(4)), 1);
    assert_eq!(shop.update(own("user=x")).await.version, 3);
    stale(shop.try_update(own("user=o")).await, 1, 2);
}

#[tokio::test]
async fn no_two_prices_that_were_set_are_called_the_same() {
    let shop = Shop::new();
    let set = async |usd: &'static str| {
        let usd: Vec<(&[u8], &[u8])> = match usd {
            "" => Vec::new(),
            usd => vec![(b"input", usd.as_bytes()), (b"output", b"30")],
        };
        let (from, terms) = (Some(NOON), ChangeTerms::default());
        shop.set_price(SetPrice { model: b"gpt-5", usd, from, terms }).await.unwrap().version
    };
    let called = || {
        let mut tokens = Tokens::default();
        tokens.add(Class::Input, 1).unwrap();
        shop.limits.load().prices.cost(b"gpt-5", &tokens, NOON).unwrap().entry.unwrap().version
    };
    assert_eq!(called(), 1, "as the file has it");
    assert_eq!((set("9").await, called()), (1, 1_000_001));
    assert_eq!((set("").await, called()), (2, 1));
    assert_eq!((set("8").await, called()), (3, 1_000_003));
}

/// Who has a number of `login`.
const PLACES: [&str; 4] = ["all", "free", "pro", "studio"];

/// What is in force at each place, and by which record.
fn in_force(listed: &Listing) -> [(Number, u64); 4] {
    let of = |tier: &str| listed.limits.iter().find(|value| &*value.limit == "login" && &*value.tier == tier);
    PLACES.map(|tier| {
        let number = of(tier).or_else(|| of("all")).unwrap().number;
        (number.number, number.version)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_knows_what_is_in_force_may_change_it_and_nobody_else(
        changes in prop::collection::vec((0..4_usize, prop::option::of(6..50_i64)), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let shop = Shop::new();
            let mut known = vec![in_force(&shop.list())];
            for (place, number) in changes {
                let to = number.map_or(BACK, Change::Number);
                shop.update(forced(on_tier(PLACES[place], "login", to))).await;
                known.push(in_force(&shop.list()));
            }
            let (now, head) = (known[known.len() - 1], known.len() - 1);
            for (index, version) in (0..4).flat_map(|index| (0..=head).map(move |version| (index, version))) {
                // What is asked wants force, so it is refused in the end.
                let asked = on_tier(PLACES[index], "login", Change::Number(-1));
                let error = shop.try_update(knowing(asked, version as u64)).await.unwrap_err();
                let passes = !matches!(error, OperateError::Stale { .. });
                let is_told = version == head || version as u64 == now[index].1;
                let is_the_same = known[version][index] == now[index];
                assert!(passes || !is_told, "{} at {version}: {error}", PLACES[index]);
                assert!(!passes || is_told || is_the_same, "{} at {version}: {known:?}", PLACES[index]);
            }
        });
    }
}
