//! What is peculiar to counters in Redis: how it is reached, what it keeps, and what becomes of a decision when
//! it is away, slow, full, busy, read-only or in bad shape.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tollgate::algorithm::{Op, Rule};
use tollgate::calendar::{Calendar, Period};
use tollgate::clock::{Clock, Micros};
use tollgate::engine::{Check, CheckRequest, Descriptor, Engine, EngineSettings};
use tollgate::limits::{CounterKey, Debt, Entry, KeySecret, LimitsHandle, Number, OnError, Unit, Window};
use tollgate::store::redis::{RedisSettings, RedisStore, Secret};
use tollgate::store::{
    Admission, Answer, Before, Binding, Call, Charge, Due, FreedBy, Hold, Lanes, Life, Reserve, Settle,
    Spent, Store, StoreError, Then,
};

use crate::support::embedded::rules;
use crate::support::redis::{RedisServer, tell, until_looked, until_ready};
use crate::support::together::together;
use crate::support::tools::Tool;

/// The scripts as the store sends them.
#[path = "../../src/store/redis/lua.rs"]
mod lua;

const MINUTE: Window = Window::Sliding { length: Micros::from_secs(60) };

fn charge(id: u128, window: &Window, op: Op) -> Charge<'_> {
    let key = CounterKey { tag: 0xfeed, id };
    Charge {
        key,
        overflow: key.id,
        rule: Rule { window, number: Number::AtMost(1_000_000) },
        op,
        binding: Binding::Enforced,
        on_error: OnError::Deny,
        freed_by: FreedBy::Hand,
        unit: Unit::Hits,
        memo: 0,
    }
}

async fn ask(store: &RedisStore, op: Op) -> Result<Answer, StoreError> {
    let charges = [charge(1, &MINUTE, op)];
    store.charge(Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] }).await
}

async fn take(store: &RedisStore) -> Result<Answer, StoreError> {
    ask(store, Op::Take { room: 1, charge: 1 }).await
}

async fn peek(store: &RedisStore) -> Result<Answer, StoreError> {
    ask(store, Op::Take { room: 1, charge: 0 }).await
}

fn refused(code: &str) -> StoreError {
    StoreError::Refused { code: code.to_owned() }
}

/// Asks until the store gives this answer; it has to come soon.
async fn until(store: &RedisStore, wanted: &Result<(), StoreError>) {
    for _ in 0..2000 {
        if take(store).await.map(|_| ()) == *wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never {wanted:?}");
}

#[tokio::test]
async fn every_counter_expires_except_a_capacity_that_never_forgets() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let store = server.store(Clock::System).await;
        let second = Micros::from_secs;
        let windows = [
            (Window::Sliding { length: second(1) }, Some(1)),
            (MINUTE, Some(60)),
            (Window::Fixed { length: second(366 * 86_400), debt: Debt::Forgiven }, Some(0)),
            (Window::TokenBucket { length: second(60), burst: 2_000_000 }, Some(0)),
            (
                Window::Calendar(Calendar::new(Period::Year, "Europe/Berlin", 1).unwrap(), Debt::Forgiven),
                Some(0),
            ),
            (Window::Concurrent { max_age: second(3600) }, Some(3600)),
            (Window::Total { forget: Some(second(86_400)) }, Some(86_400)),
            (Window::Total { forget: None }, None),
            (Window::Request, None),
        ];
        let charges: Vec<Charge<'_>> = (0..)
            .zip(&windows)
            .map(|(id, (window, _))| charge(id, window, Op::Take { room: 1, charge: 1 }))
            .collect();
        let answer = store
            .charge(Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] })
            .await
            .unwrap();
        let mut connection = server.connection();
        for (id, (window, least)) in windows.iter().enumerate() {
            let key = format!("tollgate:{{000000000000feed}}:{id:032x}");
            let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut connection).unwrap();
            match (window, least) {
                (Window::Request, _) => assert_eq!(left, -2, "a size is stored nowhere"),
                (_, None) => assert_eq!(left, -1, "{window:?}"),
                (_, Some(least)) => {
                    let reset = answer.outcomes[id].standing.reset_after;
                    // Cells are kept as if theirs had just begun.
                    let cell = u64::try_from(least * 20).unwrap();
                    let most = reset.map_or(86_400_000_000, |reset| reset.0) / 1000 + 1002 + cell;
                    assert!((least * 1000..=most as i64).contains(&left), "{window:?} is kept for {left} ms");
                }
            }
        }
        let left: i64 = redis::cmd("PTTL").arg("tollgate:probe").query(&mut connection).unwrap();
        assert_ne!(left, -1);
    }
}

