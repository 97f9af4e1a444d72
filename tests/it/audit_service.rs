//! The audit of the real program: what it records by itself, where, and what it says of it; and `tollgate audit verify`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use tollgate::audit::{Action, Actor, Event, Journal, Outcome};
use tollgate::clock::Clock;
use tollgate::store::ledger::FileLedger;

use crate::support::http;
use crate::support::process::{Tollgate, run, until_ready};
use crate::support::raw;
use crate::support::redis::{RedisServer, tell};
use crate::support::tools::Tool;

const GOOD: &str = "domains: {shop: {limits: {login: 5/15m per email}}}\n";
const OTHER: &str = "domains: {shop: {limits: {login: 6/15m per email}}}\n";
const BAD: &str = "domains: {shop: {limits: {login: 5/nonsense}}}\n";

/// A directory for a service: its limits, its data, and what it writes to standard output.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        place.write(GOOD);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Puts limits in place, as a deploy does.
    fn write(&self, limits: &str) {
        fs::write(self.path("new"), limits).unwrap();
        fs::rename(self.path("new"), self.path("limits.yaml")).unwrap();
    }

    fn start(&self, more: &[&str]) -> Tollgate {
        let to_file = format!("exec \"$0\" \"$@\" > {}", self.text("stdout"));
        let limits = self.text("limits.yaml");
        let arguments = [&[limits.as_str()], more].concat();
        Tollgate::under(&["sh", "-c", &to_file], &arguments, &[("TOLLGATE_DRAIN_DELAY", "0s")])
    }

    fn start_with_data(&self) -> Tollgate {
        self.start(&["--data-dir", &self.text("data")])
    }

    fn audit(&self) -> PathBuf {
        self.path("data").join("audit.jsonl")
    }

    fn verify(&self, more: &[&str]) -> Output {
        let file = self.audit().display().to_string();
        run(&[&["audit", "verify", &file], more].concat(), &[])
    }

    /// Verifies what there is in the data directory.
    fn verify_all(&self) -> Output {
        run(&["audit", "verify", &self.text("data")], &[])
    }

    /// Puts `limits` in place, and waits until `service` has recorded that as its record `number`.
    async fn reload(&self, service: &Tollgate, limits: &str, number: u64) {
        self.write(limits);
        let noun = if number == 1 { "record" } else { "records" };
        until_ready(service, &format!("audit: {number} {noun}, head ")).await;
    }
}

