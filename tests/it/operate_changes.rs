//! What an admin may know of what is changed, and what becomes of what is set when files change.

use std::sync::Arc;

use tollgate::clock::{Clock, Micros};
use tollgate::engine::{
    AuditQuery, Change, ChangeTerms, Engine, EngineSettings, Operate, OperateError, SetPrice, SetTier, Who,
};
use tollgate::limits::{Entry, LimitsHandle, Number};
use tollgate::store::redis::RedisStore;
use tollgate::store::{Store, StoreError};

use crate::operate_update::{FILE, Shop, ann, journal, knowing, of_subject, on_tier, said};
use crate::operate_usage::entries;
use crate::support::embedded::{NOON, rules};
use crate::support::redis::{RedisServer, until_ready};
use crate::support::setting::subject;
use crate::support::tools::Tool;

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
    assert_eq!((said(&back.after).0, said(&back.after).2), (Number::AtMost(50), 1), "as free has it");
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

/// Nobody finds what is hashed under a secret that nobody else has.
#[tokio::test]
async fn nothing_is_set_for_a_subject_before_the_secret_of_the_store_is_known() {
    let mut redis = RedisServer::durable(Tool::Redis);
    let agreed = redis.store(Clock::System).await.key_secret();
    redis.kill();
    let store = RedisStore::start(redis.settings(), Clock::System).unwrap();
    let limits = LimitsHandle::new(rules(FILE));
    let journal = journal(&limits, &Clock::System);
    let engine = Engine::new(limits, store, EngineSettings::default()).recording(journal);
    let engine = Arc::new(engine);
    let unknown = Err(OperateError::Unavailable(StoreError::Unavailable));
    let put = async || {
        let who = Who { domain: None, entries: entries("user=u").collect() };
        let request = SetTier { who, tier: Some(b"pro"), until: None, terms: ChangeTerms::default() };
        engine.set_tier(&ann(), request).await.map(|_| ())
    };
    let own = async || {
        let change = of_subject("user=u", "month", Change::Number(6));
        engine.update(&ann(), change).await.map(|_| ())
    };
    let records = async || {
        let subject = Some(Entry { key: b"user", value: b"u" });
        let page = engine.audit(AuditQuery { subject, ..AuditQuery::default() }).await;
        page.map(|page| page.records.len())
    };
    assert_eq!((put().await, own().await), (unknown.clone(), unknown.clone()));
    assert_eq!(records().await.map(|_| ()), unknown);
    engine.update(&ann(), on_tier("free", "month", Change::Number(4))).await.unwrap();
    redis.restart();
    until_ready(engine.store()).await;
    assert_eq!((put().await, own().await, records().await), (Ok(()), Ok(()), Ok(2)));
    let set = engine.list(None).unwrap().assigned.remove(0).subject;
    assert_eq!(set, subject(agreed, &[("user", "u")]));
}
