//! What admins set over the files: numbers, tiers and prices, with the guards before every change and the record of it.

use std::sync::Arc;

use tollgate::audit::Record;
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::engine::{
    AuditQuery, Caution, Change, ChangeTerms, Check, Code, Engine, EngineSettings, LimitChanged, LimitValue,
    Listing, Mistake, Operate, OperateError, PriceChanged, Reach, ResetSubject, SetPrice, SetTier, Source,
    TierChanged, TierFrom, UpdateLimit,
};
use tollgate::limits::{CounterKey, Entry, KeySecret, LimitsHandle, Number};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{self, Answer, Call, Marked, StoreError};

use crate::support::admins::ann;
use crate::support::embedded::{NOON, rules};
use crate::support::shop::{call, entries, journal, who};

pub(crate) const FILE: &str = "
domains:
  shop:
    per: user
    tier: {default: free, anonymous: anonymous}
    limits:
      login:   5/15m per email|ip
      api:     1m per user|ip
      month:   month
      kits:    total per user+kit
      spend:   $/day
      streams: 5 concurrent
      world:   100/1m per all
    tiers:
      anonymous: {'*': 0, spend: $0, api: 30}
      free:      {api: 60, month: 3, kits: 3, spend: $1.00}
      pro:       {extends: free, month: 50}
      studio:    {extends: pro, api: 500, month: -1}
    routes:
      make: [api, month]
prices:
  models:
    gpt-5: {input: 10.00, output: 30.00}
";

pub(crate) struct Shop {
    pub(crate) engine: Arc<Engine<Arc<MemoryStore>>>,
    pub(crate) clock: Clock,
    pub(crate) limits: LimitsHandle,
}

impl Shop {
    pub(crate) fn new() -> Self {
        let clock = Clock::manual(NOON);
        let store = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([7; 16]));
        let limits = LimitsHandle::new(rules(FILE));
        let journal = journal(&limits, &clock);
        let engine = Engine::new(limits.clone(), Arc::new(store), EngineSettings::default());
        Self { engine: Arc::new(engine.recording(journal)), clock, limits }
    }

    pub(crate) async fn try_update(&self, update: UpdateLimit<'_>) -> Result<LimitChanged, OperateError> {
        self.engine.update(&ann(), update).await
    }

    pub(crate) async fn update(&self, update: UpdateLimit<'_>) -> LimitChanged {
        self.try_update(update).await.unwrap()
    }

    pub(crate) async fn set_tier(&self, user: &str, tier: Option<&str>) -> Result<TierChanged, OperateError> {
        let (tier, terms) = (tier.map(str::as_bytes), ChangeTerms::default());
        let request = SetTier { who: who(user), tier, until: None, terms };
        self.engine.set_tier(&ann(), request).await
    }

    pub(crate) async fn set_price(&self, request: SetPrice<'_>) -> Result<PriceChanged, OperateError> {
        self.engine.set_price(&ann(), request).await
    }

    pub(crate) fn list(&self) -> Listing {
        self.engine.list(None).unwrap()
    }

    pub(crate) async fn passing(&self, pairs: &str, calls: usize) -> usize {
        let mut passing = 0;
        for _ in 0..calls {
            passing += usize::from(self.engine.check(call(pairs)).await.unwrap().code == Code::Ok);
        }
        passing
    }

    pub(crate) async fn records(&self) -> Vec<Record> {
        self.engine.audit(AuditQuery::default()).await.unwrap().records
    }
}

pub(crate) fn on_tier<'a>(tier: &'a str, limit: &'a str, to: Change<'a>) -> UpdateLimit<'a> {
    let (limit, of) = (limit.as_bytes(), Reach::Tier(tier.as_bytes()));
    UpdateLimit { domain: None, limit, of, to, until: None, terms: ChangeTerms::default() }
}

pub(crate) fn of_subject<'a>(pairs: &'a str, limit: &'a str, to: Change<'a>) -> UpdateLimit<'a> {
    UpdateLimit { of: Reach::Subject(entries(pairs).collect()), ..on_tier("", limit, to) }
}