#[tokio::test]
async fn what_holds_nothing_is_not_kept() {
    let server = RedisServer::start(Tool::Redis);
    let store = settled(&server).await;
    for window in [MINUTE, Window::Total { forget: None }] {
        for op in [Op::Take { room: 2, charge: 2 }, Op::GiveBack { units: 2 }] {
            let charges = [charge(1, &window, op)];
            store
                .charge(Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] })
                .await
                .unwrap();
        }
    }
    let counters: Vec<String> =
        redis::cmd("KEYS").arg("tollgate:{*").query(&mut server.connection()).unwrap();
    assert_eq!(counters, Vec::<String>::new());
}

#[tokio::test]
async fn a_flushed_script_is_loaded_again_unnoticed() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let store = server.store(Clock::System).await;
        for expected in 1..=50 {
            if expected % 5 == 0 {
                tell(&server, &["SCRIPT", "FLUSH"]);
            }
            assert_eq!(take(&store).await.unwrap().outcomes[0].standing.used, expected);
        }
    }
}

#[tokio::test]
async fn a_unix_socket_will_do() {
    let server = RedisServer::start(Tool::Valkey);
    let mut settings = server.settings();
    settings.url = Secret::new(server.unix_url());
    let store = RedisStore::start(settings, Clock::System).unwrap();
    until_ready(&store).await;
    assert!(take(&store).await.is_ok());
}

#[tokio::test]
async fn user_and_password_are_sent() {
    let server = RedisServer::start(Tool::Redis);
    tell(&server, &["ACL", "SETUSER", "tollgate", "on", ">swordfish", "~tollgate:*", "+@all"]);
    tell(&server, &["ACL", "SETUSER", "default", "off"]);
    let with = |password: &str| {
        let mut settings = server.settings();
        settings.user = Some("tollgate".to_owned());
        settings.password = Some(Secret::new(password));
        RedisStore::start(settings, Clock::System).unwrap()
    };
    let store = with("swordfish");
    until_ready(&store).await;
    assert!(take(&store).await.is_ok());
    let stranger = with("salmon");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(take(&stranger).await, Err(StoreError::Unavailable));
}

#[tokio::test]
async fn a_command_that_is_not_permitted_is_an_answer() {
    let server = RedisServer::start(Tool::Redis);
    let store = server.store(Clock::System).await;
    tell(&server, &["ACL", "SETUSER", "default", "-evalsha"]);
    assert_eq!(take(&store).await, Err(refused("NOPERM evalsha")));
    tell(&server, &["ACL", "SETUSER", "default", "+evalsha"]);
    assert!(take(&store).await.is_ok(), "over the same connection");
}

/// Ends TLS before a server that has none, with the certificate of `tests/data/tls`.
const TERMINATOR: &str = r#"
import socket, ssl, sys, threading
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
def serve(client):
    try:
        client = context.wrap_socket(client, server_side=True)
    except OSError:
        return
    server = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)
while True:
    client, _ = listener.accept()
    threading.Thread(target=serve, args=(client,), daemon=True).start()
"#;

struct Terminator(Child, String);

