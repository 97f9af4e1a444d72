//! Imports: what was used elsewhere is used here from then on, of every kind of limit, and twice is the same as once.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use tollgate::algorithm::Op;
use tollgate::audit::Record;
use tollgate::clock::Clock;
use tollgate::engine::{
    AuditQuery, Import, ImportMode, ImportRow, Imported, MOST_ROWS, Mistake, Operate, OperateError,
};
use tollgate::limits::{CounterKey, Entry, KeySecret};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{self, Answer, Call, Marked, Store, StoreError};

use crate::support::admins::ann;
use crate::support::bench::{Bench, START, promises};
use crate::support::shop::{Shop, entries};

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

fn shop<S: Store>(bench: &Bench<S>) -> Shop<Arc<S>> {
    Shop::over(bench.store.clone(), FILE)
}

async fn import<S: Store>(shop: &Shop<S>, mode: ImportMode, rows: &[(&str, &str, &str)]) -> Imported {
    try_import(shop, mode, rows).await.unwrap()
}

async fn try_import<S: Store>(
    shop: &Shop<S>,
    mode: ImportMode,
    rows: &[(&str, &str, &str)],
) -> Result<Imported, OperateError> {
    let row = |&(subject, limit, used)| ImportRow {
        subject: entries(subject).collect(),
        limit: str::as_bytes(limit),
        used: str::as_bytes(used),
    };
    let rows = rows.iter().map(row).collect();
    shop.0.import(&ann(), Import { domain: None, rows, mode, reason: "moving" }).await
}

/// The records about `user`.
async fn found<S: Store>(shop: &Shop<S>, user: &str) -> Vec<Record> {
    found_of(shop, "user", user).await
}

async fn found_of<S: Store>(shop: &Shop<S>, key: &str, value: &str) -> Vec<Record> {
    let subjects = Some(vec![Entry { key: key.as_bytes(), value: value.as_bytes() }]);
    shop.0.audit(AuditQuery { subjects, ..AuditQuery::default() }).await.unwrap().records
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
    let shop = shop(&bench);
    assert!(shop.passes("route=make user=u").await);
    let imported = import(&shop, ImportMode::Done, &ROWS).await;
    assert_eq!(imported.version, Some(1));
    let told: Vec<(u64, u64)> = imported.rows.iter().flatten().map(|row| (row.before, row.after)).collect();
    assert_eq!(told, [(1, 2), (0, 4), (0, 3), (0, 17), (0, 5), (0, 1_250_000_000)]);
    assert_eq!(shop.used("user=u", "media").await, 17);
    assert_eq!(shop.used("user=u kit=k", "logos").await, 5);
    assert!(!shop.passes("limit=logos user=u kit=k").await && shop.passes("limit=logos user=u kit=l").await);
    assert!(shop.passes("route=make user=u").await && !shop.passes("route=make user=u").await, "one is left");
    let record = &shop.records().await[0];
    assert_eq!((&*record.action, &record.target["rows"]), ("import_usage", &6.into()));
}

async fn a_record_says_of_each_row_whose_it_is_and_what_was_before<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    import(&shop, ImportMode::Done, &ROWS).await;
    // As good as a reset, and as easily found.
    import(&shop, ImportMode::Done, &[("user=u", "media", "0"), ("user=v", "media", "1")]).await;
    let of_u = found(&shop, "u").await;
    let [given, taken] = &of_u[..] else { panic!("{of_u:?}") };
    let row = &given.target["each"][0];
    assert_eq!((&row["limit"], &row["before"], &row["after"]), (&"media".into(), &17.into(), &0.into()));
    let logos = &taken.target["each"][4];
    assert_eq!((&logos["subject"], &logos["limit"]), (&row["subject"], &"logos".into()));
    assert_eq!(logos["with"]["kit"].as_str().map(str::len), Some(32));
    assert_eq!([found(&shop, "v").await.len(), found(&shop, "w").await.len()], [1, 0]);
    let of_kit = found_of(&shop, "kit", "k").await;
    assert_eq!((&of_kit, found_of(&shop, "kit", "l").await), (&vec![taken.clone()], vec![]), "by each entry");
}

