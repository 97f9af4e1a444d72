//! What is refused where it would be taken for something else than was meant, and changes nothing.

use tollgate::clock::Micros;
use tollgate::engine::{
    Caution, Change, ChangeTerms, Mistake, Operate, OperateError, SetPrice, SetTier, UpdateLimit, Who,
};
use tollgate::limits::Number;

use crate::operate_update::{FILE, Shop, forced, of_subject, on_tier};
use crate::support::admins::ann;
use crate::support::embedded::{NOON, rules};
use crate::support::shop::entries;

#[tokio::test]
async fn what_is_taken_back_has_no_end() {
    let shop = Shop::new();
    shop.update(on_tier("free", "month", Change::Number(5))).await;
    let until = Some(NOON.plus(Micros::from_secs(60)));
    for back in
        [on_tier("free", "month", Change::BackToFile), of_subject("user=u", "month", Change::BackToFile)]
    {
        let back = UpdateLimit { until, ..back };
        assert_eq!(shop.try_update(back).await.unwrap_err(), OperateError::UntilOfNothing);
    }
    shop.set_tier("user=u", Some("pro")).await.unwrap();
    let who = Who { domain: None, entries: entries("user=u").collect() };
    let request = SetTier { who, tier: None, until, terms: ChangeTerms::default() };
    let error = shop.engine.set_tier(&ann(), request).await.unwrap_err();
    assert_eq!((error.mistake(), error.to_string().starts_with("until: ")), (Mistake::Invalid, true));
    assert_eq!(shop.records().await.len(), 2, "nothing was done");
}

#[tokio::test]
async fn a_model_has_no_blanks_at_its_ends_and_nothing_that_is_not_seen() {
    let shop = Shop::new();
    let set = async |model: &'static str| {
        let terms = ChangeTerms { caution: Caution::Forced, ..ChangeTerms::default() };
        let (model, usd) = (model.as_bytes(), vec![(&b"input"[..], &b"1"[..])]);
        shop.set_price(SetPrice { model, usd, from: None, terms }).await.map(|set| set.model.to_string())
    };
    for model in [" new", "new ", "\u{a0}new", " ", "new\u{200b}", "n\u{2060}ew", "\u{feff}new"] {
        assert!(matches!(set(model).await, Err(OperateError::ModelName(_))), "{model:?}");
    }
    assert_eq!(set("new one").await.as_deref(), Ok("new one"));
}

#[tokio::test]
async fn a_number_in_another_unit_does_not_go_without_a_word() {
    let shop = Shop::new();
    shop.update(on_tier("free", "spend", Change::Usd(b"2.00"))).await;
    shop.update(of_subject("user=u", "spend", Change::Usd(b"3.00"))).await;
    shop.limits.swap(rules(&FILE.replace("$/day", "tokens/day").replace("$1.00", "100").replace("$0", "0")));
    for (change, before) in [
        (on_tier("free", "spend", Change::Number(150)), "$2.00"),
        (of_subject("user=u", "spend", Change::Number(150)), "$3.00"),
    ] {
        let error = shop.try_update(change.clone()).await.unwrap_err();
        assert_eq!(error.mistake(), Mistake::Guarded, "{error}");
        let text =
            format!("force: {before} is set there, though not in force since the limit counts tokens by now");
        assert!(error.to_string().starts_with(&text), "{error}");
        let changed = shop.update(forced(change)).await;
        assert_eq!(changed.after.unwrap().number.number, Number::AtMost(150));
    }
    shop.update(on_tier("free", "spend", Change::Number(160))).await;
    assert_eq!(shop.list().strays, []);
}
