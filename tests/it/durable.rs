//! The data directory: what the embedded store counted goes on after its process, however that ended.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use redb::{Database, TableDefinition};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tollgate::algorithm::{Op, Outcome, Rule};
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::limits::{CounterKey, Debt, KeySecret, Number, OnError, Unit, Window};
use tollgate::store::durable::{DataError, DataFile, DataSettings, Flusher};
use tollgate::store::memory::{MemorySettings, MemoryStore};
use tollgate::store::{
    Admission, Binding, Call, Charge, Due, FreedBy, Life, Report, Reserve, Reserved, Settle, Settled, Spent,
    Store as _, Then,
};

use crate::support::process::{Tollgate, metric, run, until_ready};
use crate::support::raw;

const START: Timestamp = Timestamp(1_795_262_400_000_000);
const FILE: &str = "tollgate.redb";

fn settings(dir: &Path) -> DataSettings {
    DataSettings { dir: dir.to_owned(), flush_interval: Duration::from_secs(60) }
}

/// A store with what `dir` holds, and who writes there what changes.
pub(crate) fn open(dir: &Path, clock: &Clock, max_keys: usize) -> (Arc<MemoryStore>, Flusher) {
    let (mut file, secret) = DataFile::open(&settings(dir), None).unwrap();
    let store = Arc::new(MemoryStore::new(MemorySettings { max_keys }, clock.clone(), secret));
    let kinds = store.kept();
    file.load(&kinds).unwrap();
    let flusher = Flusher::start(file, kinds, Duration::from_secs(60), clock.clone()).unwrap();
    (store, flusher)
}

/// Writes down what has changed, and lets go of the directory.
pub(crate) fn close(flusher: Flusher) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(flusher.end()).unwrap();
}

fn windows() -> [Window; 8] {
    let seconds = Micros::from_secs;
    [
        Window::Sliding { length: seconds(1) },
        Window::Sliding { length: seconds(60) },
        Window::Fixed { length: seconds(2), debt: Debt::Forgiven },
        Window::TokenBucket { length: seconds(1), burst: 5 },
        Window::Calendar(Calendar::new(Period::Day, "Europe/Berlin", 1).unwrap(), Debt::Forgiven),
        Window::Concurrent { max_age: seconds(3) },
        Window::Total { forget: None },
        Window::Total { forget: Some(seconds(5)) },
    ]
}

fn charge(windows: &[Window; 8], counter: usize, op: Op) -> Charge<'_> {
    let id = (counter as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    Charge {
        key: CounterKey { tag: 0, id },
        overflow: 0,
        rule: Rule { window: &windows[counter % windows.len()], number: Number::AtMost(50) },
        op,
        binding: Binding::Enforced,
        on_error: OnError::Deny,
        freed_by: FreedBy::Hand,
        unit: Unit::Hits,
        memo: 0,
    }
}

fn outcomes(store: &MemoryStore, charges: &[Charge<'_>]) -> Vec<Outcome> {
    store.charge_now(Call { charges, admission: Admission::Each, expenses: &[] }).outcomes.into_vec()
}

/// What one call asks of which counters, and how long after the call before.
type Asked = (Vec<(usize, Op)>, Micros);

fn asked() -> impl Strategy<Value = Asked> {
    let op = prop_oneof![
        6 => (1..9_u64).prop_map(|hits| Op::Take { room: hits, charge: hits }),
        2 => (1..30_u64).prop_map(|units| Op::GiveBack { units }),
    ];
    let charges = prop::collection::vec((0..40_usize, op), 1..6);
    let pause = prop_oneof![4 => 0..50_000_u64, 2 => 0..2_000_000_u64, 1 => Just(70_000_000)];
    (charges, pause.prop_map(Micros))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn a_store_that_is_closed_and_opened_goes_on_as_one_that_never_was(
        lives in prop::collection::vec(prop::collection::vec(asked(), 1..60), 2..5)
    ) {
        let (dir, windows, clock) = (tempfile::tempdir().unwrap(), windows(), Clock::manual(START));
        let never = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([0; 16]));
        for life in lives {
            // Few places: counters that are idle give way to others.
            let (store, flusher) = open(dir.path(), &clock, 40);
            for (asked, pause) in life {
                clock.advance(pause);
                let charges: Vec<_> =
                    asked.iter().map(|(counter, op)| charge(&windows, *counter, *op)).collect();
                prop_assert_eq!(outcomes(&store, &charges), outcomes(&never, &charges));
            }
            close(flusher);
        }
    }
}

