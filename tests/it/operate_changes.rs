//! What becomes of what is set when files change, and whom and what it is set for.

use std::sync::Arc;

use tollgate::clock::Clock;
use tollgate::engine::{
    AuditQuery, Caution, Change, ChangeTerms, Engine, EngineSettings, Import, ImportMode, ImportRow, Listing,
    Mistake, Operate, OperateError, ResetSubject, SetPrice, SetTier, Source, UpdateLimit, Who,
};
use tollgate::limits::{Entry, LimitsHandle, Number};
use tollgate::prices::{Class, Tokens};
use tollgate::store::redis::RedisStore;
use tollgate::store::{Store, StoreError};

use crate::operate_update::{FILE, Shop, knowing, of_subject, on_tier, said};
use crate::support::admins::ann;
use crate::support::embedded::{NOON, rules};
use crate::support::redis::{RedisServer, until_ready};
use crate::support::setting::subject;
use crate::support::shop::{entries, journal};
use crate::support::tools::Tool;

const BACK: Change<'static> = Change::BackToFile;

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
        let subjects = Some(vec![Entry { key: b"user", value: b"u" }]);
        let page = engine.audit(AuditQuery { subjects, ..AuditQuery::default() }).await;
        page.map(|page| page.records.len())
    };
    assert_eq!((put().await, own().await), (unknown.clone(), unknown.clone()));
    assert_eq!(records().await.map(|_| ()), unknown);
    let who = Who { domain: None, entries: entries("user=u").collect() };
    let reset = engine.reset(&ann(), ResetSubject { who, limits: Vec::new(), reason: "" }).await;
    assert_eq!(reset.map(|_| ()), unknown);
    let rows = vec![ImportRow { subject: entries("user=u").collect(), limit: b"month", used: b"3" }];
    let request = Import { domain: None, rows, mode: ImportMode::Done, reason: "" };
    assert_eq!(engine.import(&ann(), request).await.map(|_| ()), unknown);
    assert_eq!(engine.audit(AuditQuery::default()).await.unwrap().records, []);
    engine.update(&ann(), on_tier("free", "month", Change::Number(4))).await.unwrap();
    redis.restart();
    until_ready(engine.store()).await;
    assert_eq!((put().await, own().await, records().await), (Ok(()), Ok(()), Ok(2)));
    let set = engine.list(None).unwrap().assigned.remove(0).subject;
    assert_eq!(set, subject(agreed, &[("user", "u")]));
}

/// The same domain by another hand: one limit counts money now, most are gone, and so is a tier.
const REWRITTEN: &str = "
domains:
  shop:
    per: user
    tier: {default: free}
    limits: {month: $/month, login: 5/15m per email|ip}
    tiers: {free: {month: $1.00}}
";

#[tokio::test]
async fn what_is_set_over_nothing_is_listed_and_can_be_taken_back() {
    let shop = Shop::new();
    shop.update(on_tier("free", "api", Change::Number(50))).await;
    shop.update(of_subject("user=u", "month", Change::Number(6))).await;
    shop.update(of_subject("user=u kit=k", "kits", Change::Number(4))).await;
    shop.set_tier("user=u", Some("pro")).await.unwrap();
    assert_eq!((shop.list().strays, shop.list().stray_tiers), (vec![], vec![]));
    shop.limits.swap(rules(REWRITTEN));

    let listed = shop.list();
    let strays: Vec<_> = listed
        .strays
        .iter()
        .map(|stray| {
            let key = stray.subject.as_ref().map(|subject| subject.key.to_string());
            (&*stray.value.tier, &*stray.value.limit, key.unwrap_or_default(), said(&stray.value))
        })
        .collect();
    let stray = |most, version| (Number::AtMost(most), Source::Stray, version);
    assert_eq!(
        strays,
        [
            ("free", "api", String::new(), stray(50, 1)),
            ("", "kits", "user+kit".to_owned(), stray(4, 3)),
            ("", "month", "user".to_owned(), stray(6, 2)),
        ]
    );
    assert_eq!((listed.own, listed.assigned, listed.unlisted), (vec![], vec![], 0));
    assert_eq!((listed.stray_tiers.len(), &*listed.stray_tiers[0].tier), (1, "pro"));
    assert!(listed.limits.iter().all(|value| value.number.source == Source::File));

    let api = || on_tier("free", "api", BACK);
    assert_eq!(
        shop.try_update(on_tier("free", "api", Change::Number(7))).await.unwrap_err().mistake(),
        Mistake::Unknown
    );
    let back = shop.update(knowing(api(), 1)).await;
    assert_eq!((said(&back.before), back.after, back.version), (stray(50, 1), None, 5));
    assert_eq!(shop.try_update(api()).await.unwrap_err().mistake(), Mistake::Unknown, "it is not set");
    assert!(shop.try_update(of_subject("user=v kit=k", "kits", BACK)).await.is_err());
    assert!(shop.try_update(of_subject("user=u", "kits", BACK)).await.is_err());
    shop.update(of_subject("kit=k user=u", "kits", BACK)).await;
    let month = shop.update(of_subject("user=u", "month", BACK)).await;
    assert_eq!(said(month.after.as_ref().unwrap()), (Number::AtMost(1_000_000_000), Source::File, 0));
    shop.set_tier("user=u", None).await.unwrap();
    assert_eq!((shop.list().strays, shop.list().stray_tiers), (vec![], vec![]));
}