impl Terminator {
    fn start(server: &RedisServer) -> Self {
        let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tls/localhost.pem");
        let mut child = Command::new(Tool::Python.path())
            .args(["-c", TERMINATOR, certificate, &server.port().to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut port = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut port).unwrap();
        Self(child, port.trim().to_owned())
    }
}

impl Drop for Terminator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn tls_is_spoken_and_the_certificate_is_verified() {
    let server = RedisServer::start(Tool::Redis);
    tell(&server, &["ACL", "SETUSER", "tollgate", "on", ">swordfish", "~*", "+@all"]);
    let terminator = Terminator::start(&server);
    let mut settings = server.settings();
    settings.url = Secret::new(format!("rediss://tollgate:swordfish@localhost:{}/0", terminator.1));
    let suspicious = RedisStore::start(settings.clone(), Clock::System).unwrap();
    settings.ca = Some(include_bytes!("../data/tls/ca.pem").to_vec());
    let store = RedisStore::start(settings, Clock::System).unwrap();
    until_ready(&store).await;
    assert!(take(&store).await.is_ok());
    assert_eq!(take(&suspicious).await, Err(StoreError::Unavailable), "nobody it trusts signed it");
}

#[tokio::test]
async fn a_store_starts_without_its_redis_and_finds_it_later() {
    let mut server = RedisServer::start(Tool::Redis);
    server.kill();
    let store = RedisStore::start(server.settings(), Clock::System).unwrap();
    assert_eq!(take(&store).await, Err(StoreError::Unavailable));
    assert_eq!(store.ready().await, Err(StoreError::Unavailable));
    server.restart();
    until(&store, &Ok(())).await;
}

#[tokio::test]
async fn a_restart_is_survived() {
    let mut server = RedisServer::start(Tool::Valkey);
    let store = server.store(Clock::System).await;
    assert!(take(&store).await.is_ok());
    server.kill();
    until(&store, &Err(StoreError::Unavailable)).await;
    server.restart();
    until(&store, &Ok(())).await;
}

#[tokio::test]
async fn of_a_redis_that_hangs_few_decisions_wait() {
    let server = RedisServer::start(Tool::Redis);
    let mut settings = RedisSettings::new(server.url());
    settings.op_timeout = Duration::from_millis(200);
    let store = RedisStore::start(settings, Clock::System).unwrap();
    until(&store, &Ok(())).await;
    server.signal("STOP");
    let mut answers = Vec::new();
    for _ in 0..40 {
        answers.push(take(&store).await);
    }
    server.signal("CONT");
    let waited = answers.iter().filter(|answer| **answer == Err(StoreError::Timeout)).count();
    assert!((1..=10).contains(&waited), "{waited} waited: five over each of two connections at most");
    assert!(answers[20..].iter().all(|answer| *answer == Err(StoreError::Unavailable)), "{answers:?}");
    until(&store, &Ok(())).await;
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_charged() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let patient = server.store(Clock::System).await;
        let mut settings = server.settings();
        settings.op_timeout = Duration::from_millis(50);
        let hasty = RedisStore::start(settings, Clock::System).unwrap();
        until_ready(&hasty).await;
        server.signal("STOP");
        let mut passed = 0;
        let mut waited = 0;
        for _ in 0..12 {
            let answer = take(&hasty).await;
            passed += u64::from(answer.is_ok());
            waited += u64::from(answer == Err(StoreError::Timeout));
        }
        assert!(waited > 0);
        // Clocks are given some slack.
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.signal("CONT");
        for _ in 0..20 {
            let found = peek(&patient).await.unwrap().outcomes[0].standing.used;
            assert_eq!(found, passed, "{tool:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        until_ready(&hasty).await;
    }
}

#[tokio::test]
async fn a_replica_is_left_until_it_is_a_primary() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let store = server.store(Clock::System).await;
        tell(&server, &["REPLICAOF", "127.0.0.1", "1"]);
        assert_eq!(take(&store).await, Err(refused("READONLY")), "{tool:?}");
        until(&store, &Err(StoreError::Unavailable)).await;
        tell(&server, &["REPLICAOF", "NO", "ONE"]);
        until(&store, &Ok(())).await;
    }
}

#[tokio::test]
async fn a_full_redis_still_answers_who_only_looks() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let store = server.store(Clock::System).await;
        tell(&server, &["CONFIG", "SET", "maxmemory", "1"]);
        assert_eq!(take(&store).await, Err(refused("OOM")), "{tool:?}");
        assert!(peek(&store).await.is_ok(), "{tool:?}");
        tell(&server, &["CONFIG", "SET", "maxmemory", "0"]);
        assert_eq!(take(&store).await.unwrap().outcomes[0].standing.used, 1, "what failed was not counted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_redis_says_so() {
    let server = RedisServer::start(Tool::Redis);
    let store = server.store(Clock::System).await;
    tell(&server, &["CONFIG", "SET", "lua-time-limit", "1"]);
    let mut connection = server.connection();
    let busy = std::thread::spawn(move || {
        redis::cmd("EVAL").arg("while true do end").arg(0).query::<redis::Value>(&mut connection)
    });
    until(&store, &Err(refused("BUSY"))).await;
    let kill = redis::cmd("SCRIPT").arg("KILL").query::<redis::Value>(&mut server.connection_while_busy());
    assert_eq!(kill, Ok(redis::Value::Okay));
    assert!(busy.join().unwrap().is_err());
    until(&store, &Ok(())).await;
}