/// What is done under one name.
#[derive(Clone, Debug)]
enum Named {
    Reserve { body: u64, amount: u64, counters: Vec<usize> },
    Settle { spent: u64, then: u8, otherwise: Vec<usize> },
}

fn named() -> impl Strategy<Value = (u128, Named, Micros)> {
    let counters =
        || prop::collection::btree_set(0..20_usize, 1..4).prop_map(|set| set.into_iter().collect());
    let done = prop_oneof![
        3 => (0..2_u64, 1..30_u64, counters())
            .prop_map(|(body, amount, counters)| Named::Reserve { body, amount, counters }),
        4 => (0..40_u64, 0..4_u8, prop_oneof![Just(Vec::new()), counters()])
            .prop_map(|(spent, then, otherwise)| Named::Settle { spent, then, otherwise }),
    ];
    let pause = prop_oneof![4 => 0..50_000_u64, 2 => 0..2_000_000_u64, 1 => Just(70_000_000)];
    (0..12_u128, done, pause.prop_map(Micros))
}

/// What comes of it.
fn done(store: &MemoryStore, name: u128, done: &Named) -> (Option<Reserved>, Option<Settled>) {
    let (windows, name) = (windows(), CounterKey { tag: 0, id: name << 64 | 7 });
    let spends = |counter: &usize, op: Op| {
        let unit = if counter.is_multiple_of(2) { Unit::Tokens } else { Unit::Money };
        Charge { unit, freed_by: FreedBy::Holders, ..charge(&windows, *counter, op) }
    };
    match done {
        Named::Reserve { body, amount, counters } => {
            let hold = Op::Hold { fixed: *amount, flexible: 0 };
            let charges: Vec<_> = counters.iter().map(|counter| spends(counter, hold)).collect();
            let [ttl, max_age, keep] = [2, 5, 60].map(Micros::from_secs);
            let life = Life { ttl, max_age, keep };
            let call = Reserve {
                name,
                body: *body,
                charges: &charges,
                accepts_less: None,
                life,
                about: b"ann",
                expenses: &[],
            };
            (Some(store.reserve_now(call).unwrap()), None)
        }
        Named::Settle { spent, then, otherwise } => {
            let nothing = Op::Take { room: 0, charge: 0 };
            let charges: Vec<_> = otherwise.iter().map(|counter| spends(counter, nothing)).collect();
            let spent = Spent { tokens: Due::Exactly(*spent), money: Due::Exactly(spent * 3) };
            let then = match then {
                0 => Then::Done,
                1 => Then::Released,
                _ => Then::More,
            };
            let report = Some(Report { about: b"ann", line: b"", classes: &[1, 2] });
            let call = Settle { name, spent, then, otherwise: &charges, keep: Micros::from_secs(60), report };
            (None, Some(store.settle_now(call).unwrap()))
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn what_was_reserved_is_held_and_settled_as_if_nothing_had_ended(
        lives in prop::collection::vec(prop::collection::vec(named(), 1..25), 2..5)
    ) {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(START));
        let never = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([0; 16]));
        for life in lives {
            let (store, flusher) = open(dir.path(), &clock, 1000);
            for (name, what, pause) in life {
                clock.advance(pause);
                prop_assert_eq!(done(&store, name, &what), done(&never, name, &what));
            }
            close(flusher);
        }
    }
}

#[test]
fn a_hold_that_goes_on_after_a_clear_outlives_the_process_up_to_its_greatest_age() {
    let (dir, windows, clock) = (tempfile::tempdir().unwrap(), windows(), Clock::manual(START));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let asked = |op| Charge { freed_by: FreedBy::Holders, unit: Unit::Money, ..charge(&windows, 1, op) };
    let held =
        |store: &MemoryStore| outcomes(store, &[asked(Op::Take { room: 0, charge: 0 })])[0].standing.held;
    let after = |seconds: f64| clock.advance(Micros::of(Duration::from_secs_f64(seconds)));
    let (store, flusher) = open(dir.path(), &clock, 1000);
    let goes_on = Named::Settle { spent: 0, then: 2, otherwise: Vec::new() };
    done(&store, 1, &Named::Reserve { body: 0, amount: 7, counters: vec![1] });
    after(1.5);
    done(&store, 1, &goes_on);
    after(1.7);
    let charges = [asked(Op::Clear)];
    let clear = Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] };
    runtime.block_on(store.oversee(clear, None)).unwrap();
    assert_eq!(held(&store), 0);
    after(0.2);
    done(&store, 1, &goes_on);
    assert_eq!(held(&store), 7, "it goes on, for less than its lease: its greatest age is near");
    drop(store);
    close(flusher);
    let (store, flusher) = open(dir.path(), &clock, 1000);
    assert_eq!(held(&store), 7);
    drop(store);
    close(flusher);
}

