//! All ledgers alike: in memory, in a file, and in Redis. Whatever was added stays where it is, and nobody adds where
//! others were first.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use tollgate::audit::{Action, Actor, Asked, Event, Journal, Outcome};
use tollgate::clock::Clock;
use tollgate::store::ledger::{FileLedger, Ledger, LedgerError, Line, MemoryLedger, Placing};

use crate::support::redis::{RedisServer, tell, until_looked};
use crate::support::tools::Tool;

/// Several who write the same ledger.
type Writers = Vec<Arc<dyn Ledger>>;

fn lines(from: u64, to: u64) -> Vec<Line> {
    (from..=to).map(|place| Line { place, bytes: text(place).into() }).collect()
}

/// What the line at `place` says: long and short ones, and bytes that are no text.
fn text(place: u64) -> Vec<u8> {
    let mut text = format!("{{\"n\":{place}}}").into_bytes();
    text.extend(std::iter::repeat_n(0xfe, usize::try_from(place * place % 7001).unwrap()));
    text
}

/// What holds of every ledger that is empty.
async fn conforms(writers: Writers) {
    let [one, other] = [&writers[0], &writers[writers.len() - 1]];
    assert_eq!(one.read(1, 10).await.unwrap(), []);
    for place in 1..=100 {
        let writer = if place % 3 == 0 { one } else { other };
        assert_eq!(writer.append(place, &text(place)).await.unwrap(), Placing::Done, "{place}");
        for late in [place, place / 2 + 1] {
            assert_eq!(one.append(late, b"{}").await.unwrap(), Placing::Overtaken, "{late}");
        }
    }
    for (from, most, last) in
        [(1, 1000, 100), (1, 100, 100), (1, 99, 99), (100, 5, 100), (40, 1, 40), (98, 3, 100)]
    {
        let read = [one.read(from, most).await.unwrap(), other.read(from, most).await.unwrap()];
        assert!(read.iter().all(|read| *read == lines(from, last)), "{from} {most}");
    }
    assert_eq!((one.read(101, 10).await.unwrap(), one.read(50, 0).await.unwrap()), (vec![], vec![]));
    for (before, most, last, first) in [
        (101, 1000, 100, 1),
        (u64::MAX, 2, 100, 99),
        (41, 1, 40, 40),
        (3, 100, 2, 1),
        (1, 9, 0, 1),
        (0, 9, 0, 1),
    ] {
        let mut read = other.read_back(before, most).await.unwrap();
        read.reverse();
        assert!(read == lines(first, last), "{before} {most}");
    }
    crowd(&writers).await;
}

/// Many add at once, each behind what it has read, until it was first.
async fn crowd(writers: &Writers) {
    let mut tasks = Vec::new();
    for (number, writer) in (0..40).zip(writers.iter().cycle()) {
        let writer = writer.clone();
        tasks.push(tokio::spawn(async move {
            let line = format!("{{\"writer\":{number}}}").into_bytes();
            let mut place = 101;
            while writer.append(place, &line).await.unwrap() == Placing::Overtaken {
                place = writer.read(place, 1000).await.unwrap().last().map_or(place, |line| line.place + 1);
            }
            line
        }));
    }
    let mut added = Vec::new();
    for task in tasks {
        added.push(task.await.unwrap());
    }
    let read = writers[0].read(101, 1000).await.unwrap();
    assert_eq!(read.iter().map(|line| line.place).collect::<Vec<_>>(), (101..=140).collect::<Vec<_>>());
    let mut found: Vec<Vec<u8>> = read.into_iter().map(|line| line.bytes.into()).collect();
    added.sort();
    found.sort();
    assert_eq!(found, added, "each is there, and once");
}

#[tokio::test]
async fn memory_conforms() {
    let ledger = MemoryLedger::new(io::sink());
    conforms(vec![Arc::new(ledger.clone()), Arc::new(ledger)]).await;
}

#[tokio::test]
async fn a_file_conforms_and_is_the_same_when_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FileLedger::open(dir.path()).unwrap();
    conforms(vec![Arc::new(ledger.clone()), Arc::new(ledger.clone())]).await;
    let before = ledger.read(1, 1000).await.unwrap();
    let again = FileLedger::open(dir.path()).unwrap();
    assert_eq!(again.read(1, 1000).await.unwrap(), before);
    assert_eq!(again.append(140, b"{}").await.unwrap(), Placing::Overtaken);
    assert_eq!(again.append(141, b"{}").await.unwrap(), Placing::Done);
    assert_eq!(fs::metadata(again.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_conforms_and_is_asked_for_nothing_but_its_place() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let (one, other) = (server.store(Clock::System).await, server.store(Clock::System).await);
        until_looked(&one).await;
        until_looked(&other).await;
        tell(&server, &["CONFIG", "RESETSTAT"]);
        conforms(vec![Arc::new(one.ledger()), Arc::new(other.ledger())]).await;
        assert!(server.times_made("xadd") >= 140 && server.times_made("xrange") > 0);
        for command in ["scan", "keys", "eval", "xlen", "xinfo"] {
            assert_eq!(server.times_made(command), 0, "{command}");
        }
    }
}