#[tokio::test]
async fn all_instances_name_counters_under_one_secret() {
    let server = RedisServer::start(Tool::Redis);
    let (one, two) = (server.store(Clock::System).await, server.store(Clock::System).await);
    assert_eq!(one.key_secret(), two.key_secret());
    let kept: Vec<u8> = redis::cmd("GET").arg("tollgate:secret").query(&mut server.connection()).unwrap();
    assert_eq!(one.key_secret().0[..], kept);

    let other = RedisServer::start(Tool::Redis);
    let mut settings = other.settings();
    settings.key_secret = Some(KeySecret([9; 16]));
    let given = RedisStore::start(settings, Clock::System).unwrap();
    until_ready(&given).await;
    assert_eq!(given.key_secret(), KeySecret([9; 16]));
    let kept: Option<Vec<u8>> =
        redis::cmd("GET").arg("tollgate:secret").query(&mut other.connection()).unwrap();
    assert_eq!(kept, None, "what the operator keeps is not kept twice");
}

#[tokio::test]
async fn a_redis_that_lost_its_data_is_given_the_secret_again() {
    let server = RedisServer::start(Tool::Redis);
    let one = server.store(Clock::System).await;
    let mut connection = server.connection();
    let mut kept = || redis::cmd("GET").arg("tollgate:secret").query::<Option<Vec<u8>>>(&mut connection);
    tell(&server, &["FLUSHALL"]);
    let mut asks = 0;
    while kept().unwrap().is_none() {
        asks += 1;
        assert!(asks < 3000, "it has forgotten for good");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(kept().unwrap().unwrap(), one.key_secret().0);
    let two = server.store(Clock::System).await;
    assert_eq!(two.key_secret(), one.key_secret());
}

#[tokio::test]
async fn keys_and_states_tell_nothing_of_whom_they_count_and_share_a_tag() {
    let server = RedisServer::start(Tool::Redis);
    let store = settled(&server).await;
    let document = "
domains:
  shop:
    per: user
    limits: {a: 5/1m, b: 5/1m fixed, c: 5/1m burst 9, d: 5/day, e: 5 concurrent, f: 5 total, g: 5 total per user+kit}
    routes: {all: [a, b, c, d, e, f, g]}
";
    let limits = LimitsHandle::new(rules(document));
    let engine = Arc::new(Engine::new(limits, store, EngineSettings::default()));
    let entries = [("route", "all"), ("user", "ann.secret@example.org"), ("kit", "kit-secret")];
    let entries = entries.map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() });
    let descriptors = vec![Descriptor { entries: entries.to_vec().into(), ..Descriptor::default() }].into();
    engine.check(CheckRequest { domain: b"shop", descriptors, hits: 0 }).await.unwrap();

    let mut connection = server.connection();
    let mut keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    keys.retain(|key| !["tollgate:secret", "tollgate:probe"].contains(&key.as_str()));
    assert_eq!(keys.len(), 7, "{keys:?}");
    let tag = &keys[0][..27];
    for key in &keys {
        let hex = |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
        let (front, id) = key.rsplit_once(':').unwrap();
        assert!(hex(&front[10..26], 16) && hex(id, 32), "{key}");
        assert_eq!((&key[..10], front), ("tollgate:{", tag), "one user, one slot");
        let state: Vec<u8> = redis::cmd("GET").arg(key).query(&mut connection).unwrap();
        assert!(!state.windows(6).any(|part| part == b"secret"), "{key}");
    }
}

#[tokio::test]
async fn a_decision_is_one_command_however_many_limits_it_touches() {
    let server = RedisServer::start(Tool::Redis);
    let store = settled(&server).await;
    let charges: Vec<Charge<'_>> =
        (0..60).map(|id| charge(id, &MINUTE, Op::Take { room: 1, charge: 1 })).collect();
    for _ in 0..20 {
        store
            .charge(Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] })
            .await
            .unwrap();
    }
    assert_eq!(scripts_run(&server), 20);
}