pub(crate) fn forced(update: UpdateLimit<'_>) -> UpdateLimit<'_> {
    UpdateLimit { terms: ChangeTerms { caution: Caution::Forced, ..update.terms }, ..update }
}

pub(crate) fn knowing(update: UpdateLimit<'_>, version: u64) -> UpdateLimit<'_> {
    UpdateLimit { terms: ChangeTerms { if_version: Some(version), ..update.terms }, ..update }
}

pub(crate) fn said(value: &LimitValue) -> (Number, Source, u64) {
    (value.number.number, value.number.source, value.number.version)
}

#[tokio::test]
async fn a_change_reaches_a_tier_and_those_that_extend_it() {
    let shop = Shop::new();
    assert_eq!(shop.passing("route=make user=u", 5).await, 3);
    let changed = shop.update(on_tier("free", "month", Change::Number(5))).await;
    assert_eq!(said(&changed.before), (Number::AtMost(3), Source::File, 0));
    assert_eq!(said(changed.after.as_ref().unwrap()), (Number::AtMost(5), Source::Override, 1));
    assert_eq!((changed.version, changed.reaches.as_slice()), (1, &["free".into()][..]), "pro has its own");
    assert_eq!(shop.passing("route=make user=u", 5).await, 2, "what is used stays used");
    let changed = shop.update(on_tier("free", "api", Change::Number(6))).await;
    assert_eq!(changed.reaches, [Box::<str>::from("free"), "pro".into()]);
    let changed = shop.update(on_tier("all", "login", Change::Number(9))).await;
    assert_eq!(changed.reaches.len(), 4);
    let back = shop.update(on_tier("free", "month", Change::BackToFile)).await;
    assert_eq!(said(&back.before), (Number::AtMost(5), Source::Override, 1));
    assert_eq!((said(back.after.as_ref().unwrap()), back.version), ((Number::AtMost(3), Source::File, 0), 4));
}

#[tokio::test]
async fn a_change_that_may_be_a_mistake_wants_force() {
    let shop = Shop::new();
    for (tier, limit, to, text) in [
        ("free", "month", 31, "force: 3 to 31 is a change of more than 10×; send force if it is meant"),
        ("studio", "api", 49, "force: 500 to 49 is a change of more than 10×; send force if it is meant"),
        ("free", "month", 0, "force: 3 to blocked is a change to blocked; send force if it is meant"),
        ("free", "month", -1, "force: 3 to unlimited is a change to unlimited; send force if it is meant"),
        ("studio", "month", 9, "force: unlimited to 9 is a change from unlimited; send force if it is meant"),
        ("anonymous", "month", 1, "force: blocked to 1 is a change from blocked; send force if it is meant"),
    ] {
        let error = shop.try_update(on_tier(tier, limit, Change::Number(to))).await.unwrap_err();
        assert_eq!((error.mistake(), error.to_string().as_str()), (Mistake::Guarded, text));
    }
    let error = shop.try_update(on_tier("free", "spend", Change::Usd(b"11"))).await.unwrap_err();
    assert!(error.to_string().starts_with("force: $1.00 to $11.00 is"), "{error}");
    assert_eq!(shop.list().version, 0, "nothing was changed");
    shop.update(forced(on_tier("free", "month", Change::Number(31)))).await;
    for (limit, to) in [("month", 30), ("api", 600)] {
        shop.update(on_tier("free", limit, Change::Number(to))).await;
    }
    let error = shop.try_update(on_tier("free", "month", Change::BackToFile)).await;
    assert!(error.is_ok(), "ten times less is not more than that");
}

#[tokio::test]
async fn nobody_changes_what_they_have_not_seen() {
    let shop = Shop::new();
    let change = |to| on_tier("free", "month", Change::Number(to));
    assert_eq!(shop.update(knowing(change(4), 0)).await.version, 1);
    let error = shop.try_update(knowing(change(5), 0)).await.unwrap_err();
    assert_eq!(error, OperateError::Stale { expected: 0, found: 1 });
    let error = shop.try_update(knowing(change(5), 7)).await.unwrap_err();
    assert_eq!(error, OperateError::FutureVersion { expected: 7, head: 1 });
    assert_eq!(error.mistake(), Mistake::Stale);
    shop.update(knowing(on_tier("free", "api", Change::Number(61)), 1)).await;
    assert_eq!(shop.list().version, 2);
    shop.update(knowing(change(6), 1)).await;
    shop.update(knowing(change(7), 3)).await;
    let [one, other] = [shop.try_update(knowing(change(8), 4)), shop.try_update(knowing(change(9), 4))];
    let both = tokio::join!(one, other);
    assert_eq!([both.0.is_ok(), both.1.is_ok()].into_iter().filter(|done| *done).count(), 1, "{both:?}");
}

/// A change that is a mistake, of which kind, and what is said.
type Mistaken<'a> = (UpdateLimit<'a>, Mistake, &'a str);

/// Says what is wrong with each, and changes nothing.
async fn are_refused(shop: &Shop, mistaken: impl IntoIterator<Item = Mistaken<'_>>) {
    for (update, mistake, text) in mistaken {
        let error = shop.try_update(update).await.unwrap_err();
        assert_eq!((error.mistake(), error.to_string().as_str()), (mistake, text));
    }
    assert_eq!((shop.list().version, shop.records().await.len()), (0, 0));
}

#[tokio::test]
async fn a_mistake_changes_nothing_and_says_what_to_write() {
    let shop = Shop::new();
    let long = "x".repeat(1025);
    let (invalid, unknown) = (Mistake::Invalid, Mistake::Unknown);
    let number = Change::Number;
    let at = |until| UpdateLimit { until: Some(until), ..on_tier("free", "month", number(4)) };
    let reasoned = UpdateLimit {
        terms: ChangeTerms { reason: &long, ..ChangeTerms::default() },
        ..on_tier("free", "month", number(4))
    };
    let moving = UpdateLimit {
        terms: ChangeTerms { reason: "a\nb", ..ChangeTerms::default() },
        ..on_tier("free", "month", number(4))
    };
    let mistaken = [
        (moving, invalid, "reason: holds control characters; write plain text on one line"),
        (
            on_tier("fre", "month", number(4)),
            unknown,
            "tier: the domain has no tier 'fre'; did you mean 'free'?",
        ),
        (
            on_tier("free", "mont", number(4)),
            unknown,
            "limit: the domain has no limit 'mont'; did you mean 'month'?",
        ),
        (
            UpdateLimit { domain: Some(b"shp"), ..on_tier("free", "month", number(4)) },
            unknown,
            "domain: there is no domain 'shp'; did you mean 'shop'?",
        ),
        (
            on_tier("all", "month", number(4)),
            unknown,
            "tier: 'month' has no number for all tiers; name one of anonymous, free, pro, studio",
        ),
        (
            on_tier("free", "month", number(-2)),
            invalid,
            "max: -2 is no number of a limit; write -1 for unlimited, 0 for blocked, or up to 9007199254740991",
        ),
        (
            on_tier("free", "spend", number(9_000_000_000_000_001)),
            invalid,
            "max: 9000000000000001 is no number of a limit; write -1 for unlimited, 0 for blocked, or up to 9000000000000000",
        ),
        (on_tier("free", "month", Change::Usd(b"4")), invalid, "usd: the limit counts hits; write max"),
        (
            on_tier("free", "spend", Change::Usd(b"4$")),
            invalid,
            "usd: it is not a decimal number of dollars; write it as 5.00",
        ),
        (at(NOON), invalid, "until: is not after now"),
        (reasoned, invalid, "reason: is 1025 bytes long; write at most 1024"),
    ];
    are_refused(&shop, mistaken).await;
}

#[tokio::test]
async fn a_mistake_about_whose_it_is_changes_nothing_and_says_what_to_write() {
    let number = Change::Number(4);
    let mistaken = [
        (
            of_subject("user=u", "login", number),
            Mistake::Invalid,
            "limit: 'login' is kept per email|ip, which the entries do not say",
        ),
        (
            of_subject("user=u kit=", "kits", number),
            Mistake::Invalid,
            "subject.entries: 'kit' has no value, and names nobody",
        ),
        (
            of_subject("colour=red", "month", number),
            Mistake::Invalid,
            "subject.entries: no limit is kept per 'colour'; there are email, ip, kit, user",
        ),
        (
            of_subject("kit=k", "kits", number),
            Mistake::Invalid,
            "limit: 'kits' is kept per user+kit, which the entries do not say",
        ),
        (
            of_subject("user=u", "world", number),
            Mistake::Invalid,
            "limit: 'world' is kept per all, which the entries do not say",
        ),
        (
            of_subject("user=u kit=k", "month", number),
            Mistake::Invalid,
            "subject.entries: 'month' is kept per user, and this is set for user alone; leave 'kit' out",
        ),
    ];
    are_refused(&Shop::new(), mistaken).await;
}

#[tokio::test]
async fn a_subject_may_have_a_number_of_its_own_for_a_while() {
    let shop = Shop::new();
    let grant = |until| UpdateLimit { until, ..of_subject("user=u", "month", Change::Number(6)) };
    let changed = shop.update(grant(Some(NOON.plus(Micros::from_secs(60))))).await;
    assert_eq!(said(&changed.before), (Number::AtMost(3), Source::File, 0));
    assert_eq!(said(changed.after.as_ref().unwrap()), (Number::AtMost(6), Source::Own, 1));
    assert!(changed.reaches.is_empty());
    assert_eq!(
        [shop.passing("route=make user=u", 9).await, shop.passing("route=make user=v", 9).await],
        [6, 3]
    );
    let usage = shop.engine.usage_of(who("user=u")).await.unwrap();
    let month = usage.limits.iter().find(|limit| &*limit.standing.limit == "month").unwrap();
    assert_eq!((month.number.source, month.number.version), (Source::Own, 1));
    let listed = shop.list();
    assert_eq!((listed.own.len(), &*listed.own[0].subject.key), (1, "user"));
    assert_eq!(listed.own[0].value.number, month.number);
    shop.clock.advance(Micros::from_secs(60));
    shop.engine.journal().unwrap().catch_up().await.unwrap();
    assert!(shop.list().own.is_empty(), "its time is over");
    shop.update(grant(None)).await;
    shop.update(of_subject("user=u", "month", Change::BackToFile)).await;
    assert!(shop.list().own.is_empty());
    shop.update(of_subject("user=u", "kits", Change::Number(9))).await;
    shop.update(of_subject("user=u kit=k", "kits", Change::Number(7))).await;
    let keys: Vec<_> = shop.list().own.iter().map(|own| own.subject.key.to_string()).collect();
    assert_eq!(keys, ["user", "user+kit"]);
}

#[tokio::test]
async fn a_subject_is_put_on_a_tier() {
    let shop = Shop::new();
    let changed = shop.set_tier("user=u", Some("pro")).await.unwrap();
    assert_eq!((changed.before, changed.after.as_deref(), changed.version), (None, Some("pro"), 1));
    assert_eq!(shop.passing("route=make user=u", 60).await, 50);
    let usage = shop.engine.usage_of(who("user=u")).await.unwrap();
    assert_eq!((&*usage.tier, usage.tier_from), ("pro", TierFrom::Assigned));
    let listed = shop.list().assigned;
    assert_eq!((listed.len(), &*listed[0].tier, listed[0].version), (1, "pro", 1));
    let changed = shop.set_tier("user=u", None).await.unwrap();
    assert_eq!((changed.before.as_deref(), changed.after), (Some("pro"), None));
    assert!(shop.list().assigned.is_empty());
    for (who, tier, text) in [
        ("user=u", "gold", "tier: the domain has no tier 'gold'; there are anonymous, free, pro, studio"),
        ("user=u kit=k", "pro", "subject.entries: name one subject, by one key"),
    ] {
        assert_eq!(shop.set_tier(who, Some(tier)).await.unwrap_err().to_string(), text);
    }
}

#[tokio::test]
async fn prices_hold_from_an_instant_on() {
    let shop = Shop::new();
    let price = |model: &'static str, usd: &[(&'static str, &'static str)], caution| SetPrice {
        model: model.as_bytes(),
        usd: usd.iter().map(|(class, usd)| (class.as_bytes(), usd.as_bytes())).collect(),
        from: Some(NOON.plus(Micros::from_secs(60))),
        terms: ChangeTerms { caution, ..ChangeTerms::default() },
    };
    let (kept, forced) = (Caution::Kept, Caution::Forced);
    for (model, usd, text) in [
        (
            "gpt5",
            &[("input", "1")][..],
            "model: 'gpt5' has no prices yet; did you mean 'gpt-5'? send force if it is meant",
        ),
        (
            "gpt-5",
            &[("inpt", "1")],
            "usd_per_million: there is no class of tokens 'inpt'; did you mean 'input'?",
        ),
        (
            "gpt-5",
            &[("input", "-1")],
            "usd_per_million: for input, it is not a decimal number of dollars; write it as 5.00",
        ),
        (
            "gpt-5",
            &[("input", "9")],
            "force: $30.00 for output tokens of gpt-5 to nothing is a class without a price; send force if it is meant",
        ),
        (
            "gpt-5",
            &[("input", "0.99"), ("output", "30")],
            "force: $10.00 for input tokens of gpt-5 to $0.99 is a change of more than 10×; send force if it is meant",
        ),
        ("gpt-5", &[], "model: no price of 'gpt-5' was set from 2026-11-21T12:01:00Z on"),
    ] {
        let error = shop.set_price(price(model, usd, kept)).await.unwrap_err();
        assert_eq!(error.to_string(), text);
    }
    for model in ["gpt\n9", "gpt\u{202e}9", ""] {
        let error = shop.set_price(price(model, &[("input", "1")], forced)).await.unwrap_err();
        assert_eq!(error, OperateError::ModelName(256), "{model:?}");
    }
    let past =
        SetPrice { from: Some(Timestamp(1)), ..price("gpt-5", &[("input", "9"), ("output", "30")], kept) };
    assert_eq!(shop.set_price(past).await.unwrap_err(), OperateError::FromPast);
    let changed = shop.set_price(price("GPT-5", &[("input", "9"), ("output", "31")], kept)).await.unwrap();
    assert_eq!((&*changed.model, changed.version), ("gpt-5", 1));
    assert_eq!(shop.list().prices.len(), 1);
    let again = SetPrice { from: None, ..price("gpt-5", &[("input", "9"), ("output", "32")], kept) };
    let again = SetPrice { terms: ChangeTerms { if_version: Some(0), ..again.terms }, ..again };
    let error = shop.set_price(again).await.unwrap_err();
    assert_eq!(error, OperateError::Stale { expected: 0, found: 1 }, "from whichever instant on");
    shop.set_price(price("new", &[("input", "1")], forced)).await.unwrap();
    let back = shop.set_price(price("gpt-5", &[], kept)).await.unwrap();
    assert_eq!((back.before, back.after), (changed.after, changed.before));
    assert_eq!(shop.list().prices.len(), 1);
}

#[tokio::test]
async fn every_limit_is_listed_on_every_tier_on_which_it_has_a_number_of_its_own() {
    let shop = Shop::new();
    shop.update(on_tier("free", "month", Change::Number(5))).await;
    let listed = shop.list();
    assert_eq!((&*listed.domain, listed.version), ("shop", 1));
    let of = |name: &str| -> Vec<(&str, Number, Source)> {
        let of = listed.limits.iter().filter(|value| &*value.limit == name);
        of.map(|value| (&*value.tier, value.number.number, value.number.source)).collect()
    };
    let (most, file) = (Number::AtMost, Source::File);
    assert_eq!(of("login"), [("all", most(5), file)]);
    assert_eq!(
        of("month"),
        [
            ("anonymous", most(0), file),
            ("free", most(5), Source::Override),
            ("pro", most(50), file),
            ("studio", Number::Unlimited, file)
        ]
    );
    let value = listed.limits.iter().find(|value| &*value.limit == "spend").unwrap();
    assert_eq!((value.window.as_str(), value.per.as_str()), ("calendar day UTC", "user"));
    shop.update(on_tier("pro", "login", Change::Number(50))).await;
    let listed = shop.list();
    let login = listed.limits.iter().filter(|value| &*value.limit == "login");
    assert_eq!(
        login.map(|value| &*value.tier).collect::<Vec<_>>(),
        ["all", "pro", "studio"],
        "studio extends pro"
    );
}

#[tokio::test]
async fn what_is_done_is_recorded_without_whose_it_is() {
    let shop = Shop::new();
    shop.update(of_subject("user=secret-ann", "month", Change::Number(6))).await;
    shop.set_tier("user=secret-ann", Some("pro")).await.unwrap();
    assert_eq!(shop.passing("route=make user=secret-ann", 2).await, 2);
    let request = ResetSubject { who: who("user=secret-ann"), limits: Vec::new(), reason: "asked for it" };
    let reset = shop.engine.reset(&ann(), request).await.unwrap();
    assert_eq!(reset.version, 3);
    let records = shop.records().await;
    let told: Vec<(u64, &str, &str, &str)> = records
        .iter()
        .map(|record| (record.number, &*record.who, &*record.action, &*record.outcome))
        .collect();
    assert_eq!(
        told,
        [
            (3, "ann", "reset_user", "done"),
            (2, "ann", "set_tier", "done"),
            (1, "ann", "update_limit", "done")
        ]
    );
    assert_eq!(&*records[0].reason, "asked for it");
    assert_eq!(records[0].before["month"]["used"], 2);
    assert_eq!((&records[2].before["max"], &records[2].after["max"]), (&3.into(), &6.into()));
    assert!(!format!("{records:?}").contains("secret"), "{records:?}");
    let of = async |user: &'static str| {
        let subjects = Some(vec![Entry { key: b"user", value: user.as_bytes() }]);
        let page = shop.engine.audit(AuditQuery { subjects, ..AuditQuery::default() }).await.unwrap();
        page.records.len()
    };
    assert_eq!([of("secret-ann").await, of("bob").await], [3, 0]);
    let first = shop.engine.audit(AuditQuery { most: Some(2), ..AuditQuery::default() }).await.unwrap();
    let next = first.next.unwrap();
    let rest =
        shop.engine.audit(AuditQuery { page: next.as_bytes(), ..AuditQuery::default() }).await.unwrap();
    assert_eq!((rest.records.len(), rest.head.number), (1, 3));
}

