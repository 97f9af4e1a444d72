//! Imports: what was used elsewhere is used here from then on, of every kind of limit, and twice is the same as once.

use std::sync::Arc;

use tollgate::audit::{Actor, Journal, Record, Role};
use tollgate::clock::Clock;
use tollgate::engine::{
    AuditQuery, Check, CheckRequest, Code, Descriptor, Engine, EngineSettings, Import, ImportMode, ImportRow,
    Imported, MOST_ROWS, Operate, OperateError, Who,
};
use tollgate::limits::{Entry, LimitsHandle};
use tollgate::store::Store;

use crate::operate_usage::entries;
use crate::support::bench::{Bench, START, promises};
use crate::support::embedded::rules;

promises!(of [memory, redis]: {
    what_was_used_elsewhere_is_used_here,
    a_record_says_of_each_row_whose_it_is_and_what_was_before,
    what_all_share_is_imported_without_a_name,
    to_import_twice_is_to_import_once,
    a_rehearsal_changes_nothing,
    one_wrong_row_keeps_all_from_being_set,
    many_rows_are_set,
});

const FILE: &str = "
domains:
  shop:
    per: user
    limits:
      month:   3/month
      minute:  5/1m
      burst:   1/1h burst 9
      media:   50 total
      logos:   5 total per user+kit
      spend:   $2.00/day
      streams: 3 concurrent
      bulk:    10/request
      world:   9/month per all
    routes: {make: month}
";

struct Shop<S>(Arc<Engine<Arc<S>>>);

impl<S: Store> Shop<S> {
    fn on(bench: &Bench<S>) -> Self {
        let limits = LimitsHandle::new(rules(FILE));
        let journal = Journal::in_memory(Clock::manual(START), |_, _| {});
        let engine = Engine::new(limits, bench.store.clone(), EngineSettings::default());
        Self(Arc::new(engine.recording(journal)))
    }

    async fn import(&self, mode: ImportMode, rows: &[(&str, &str, &str)]) -> Imported {
        let rows = rows
            .iter()
            .map(|(subject, limit, used)| ImportRow {
                subject: entries(subject).collect(),
                limit: limit.as_bytes(),
                used: used.as_bytes(),
            })
            .collect();
        self.try_import(mode, rows).await.unwrap()
    }

    async fn try_import(&self, mode: ImportMode, rows: Vec<ImportRow<'_>>) -> Result<Imported, OperateError> {
        let actor = Actor { name: "ann".into(), role: Role::Admin, from: None };
        self.0.import(&actor, Import { domain: None, rows, mode, reason: "moving" }).await
    }

    /// The records about `user`.
    async fn found(&self, user: &str) -> Vec<Record> {
        let subject = Some(Entry { key: b"user", value: user.as_bytes() });
        self.0.audit(AuditQuery { subject, ..AuditQuery::default() }).await.unwrap().records
    }

    async fn used(&self, pairs: &str, limit: &str) -> u64 {
        let who = Who { domain: None, entries: entries(pairs).collect() };
        let usage = self.0.usage_of(who).await.unwrap();
        let found = usage.limits.iter().find(|told| &*told.standing.limit == limit).unwrap();
        found.standing.used
    }

    async fn passes(&self, pairs: &str) -> bool {
        let descriptor = Descriptor { entries: entries(pairs).collect(), ..Descriptor::default() };
        let request =
            CheckRequest { domain: b"shop", descriptors: [descriptor].into_iter().collect(), hits: 0 };
        self.0.check(request).await.unwrap().code == Code::Ok
    }
}

const ROWS: [(&str, &str, &str); 6] = [
    ("user=u", "month", "2"),
    ("user=u", "minute", "4"),
    ("user=u", "burst", "3"),
    ("user=u", "media", "17"),
    ("user=u kit=k", "logos", "5"),
    ("user=u", "spend", "1.25"),
];

async fn what_was_used_elsewhere_is_used_here<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    assert!(shop.passes("route=make user=u").await);
    let imported = shop.import(ImportMode::Done, &ROWS).await;
    assert_eq!(imported.version, Some(1));
    let told: Vec<(u64, u64)> = imported.rows.iter().flatten().map(|row| (row.before, row.after)).collect();
    assert_eq!(told, [(1, 2), (0, 4), (0, 3), (0, 17), (0, 5), (0, 1_250_000_000)]);
    assert_eq!(shop.used("user=u", "media").await, 17);
    assert_eq!(shop.used("user=u kit=k", "logos").await, 5);
    assert!(!shop.passes("limit=logos user=u kit=k").await && shop.passes("limit=logos user=u kit=l").await);
    assert!(shop.passes("route=make user=u").await && !shop.passes("route=make user=u").await, "one is left");
    let record = &shop.0.audit(AuditQuery::default()).await.unwrap().records[0];
    assert_eq!((&*record.action, &record.target["rows"]), ("import_usage", &6.into()));
}