#[tokio::test]
async fn what_is_set_over_a_domain_that_is_gone_is_listed_by_its_name() {
    let shop = Shop::new();
    shop.update(on_tier("free", "month", Change::Number(5))).await;
    shop.limits.swap(rules("domains: {mall: {per: user, limits: {month: 3/month}}}"));
    let listed = shop.engine.list(Some(b"shop")).unwrap();
    assert_eq!((listed.limits.len(), listed.strays.len(), listed.version), (0, 1, 1));
    assert!(shop.engine.list(Some(b"shp")).is_err());
    assert!(shop.list().strays.is_empty(), "it is another's");
    let back = UpdateLimit { domain: Some(b"shop"), ..on_tier("free", "month", BACK) };
    assert_eq!(shop.update(back).await.version, 2);
    assert!(shop.engine.list(Some(b"shop")).is_err(), "nothing is left of it");
}

const DEARER: &str = "
    gpt-5:
    - {input: 10.00, output: 30.00}
    - {above: 200k, input: 20.00, output: 60.00}
  aliases: {five: gpt-5}
";

#[tokio::test]
async fn a_price_is_of_the_model_that_was_named_and_of_no_other() {
    let shop = Shop::new();
    let price = async |model: &'static str, input: &'static str, caution| {
        let usd: Vec<(&[u8], &[u8])> = vec![(b"input", input.as_bytes()), (b"output", b"30")];
        let terms = ChangeTerms { caution, ..ChangeTerms::default() };
        shop.set_price(SetPrice { model: model.as_bytes(), usd, from: None, terms }).await
    };
    let (kept, forced) = (Caution::Kept, Caution::Forced);
    for model in ["gpt-5-2026-08-07", "azure/gpt-5", "openai/GPT-5@20260807"] {
        let error = price(model, "11", kept).await.unwrap_err();
        let text =
            format!("model: '{model}' has no prices yet; did you mean 'gpt-5'? send force if it is meant");
        assert_eq!((error.mistake(), error.to_string()), (Mistake::Guarded, text));
    }
    let snapshot = price("gpt-5-2026-08-07", "99", forced).await.unwrap();
    assert_eq!(&*snapshot.model, "gpt-5-2026-08-07");
    let cost = |model: &str| {
        let mut tokens = Tokens::default();
        tokens.add(Class::Input, 1_000_000).unwrap();
        shop.limits.load().prices.cost(model.as_bytes(), &tokens, NOON).unwrap().nanos / 1_000_000_000
    };
    assert_eq!(["gpt-5", "azure/gpt-5", "gpt-5-2026-08-07"].map(cost), [10, 10, 99]);
    assert_eq!(&*price("GPT-5-2026-08-07", "98", kept).await.unwrap().model, "gpt-5-2026-08-07");
}

#[tokio::test]
async fn prices_of_long_calls_do_not_go_unseen() {
    let shop = Shop::new();
    let files = FILE.replace("\n    gpt-5: {input: 10.00, output: 30.00}\n", DEARER);
    shop.limits.swap(rules(&files));
    let price = async |caution| {
        let usd: Vec<(&[u8], &[u8])> = vec![(b"input", b"11"), (b"output", b"30")];
        let terms = ChangeTerms { caution, ..ChangeTerms::default() };
        shop.set_price(SetPrice { model: b"FIVE", usd, from: None, terms }).await
    };
    let error = price(Caution::Kept).await.unwrap_err();
    assert_eq!(error.mistake(), Mistake::Guarded);
    assert_eq!(
        error.to_string(),
        "force: 'gpt-5' has other prices above 200000 tokens of input, which only a file can say and which \
         would go; send force if it is meant"
    );
    assert_eq!(&*price(Caution::Forced).await.unwrap().model, "gpt-5");
    price(Caution::Kept).await.unwrap();
}