async fn what_all_share_is_imported_without_a_name<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    let imported = import(&shop, ImportMode::Done, &[("", "world", "8")]).await;
    assert_eq!(imported.rows[0].as_ref().map(|row| (row.before, row.after)), Ok((0, 8)));
    assert!(shop.passes("limit=world user=u").await && !shop.passes("limit=world user=v").await);
    // A name that was forgotten is not everybody's.
    let imported = import(&shop, ImportMode::Done, &[("", "month", "2")]).await;
    assert!(matches!(imported.rows[0], Err(OperateError::OtherSubject { .. })), "{imported:?}");
}

async fn to_import_twice_is_to_import_once<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    import(&shop, ImportMode::Done, &ROWS).await;
    let again = import(&shop, ImportMode::Done, &ROWS).await;
    assert!(again.rows.iter().flatten().all(|row| row.before == row.after), "{again:?}");
}

async fn a_rehearsal_changes_nothing<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    let rehearsed = import(&shop, ImportMode::Rehearsed, &ROWS).await;
    assert_eq!(rehearsed.version, None);
    assert_eq!(rehearsed.rows[3].as_ref().map(|row| (row.before, row.after)), Ok((0, 17)));
    assert_eq!(shop.used("user=u", "media").await, 0);
    assert!(shop.records().await.is_empty());
}

async fn one_wrong_row_keeps_all_from_being_set<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    for (row, text) in [
        (("user=u", "mont", "1"), "limit: the domain has no limit 'mont'; did you mean 'month'?"),
        (("user=u", "logos", "1"), "limit: 'logos' is kept per user+kit, which the entries do not say"),
        (("user=u", "month", "-1"), "used: '-1' is no number of units; write digits"),
        (
            ("user=u", "month", "9007199254740992"),
            "used: 9007199254740992 is above the largest amount, 9007199254740991",
        ),
        (
            ("user=u", "month", "99999999999999999999"),
            "used: 99999999999999999999 is above the largest amount, 9007199254740991",
        ),
        (("user=u", "month", ""), "used: '' is no number of units; write digits"),
        (("user=u", "spend", "x"), "used: it is not a decimal number of dollars; write it as 5.00"),
        (
            ("user=u", "streams", "1"),
            "limit: 'streams' counts what goes on now, so there is nothing to import",
        ),
        (("user=u", "bulk", "1"), "limit: 'bulk' counts what goes on now, so there is nothing to import"),
        (("user=u", "media", "5"), "row 1 says it already"),
        (("usr=u", "media", "5"), "subject.entries: no limit is kept per 'usr'; did you mean 'user'?"),
    ] {
        let imported = import(&shop, ImportMode::Done, &[("user=u", "media", "4"), row]).await;
        assert_eq!(imported.version, None);
        assert_eq!(imported.rows[0].as_ref().map(|row| row.after), Ok(4));
        assert_eq!(imported.rows[1].as_ref().map_err(ToString::to_string), Err(text.to_owned()));
        assert_eq!(shop.used("user=u", "media").await, 0, "{text}");
    }
}

async fn many_rows_are_set<S: Store>(bench: Bench<S>) {
    let shop = shop(&bench);
    let users: Vec<String> = (0..=MOST_ROWS).map(|user| format!("user=u{user}")).collect();
    let rows: Vec<_> = users.iter().map(|user| (user.as_str(), "media", "7")).collect();
    let error = try_import(&shop, ImportMode::Done, &rows).await.unwrap_err();
    assert_eq!(error.to_string(), "rows: 1001 given, at most 1000 are taken at once");
    let imported = import(&shop, ImportMode::Done, &rows[1..]).await;
    assert_eq!(imported.rows.iter().flatten().filter(|row| row.after == 7).count(), MOST_ROWS);
    assert_eq!([shop.used("user=u0", "media").await, shop.used("user=u1000", "media").await], [0, 7]);
    let records = shop.records().await;
    assert_eq!((imported.version, records.len()), (Some(10), 10), "no line is long");
    assert!(records.iter().all(|record| record.target["rows"] == 100));
    assert_eq!(found(&shop, "u777").await, [records[2].clone()]);
}