async fn a_record_says_of_each_row_whose_it_is_and_what_was_before<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    shop.import(ImportMode::Done, &ROWS).await;
    // As good as a reset, and as easily found.
    shop.import(ImportMode::Done, &[("user=u", "media", "0"), ("user=v", "media", "1")]).await;
    let found = shop.found("u").await;
    let [given, taken] = &found[..] else { panic!("{found:?}") };
    let row = &given.target["each"][0];
    assert_eq!((&row["limit"], &row["before"], &row["after"]), (&"media".into(), &17.into(), &0.into()));
    let logos = &taken.target["each"][4];
    assert_eq!((&logos["subject"], &logos["limit"]), (&row["subject"], &"logos".into()));
    assert_eq!(logos["with"]["kit"].as_str().map(str::len), Some(32));
    assert_eq!([shop.found("v").await.len(), shop.found("w").await.len()], [1, 0]);
}

async fn what_all_share_is_imported_without_a_name<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    let imported = shop.import(ImportMode::Done, &[("", "world", "8")]).await;
    assert_eq!(imported.rows[0].as_ref().map(|row| (row.before, row.after)), Ok((0, 8)));
    assert!(shop.passes("limit=world user=u").await && !shop.passes("limit=world user=v").await);
    // A name that was forgotten is not everybody's.
    let imported = shop.import(ImportMode::Done, &[("", "month", "2")]).await;
    assert!(matches!(imported.rows[0], Err(OperateError::OtherSubject { .. })), "{imported:?}");
}

async fn to_import_twice_is_to_import_once<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    shop.import(ImportMode::Done, &ROWS).await;
    let again = shop.import(ImportMode::Done, &ROWS).await;
    assert!(again.rows.iter().flatten().all(|row| row.before == row.after), "{again:?}");
}

async fn a_rehearsal_changes_nothing<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    let rehearsed = shop.import(ImportMode::Rehearsed, &ROWS).await;
    assert_eq!(rehearsed.version, None);
    assert_eq!(rehearsed.rows[3].as_ref().map(|row| (row.before, row.after)), Ok((0, 17)));
    assert_eq!(shop.used("user=u", "media").await, 0);
    assert!(shop.0.audit(AuditQuery::default()).await.unwrap().records.is_empty());
}

async fn one_wrong_row_keeps_all_from_being_set<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    for (row, text) in [
        (("user=u", "mont", "1"), "limit: the domain has no limit 'mont'; did you mean 'month'?"),
        (("user=u", "logos", "1"), "limit: 'logos' is kept per user+kit, which the entries do not say"),
        (("user=u", "month", "-1"), "used: '-1' is no number of units; write digits"),
        (
            ("user=u", "month", "9007199254740992"),
            "used: '9007199254740992' is no number of units; write digits",
        ),
        (("user=u", "spend", "x"), "used: it is not a decimal number of dollars; write it as 5.00"),
        (
            ("user=u", "streams", "1"),
            "limit: 'streams' counts what goes on now, so there is nothing to import",
        ),
        (("user=u", "bulk", "1"), "limit: 'bulk' counts what goes on now, so there is nothing to import"),
        (("user=u", "media", "5"), "row 1 says it already"),
        (("usr=u", "media", "5"), "subject.entries: no limit is kept per 'usr'; did you mean 'user'?"),
    ] {
        let imported = shop.import(ImportMode::Done, &[("user=u", "media", "4"), row]).await;
        assert_eq!(imported.version, None);
        assert_eq!(imported.rows[0].as_ref().map(|row| row.after), Ok(4));
        assert_eq!(imported.rows[1].as_ref().map_err(ToString::to_string), Err(text.to_owned()));
        assert_eq!(shop.used("user=u", "media").await, 0, "{text}");
    }
}

async fn many_rows_are_set<S: Store>(bench: Bench<S>) {
    let shop = Shop::on(&bench);
    let users: Vec<String> = (0..=MOST_ROWS).map(|user| format!("user=u{user}")).collect();
    let row =
        |user: &'static str| ImportRow { subject: entries(user).collect(), limit: b"media", used: b"7" };
    let users: &'static [String] = users.leak();
    let rows: Vec<ImportRow<'static>> = users.iter().map(|user| row(user)).collect();
    let error = shop.try_import(ImportMode::Done, rows.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), "rows: 1001 given, at most 1000 are taken at once");
    let imported = shop.try_import(ImportMode::Done, rows[1..].to_vec()).await.unwrap();
    assert_eq!(imported.rows.iter().flatten().filter(|row| row.after == 7).count(), MOST_ROWS);
    assert_eq!([shop.used("user=u0", "media").await, shop.used("user=u1000", "media").await], [0, 7]);
    let records = shop.0.audit(AuditQuery::default()).await.unwrap().records;
    assert_eq!((imported.version, records.len()), (Some(10), 10), "no line is long");
    assert!(records.iter().all(|record| record.target["rows"] == 100));
    assert_eq!(shop.found("u777").await, [records[2].clone()]);
}
