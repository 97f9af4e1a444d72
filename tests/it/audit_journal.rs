//! The journal: what is recorded is set, in the order of the records, on all who follow them.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tollgate::audit::{Action, Actor, Asked, Event, Journal, JournalError, Outcome, Role, Set, subject_json};
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::limits::{Number, Overlay, SubjectId, Target, Unit, Value};
use tollgate::store::ledger::{Ledger, LedgerError, Line, MemoryLedger, Placing};

use futures_util::future::BoxFuture;

const NOON: Timestamp = Timestamp(1_795_262_400_000_000);

fn alice() -> Actor {
    Actor { name: "alice".into(), role: Role::Admin, from: None }
}

fn logins() -> Target {
    Target::Number { domain: "shop".into(), tier: "free".into(), limit: "login".into() }
}

/// That logins are set to `most`.
fn set(most: u64, until: Option<Timestamp>) -> Event {
    let set = Set::Place { target: logins(), value: Value::Number(Number::AtMost(most), Unit::Hits), until };
    Event {
        domain: Some("shop".into()),
        sets: vec![set],
        ..Event::new(alice(), Action::UpdateLimit, Outcome::Done)
    }
}

/// How many logins `overlay` allows, and by which record.
fn allowed(overlay: &Overlay) -> Option<(u64, u64)> {
    let placed = overlay.get(&logins())?;
    match placed.value {
        Value::Number(Number::AtMost(most), _) => Some((most, placed.version)),
        _ => None,
    }
}

/// How many logins were allowed, each time that anything was put in force.
type InForce = Arc<Mutex<Vec<(Option<u64>, Timestamp)>>>;

/// A journal, and what it puts in force.
fn journal(ledger: &MemoryLedger, clock: &Clock) -> (Journal, InForce) {
    let in_force = InForce::default();
    let put = in_force.clone();
    let journal = Journal::open(Arc::new(ledger.clone()), clock.clone(), move |overlay, now| {
        put.lock().push((allowed(&overlay).map(|(most, _)| most), now));
    });
    (journal, in_force)
}

fn ledger() -> MemoryLedger {
    MemoryLedger::new(std::io::sink())
}

async fn append(journal: &Journal, event: Event) -> u64 {
    journal.append(|_| Ok::<_, ()>(event.clone())).await.unwrap().number
}

#[tokio::test]
async fn what_is_recorded_is_in_force_before_it_is_answered_and_elsewhere_once_it_is_read() {
    let (ledger, clock) = (ledger(), Clock::manual(NOON));
    let ((one, on_one), (other, on_other)) = (journal(&ledger, &clock), journal(&ledger, &clock));
    assert_eq!(append(&one, set(5, None)).await, 1);
    assert_eq!(*on_one.lock(), [(Some(5), NOON)]);
    other.catch_up().await.unwrap();
    assert_eq!(*on_other.lock(), [(Some(5), NOON)]);
    assert_eq!(append(&other, set(7, None)).await, 2);
    one.catch_up().await.unwrap();
    one.catch_up().await.unwrap();
    assert_eq!(*on_one.lock(), [(Some(5), NOON), (Some(7), NOON)]);
    assert_eq!(allowed(&one.state().overlay), Some((7, 2)));
    assert_eq!((one.head(), one.state().problem()), (other.head(), None));
}

#[tokio::test]
async fn what_is_not_done_or_left_to_the_file_again_sets_nothing() {
    let (ledger, clock) = (ledger(), Clock::manual(NOON));
    let (journal, _) = journal(&ledger, &clock);
    append(&journal, Event { outcome: Outcome::Failed, ..set(5, None) }).await;
    append(&journal, Event { outcome: Outcome::Refused, ..set(5, None) }).await;
    assert_eq!(allowed(&journal.state().overlay), None);
    append(&journal, set(5, None)).await;
    assert_eq!(allowed(&journal.state().overlay), Some((5, 3)));
    append(&journal, Event { sets: vec![Set::Remove { target: logins() }], ..set(0, None) }).await;
    assert_eq!((allowed(&journal.state().overlay), journal.state().overlay.version()), (None, 4));
}

