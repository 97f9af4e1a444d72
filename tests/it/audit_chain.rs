//! The chain of records: whatever is done to its lines is found, and found where it was done.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;
use tollgate::audit::{
    Action, Actor, Event, Fault, Hash, Head, Journal, Outcome, Record, Role, Verification,
};
use tollgate::clock::{Clock, Micros, Timestamp};

const NOON: Timestamp = Timestamp(1_795_262_400_000_000);

/// A record that says something different each time.
fn event(number: u64) -> Event {
    let from = number.is_multiple_of(3).then(|| "10.0.0.7".parse().unwrap());
    let actor = Actor { name: "al\"ice\u{2028}\n".into(), role: Role::Operator, from };
    Event {
        domain: (number.is_multiple_of(2)).then(|| "shop".into()),
        target: json!({"tier": "free", "limit": "exports", "hash": "a,\"hash\":\"b"}),
        before: json!({"max": number}),
        after: json!({"max": number + 1, "until": null}),
        reason: format!("the {number}. time, \"again\"").into(),
        ..Event::new(actor, Action::UpdateLimit, Outcome::Done)
    }
}

/// The lines of a chain of so many records.
fn chain(records: u64) -> Vec<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let clock = Clock::manual(NOON);
        let journal = Journal::in_memory(clock.clone(), |_, _| {});
        for number in 1..=records {
            clock.advance(Micros(1_234_567));
            let appended = journal.append(|_| Ok::<_, ()>(event(number))).await.unwrap();
            assert_eq!(appended.number, number);
        }
        let lines = journal.lines(1).await.unwrap();
        lines.into_iter().map(|line| line.bytes.into_vec()).collect()
    })
}

fn verified(lines: &[Vec<u8>]) -> Verification {
    let mut verification = Verification::default();
    for line in lines {
        verification.line(line);
    }
    verification
}

/// The head behind so many of `lines`.
fn head(lines: &[Vec<u8>], records: usize) -> Head {
    verified(&lines[..records]).head()
}

#[test]
fn a_record_is_one_line_that_others_can_verify() {
    let lines = chain(3);
    let text = String::from_utf8(lines[0].clone()).unwrap();
    assert!(text.starts_with("{\"n\":1,\"at\":\"2026-11-21T12:00:01.234567Z\",\"who\":\"al"), "{text}");
    assert!(!text.contains('\n') && text.contains(&format!(",\"prev\":\"{}\"", "0".repeat(64))), "{text}");
    // As anybody would, who has the line and SHA-256.
    let (body, tail) = text.rsplit_once(",\"hash\":\"").unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(tail, format!("{hex}\"}}"));
    let record = Record::of_line(&lines[2]).unwrap();
    assert_eq!(
        (record.number, &*record.who, record.from.as_deref()),
        (3, "al\"ice\u{2028}\n", Some("10.0.0.7"))
    );
    assert_eq!((&*record.action, &*record.outcome, &*record.role), ("update_limit", "done", "operator"));
    assert_eq!(
        (record.domain, record.before, record.after["max"].as_u64()),
        (None, json!({"max": 3}), Some(4))
    );
    assert_eq!((&*record.reason, record.prev), ("the 3. time, \"again\"", head(&lines, 2).hash));
}

#[test]
fn a_whole_chain_is_whole_and_its_end_is_known_by_its_head() {
    let lines = chain(5);
    for records in 0..=5 {
        let verification = verified(&lines[..records]);
        assert_eq!((verification.broken(), verification.faults()), (None, 0), "{records}");
        assert_eq!(verification.head().number, records as u64);
    }
    assert_eq!(head(&lines, 0).hash, Hash::default());
    assert_ne!(head(&lines, 4).hash, head(&lines, 5).hash);
}

/// What is done to a chain, and at which line it is to be found.
#[derive(Clone, Debug)]
enum Done {
    Flip { line: Index, at: Index, bit: u8 },
    Drop { line: Index },
    Repeat { line: Index, behind: Index },
    Swap { one: Index, other: Index },
    Cut { line: Index, to: Index },
    Merge { line: Index },
    Insert { before: Index, bytes: Vec<u8> },
    Exchange { line: Index },
}