/// A store that has no answer.
struct Silent(MemoryStore);

impl store::Layer for Silent {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.0
    }

    async fn charge(&self, call: Call<'_>) -> Result<Answer, StoreError> {
        let changes = call.charges.iter().any(|charge| charge.op.changes());
        if changes { Err(StoreError::Timeout) } else { Ok(self.0.charge_now(call)) }
    }

    async fn oversee(
        &self,
        call: Call<'_>,
        _: Option<CounterKey>,
    ) -> Result<(Answer, Option<Marked>), StoreError> {
        store::Layer::charge(self, call).await.map(|answer| (answer, None))
    }
}

#[tokio::test]
async fn what_fails_once_it_is_recorded_is_recorded_as_failed() {
    let clock = Clock::manual(NOON);
    let limits = LimitsHandle::new(rules(FILE));
    let store = Silent(MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([7; 16])));
    let journal = journal(&limits, &clock);
    let engine = Arc::new(Engine::new(limits, store, EngineSettings::default()).recording(journal));
    let request = ResetSubject { who: who("user=u"), limits: Vec::new(), reason: "" };
    let error = engine.reset(&ann(), request).await.unwrap_err();
    assert_eq!(error, OperateError::Unavailable(StoreError::Timeout));
    let records = engine.audit(AuditQuery::default()).await.unwrap().records;
    let outcomes: Vec<&str> = records.iter().map(|record| &*record.outcome).collect();
    assert_eq!(outcomes, ["failed", "done"]);
}

#[tokio::test]
async fn without_a_journal_nothing_is_changed() {
    let clock = Clock::manual(NOON);
    let store = MemoryStore::new(MemorySettings::default(), clock, KeySecret([7; 16]));
    let engine = Engine::new(LimitsHandle::new(rules(FILE)), store, EngineSettings::default());
    let error =
        Arc::new(engine).update(&ann(), on_tier("free", "month", Change::Number(4))).await.unwrap_err();
    assert_eq!((error.mistake(), error), (Mistake::Unavailable, OperateError::NoJournal));
}