#[tokio::test]
async fn what_somebody_decides_by_is_what_stands_at_the_place_of_the_record() {
    let (ledger, clock) = (ledger(), Clock::manual(NOON));
    let ((one, _), (other, _)) = (journal(&ledger, &clock), journal(&ledger, &clock));
    append(&one, set(5, None)).await;
    // The other one has not read that yet.
    let more = |overlay: &Overlay| match allowed(overlay) {
        Some((most, 1)) => Ok(set(most + 1, None)),
        found => Err(found),
    };
    assert_eq!(other.append(more).await.unwrap().number, 2);
    let refused = one.append(more).await.unwrap_err();
    assert_eq!(refused, JournalError::Refused(Some((6, 2))));
    assert_eq!(one.head().number, 2, "nothing was recorded");
}

#[tokio::test]
async fn what_has_an_end_is_put_in_force_again_at_its_end() {
    let (ledger, clock) = (ledger(), Clock::manual(NOON));
    let (journal, in_force) = journal(&ledger, &clock);
    append(&journal, set(5, Some(NOON.plus(Micros(10))))).await;
    clock.advance(Micros(9));
    journal.catch_up().await.unwrap();
    assert_eq!(in_force.lock().len(), 1);
    clock.advance(Micros(1));
    journal.catch_up().await.unwrap();
    journal.catch_up().await.unwrap();
    assert_eq!(*in_force.lock(), [(Some(5), NOON), (Some(5), NOON.plus(Micros(10)))]);
}

#[tokio::test(start_paused = true)]
async fn who_follows_sees_what_others_append_and_what_ends() {
    let (ledger, clock) = (ledger(), Clock::manual(NOON));
    let ((one, _), (other, on_other)) = (journal(&ledger, &clock), journal(&ledger, &clock));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let following = tokio::spawn(other.clone().follow(async { _ = stopped.await }));
    append(&one, set(5, None)).await;
    while allowed(&other.state().overlay) != Some((5, 1)) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(on_other.lock().last(), Some(&(Some(5), NOON)));
    stop.send(()).unwrap();
    following.await.unwrap();
}

#[tokio::test]
async fn many_who_append_at_once_all_do_and_none_twice() {
    let (ledger, clock) = (ledger(), Clock::manual(NOON));
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let (journal, _) = journal(&ledger, &clock);
        for _ in 0..25 {
            let journal = journal.clone();
            tasks.push(tokio::spawn(async move {
                let next = |overlay: &Overlay| {
                    Ok::<_, ()>(set(allowed(overlay).map_or(1, |(most, _)| most + 1), None))
                };
                journal.append(next).await.unwrap().number
            }));
        }
    }
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.push(task.await.unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
    let (journal, _) = journal(&ledger, &clock);
    journal.catch_up().await.unwrap();
    assert_eq!(allowed(&journal.state().overlay), Some((100, 100)), "each has added one");
    assert_eq!(journal.state().problem(), None);
}

fn ann() -> SubjectId {
    SubjectId { key: "user".into(), hash: 0xabc }
}

/// Records of two domains, one in ten of which is about Ann, a second apart.
async fn filled(records: u64) -> Journal {
    let (ledger, clock) = (ledger(), Clock::manual(NOON));
    let (journal, _) = journal(&ledger, &clock);
    for number in 1..=records {
        let mut event = set(number, None);
        if number.is_multiple_of(2) {
            event.domain = Some("api".into());
        }
        if number.is_multiple_of(10) {
            event.target = serde_json::json!({"subject": subject_json(&ann())});
        }
        append(&journal, event).await;
        clock.advance(Micros::from_secs(1));
    }
    journal
}