#[test]
fn what_is_idle_or_was_let_go_is_not_kept_and_what_finds_no_place_is() {
    let (dir, windows, clock) = (tempfile::tempdir().unwrap(), windows(), Clock::manual(START));
    let take = Op::Take { room: 1, charge: 1 };
    let charged = |counters: std::ops::Range<usize>, max_keys: usize| {
        let (store, flusher) = open(dir.path(), &clock, max_keys);
        let held = store.len();
        counters.for_each(|counter| drop(outcomes(&store, &[charge(&windows, counter * 8 + 6, take)])));
        close(flusher);
        held
    };
    assert_eq!(charged(0..100, 100), 0);
    assert_eq!(charged(0..0, 60), 60, "no more than may be");
    assert_eq!(charged(0..0, 100), 100, "the others were not forgotten for that");
    let give_back = |counter: usize| charge(&windows, counter * 8 + 6, Op::GiveBack { units: 1 });
    let (store, flusher) = open(dir.path(), &clock, 100);
    (0..70).for_each(|counter| drop(outcomes(&store, &[give_back(counter)])));
    // Newcomers take the places of some.
    (100..130).for_each(|counter| drop(outcomes(&store, &[charge(&windows, counter * 8 + 6, take)])));
    close(flusher);
    assert_eq!(charged(0..0, 1000), 60);
}

#[test]
fn a_secret_is_made_once_and_another_is_refused() {
    let (made, given) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let secret_of = |dir: &Path, secret| DataFile::open(&settings(dir), secret).map(|(_, secret)| secret);
    let (first, second) = (KeySecret([1; 16]), KeySecret([2; 16]));
    let own = secret_of(made.path(), None).unwrap();
    assert_eq!(secret_of(made.path(), None).unwrap(), own);
    assert_eq!(secret_of(made.path(), Some(own)).unwrap(), own);
    assert!(matches!(secret_of(made.path(), Some(first)), Err(DataError::OtherSecret { .. })));
    assert_eq!(secret_of(given.path(), Some(first)).unwrap(), first);
    assert_eq!(secret_of(given.path(), Some(first)).unwrap(), first);
    for other in [None, Some(second)] {
        assert!(matches!(secret_of(given.path(), other), Err(DataError::OtherSecret { .. })));
    }
    let bytes = fs::read(given.path().join(FILE)).unwrap();
    assert!(
        !bytes.windows(16).any(|window| window == first.0),
        "a secret that is given stays out of the file"
    );
}

/// A file of limits: one of each window, so long that no test lives to see it end.
const LIMITS: &str = "
domains:
  shop:
    per: user
    limits:
      sliding: 1000/300d
      fixed: 1000/366d fixed
      bucket: 10/300d burst 20
      calendar: 1000/year
      streams: 1000 concurrent
      total: 1000 total
      many: 1000000000/300d fixed
    routes: {}
";
const NAMES: [&str; 6] = ["sliding", "fixed", "bucket", "calendar", "streams", "total"];

/// A folder with the limits in it, and a place for data.
struct Place {
    folder: tempfile::TempDir,
    limits: String,
    data: String,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.yaml");
        fs::write(&path, LIMITS).unwrap();
        let (limits, data) = (path.display().to_string(), folder.path().join("deep/data"));
        Self { limits, data: data.display().to_string(), folder }
    }

    fn file(&self) -> std::path::PathBuf {
        Path::new(&self.data).join(FILE)
    }

    fn start(&self) -> Tollgate {
        self.start_with(&[])
    }

    fn start_with(&self, environment: &[(&str, &str)]) -> Tollgate {
        let all =
            [environment, &[("TOLLGATE_FLUSH_INTERVAL", "100ms"), ("TOLLGATE_DRAIN_DELAY", "0s")]].concat();
        Tollgate::with(&[&self.limits, "--data-dir", &self.data], &all)
    }

    /// What is said when it does not start, which is to be with the exit code 78.
    fn refused(&self, environment: &[(&str, &str)]) -> String {
        let free = ["TOLLGATE_GRPC", "TOLLGATE_HTTP", "TOLLGATE_ADMIN"].map(|name| (name, "127.0.0.1:0"));
        let output = run(&["serve", &self.limits, "--data-dir", &self.data], &[&free, environment].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{said}");
        said
    }
}