#[tokio::test]
async fn what_others_put_beside_a_place_in_redis_is_passed_over() {
    let server = RedisServer::start(Tool::Redis);
    let ledger = server.store(Clock::System).await.ledger();
    for place in 1..=4 {
        ledger.append(place, &text(place)).await.unwrap();
        for beside in ["1", "2", "18446744073709551615"] {
            tell(&server, &["XADD", "tollgate:audit", &format!("{place}-{beside}"), "r", "{}"]);
        }
    }
    for most in 1..=5 {
        let (last, first) = (most.min(4), 5 - most.min(4));
        assert!(ledger.read(1, most).await.unwrap() == lines(1, last as u64), "{most}");
        let mut back = ledger.read_back(5, most).await.unwrap();
        back.reverse();
        assert!(back == lines(first as u64, 4), "{most}");
    }
    let journal = Journal::open(Arc::new(ledger.clone()), Clock::System, |_, _| {});
    for _ in 0..2 {
        journal.catch_up().await.unwrap();
        assert_eq!(journal.state().lost, None);
    }
}

#[tokio::test]
async fn redis_shows_that_it_takes_lines_without_one() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let ledger = server.store(Clock::System).await.ledger();
        for line in 0..2 {
            assert!(ledger.takes_lines().await, "{tool:?} {line}");
            for (no, yes) in [
                (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
                (["ACL", "SETUSER", "default", "-xadd"], ["ACL", "SETUSER", "default", "+xadd"]),
            ] {
                tell(&server, &no);
                assert!(!ledger.takes_lines().await, "{tool:?} {no:?}");
                tell(&server, &yes);
            }
            assert_eq!(ledger.read(1, 9).await.unwrap().len(), line);
            ledger.append(line as u64 + 1, b"{}").await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_file_that_takes_no_lines_shows_when_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FileLedger::open(dir.path()).unwrap();
    ledger.append(1, b"{\"n\":1}").await.unwrap();
    let once = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    OpenOptions::new().write(true).open(ledger.path()).unwrap().set_modified(once).unwrap();
    assert!(ledger.takes_lines().await);
    let modified = fs::metadata(ledger.path()).unwrap().modified().unwrap();
    assert_eq!(modified, once, "whoever follows it sees nothing of that");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nor is anything left beside it");
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(ledger.path(), &elsewhere).unwrap();
    assert!(!ledger.takes_lines().await);
    fs::rename(&elsewhere, ledger.path()).unwrap();
    assert!(ledger.takes_lines().await);
    assert_eq!(fs::read(ledger.path()).unwrap(), b"{\"n\":1}\n");
}

/// What was written, for a test to look at.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>, Arc<Mutex<bool>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if *self.1.lock() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn memory_writes_each_line_before_it_has_it() {
    let output = Output::default();
    let ledger = MemoryLedger::new(output.clone());
    ledger.append(1, b"{\"n\":1}").await.unwrap();
    *output.1.lock() = true;
    let error = ledger.append(2, b"{\"n\":2}").await.unwrap_err();
    assert!(matches!(&error, LedgerError::Output { problem, .. } if problem == "broken pipe"), "{error}");
    assert_eq!(ledger.read(1, 10).await.unwrap().len(), 1);
    *output.1.lock() = false;
    assert_eq!(ledger.append(2, b"{\"n\":3}").await.unwrap(), Placing::Done);
    assert_eq!(*output.0.lock(), b"{\"n\":1}\n{\"n\":3}\n");
}

/// An output whose reader does not read.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // When the test is done, nobody is there to let it go on.
        _ = self.0.recv();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_output_that_is_stuck_holds_nobody_up_for_long() {
    tokio::time::pause();
    let (go_on, stuck) = std::sync::mpsc::channel();
    let ledger = MemoryLedger::new(Stuck(stuck));
    let adding = ledger.append(1, b"{}");
    let waiting = async {
        tokio::task::yield_now().await;
        tokio::time::advance(std::time::Duration::from_secs(6)).await;
    };
    let (added, ()) = tokio::join!(adding, waiting);
    assert!(added.unwrap_err().to_string().contains("it takes longer than 5s"));
    assert_eq!(ledger.read(1, 10).await.unwrap(), [], "and what is there can be read");
    drop(go_on);
}