fn records(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The records in a body that came in chunks.
fn unwrapped(body: &str) -> String {
    body.lines().filter(|line| line.starts_with('{')).map(|line| format!("{line}\n")).collect()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What `service` says of the audit in `/readyz`.
async fn told(service: &Tollgate) -> String {
    let text = raw::http(service.admin(), "GET", "/readyz", b"").await.body;
    text.lines().find_map(|line| line.strip_prefix("audit: ")).unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[tokio::test]
async fn reloads_are_records_that_go_on_after_a_restart_and_can_be_verified() {
    let place = Place::new();
    let service = place.start_with_data();
    assert_eq!(told(&service).await, format!("0 records, head {}", "0".repeat(64)));
    place.reload(&service, BAD, 1).await;
    place.reload(&service, OTHER, 2).await;
    let head = told(&service).await.split_once("head ").unwrap().1.to_owned();
    let kept = fs::read_to_string(place.audit()).unwrap();
    let second = &kept[kept.find('\n').unwrap() + 1..];
    for (query, expected) in [("", &*kept), ("?from=2", second), ("?from=3", ""), ("?from=0", &kept)] {
        let answer = raw::http(service.admin(), "GET", &format!("/audit/lines{query}"), b"").await;
        assert_eq!((answer.status, &*unwrapped(&answer.body)), (200, expected), "{query}");
    }
    for query in ["?from=x", "?until=3", "?from=-1"] {
        let answer = raw::http(service.admin(), "GET", &format!("/audit/lines{query}"), b"").await;
        assert_eq!(answer.status, 400, "{query}");
    }
    let metrics = raw::http(service.admin(), "GET", "/metrics", b"").await.body;
    assert!(metrics.contains("\ntollgate_audit_records 2\n"), "{metrics}");
    for count in ["audit_failures_total 0", "reloads_total 2", "reload_failures_total 1"] {
        assert!(metrics.contains(&format!("\ntollgate_{count}\n")), "{metrics}");
    }
    service.signal("TERM");
    let (status, log) = service.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains(&format!("records=2 head={head}")), "{log}");
    let found = records(&fs::read_to_string(place.audit()).unwrap());
    assert_eq!((&found[0]["who"], &found[0]["action"]), (&"tollgate".into(), &"reload".into()));
    assert_eq!([&found[0]["outcome"], &found[1]["outcome"]], ["refused", "done"]);
    let reason = found[0]["reason"].as_str().unwrap();
    assert!(reason.contains("limits.yaml:1:") && reason.contains("nonsense"), "{reason}");
    assert_eq!(fs::read_to_string(place.path("stdout")).unwrap(), "", "it has a home");

    let service = place.start_with_data();
    assert_eq!(told(&service).await, format!("2 records, head {head}"));
    place.reload(&service, GOOD, 3).await;
    // Whoever reads along does no harm, and what was noted before is still there.
    let verified = place.verify(&["--head", &head]);
    let text = stdout(&verified);
    assert!(text.starts_with("whole: 3 records, head ") && text.ends_with(", 1 since 2\n"), "{text}");
    assert_eq!(verified.status.code(), Some(0));
}

#[tokio::test]
async fn without_a_home_records_go_to_standard_output() {
    let place = Place::new();
    let service = place.start(&[]);
    service.logs("what admins do goes to standard output");
    place.reload(&service, BAD, 1).await;
    place.reload(&service, OTHER, 2).await;
    let text = fs::read_to_string(place.path("stdout")).unwrap();
    assert_eq!(records(&text).len(), 2, "{text}");
    assert_eq!(run(&["audit", "verify", &place.text("stdout")], &[]).status.code(), Some(0));
}

#[tokio::test]
async fn whatever_is_done_to_the_file_is_found_and_said_where() {
    let place = Place::new();
    let service = place.start_with_data();
    for (number, limits) in [(1, OTHER), (2, BAD), (3, GOOD), (4, OTHER)] {
        place.reload(&service, limits, number).await;
    }
    let head = told(&service).await.split_once("head ").unwrap().1.to_owned();
    drop(service);
    let whole = fs::read(place.audit()).unwrap();
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let third = records(&String::from_utf8(whole.clone()).unwrap())[2]["hash"].as_str().unwrap().to_owned();

    let mut flipped = whole.clone();
    flipped[lines[0].len() + lines[1].len() + lines[2].len() + 20] ^= 1;
    let dropped = [lines[0], lines[1], lines[2], b""].concat();
    let missing = [lines[0], lines[2], lines[3]].concat();
    for (bytes, more, words) in [
        (
            &flipped,
            None,
            format!(
                "audit.jsonl: line 4: record 4 was altered: it does not have the hash that it says; the last good record is 3, {third}\n"
            ),
        ),
        (
            &missing,
            None,
            "line 2: record 3 stands where record 2 belongs; the last good record is 1, ".to_owned(),
        ),
        (
            &dropped,
            Some(&head),
            format!(
                "no record has the hash {head}: the end was cut off, or it is another chain; the last record is 3, {third}\n"
            ),
        ),
    ] {
        fs::write(place.audit(), bytes).unwrap();
        let more: Vec<&str> = more.into_iter().flat_map(|head| ["--head", head]).collect();
        let verified = place.verify(&more);
        assert!(stderr(&verified).contains(&words), "{}", stderr(&verified));
        assert_eq!(verified.status.code(), Some(1));
    }
    assert!(stderr(&place.verify(&["--head", "abc"])).contains("--head: 'abc' is no hash"));

    // It is said at start, and goes on behind what is there.
    fs::write(place.audit(), &flipped).unwrap();
    let service = place.start_with_data();
    service.logs("the audit is broken: record 4 was altered");
    let said = told(&service).await;
    assert!(said.contains("4 records") && said.contains("broken: line 4: record 4 was altered"), "{said}");
    assert_eq!(raw::http(service.admin(), "GET", "/readyz", b"").await.status, 200);
    place.reload(&service, BAD, 5).await;
    let after = fs::read(place.audit()).unwrap();
    assert!(after.starts_with(&flipped) && after.len() > flipped.len());
    assert!(stderr(&place.verify(&[])).contains("line 4: record 4 was altered"));
}

#[tokio::test]
async fn an_end_that_is_gone_is_found_at_start_and_its_numbers_are_not_given_again() {
    let place = Place::new();
    let service = place.start_with_data();
    place.reload(&service, BAD, 1).await;
    place.reload(&service, OTHER, 2).await;
    let head = told(&service).await.split_once("head ").unwrap().1.to_owned();
    let beside = place.verify_all();
    assert!(beside.status.success() && stderr(&beside).contains("is in use"), "{}", stderr(&beside));
    service.signal("TERM");
    service.wait();
    let whole = fs::read(place.audit()).unwrap();
    assert!(stdout(&place.verify_all()).starts_with("whole: 2 records, "));
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let lost = format!("lost what was there up to record 2 {head}");
    for (left, words) in [
        (None, ""),
        (Some(&whole[..0]), ""),
        (Some(&whole[..first]), ""),
        (
            Some(&whole[..whole.len() - 20]),
            "the last line of the audit was whole once, and part of it was taken away",
        ),
    ] {
        fs::remove_file(place.audit()).unwrap();
        left.into_iter().for_each(|left| fs::write(place.audit(), left).unwrap());
        let verified = place.verify_all();
        assert!(!verified.status.success() && stderr(&verified).contains(&lost), "{}", stderr(&verified));
        for words in [words, ""] {
            let service = place.start_with_data();
            service.logs(words);
            service.logs("ERROR tollgate::audit::journal::book: the audit has lost its last record since");
            assert!(told(&service).await.ends_with(&lost), "{}", told(&service).await);
            service.signal("TERM");
            service.wait();
        }
    }
    let service = place.start_with_data();
    place.reload(&service, GOOD, 3).await;
    service.signal("TERM");
    service.wait();
    let service = place.start_with_data();
    let said = told(&service).await;
    assert!(
        said.ends_with("broken: line 2: record 3 stands where record 2 belongs; see 'tollgate audit verify'"),
        "{said}"
    );
}

#[tokio::test]
async fn whoever_verifies_changes_nothing_and_needs_not_to() {
    let place = Place::new();
    let mut service = place.start_with_data();
    place.reload(&service, OTHER, 1).await;
    service.signal("TERM");
    service.wait();
    // A file that nobody has closed.
    service = place.start_with_data();
    service.kill();
    let data = place.path("data").join("tollgate.redb");
    let before = fs::read(&data).unwrap();
    let verified = place.verify_all();
    assert!(verified.status.success() && verified.stderr.is_empty(), "{}", stderr(&verified));
    assert_eq!(fs::read(&data).unwrap(), before);
    let audit = fs::read(place.audit()).unwrap();
    fs::write(place.audit(), "").unwrap();
    let verified = place.verify_all();
    assert!(stderr(&verified).contains("lost what was there up to record 1 "), "{}", stderr(&verified));
    assert_eq!(fs::read(&data).unwrap(), before);
    // What cannot be compared is told, and the chain verified all the same.
    fs::write(place.audit(), audit).unwrap();
    fs::write(&data, &before[..before.len() / 2]).unwrap();
    let verified = place.verify_all();
    assert!(stderr(&verified).contains("tollgate.redb is damaged: "), "{}", stderr(&verified));
    assert!(stdout(&verified).starts_with("whole: 1 record, "), "{}", stdout(&verified));
    fs::remove_file(&data).unwrap();
    fs::create_dir(&data).unwrap();
    let verified = place.verify_all();
    assert!(stderr(&verified).contains("is not compared: "), "{}", stderr(&verified));
    assert!(stdout(&verified).starts_with("whole: 1 record, "), "{}", stdout(&verified));
}

/// Runs `words` as somebody who may write nothing that is not theirs to write: whoever is root otherwise may.
fn without_rights(words: &[&str]) -> Output {
    let drop = r#"[ "$(id -u)" != 0 ] || set -- setpriv --bounding-set=-dac_override "$@"; exec "$@""#;
    Command::new("sh").args(["-c", drop, "sh"]).args(words).output().expect("start sh")
}

/// Gives the directory at `path` one mode, and all that is in it the other.
fn permit(path: &Path, mode: u32, within: u32) {
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    set(path, mode);
    fs::read_dir(path).unwrap().for_each(|entry| set(&entry.unwrap().path(), within));
}

#[tokio::test]
async fn whoever_may_only_read_a_directory_can_verify_it() {
    let place = Place::new();
    let data = place.path("data");
    let verify = |records: &str| {
        permit(&data, 0o555, 0o444);
        let attempt = without_rights(&["touch", &data.join("new").display().to_string()]);
        assert!(!attempt.status.success(), "whoever may write shows nothing");
        let program = env!("CARGO_BIN_EXE_tollgate");
        let verified = without_rights(&[program, "audit", "verify", &place.text("data")]);
        assert!(stdout(&verified).starts_with(records), "{} {}", stdout(&verified), stderr(&verified));
        assert_eq!((verified.status.code(), stderr(&verified).as_str()), (Some(0), ""), "it is compared");
        permit(&data, 0o755, 0o600);
    };
    let service = place.start_with_data();
    place.reload(&service, OTHER, 1).await;
    service.signal("TERM");
    service.wait();
    verify("whole: 1 record, ");
    let mut service = place.start_with_data();
    place.reload(&service, GOOD, 2).await;
    service.kill();
    verify("whole: 2 records, ");
}

#[tokio::test]
async fn what_was_added_right_before_a_kill_is_no_loss_and_is_noted_at_start() {
    let place = Place::new();
    let mut service = place.start_with_data();
    for (number, limits) in [(1, OTHER), (2, GOOD)] {
        place.reload(&service, limits, number).await;
    }
    service.kill();
    let service = place.start_with_data();
    assert!(!told(&service).await.contains("lost"), "{}", told(&service).await);
    service.signal("TERM");
    service.wait();
    fs::write(place.audit(), "").unwrap();
    let verified = place.verify_all();
    assert!(stderr(&verified).contains("lost what was there up to record 2 "), "{}", stderr(&verified));
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_a_chain_that_goes_on() {
    let place = Place::new();
    let mut least = 0;
    for round in 0..6_u64 {
        let mut service = place.start_with_data();
        let limits = [OTHER, BAD, GOOD][usize::try_from(round % 3).unwrap()];
        place.reload(&service, limits, least + 1).await;
        place.write(if round % 2 == 0 { GOOD } else { OTHER });
        tokio::time::sleep(std::time::Duration::from_millis(90 * round)).await;
        service.kill();
        // As if the last of it had come at another moment.
        let mut bytes = fs::read(place.audit()).unwrap();
        bytes.extend_from_slice(&b"{\"n\":7,\"at\":\"2026-11"[..usize::try_from(round * 4).unwrap()]);
        fs::write(place.audit(), bytes).unwrap();
        let again = place.start_with_data();
        if round > 0 {
            again.logs("it was never noted that it is there");
        }
        drop(again);
        let verified = place.verify(&[]);
        assert_eq!(verified.status.code(), Some(0), "{}", stderr(&verified));
        let found = records(&fs::read_to_string(place.audit()).unwrap()).len() as u64;
        assert!(found == least + 1 || found == least + 2, "{found} after {least}");
        least = found;
    }
}

#[tokio::test]
async fn a_full_disk_fails_what_is_to_be_recorded_and_no_decision() {
    let place = Place::new();
    let service = place.start_with_data();
    place.reload(&service, OTHER, 1).await;
    let limit = |bytes| {
        let pid = Pid::from_raw(i32::try_from(service.id()).unwrap());
        prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    };
    let before = fs::read(place.audit()).unwrap();
    // Part of the next record finds room.
    limit(Some(before.len() as u64 + 50));
    place.write(BAD);
    until_ready(&service, "cannot be written, so nothing can be changed").await;
    let change =
        http::put("/admin/rate-limits/all/login").by_admin().header("content-type", "application/json");
    let answer = change.body(r#"{"value": 4}"#.to_owned()).send(service.admin());
    assert_eq!(answer.status, 503, "{answer:?}");
    let body = br#"{"domain":"shop","descriptors":[{"entries":[{"key":"limit","value":"login"},{"key":"email","value":"a"}]}]}"#;
    for expected in [200, 200, 200, 200, 200, 200, 429] {
        assert_eq!(raw::http(service.http(), "POST", "/json", body).await.status, expected);
    }
    assert!(told(&service).await.starts_with("1 record, head "));
    // It is tried again all the while, beside it.
    assert_eq!(fs::read(place.audit()).unwrap(), before, "nothing is left of what did not fit");
    limit(None);
    until_ready(&service, "audit: 2 records, head ").await;
    assert_eq!(place.verify(&[]).status.code(), Some(0));
    let metrics = raw::http(service.admin(), "GET", "/metrics", b"").await.body;
    assert!(!metrics.contains("\ntollgate_audit_failures_total 0\n"), "{metrics}");
}

/// Changes a limit, which is not recorded.
fn change_in_vain(service: &Tollgate) {
    let change =
        http::put("/admin/rate-limits/all/login").by_admin().header("content-type", "application/json");
    let answer = change.body(r#"{"value": 4}"#.to_owned()).send(service.admin());
    assert_eq!(answer.status, 503, "{answer:?}");
}

#[tokio::test]
async fn once_a_disk_has_room_again_nobody_has_to_write_for_it_to_be_said() {
    let place = Place::new();
    let service = place.start_with_data();
    place.reload(&service, OTHER, 1).await;
    let before = fs::read(place.audit()).unwrap();
    let pid = Pid::from_raw(i32::try_from(service.id()).unwrap());
    let limit = |bytes| prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    limit(Some(before.len() as u64 + 50));
    change_in_vain(&service);
    let problem = "cannot be written, so nothing can be changed";
    assert!(told(&service).await.contains(problem));
    limit(None);
    service.logs("the audit is written again");
    let said = told(&service).await;
    assert!(said.starts_with("1 record, head ") && !said.contains(problem), "{said}");
    assert_eq!(fs::read(place.audit()).unwrap(), before);
}

#[tokio::test]
async fn once_redis_answers_again_nobody_has_to_write_for_it_to_be_said() {
    let (server, place) = (RedisServer::start(Tool::Redis), Place::new());
    let service = place.start(&["--store", &server.url()]);
    server.signal("STOP");
    change_in_vain(&service);
    assert!(told(&service).await.contains("cannot be "));
    server.signal("CONT");
    service.logs("the audit is written again");
    until_ready(&service, " head ").await;
    let said = told(&service).await;
    assert!(!said.contains("cannot be "), "{said}");
}

#[tokio::test]
async fn two_on_one_redis_write_one_chain_and_survive_it() {
    let mut server = RedisServer::durable(Tool::Redis);
    let url = server.url();
    let place = Place::new();
    let [one, other] = [(); 2].map(|()| place.start(&["--store", &url]));
    tell(&server, &["CONFIG", "RESETSTAT"]);
    for (reloads, limits) in [(1, OTHER), (2, BAD), (3, GOOD)] {
        place.write(limits);
        let records = format!("audit: {} records, head ", 2 * reloads);
        until_ready(&one, &records).await;
        until_ready(&other, &records).await;
    }
    assert_eq!(told(&one).await, told(&other).await);
    for command in ["scan", "keys"] {
        assert_eq!(server.times_made(command), 0, "{command}");
    }
    server.kill();
    until_ready(&one, "cannot be read, what others set is not in force").await;
    server.restart();
    until_ready(&one, "audit: 6 records, head ").await;
    // Nobody loses what was there without a word.
    tell(&server, &["XTRIM", "tollgate:audit", "MAXLEN", "0"]);
    until_ready(&one, "lost what was there up to record 6").await;
    one.logs("the audit has lost its last record");
}

#[tokio::test]
async fn whoever_is_refused_is_a_record_and_its_token_is_none() {
    let place = Place::new();
    let service = place.start_with_data();
    let admin = service.admin();
    assert_eq!(http::get("/usage").send(admin).status, 401);
    assert_eq!(http::get("/usage").header("authorization", "Bearer swordfish").send(admin).status, 401);
    until_ready(&service, "audit: 2 records, head ").await;
    let text = fs::read_to_string(place.audit()).unwrap();
    let record = &records(&text)[1];
    assert_eq!(record["reason"], "malformed");
    assert_eq!([&record["action"], &record["outcome"], &record["from"]], ["log_in", "refused", "127.0.0.1"]);
    assert_eq!((record["target"]["times"].as_u64(), record.get("who")), (Some(1), None));
    assert!(!text.contains("swordfish") && !service.log().contains("swordfish"), "{text}");
}

#[tokio::test]
async fn what_is_exported_can_be_verified_wherever_it_is_kept() {
    let mut server = RedisServer::start(Tool::Valkey);
    let url = server.url();
    let place = Place::new();
    let service = place.start(&["--store", &url]);
    for (number, limits) in [(1, OTHER), (2, BAD), (3, GOOD)] {
        place.reload(&service, limits, number).await;
    }
    let admin = format!("http://{}", service.admin());
    let exported = run(&["audit", "export", "--admin", &admin], &[]);
    assert_eq!(exported.status.code(), Some(0), "{}", stderr(&exported));
    let program = env!("CARGO_BIN_EXE_tollgate");
    let pipe = format!(
        "TOLLGATE_TOKEN={} {program} audit export --admin {admin} | {program} audit verify -",
        crate::support::admins::TOKEN
    );
    let verified = Command::new("sh").args(["-c", &pipe]).output().unwrap();
    assert!(stdout(&verified).starts_with("whole: 3 records, head "), "{}", stderr(&verified));
    let from = run(&["audit", "export", "--admin", &admin, "--from", "3"], &[]);
    assert_eq!(stdout(&from), stdout(&exported).split_inclusive('\n').next_back().unwrap());
    let file = place.text("token");
    fs::write(&file, "tg_000000000000_7e577e577e577e577e577e577e577e577e577e577e577e57").unwrap();
    let stranger = run(&["audit", "export", "--admin", &admin, "--token-file", &file], &[]);
    assert_eq!((stranger.status.code(), stdout(&stranger).as_str()), (Some(1), ""), "{}", stderr(&stranger));
    server.kill();
    let broken = run(&["audit", "export", "--admin", &admin], &[]);
    assert!(stderr(&broken).contains("the audit cannot be read"), "{}", stderr(&broken));
    assert_eq!(broken.status.code(), Some(1));
}

#[tokio::test]
async fn a_long_chain_is_read_at_start_and_exported_whole() {
    let place = Place::new();
    fs::create_dir(place.path("data")).unwrap();
    let ledger = FileLedger::open(&place.path("data")).unwrap();
    let journal = Journal::open(Arc::new(ledger), Clock::System, |_, _| {});
    for _ in 0..1_100 {
        let event = Event::new(Actor::tollgate(), Action::Reload, Outcome::Done);
        journal.append(|_| Ok::<_, ()>(event.clone())).await.unwrap();
    }
    let service = place.start_with_data();
    assert_eq!(told(&service).await, journal.head().to_string());
    let admin = format!("http://{}", service.admin());
    let exported = run(&["audit", "export", "--admin", &admin], &[]);
    assert_eq!(stdout(&exported), fs::read_to_string(place.audit()).unwrap());
}

#[test]
fn a_file_that_cannot_be_used_ends_it_before_it_begins() {
    let place = Place::new();
    fs::create_dir_all(place.audit()).unwrap();
    let ended = run(&["serve", &place.text("limits.yaml"), "--data-dir", &place.text("data")], &[]);
    let problem = stderr(&ended);
    assert!(problem.contains("audit.jsonl: ") && problem.contains("--data-dir"), "{problem}");
    assert_eq!(ended.status.code(), Some(78), "{problem}");
}