/// The numbers of all records that are asked for, page by page.
async fn numbers(journal: &Journal, asked: &Asked) -> Vec<u64> {
    let (mut asked, mut numbers) = (asked.clone(), Vec::new());
    loop {
        let page = journal.records(&asked).await.unwrap();
        assert!(page.records.len() <= asked.most);
        numbers.extend(page.records.iter().map(|record| record.number));
        match page.next {
            Some(next) => asked.page = Some(next),
            None => return numbers,
        }
    }
}

#[tokio::test]
async fn records_are_read_page_by_page_the_latest_first() {
    let journal = filled(1234).await;
    let all = Asked { most: 100, ..Asked::default() };
    let down = |from: u64, step: usize| (1..=from).rev().step_by(step).collect::<Vec<_>>();
    assert_eq!(numbers(&journal, &all).await, down(1234, 1));
    let shop = Asked { domain: Some("shop".into()), ..all.clone() };
    assert_eq!(numbers(&journal, &shop).await, down(1233, 2));
    let of_ann = Asked { subjects: Some(vec![ann()]), ..all.clone() };
    assert_eq!(numbers(&journal, &of_ann).await, down(1230, 10));
    let between = Asked {
        from: Some(NOON.plus(Micros::from_secs(2))),
        to: Some(NOON.plus(Micros::from_secs(5))),
        ..all
    };
    assert_eq!(numbers(&journal, &between).await, [5, 4, 3]);
    let none = Asked { domain: Some("nowhere".into()), most: 3, ..Asked::default() };
    assert_eq!(numbers(&journal, &none).await, [0; 0]);
}