/// What remains of `limit` after so many hits.
async fn remaining(service: &Tollgate, limit: &str, hits: u32) -> u64 {
    let entries = format!(r#"[{{"key":"limit","value":"{limit}"}},{{"key":"user","value":"ann"}}]"#);
    let body =
        format!(r#"{{"domain":"shop","descriptors":[{{"entries":{entries},"hitsAddend":"{hits}"}}]}}"#);
    let answer = raw::http(service.http(), "POST", "/json", body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let after = answer.body.split_once(r#""limitRemaining":"#).unwrap_or_else(|| panic!("{answer:?}")).1;
    after.split(|letter: char| !letter.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_process_that_ends_loses_nothing() {
    let place = Place::new();
    let mut expected = Vec::new();
    for round in 1..4 {
        let service = place.start_with(&[("TOLLGATE_FLUSH_INTERVAL", "60s")]);
        let mut remains = Vec::new();
        for name in NAMES {
            remains.push(remaining(&service, name, 0).await);
        }
        if round > 1 {
            assert_eq!(remains, expected, "round {round}");
        }
        expected.clear();
        for name in NAMES {
            expected.push(remaining(&service, name, 3).await);
        }
        service.signal("TERM");
        let (status, log) = tokio::task::spawn_blocking(|| service.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0), "{log}");
    }
    assert_eq!(expected, [991, 991, 11, 991, 991, 991]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(Path::new(&place.data)), mode(&place.file())), (0o700, 0o600));
}

/// Whatever was answered before a flush began is there after it, and nothing is that was never asked.
#[tokio::test]
async fn a_process_that_is_killed_loses_no_more_than_was_not_flushed() {
    const ALL: u64 = 1_000_000_000;
    let place = Place::new();
    let mut before = 0;
    for round in 0..6 {
        let mut service = place.start();
        let used = ALL - remaining(&service, "many", 0).await;
        assert!(used >= before, "round {round}: {used} of {before}");
        before = used;
        for _ in 0..20 {
            before = ALL - remaining(&service, "many", 1).await;
        }
        until_flushed(&service).await;
        let asked = ALL - remaining(&service, "many", 0).await;
        service.kill();
        let again = place.start();
        let found = ALL - remaining(&again, "many", 0).await;
        assert!((before..=asked).contains(&found), "round {round}: {found} of {before} to {asked}");
        before = found;
    }
}

#[tokio::test]
async fn two_processes_do_not_share_a_directory() {
    let place = Place::new();
    let service = place.start();
    let said = place.refused(&[]);
    assert!(said.contains(&format!("{} is in use by another process", place.file().display())), "{said}");
    assert!(said.contains("--data-dir"), "{said}");
    assert_eq!(remaining(&service, "total", 1).await, 999);
}

#[test]
fn a_directory_that_cannot_be_made_or_written_is_said_with_what_to_do() {
    let place = Place::new();
    let blocked = place.folder.path().join("deep");
    fs::write(&blocked, "a file").unwrap();
    let said = place.refused(&[]);
    assert!(said.contains(&place.data) && said.contains("TOLLGATE_DATA_DIR"), "{said}");
    // Not even root writes there.
    let place = Place { data: "/proc/tollgate".to_owned(), ..Place::new() };
    let said = place.refused(&[]);
    assert!(said.contains("/proc/tollgate") && said.contains("--data-dir"), "{said}");
}

#[tokio::test]
async fn a_damaged_file_is_refused_whatever_became_of_it() {
    let place = Place::new();
    let mut service = place.start();
    remaining(&service, "total", 3).await;
    until_flushed(&service).await;
    service.kill();
    let good = fs::read(place.file()).unwrap();
    let middle: Vec<u8> =
        good.iter().enumerate().map(|(at, byte)| if at > 4096 { !byte } else { *byte }).collect();
    for bad in [b"counters: many".to_vec(), good[..good.len() / 2].to_vec(), middle, vec![7; 100_000]] {
        fs::write(place.file(), &bad).unwrap();
        let said = place.refused(&[]);
        let file = place.file().display().to_string();
        assert!(
            said.contains(&file) && said.contains("is damaged") && said.contains("move it away"),
            "{said}"
        );
        assert!(!said.contains("panicked"), "{said}");
    }
    fs::write(place.file(), &good).unwrap();
    assert_eq!(remaining(&place.start(), "total", 0).await, 997);
}

/// Waits until all that was answered is in the file: the first flush from now may have begun before, the second not.
async fn until_flushed(service: &Tollgate) {
    let flushes = metric(service, "flushes").await;
    while metric(service, "flushes").await < flushes + 2 {
        remaining(service, "many", 1).await;
    }
}

#[tokio::test]
async fn another_secret_is_refused() {
    let place = Place::new();
    drop(place.start());
    let said = place.refused(&[("TOLLGATE_KEY_SECRET", "000102030405060708090a0b0c0d0e0f")]);
    assert!(said.contains("another key secret") && said.contains("TOLLGATE_KEY_SECRET"), "{said}");
}

/// Makes `change` in the file, as nobody else would.
fn put(file: &Path, change: impl FnOnce(&redb::WriteTransaction)) {
    let database = Database::open(file).unwrap();
    let writing = database.begin_write().unwrap();
    change(&writing);
    writing.commit().unwrap();
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let place = Place::new();
    place.start().kill();
    put(&place.file(), |writing| {
        let meta: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
        writing.open_table(meta).unwrap().insert("schema", &2_u32.to_le_bytes()[..]).unwrap();
    });
    let said = place.refused(&[]);
    assert!(said.contains("the schema 2 of a newer Tollgate, this one knows 1"), "{said}");
    assert!(said.contains("start that one, or move the file away"), "{said}");
}

#[tokio::test]
async fn a_counter_that_cannot_be_read_is_dropped_and_said() {
    let place = Place::new();
    let mut service = place.start();
    remaining(&service, "total", 3).await;
    until_flushed(&service).await;
    service.kill();
    put(&place.file(), |writing| {
        let counters: TableDefinition<&[u8], &[u8]> = TableDefinition::new("counters");
        let mut counters = writing.open_table(counters).unwrap();
        for (id, value) in [(1_u128, &[0, 1][..]), (2, &[0, 2, 4, 1, 1]), (3, b"")] {
            counters.insert(&id.to_be_bytes()[..], value).unwrap();
        }
        counters.insert(&b"short"[..], &[0, 1, 4, 1, 1][..]).unwrap();
    });
    let service = place.start();
    let log = service.log();
    assert!(log.contains("cannot be read and is dropped") && log.contains("unreadable=4"), "{log}");
    assert_eq!(remaining(&service, "total", 0).await, 997);
    drop(service);
    let log = place.start().log();
    assert!(log.contains("held=2 idle=0") && !log.contains("unreadable"), "{log}");
}

/// What writing beyond `bytes` of a file comes to in the process of `service`.
fn limit_files(service: &Tollgate, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(service.id()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_stops_nobody_and_is_tried_again() {
    let place = Place::new();
    let mut service = place.start();
    remaining(&service, "total", 1).await;
    until_flushed(&service).await;
    limit_files(&service, Some(4096));
    while metric(&service, "flush_failures").await < 3 {
        remaining(&service, "many", 1).await;
    }
    assert_eq!(remaining(&service, "total", 2).await, 997);
    let ready = raw::http(service.admin(), "GET", "/readyz", b"").await;
    assert!(ready.status == 200 && ready.body.contains("data: cannot be written, trying again"), "{ready:?}");
    service.logs("the data file cannot be written");
    let log = service.log();
    assert_eq!(log.matches("the data file cannot be written").count(), 1, "{log}");
    let many = remaining(&service, "many", 0).await;
    limit_files(&service, None);
    until_flushed(&service).await;
    service.logs("the data file is written again");
    service.kill();
    let again = place.start();
    assert_eq!(remaining(&again, "total", 0).await, 997);
    assert!(remaining(&again, "many", 0).await <= many);
}

#[tokio::test]
async fn a_file_that_is_taken_away_is_put_back_unless_there_is_another() {
    let place = Place::new();
    let mut service = place.start();
    remaining(&service, "total", 1).await;
    until_flushed(&service).await;
    fs::remove_dir_all(&place.data).unwrap();
    service.logs("the data file was taken away");
    remaining(&service, "streams", 1).await;
    until_flushed(&service).await;
    let another = place.folder.path().join("another");
    fs::write(&another, "another").unwrap();
    fs::rename(&another, place.file()).unwrap();
    until_ready(&service, "data: cannot be written, trying again: another file is in its place").await;
    assert_eq!(remaining(&service, "total", 1).await, 998);
    assert!(metric(&service, "flush_failures").await > 0);
    fs::remove_file(place.file()).unwrap();
    until_ready(&service, "data: ready").await;
    until_flushed(&service).await;
    service.kill();
    let again = place.start();
    assert_eq!([remaining(&again, "total", 0).await, remaining(&again, "streams", 0).await], [998, 999]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(Path::new(&place.data)), mode(&place.file())), (0o700, 0o600));
}