fn done() -> impl Strategy<Value = Done> {
    let index = any::<Index>;
    prop_oneof![
        4 => (index(), index(), 0..8_u8).prop_map(|(line, at, bit)| Done::Flip { line, at, bit }),
        1 => index().prop_map(|line| Done::Drop { line }),
        1 => (index(), index()).prop_map(|(line, behind)| Done::Repeat { line, behind }),
        1 => (index(), index()).prop_map(|(one, other)| Done::Swap { one, other }),
        1 => (index(), index()).prop_map(|(line, to)| Done::Cut { line, to }),
        1 => index().prop_map(|line| Done::Merge { line }),
        1 => (index(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(before, bytes)| Done::Insert { before, bytes }),
        1 => index().prop_map(|line| Done::Exchange { line }),
    ]
}

/// Another record of the same number behind the same one, whole in itself.
fn exchanged(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(line.to_vec()).unwrap();
    let (body, _) = text.rsplit_once(",\"hash\":\"").unwrap();
    let body = body.replace("the ", "not the ");
    let digest = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{body},\"hash\":\"{hex}\"}}").into_bytes()
}

impl Done {
    /// Does it. In which line the chain is broken then, and how many of the lines before it are good.
    fn to(&self, lines: &mut Vec<Vec<u8>>) -> Option<(u64, u64)> {
        let count = lines.len();
        let good_before = |line: usize| Some((line as u64 + 1, line as u64));
        match self {
            Self::Flip { line, at, bit } => {
                let line = line.index(count);
                let at = at.index(lines[line].len());
                lines[line][at] ^= 1 << bit;
                good_before(line)
            }
            // Off the end, only the head tells.
            Self::Drop { line } => {
                let line = line.index(count - 1);
                lines.remove(line);
                good_before(line)
            }
            Self::Repeat { line, behind } => {
                let (line, behind) = (line.index(count), behind.index(count));
                let (line, behind) = (line.min(behind), line.max(behind));
                lines.insert(behind + 1, lines[line].clone());
                good_before(behind + 1)
            }
            Self::Swap { one, other } => {
                let (one, other) = (one.index(count), other.index(count));
                lines.swap(one, other);
                (one != other).then(|| good_before(one.min(other)))?
            }
            Self::Cut { line, to } => {
                let line = line.index(count);
                let to = to.index(lines[line].len());
                lines[line].truncate(to);
                good_before(line)
            }
            Self::Merge { line } => {
                let line = line.index(count - 1);
                let next = lines.remove(line + 1);
                lines[line].extend(next);
                good_before(line)
            }
            Self::Insert { before, bytes } => {
                let line = before.index(count + 1);
                lines.insert(line, bytes.clone());
                good_before(line)
            }
            Self::Exchange { line } => {
                let line = line.index(count - 1);
                lines[line] = exchanged(&lines[line]);
                // It shows in the one behind it.
                Some((line as u64 + 2, line as u64))
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn whatever_is_done_to_it_is_found_where_it_was_done(done in done()) {
        thread_local!(static LINES: Arc<Vec<Vec<u8>>> = Arc::new(chain(12)));
        let whole = LINES.with(Arc::clone);
        let mut lines = whole.to_vec();
        let expected = done.to(&mut lines);
        let verification = verified(&lines);
        let found = verification.broken().map(|broken| (broken.line, broken.good.number));
        prop_assert_eq!(found, expected, "{:?}", verification.broken());
        if let Some(broken) = verification.broken() {
            let good = usize::try_from(broken.good.number).unwrap();
            prop_assert_eq!(broken.good, head(&whole, good));
            // One thing that was done is not told as if many had been. Two that change places have all between them askew.
            let most = if matches!(done, Done::Swap { .. }) { 12 } else { 2 };
            prop_assert!((1..=most).contains(&verification.faults()), "{}", verification.faults());
        }
    }
}

#[test]
fn what_is_wrong_is_told_in_words() {
    let whole = chain(5);
    let broken = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut lines = whole.clone();
        change(&mut lines);
        verified(&lines).broken().unwrap()
    };
    assert_eq!(broken(&|lines| lines[2][30] ^= 1).fault, Fault::Altered { number: 3 });
    assert_eq!(broken(&|lines| drop(lines.remove(2))).fault, Fault::Misplaced { found: 4, expected: 3 });
    assert_eq!(broken(&|lines| lines[2].truncate(50)).fault, Fault::Unreadable { expected: 3 });
    assert_eq!(broken(&|lines| lines[2] = exchanged(&lines[2])).fault, Fault::Unlinked { number: 4 });
    let missing = broken(&|lines| drop(lines.remove(0)));
    assert_eq!(missing.to_string(), "line 1: record 2 stands where record 1 belongs");
    assert_eq!(missing.good, Head::default());
}