#[tokio::test]
async fn a_page_of_long_records_is_of_few() {
    let (ledger, clock) = (ledger(), Clock::manual(NOON));
    let (journal, _) = journal(&ledger, &clock);
    for _ in 0..100 {
        let target = serde_json::json!({"each": "x".repeat(30_000)});
        append(&journal, Event { target, ..set(1, None) }).await;
    }
    let asked = Asked { most: 1000, ..Asked::default() };
    let page = journal.records(&asked).await.unwrap();
    let bytes: usize = page.records.iter().map(|record| record.target.to_string().len()).sum();
    assert!((1_000_000..1_100_000).contains(&bytes), "{bytes}");
    assert_eq!(numbers(&journal, &asked).await, (1..=100).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn what_memory_has_let_go_is_set_all_the_same() {
    let (ledger, clock) = (ledger(), Clock::manual(NOON));
    let (journal, _) = journal(&ledger, &clock);
    append(&journal, set(5, None)).await;
    let nothing = Event::new(alice(), Action::ResetUser, Outcome::Done);
    for _ in 0..MemoryLedger::MOST {
        append(&journal, nothing.clone()).await;
    }
    journal.catch_up().await.unwrap();
    assert_eq!(journal.lines(1).await.unwrap()[0].place, 2);
    assert_eq!((allowed(&journal.state().overlay), journal.state().problem()), (Some((5, 1)), None));
    let asked = Asked { most: 1_000, ..Asked::default() };
    assert_eq!(numbers(&journal, &asked).await.len(), MemoryLedger::MOST);
}

/// A ledger of which a test holds the lines, and that fails as it is told.
#[derive(Clone, Debug, Default)]
struct Held {
    lines: Arc<Mutex<BTreeMap<u64, Vec<u8>>>>,
    /// The last place that was ever used.
    last: Arc<Mutex<u64>>,
    /// What the next appends say instead of what they do; whether they do it.
    says: Arc<Mutex<Vec<(LedgerError, bool)>>>,
}

impl Held {
    fn append_now(&self, place: u64, line: &[u8]) -> Result<Placing, LedgerError> {
        let failing = self.says.lock().pop();
        let mut last = self.last.lock();
        let is_done = failing.as_ref().is_none_or(|(_, does)| *does);
        let placing = if place <= *last { Placing::Overtaken } else { Placing::Done };
        if placing == Placing::Done && is_done {
            *last = place;
            self.lines.lock().insert(place, line.to_vec());
        }
        failing.map_or(Ok(placing), |(error, _)| Err(error))
    }

    fn journal(&self) -> Journal {
        Journal::open(Arc::new(self.clone()), Clock::manual(NOON), |_, _| {})
    }
}

impl Ledger for Held {
    fn append<'a>(&'a self, place: u64, line: &'a [u8]) -> BoxFuture<'a, Result<Placing, LedgerError>> {
        Box::pin(async move { self.append_now(place, line) })
    }

    fn read(&self, from: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        let lines = self.lines.lock();
        let lines = lines.range(from..).take(most);
        let lines = lines.map(|(place, bytes)| Line { place: *place, bytes: bytes.clone().into() }).collect();
        Box::pin(async move { Ok(lines) })
    }

    fn read_back(&self, before: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        let lines = self.lines.lock();
        let lines = lines.range(..before).rev().take(most);
        let lines = lines.map(|(place, bytes)| Line { place: *place, bytes: bytes.clone().into() }).collect();
        Box::pin(async move { Ok(lines) })
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_is_no_record_twice() {
    let silent = LedgerError::Store(tollgate::store::StoreError::Timeout);
    for is_done in [true, false] {
        let held = Held::default();
        let journal = held.journal();
        append(&journal, set(1, None)).await;
        held.says.lock().push((silent.clone(), is_done));
        assert_eq!(append(&journal, set(2, None)).await, 2, "{is_done}");
        assert_eq!(append(&journal, set(3, None)).await, 3, "{is_done}");
        assert_eq!(held.lines.lock().len(), 3, "{is_done}");
        assert_eq!((allowed(&journal.state().overlay), journal.state().problem()), (Some((3, 3)), None));
    }
}

/// A ledger that takes a line and is silent, and then takes another's before it is asked again.
#[derive(Clone, Debug)]
struct Outrun {
    held: Held,
    other: Arc<Mutex<Option<Journal>>>,
}

impl Ledger for Outrun {
    fn append<'a>(&'a self, place: u64, line: &'a [u8]) -> BoxFuture<'a, Result<Placing, LedgerError>> {
        Box::pin(async move {
            let placing = self.held.append_now(place, line);
            let other = self.other.lock().take();
            let Some(other) = other else { return placing };
            append(&other, set(9, None)).await;
            Err(LedgerError::Store(tollgate::store::StoreError::Timeout))
        })
    }

    fn read(&self, from: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        self.held.read(from, most)
    }

    fn read_back(&self, before: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        self.held.read_back(before, most)
    }
}

#[tokio::test]
async fn who_is_told_late_is_told_the_number_of_their_own_record() {
    let held = Held::default();
    let other = Arc::new(Mutex::new(Some(held.journal())));
    let outrun = Outrun { held: held.clone(), other };
    let journal = Journal::open(Arc::new(outrun), Clock::manual(NOON), |_, _| {});
    assert_eq!(append(&journal, set(5, None)).await, 1);
    assert_eq!((journal.head().number, allowed(&journal.state().overlay)), (2, Some((9, 2))));
}

#[tokio::test]
async fn of_what_nobody_knows_whether_it_is_recorded_that_is_said() {
    let silent = LedgerError::Store(tollgate::store::StoreError::Timeout);
    let full = LedgerError::Output { place: "audit.jsonl".into(), problem: "no space".into() };
    for (first, second) in [(silent.clone(), silent.clone()), (silent, full)] {
        let held = Held::default();
        let journal = held.journal();
        append(&journal, set(1, None)).await;
        held.says.lock().extend([(second.clone(), false), (first, true)]);
        let error = journal.append(|_| Ok::<_, ()>(set(2, None))).await.unwrap_err();
        assert_eq!(error, JournalError::Unknown(second));
        journal.catch_up().await.unwrap();
        assert_eq!(allowed(&journal.state().overlay), Some((2, 2)), "it came to be there");
        assert_eq!(append(&journal, set(3, None)).await, 3, "and nothing else did");
    }
}

/// The action and the outcome of each record, in their order.
async fn told(journal: &Journal) -> Vec<(Box<str>, Box<str>)> {
    let asked = Asked { most: 100, ..Asked::default() };
    let records = journal.records(&asked).await.unwrap().records;
    records.into_iter().rev().map(|record| (record.action, record.outcome)).collect()
}

#[tokio::test]
async fn a_deed_that_was_given_up_is_said_to_have_failed_where_its_record_comes_late() {
    let silent = LedgerError::Store(tollgate::store::StoreError::Timeout);
    let reset = Event::new(alice(), Action::ResetUser, Outcome::Done);
    let of = |outcome: &str| (Box::from("reset_user"), Box::from(outcome));
    for (does, expected) in [(true, vec![of("done"), of("failed")]), (false, vec![])] {
        let held = Held::default();
        let journal = held.journal();
        held.says.lock().extend([(silent.clone(), false), (silent.clone(), does)]);
        let error = journal.append_deed(&reset).await.unwrap_err();
        assert_eq!(error, JournalError::Unknown(silent.clone()));
        for _ in 0..2 {
            journal.catch_up().await.unwrap();
            assert_eq!(told(&journal).await, expected);
        }
        journal.append_deed(&reset).await.unwrap();
        let more = [&expected[..], &[of("done")]].concat();
        assert_eq!(told(&journal).await, more, "what is answered is done");
    }
}

#[tokio::test]
async fn a_deed_fails_on_record_as_soon_as_that_can_be_written() {
    let silent = LedgerError::Store(tollgate::store::StoreError::Unavailable);
    let reset = Event::new(alice(), Action::ResetUser, Outcome::Done);
    let held = Held::default();
    let journal = held.journal();
    let full = LedgerError::Output { place: "audit.jsonl".into(), problem: "no space".into() };
    held.says.lock().extend([(full, false), (silent.clone(), false), (silent, true)]);
    journal.append_deed(&reset).await.unwrap_err();
    journal.catch_up().await.unwrap();
    assert_eq!(told(&journal).await.len(), 1, "there is no space");
    journal.catch_up().await.unwrap();
    let outcomes: Vec<Box<str>> = told(&journal).await.into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes, ["done", "failed"].map(Box::<str>::from));
    assert_eq!(journal.state().problem(), None);
}

#[tokio::test]
async fn a_ledger_that_takes_nothing_is_said_and_sets_nothing() {
    let full = LedgerError::Output { place: "audit.jsonl".into(), problem: "no space".into() };
    let held = Held::default();
    let journal = held.journal();
    append(&journal, set(1, None)).await;
    held.says.lock().push((full.clone(), false));
    let error = journal.append(|_| Ok::<_, ()>(set(2, None))).await.unwrap_err();
    assert_eq!(error, JournalError::Unwritten(full));
    journal.catch_up().await.unwrap();
    let problem = journal.state().problem().unwrap();
    assert!(problem.contains("cannot be written") && problem.contains("audit.jsonl: no space"), "{problem}");
    assert_eq!((allowed(&journal.state().overlay), journal.unwritten()), (Some((1, 1)), 1));
    assert_eq!(append(&journal, set(3, None)).await, 2);
    assert_eq!(journal.state().problem(), None);
}

#[tokio::test]
async fn records_that_are_taken_away_from_the_end_are_missed() {
    let held = Held::default();
    let journal = held.journal();
    for most in 1..=4 {
        append(&journal, set(most, None)).await;
    }
    held.lines.lock().split_off(&3);
    journal.catch_up().await.unwrap();
    let state = journal.state();
    assert_eq!((allowed(&state.overlay), state.head.number), (Some((2, 2)), 2));
    let problem = state.problem().unwrap();
    assert!(problem.contains("lost what was there up to record 4"), "{problem}");
    // Redis gives no place twice. What is appended behind the gap tells that there is one.
    assert_eq!(append(&journal, set(9, None)).await, 5);
    let other = held.journal();
    other.catch_up().await.unwrap();
    let problem = other.state().problem().unwrap();
    assert!(problem.contains("record 5 stands where record 3 belongs"), "{problem}");
    assert_eq!(allowed(&other.state().overlay), Some((9, 5)));
}

#[tokio::test]
async fn a_broken_chain_is_said_and_goes_on_behind_its_last_line() {
    let held = Held::default();
    let journal = held.journal();
    for most in 1..=4 {
        append(&journal, set(most, None)).await;
    }
    held.lines.lock().get_mut(&2).unwrap()[30] ^= 1;
    held.lines.lock().insert(5, b"what is this?".to_vec());
    *held.last.lock() = 5;
    let other = held.journal();
    other.catch_up().await.unwrap();
    let problem = other.state().problem().unwrap();
    assert!(problem.contains("line 2: record 2 was altered"), "{problem}");
    assert_eq!(allowed(&other.state().overlay), Some((4, 4)), "what can be read is read");
    assert_eq!(append(&other, set(5, None)).await, 5);
    assert_eq!(held.lines.lock().len(), 6);
    assert_eq!(other.state().broken.unwrap().line, 2);
}

#[tokio::test]
async fn what_was_altered_in_a_record_is_not_set() {
    let (five, nine) = ("\"to\":5", "\"to\":9");
    for (found, altered) in [(five, nine), ("\"n\":2", "\"n\":8")] {
        let held = Held::default();
        let journal = held.journal();
        for most in [4, 5, 6] {
            append(&journal, set(most, None)).await;
        }
        held.lines.lock().remove(&3);
        let line = String::from_utf8(held.lines.lock()[&2].clone()).unwrap();
        assert!(line.contains(found), "{line}");
        held.lines.lock().insert(2, line.replace(found, altered).into_bytes());
        let other = held.journal();
        other.catch_up().await.unwrap();
        let state = other.state();
        assert_eq!((allowed(&state.overlay), state.head.number), (Some((4, 1)), 2), "{altered}");
        assert!(state.problem().unwrap().contains("line 2: record 2 was altered"));
    }
}

fn hash_of(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn no_number_is_so_large_that_none_is_left_behind_it() {
    for number in [u64::MAX, u64::MAX - 1, 1 << 40] {
        let held = Held::default();
        let journal = held.journal();
        append(&journal, set(5, None)).await;
        let head = journal.head();
        let body = format!(
            "{{\"n\":{number},\"at\":\"2026-11-22T00:00:00Z\",\"action\":\"reload\",\"outcome\":\"done\",\"prev\":\"{}\"",
            head.hash
        );
        let line = format!("{body},\"hash\":\"{}\"}}", hash_of(body.as_bytes()));
        held.lines.lock().insert(2, line.into_bytes());
        *held.last.lock() = 2;
        journal.catch_up().await.unwrap();
        assert_eq!(append(&journal, set(6, None)).await, 2, "{number}");
        let other = held.journal();
        other.catch_up().await.unwrap();
        let state = other.state();
        assert_eq!((allowed(&state.overlay), state.head.number), (Some((6, 2)), 2), "{number}");
        assert!(state.problem().unwrap().contains("line 2: this is no record"), "{:?}", state.problem());
    }
}

#[tokio::test]
async fn a_wide_gap_between_places_is_no_page() {
    let held = Held::default();
    let journal = held.journal();
    for most in 1..=3 {
        append(&journal, set(most, None)).await;
    }
    held.lines.lock().insert(1_795_262_400_000, b"what is this?".to_vec());
    *held.last.lock() = 1_795_262_400_000;
    append(&journal, set(4, None)).await;
    let page = journal.records(&Asked { most: 10, ..Asked::default() }).await.unwrap();
    assert_eq!(page.records.iter().map(|record| record.number).collect::<Vec<_>>(), [4, 3, 2, 1]);
    assert_eq!(page.next, None);
}

/// A ledger that does not answer what it is asked behind its first lines, until it is let.
#[derive(Debug)]
struct Hanging {
    ledger: MemoryLedger,
    let_go: tokio::sync::watch::Receiver<bool>,
}

impl Ledger for Hanging {
    fn append<'a>(&'a self, place: u64, line: &'a [u8]) -> BoxFuture<'a, Result<Placing, LedgerError>> {
        self.ledger.append(place, line)
    }

    fn read(&self, from: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        Box::pin(async move {
            if from > 1 {
                self.let_go.clone().wait_for(|go| *go).await.unwrap();
            }
            self.ledger.read(from, most).await
        })
    }

    fn read_back(&self, before: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        self.ledger.read_back(before, most)
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_waits_for_a_long_chain_for_a_while_and_then_reads_on() {
    let (ledger, clock) = (ledger(), Clock::manual(NOON));
    let (writer, _) = journal(&ledger, &clock);
    for most in 1..=700 {
        append(&writer, set(most, None)).await;
    }
    let (go, let_go) = tokio::sync::watch::channel(false);
    let in_force = InForce::default();
    let put = in_force.clone();
    let starting = Journal::open(Arc::new(Hanging { ledger, let_go }), clock, move |overlay, now| {
        put.lock().push((allowed(&overlay).map(|(most, _)| most), now));
    });
    assert!(!starting.catch_up_within(std::time::Duration::from_secs(10)).await);
    // What was read is in force: half a thousand lines are read at once.
    assert_eq!(*in_force.lock(), [(Some(500), NOON)]);
    let state = starting.state();
    assert_eq!((state.head.number, state.is_read), (500, false));
    assert_eq!(state.problem().unwrap(), "not read to its end yet: what was set later is not in force");
    go.send_replace(true);
    assert!(starting.catch_up_within(std::time::Duration::from_secs(10)).await);
    assert_eq!(in_force.lock().last(), Some(&(Some(700), NOON)));
    assert_eq!((starting.state().head.number, starting.state().problem()), (700, None));
}

#[tokio::test]
async fn what_is_set_is_put_in_force_beside_whoever_decides() {
    let here = std::thread::current().id();
    let there = Arc::new(Mutex::new(Vec::new()));
    let told = there.clone();
    let ledger = Arc::new(ledger());
    let journal = Journal::open(ledger, Clock::manual(NOON), move |_, _| {
        told.lock().push(std::thread::current().id());
    });
    append(&journal, set(5, None)).await;
    append(&journal, set(6, None)).await;
    let there = there.lock();
    assert!(there.len() == 2 && there.iter().all(|thread| *thread != here), "{there:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_long_to_append_to_a_chain_that_is_still_read() {
    let (ledger, clock) = (ledger(), Clock::manual(NOON));
    let (writer, _) = journal(&ledger, &clock);
    for most in 1..=600 {
        append(&writer, set(most, None)).await;
    }
    let (go, let_go) = tokio::sync::watch::channel(false);
    let starting = Journal::open(Arc::new(Hanging { ledger: ledger.clone(), let_go }), clock, |_, _| {});
    // Whether others read it, or whoever appends has to.
    for is_followed in [false, true] {
        if is_followed {
            tokio::spawn(starting.clone().follow(std::future::pending()));
            tokio::task::yield_now().await;
        }
        let asked = async {
            let error = starting.append(|_| Ok::<_, ()>(set(1, None))).await.unwrap_err();
            assert_eq!(error, JournalError::Unread);
            starting.append_deed(&set(1, None)).await.unwrap_err()
        };
        let error = tokio::time::timeout(std::time::Duration::from_secs(10), asked).await.unwrap();
        assert!(error.to_string().starts_with("the audit is not read to its end yet, and nothing is done"));
    }
    assert_eq!(starting.unwritten(), 4);
    assert_eq!(ledger.read(601, 1).await.unwrap(), []);
    go.send_replace(true);
    assert_eq!(starting.append(|_| Ok::<_, ()>(set(1, None))).await.unwrap().number, 601);
}