/// A reservation of 5 tokens of each of five limits.
fn reserve<'a>(id: u128, charges: &'a [Charge<'a>]) -> Reserve<'a> {
    let minute = Micros::from_secs(60);
    let life = Life { ttl: minute, max_age: minute, keep: minute };
    let name = CounterKey { tag: 0xfeed, id: 1000 + id };
    Reserve { name, body: 1, charges, accepts_less: None, life, about: &[], expenses: &[] }
}

fn settle(id: u128, then: Then) -> Settle<'static> {
    let spent = Spent { tokens: Due::Exactly(3), money: Due::AsHeld };
    let name = CounterKey { tag: 0xfeed, id: 1000 + id };
    Settle { name, spent, then, otherwise: &[], keep: Micros::from_secs(60), report: None }
}

fn five_holds() -> Vec<Charge<'static>> {
    let hold = Op::Hold { fixed: 5, flexible: 0 };
    let held = |id| Charge { freed_by: FreedBy::Holders, unit: Unit::Tokens, ..charge(id, &MINUTE, hold) };
    (0..5).map(held).collect()
}

#[tokio::test]
async fn reserving_and_settling_are_a_command_each_and_leave_nothing_held() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let store = settled(&server).await;
        let charges = five_holds();
        let names = |pattern: &str| {
            redis::cmd("KEYS").arg(pattern).query::<Vec<String>>(&mut server.connection()).unwrap()
        };
        assert!(matches!(store.reserve(reserve(1, &charges)).await.unwrap().hold, Hold::Taken(_)));
        assert_eq!((names("tollgate:*:h").len(), names("tollgate:*:o").len()), (5, 5), "{tool:?}");
        for key in names("tollgate:{*") {
            let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut server.connection()).unwrap();
            assert!((60_000..123_000).contains(&left), "{key} is kept for {left} ms");
        }
        store.settle(settle(1, Then::More)).await.unwrap();
        for key in names("tollgate:*:o") {
            let left: i64 = redis::cmd("PTTL").arg(&key).query(&mut server.connection()).unwrap();
            assert!(left > 60_000, "{key} is kept for {left} ms");
        }
        let done = store.settle(settle(1, Then::Done)).await.unwrap();
        assert!(done.parts.iter().all(|part| (part.paid, part.outcome.standing.held) == (3, 0)));
        assert_eq!([names("tollgate:*:h"), names("tollgate:*:o")].concat(), Vec::<String>::new());
        assert_eq!(scripts_run(&server), 3);
        tell(&server, &["SCRIPT", "FLUSH"]);
        assert!(matches!(store.reserve(reserve(2, &charges)).await.unwrap().hold, Hold::Taken(_)));
        tell(&server, &["SCRIPT", "FLUSH"]);
        assert_eq!(store.settle(settle(2, Then::Released)).await.unwrap().before, Before::Held);
    }
}

#[tokio::test]
async fn a_full_redis_holds_nothing_and_half_of_nothing() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let store = server.store(Clock::System).await;
        let charges = five_holds();
        tell(&server, &["CONFIG", "SET", "maxmemory", "1"]);
        assert_eq!(store.reserve(reserve(1, &charges)).await, Err(refused("OOM")), "{tool:?}");
        tell(&server, &["CONFIG", "SET", "maxmemory", "0"]);
        assert_eq!(store.settle(settle(1, Then::Done)).await.unwrap().before, Before::Unknown);
        let answer = store.reserve(reserve(1, &charges)).await.unwrap().answer;
        assert!(answer.outcomes.iter().all(|outcome| outcome.standing.held == 5), "{tool:?}");
    }
}