/// A store that sets something so many times more, and then has no answer. What it is asked to write down comes to `flushed`.
struct Faltering {
    store: MemoryStore,
    sets: AtomicIsize,
    flushed: Result<(), &'static str>,
    flushes: AtomicIsize,
}

impl Faltering {
    fn after(sets: isize, flushed: Result<(), &'static str>) -> Arc<Self> {
        let store = MemoryStore::new(MemorySettings::default(), Clock::manual(START), KeySecret([7; 16]));
        Arc::new(Self { store, sets: AtomicIsize::new(sets), flushed, flushes: AtomicIsize::new(0) })
    }
}

impl store::Layer for Faltering {
    type Inner = MemoryStore;

    fn inner(&self) -> &MemoryStore {
        &self.store
    }

    async fn oversee(
        &self,
        call: Call<'_>,
        mark: Option<CounterKey>,
    ) -> Result<(Answer, Option<Marked>), StoreError> {
        let sets = call.charges.iter().any(|charge| matches!(charge.op, Op::Set { .. }));
        if sets && self.sets.fetch_sub(1, Ordering::Relaxed) <= 0 {
            return Err(StoreError::Timeout);
        }
        self.store.oversee(call, mark).await
    }

    async fn flush(&self) -> Result<(), String> {
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.flushed.map_err(Into::into)
    }
}

#[tokio::test]
async fn what_is_done_and_not_written_down_is_done_to_the_last_row_and_told_as_that() {
    let store = Faltering::after(9, Err("full"));
    let shop = Shop::over(store.clone(), FILE);
    let users: Vec<String> = (0..250).map(|user| format!("user=u{user}")).collect();
    let rows: Vec<_> = users.iter().map(|user| (user.as_str(), "media", "7")).collect();
    let error = try_import(&shop, ImportMode::Done, &rows).await.unwrap_err();
    assert_eq!(error, OperateError::Unkept("full".to_owned()));
    assert_eq!([shop.used("user=u0", "media").await, shop.used("user=u249", "media").await], [7, 7]);
    let records = shop.records().await;
    assert_eq!(records.iter().map(|record| &*record.outcome).collect::<Vec<_>>(), ["done"; 3]);
    assert_eq!(store.flushes.load(Ordering::Relaxed), 1, "once for all rows");
    import(&shop, ImportMode::Rehearsed, &rows).await;
    assert_eq!(store.flushes.load(Ordering::Relaxed), 1, "what changes nothing waits for nothing");
}

#[tokio::test]
async fn what_is_done_in_part_is_told_and_the_same_rows_are_done_when_they_are_sent_again() {
    let store = Faltering::after(1, Ok(()));
    let shop = Shop::over(store.clone(), FILE);
    let users: Vec<String> = (0..250).map(|user| format!("user=u{user}")).collect();
    let rows: Vec<_> = users.iter().map(|user| (user.as_str(), "media", "7")).collect();
    let error = try_import(&shop, ImportMode::Done, &rows).await.unwrap_err();
    assert!(matches!(error, OperateError::Partly { done: 100, .. }), "{error}");
    assert_eq!(error.mistake(), Mistake::Unavailable);
    assert!(error.to_string().starts_with("the first 100 rows are set, and nobody knows of the others: "));
    let used = [shop.used("user=u0", "media").await, shop.used("user=u99", "media").await];
    assert_eq!((used, shop.used("user=u100", "media").await), ([7, 7], 0));
    let records = shop.records().await;
    let outcomes: Vec<&str> = records.iter().map(|record| &*record.outcome).collect();
    assert_eq!(outcomes, ["failed", "done", "done"], "the latest first");
    assert_eq!(store.flushes.load(Ordering::Relaxed), 1, "what is done is to last");

    store.sets.store(9, Ordering::Relaxed);
    let again = import(&shop, ImportMode::Done, &rows).await;
    let before: Vec<u64> = again.rows.iter().flatten().map(|row| row.before).collect();
    assert_eq!((&before[..100], &before[100..]), (&[7; 100][..], &[0; 150][..]));
    assert_eq!((again.version, shop.used("user=u249", "media").await), (Some(6), 7));
}