/// However often connections break off, what is recorded is there once, and nothing else is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn journals_that_lose_their_connections_write_one_chain() {
    let server = RedisServer::start(Tool::Redis);
    let stores = [server.store(Clock::System).await, server.store(Clock::System).await];
    let journals =
        stores.each_ref().map(|store| Journal::open(Arc::new(store.ledger()), Clock::System, |_, _| {}));
    let mut tasks = Vec::new();
    for (number, journal) in (0..80).zip(journals.iter().cycle()) {
        let journal = journal.clone();
        tasks.push(tokio::spawn(async move {
            let event = Event {
                reason: format!("{number}").into(),
                ..Event::new(Actor::tollgate(), Action::Reload, Outcome::Done)
            };
            let appended = journal.append(|_| Ok::<_, ()>(event.clone())).await;
            appended.ok().map(|appended| (appended.number, event.reason))
        }));
    }
    let mut recorded = std::collections::BTreeMap::new();
    for (number, task) in (0..).zip(tasks) {
        if number % 5 == 0 {
            tell(&server, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        }
        recorded.extend(task.await.unwrap());
    }
    let reader = Journal::open(Arc::new(stores[0].ledger()), Clock::System, |_, _| {});
    // The pool may hold some that are broken.
    while reader.catch_up().await.is_err() {}
    assert_eq!(reader.state().problem(), None);
    let asked = Asked { most: 1000, ..Asked::default() };
    let mut page = reader.records(&asked).await;
    while page.is_err() {
        page = reader.records(&asked).await;
    }
    let records = page.unwrap().records;
    // Of one that failed nobody knows; each that did not is where it was said to be.
    let mut reasons: Vec<&str> = records.iter().map(|record| &*record.reason).collect();
    reasons.sort_unstable();
    let count = reasons.len();
    reasons.dedup();
    assert_eq!((reasons.len(), reader.head().number), (count, count as u64), "each once");
    assert!(recorded.len() >= 40, "{} of 80", recorded.len());
    for record in &records {
        let said = recorded.remove(&record.number);
        assert!(said.is_none_or(|reason| reason == record.reason), "{record:?}");
    }
    assert!(recorded.is_empty(), "{recorded:?} are lost");
}

#[tokio::test]
async fn a_stream_that_was_trimmed_to_nothing_goes_on_behind_its_last_place() {
    let server = RedisServer::start(Tool::Redis);
    let stores = [server.store(Clock::System).await, server.store(Clock::System).await];
    stores[0].ledger().append(10_000, b"{}").await.unwrap();
    tell(&server, &["XTRIM", "tollgate:audit", "MAXLEN", "0"]);
    let event = Event::new(Actor::tollgate(), Action::Reload, Outcome::Done);
    for (store, number) in stores.iter().zip(10_001..) {
        let journal = Journal::open(Arc::new(store.ledger()), Clock::System, |_, _| {});
        let appended = journal.append(|_| Ok::<_, ()>(event.clone())).await.unwrap();
        assert_eq!(appended.number, number);
        let places: Vec<u64> = journal.lines(1).await.unwrap().iter().map(|line| line.place).collect();
        assert_eq!(places, (10_001..=number).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_line_that_was_torn_at_any_byte_is_cut_off_and_all_before_it_stays() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FileLedger::open(dir.path()).unwrap();
    let journal = Journal::open(Arc::new(ledger.clone()), Clock::System, |_, _| {});
    for _ in 0..3 {
        let event = Event::new(Actor::tollgate(), Action::Reload, Outcome::Done);
        journal.append(|_| Ok::<_, ()>(event.clone())).await.unwrap();
    }
    let (whole, before) = (fs::read(ledger.path()).unwrap(), ledger.read(1, 10).await.unwrap());
    let third = before[2].bytes.len();
    for torn in 0..=third + 1 {
        fs::write(ledger.path(), &whole[..whole.len() - third - 1 + torn]).unwrap();
        let again = FileLedger::open(dir.path()).unwrap();
        // Without its end of line, a record is whole all the same.
        let left = if torn >= third { 3 } else { 2 };
        assert_eq!(again.read(1, 10).await.unwrap(), before[..left], "{torn}");
        assert_eq!(again.append(left as u64 + 1, b"{}").await.unwrap(), Placing::Done, "{torn}");
        let expected: Vec<u8> = [
            before[..left].iter().map(|line| [&line.bytes[..], b"\n"].concat()).collect::<Vec<_>>().concat(),
            b"{}\n".to_vec(),
        ]
        .concat();
        assert_eq!(fs::read(again.path()).unwrap(), expected, "{torn}");
    }
}

/// Does `change` to the file of a ledger with one line, and tells what adding another then comes to.
async fn changed(change: impl Fn(&Path)) -> (Result<Placing, LedgerError>, FileLedger, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let ledger = FileLedger::open(dir.path()).unwrap();
    ledger.append(1, b"{}").await.unwrap();
    change(ledger.path());
    (ledger.append(2, b"{}").await, ledger, dir)
}

#[tokio::test]
async fn a_file_that_others_take_away_or_write_to_takes_no_lines_until_it_is_back() {
    let away = |path: &Path| fs::rename(path, path.with_extension("away")).unwrap();
    let (refused, ledger, _dir) = changed(away).await;
    assert!(refused.unwrap_err().to_string().contains("it was taken away"));
    fs::rename(ledger.path().with_extension("away"), ledger.path()).unwrap();
    assert_eq!(ledger.append(2, b"{}").await, Ok(Placing::Done));
    let other = |path: &Path| {
        away(path);
        fs::write(path, "").unwrap();
    };
    assert!(changed(other).await.0.unwrap_err().to_string().contains("another file is in its place"));
    let more = |path: &Path| {
        OpenOptions::new().append(true).open(path).unwrap().write_all(b"{}\n").unwrap();
    };
    assert!(changed(more).await.0.unwrap_err().to_string().contains("somebody else has written to it"));
}