/// Answers every command as a server does that still reads its data.
fn loading(listener: &TcpListener) {
    while let Ok((mut client, _)) = listener.accept() {
        let mut asked = [0; 4096];
        while let Ok(1..) = client.read(&mut asked) {
            if client.write_all(b"-LOADING Redis is loading the dataset in memory\r\n").is_err() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_redis_that_is_still_loading_has_no_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || loading(&listener));
    let mut settings = RedisSettings::new(url);
    // Who has no processor for a while is not too late.
    settings.op_timeout = Duration::from_secs(5);
    let store = RedisStore::start(settings, Clock::System).unwrap();
    for _ in 0..20 {
        assert_eq!(take(&store).await.unwrap_err(), StoreError::Unavailable, "nobody waits for it");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn doubles(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn counts(numbers: &[u16]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// The first argument: the time, until when anything is done, how many runs follow, how many of sliding windows, and
/// that calls are no steps.
fn head(now: f64, until: f64, runs: u16, sliding: u16) -> Vec<u8> {
    [doubles(&[now, until, 1000.0]), counts(&[runs, sliding]), vec![0]].concat()
}

/// A run of takes of 1 from sliding windows that allow 2: so many counters are asked once, others more often.
fn run(once: u16, often: &[u16]) -> Vec<u8> {
    [&doubles(&[1_200_000.0, 2.0, 1.0])[..], &counts(&[once]), b"62200\0", &counts(often)].concat()
}

/// The same of fixed windows of a minute.
fn fixed_run(once: u16, often: &[u16]) -> Vec<u8> {
    [&doubles(&[60e6, 2.0, 1.0])[..], &[0], &counts(&[once]), &counts(often)].concat()
}

/// The terms of a take of 1, enforced.
fn terms(kind: u8, most: f64, parameters: [f64; 4], expiry: &str) -> Vec<u8> {
    let binding = i32::to_le_bytes(-1);
    [
        &[kind, 0, 0, 0],
        &binding[..],
        &doubles(&[1.0, 1.0, most]),
        &doubles(&parameters),
        expiry.as_bytes(),
        b"\0",
    ]
    .concat()
}

/// A call of all or none: counters and terms, by their numbers.
fn packed(charges: &[[u16; 2]]) -> Vec<u8> {
    let count = u16::try_from(charges.len()).unwrap();
    [&[0], &counts(&[count])[..], &counts(charges.as_flattened())].concat()
}

#[expect(clippy::cast_possible_truncation, reason = "the script says whole numbers")]
fn eval(server: &RedisServer, script: &str, keys: &[&str], arguments: &[Vec<u8>]) -> Vec<i64> {
    let mut eval = redis::cmd("EVAL");
    eval.arg(script).arg(keys.len()).arg(keys).arg(arguments);
    let reply: Vec<u8> = eval.query(&mut server.connection()).unwrap();
    let (doubles, []) = reply.as_chunks() else { panic!("{reply:?}") };
    doubles.iter().map(|double| f64::from_le_bytes(*double) as i64).collect()
}

#[test]
fn a_calendar_that_does_not_reach_to_now_does_nothing() {
    let fixed = terms(4, 9.0, [60e6, 0.0, 0.0, 0.0], "");
    let distant_past = terms(5, 9.0, [0.0, 86_400e6, 172_800e6, 259_200e6], "");
    // A count that would be made, beside the days of a distant past.
    let call = packed(&[[1, 1], [2, 2]]);
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let arguments = [head(0.0, f64::INFINITY, 0, 0), fixed.clone(), distant_past.clone(), call.clone()];
        let reply = eval(&server, &lua::CHARGE, &["fixed", "day"], &arguments);
        assert_eq!(reply[1..], [-(1 << 54)]);
        assert!(reply[0] > 1_700_000_000_000_000, "the caller learns the time");
        let keys: i64 = redis::cmd("DBSIZE").query(&mut server.connection()).unwrap();
        assert_eq!(keys, 0);
    }
}

#[test]
fn what_comes_too_late_is_left_undone() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let charge = |now: f64, until: f64| {
            eval(&server, &lua::CHARGE, &["one"], &[head(now, until, 1, 1), run(1, &[])])
        };
        let late = charge(0.0, 1e15);
        assert_eq!(late.len(), 1, "{tool:?}");
        assert!(late[0] > 1_700_000_000_000_000, "the caller learns the time");
        assert_eq!(charge(1e15 + 1.0, 1e15), [1_000_000_000_000_001], "{tool:?}");
        assert_eq!(charge(1e15, 1e15)[1], 1, "in time, and the first, {tool:?}");
        for script in [&lua::RESERVE, &lua::SETTLE] {
            assert_eq!(eval(&server, script, &["one"], &[head(2e15, 1e15, 0, 0)]), [2_000_000_000_000_000]);
        }
    }
}

#[test]
fn a_run_is_what_its_calls_would_be_one_after_the_other() {
    let server = RedisServer::start(Tool::Redis);
    let sliding = terms(1, 2.0, [1_200_000.0, 0.0, 0.0, 0.0], "62200");
    let fixed = terms(4, 2.0, [60e6, 0.0, 0.0, 0.0], "");
    for (terms, run, sliding) in [(sliding, run(1, &[3]), 1), (fixed, fixed_run(1, &[3]), 0)] {
        let calls = packed(&[[1, 1]]).repeat(3);
        tell(&server, &["FLUSHALL"]);
        let by_calls = eval(&server, &lua::CHARGE, &["one"], &[head(1e15, 1e15, 0, 0), terms, calls]);
        let by_run = eval(&server, &lua::CHARGE, &["two", "three"], &[head(1e15, 1e15, 1, sliding), run]);
        let [first, reset] = by_run[1..3] else { panic!("{by_run:?}") };
        assert_eq!((first, &by_run[3..]), (1, &by_calls[1..]), "the third of three");
        assert_eq!(by_calls[1..], [1, reset, 2, reset, -3, reset, reset]);
        let kept = |key: &str| redis::cmd("GET").arg(key).query::<Vec<u8>>(&mut server.connection()).unwrap();
        assert_eq!(kept("one"), kept("three"));
    }
}

/// What the server has been asked since it was told to forget that.
fn scripts_run(server: &RedisServer) -> u32 {
    assert_eq!((server.times_made("eval"), server.times_made("script|load")), (0, 0));
    server.times_made("evalsha")
}

/// A store that has looked at the configuration, and will not soon again.
async fn settled(server: &RedisServer) -> RedisStore {
    let store = server.store(Clock::System).await;
    until_looked(&store).await;
    tell(server, &["CONFIG", "RESETSTAT"]);
    store
}

#[tokio::test]
async fn what_waits_travels_together() {
    let server = RedisServer::start(Tool::Redis);
    let store = Arc::new(settled(&server).await);
    let mut tasks = tokio::task::JoinSet::new();
    for id in 0..64 {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..50 {
                let charges = [charge(id, &MINUTE, Op::Take { room: 1, charge: 1 })];
                store
                    .charge(Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] })
                    .await
                    .unwrap();
            }
        });
    }
    tasks.join_all().await;
    let run = scripts_run(&server);
    assert!(run <= 64 * 50 / 10, "{run} calls for {} decisions", 64 * 50);
}