#[tokio::test]
async fn an_address_is_the_same_one_for_operators_and_calls() {
    let shop = Shop::new();
    shop.update(of_subject("remote_address=2001:db8::1", "login", Change::Number(4))).await;
    assert_eq!(shop.passing("limit=login ip=2001:db8::99", 9).await, 4);
    assert_eq!(shop.passing("limit=login masked_remote_address=2001:db8::/64", 9).await, 0, "the same");
    assert_eq!(shop.passing("limit=login ip=2001:db8:0:1::1", 9).await, 5);
    let reset = async |pairs: &'static str| {
        let who = Who { domain: None, entries: entries(pairs).collect() };
        shop.engine.reset(&ann(), ResetSubject { who, limits: Vec::new(), reason: "" }).await.map(|_| ())
    };
    assert_eq!(reset("masked_remote_address=2001:db8::5/128").await, Ok(()));
    assert_eq!(shop.passing("limit=login remote_address=2001:db8::7", 9).await, 4);
    shop.set_tier("remote_address=::ffff:192.0.2.7", Some("studio")).await.unwrap();
    assert_eq!(shop.passing("limit=api ip=192.0.2.7", 70).await, 70);
    assert_eq!(shop.passing("limit=api ip=192.0.2.8", 70).await, 30);
    let keys = |listed: Listing| {
        let own = listed.own.into_iter().map(|own| own.subject.key);
        own.chain(listed.assigned.into_iter().map(|tier| tier.subject.key)).collect::<Vec<_>>()
    };
    assert_eq!(keys(shop.list()), ["ip".into(), Box::<str>::from("ip")]);
    let records = async |key: &'static str, value: &'static str| {
        let subjects = Some(vec![Entry { key: key.as_bytes(), value: value.as_bytes() }]);
        let page = shop.engine.audit(AuditQuery { subjects, ..AuditQuery::default() }).await;
        page.map(|page| page.records.len())
    };
    assert_eq!(records("ip", "2001:db8::42").await, Ok(2));
    assert_eq!(records("remote_address", "192.0.2.7").await, Ok(1));

    let no_address = |of: &str| OperateError::NoAddress(of.to_owned());
    // What calls are counted by can be looked at and let in again, whatever a gateway takes for an address.
    assert_eq!(shop.passing("limit=login ip=192.0.2.1:4711", 9).await, 5);
    assert!(reset("remote_address=192.0.2.1:4711").await.is_ok());
    assert_eq!(records("ip", "192.0.2.1:4711").await, Ok(1));
    assert_eq!(shop.passing("limit=login ip=192.0.2.1:4711", 9).await, 5);
    assert_eq!(shop.set_tier("ip=notanip", Some("pro")).await.unwrap_err(), no_address("notanip"));
    let import = async |pairs: &'static str| {
        let rows = vec![ImportRow { subject: entries(pairs).collect(), limit: b"login", used: b"3" }];
        let request = Import { domain: None, rows, mode: ImportMode::Done, reason: "" };
        let mut imported = shop.engine.import(&ann(), request).await.unwrap();
        imported.rows.remove(0).map(|row| row.before)
    };
    assert_eq!(import("ip=notanip").await, Err(no_address("notanip")));
    assert_eq!(import("remote_address=2001:db8::9").await, Ok(4));
    let own = of_subject("ip=notanip", "login", Change::Number(4));
    assert_eq!(shop.try_update(own).await.unwrap_err(), no_address("notanip"));
    assert_eq!(reset("ip=192.0.2.7 remote_address=192.0.2.8").await.unwrap_err().mistake(), Mistake::Invalid);
}

#[tokio::test]
async fn an_address_in_a_path_is_the_same_one_as_any() {
    let shop = Shop::new();
    let file = "domains: {shop: {limits: {from: 2/1h per ip}, routes: {'GET /from/{ip}': [from]}}}";
    shop.limits.swap(rules(file));
    assert_eq!(shop.passing("method=GET path=/from/2001:db8::1", 3).await, 2);
    assert_eq!(shop.passing("method=GET path=/from/2001:db8::2 ip=10.0.0.1", 3).await, 0);
    shop.update(of_subject("ip=2001:db8::3", "from", Change::Number(3))).await;
    assert_eq!(shop.passing("method=GET path=/from/2001:db8::4", 3).await, 1);
}

/// Also by what no limit is kept per alone.
#[tokio::test]
async fn a_tier_is_of_whatever_calls_bring() {
    let shop = Shop::new();
    shop.set_tier("kit=k", Some("pro")).await.unwrap();
    assert_eq!(shop.passing("route=make user=u kit=k", 60).await, 50);
    assert_eq!(shop.passing("route=make user=v kit=l", 60).await, 3);
}