#[tokio::test]
async fn what_a_batch_meets_all_of_it_hear_of() {
    let server = RedisServer::start(Tool::Redis);
    let store = settled(&server).await;
    tell(&server, &["CONFIG", "SET", "maxmemory", "1"]);
    let answers = together((0..20).map(|_| take(&store)).collect()).await;
    assert!(answers.iter().all(|answer| *answer == Err(refused("OOM"))), "{answers:?}");
    tell(&server, &["CONFIG", "SET", "maxmemory", "0"]);
    let answers = together((0..20).map(|_| take(&store)).collect()).await;
    let used: Vec<u64> =
        answers.into_iter().map(|answer| answer.unwrap().outcomes[0].standing.used).collect();
    assert_eq!(used, (1..=20).collect::<Vec<_>>(), "each its own standing, in order");
    assert_eq!(scripts_run(&server), 3, "once more for those who write nothing");
}

#[tokio::test]
async fn who_writes_nothing_is_answered_by_a_full_redis_beside_those_who_write() {
    let fixed = Window::Fixed { length: Micros::from_secs(366 * 86_400), debt: Debt::Forgiven };
    let take = Op::Take { room: 1, charge: 1 };
    let of = |id, window, op| {
        let rule = Rule { window, number: Number::AtMost(1) };
        Charge { rule, ..charge(id, window, op) }
    };
    let ids = [1, 2, 3, 4];
    // One counter of each window is full, the other is not.
    let [sliding, full_sliding, other, full_other] =
        ids.map(|id| of(id, if id < 3 { &MINUTE } else { &fixed }, take));
    let look = of(2, &MINUTE, Op::Take { room: 0, charge: 0 });
    let (all, each) = (Admission::AllOrNone, Admission::Each);
    let calls: [(&[Charge<'_>], _, Option<&[bool]>); 9] = [
        (&[sliding], all, None),
        (&[full_sliding], all, Some(&[false])),
        (&[full_sliding], all, Some(&[false])),
        (&[other], all, None),
        (&[full_other], all, Some(&[false])),
        (&[sliding, full_sliding], all, Some(&[true, false])),
        (&[full_sliding, full_sliding], each, Some(&[false, false])),
        (&[sliding, full_sliding], each, None),
        (&[look, full_sliding], each, Some(&[true, false])),
    ];
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        let store = server.store(Clock::System).await;
        for full in [full_sliding, full_other] {
            let call = Call { charges: &[full], admission: all, expenses: &[] };
            assert!(store.charge(call).await.unwrap().outcomes[0].is_admitted());
        }
        tell(&server, &["CONFIG", "SET", "maxmemory", "1"]);
        let asked =
            calls.map(|(charges, admission, _)| store.charge(Call { charges, admission, expenses: &[] }));
        for (answer, (_, _, passed)) in together(asked.into()).await.iter().zip(calls) {
            let admitted = answer.as_ref().map_err(Clone::clone).map(|answer| {
                answer.outcomes.iter().map(|outcome| outcome.is_admitted()).collect::<Vec<_>>()
            });
            assert_eq!(admitted, passed.map(<[bool]>::to_vec).ok_or_else(|| refused("OOM")), "{tool:?}");
        }
        tell(&server, &["CONFIG", "SET", "maxmemory", "0"]);
        for free in [sliding, other] {
            let call = Call { charges: &[free], admission: all, expenses: &[] };
            assert_eq!(store.charge(call).await.unwrap().outcomes[0].standing.used, 1, "{tool:?}");
        }
    }
}

#[tokio::test]
async fn who_has_gone_before_it_was_sent_is_not_charged() {
    let server = RedisServer::start(Tool::Redis);
    let store = settled(&server).await;
    let mut asked = Box::pin(take(&store));
    let now = std::future::poll_fn(|context| std::task::Poll::Ready(asked.as_mut().poll(context))).await;
    assert!(now.is_pending());
    drop(asked);
    assert_eq!(take(&store).await.unwrap().outcomes[0].standing.used, 1);
    assert_eq!(scripts_run(&server), 1);
}

#[test]
fn lanes_share_counters_and_what_is_known_of_them() {
    let server = RedisServer::start(Tool::Redis);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let main = runtime();
    let store = main.block_on(server.store(Clock::System));
    let admitted: u64 = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    runtime().block_on(async {
                        let lane = store.lane();
                        until_ready(&lane).await;
                        assert_eq!(lane.key_secret(), store.key_secret());
                        let mut admitted = 0;
                        for _ in 0..20 {
                            let answers = together((0..10).map(|_| take_of(&lane, 100)).collect()).await;
                            admitted += answers.into_iter().filter(|admitted| *admitted).count();
                        }
                        admitted as u64
                    })
                })
            })
            .collect();
        lanes.into_iter().map(|lane| lane.join().unwrap()).sum()
    });
    assert_eq!(admitted, 100);
}

async fn take_of(store: &RedisStore, most: u64) -> bool {
    let rule = Rule { window: &MINUTE, number: Number::AtMost(most) };
    let charges = [Charge { rule, ..charge(1, &MINUTE, Op::Take { room: 1, charge: 1 }) }];
    let call = Call { charges: &charges, admission: Admission::AllOrNone, expenses: &[] };
    store.charge(call).await.unwrap().outcomes[0].is_admitted()
}

#[tokio::test]
async fn what_is_owed_is_kept_until_it_is_paid() {
    let server = RedisServer::start(Tool::Redis);
    let store = server.store(Clock::System).await;
    let window = Window::Fixed { length: Micros::from_secs(3600), debt: Debt::Carried };
    let left = || {
        let key = format!("tollgate:{{000000000000feed}}:{:032x}", 1);
        redis::cmd("PTTL").arg(&key).query::<i64>(&mut server.connection()).unwrap() / 3_600_000
    };
    // Of the number of its charges, so much.
    for (units, hours) in [(1, 0..=1), (34, 3..=5), (20, 3..=7)] {
        let op = Op::Take { room: 0, charge: units };
        let owing =
            Charge { rule: Rule { window: &window, number: Number::AtMost(10) }, ..charge(1, &window, op) };
        store.charge(Call { charges: &[owing], admission: Admission::Each, expenses: &[] }).await.unwrap();
        assert!(hours.contains(&left()), "{units} more are kept for {} hours", left());
    }
    let back = Op::GiveBack { units: 45 };
    let given =
        Charge { rule: Rule { window: &window, number: Number::AtMost(10) }, ..charge(1, &window, back) };
    store.charge(Call { charges: &[given], admission: Admission::Each, expenses: &[] }).await.unwrap();
    assert!(left() <= 1, "nothing is owed any more");
}
