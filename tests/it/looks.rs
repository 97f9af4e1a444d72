//! What is found out about a Redis by a look at its own configuration, and by trying what it permits.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tollgate::clock::Clock;
use tollgate::store::redis::{Finding, RedisSettings, RedisStore, Secret};

use crate::admin_instances::permitted;
use crate::support::redis::{RedisServer, finds, tell};
use crate::support::tools::Tool;

#[tokio::test]
async fn what_would_lose_counts_is_found() {
    let server = RedisServer::start(Tool::Valkey);
    tell(&server, &["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
    let store = server.store(Clock::System).await;
    finds(&store, |finding| *finding == Finding::Evicts("volatile-ttl".to_owned())).await;
    finds(&store, |finding| *finding == Finding::NotPersistent).await;
}

/// Rules of what tells more, and is done without.
const HELPS: [&str; 3] = ["+info", "+config|get", "+xinfo|stream"];

/// Settings for `server` by a user of its own.
fn as_tollgate(server: &RedisServer) -> RedisSettings {
    let (user, password) = (Some("tollgate".to_owned()), Some(Secret::new("swordfish")));
    RedisSettings { user, password, ..server.settings() }
}

#[tokio::test]
async fn what_its_user_may_not_do_is_found() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let server = RedisServer::start(tool);
        for rule in permitted() {
            let user = ["ACL", "SETUSER", "tollgate", "reset", "on", ">swordfish", "~tollgate:*"];
            let others: Vec<String> = permitted().into_iter().filter(|other| *other != rule).collect();
            let others = others.iter().map(String::as_str);
            tell(&server, &user.into_iter().chain(others).collect::<Vec<_>>());
            let store = RedisStore::start(as_tollgate(&server), Clock::System).unwrap();
            let is_told = |finding: &Finding| match finding {
                Finding::Forbids(rules) => *rules == [&rule] && !HELPS.contains(&&*rule),
                Finding::Hides(rules) => *rules == [&rule] && HELPS.contains(&&*rule),
                _ => false,
            };
            finds(&store, is_told).await;
            if rule == "+xtrim" {
                let left: Vec<String> =
                    redis::cmd("KEYS").arg("tollgate:usage:*").query(&mut server.connection()).unwrap();
                assert_eq!(left, Vec::<String>::new(), "looking leaves nothing behind where it is refused");
            }
        }
        let most = ["ACL", "SETUSER", "tollgate", "reset", "on", ">swordfish", "~other:*", "+@all", "-xtrim"];
        tell(&server, &[&most[..], &["-unwatch"]].concat());
        let store = RedisStore::start(as_tollgate(&server), Clock::System).unwrap();
        let missing = Finding::Forbids(vec!["+unwatch", "~tollgate:*", "+xtrim"]);
        finds(&store, |finding| *finding == missing).await;
        assert!(missing.to_string().ends_with("add to its rules +unwatch ~tollgate:* +xtrim"), "{missing}");
        let store = server.store(Clock::System).await;
        finds(&store, |finding| *finding == Finding::NotPersistent).await;
        let refuses = store
            .findings()
            .iter()
            .any(|finding| matches!(finding, Finding::Refuses(_) | Finding::Forbids(_) | Finding::Hides(_)));
        assert!(!refuses, "{tool:?}: {:?}", store.findings());
        let left: Vec<String> =
            redis::cmd("KEYS").arg("tollgate:{*").query(&mut server.connection()).unwrap();
        assert_eq!(left, Vec::<String>::new(), "looking leaves nothing behind");
    }
}

#[tokio::test]
async fn what_is_refused_is_found_whatever_its_user_may_not_do() {
    let server = RedisServer::start(Tool::Redis);
    let user =
        ["ACL", "SETUSER", "tollgate", "on", ">swordfish", "~tollgate:*", "+@all", "-config", "-xinfo"];
    tell(&server, &[&user[..], &["-xtrim"]].concat());
    tell(&server, &["CONFIG", "SET", "maxmemory", "1"]);
    let store = RedisStore::start(as_tollgate(&server), Clock::System).unwrap();
    for expected in [
        Finding::Refuses("OOM".to_owned()),
        Finding::Forbids(vec!["+xtrim"]),
        Finding::Hides(vec!["+config|get", "+xinfo|stream"]),
    ] {
        finds(&store, |finding| *finding == expected).await;
    }
}

/// A server that tells of itself, and of that only: on whoever asks anything else it hangs up, and may refuse it first.
struct Secretive {
    url: String,
    refuses: Arc<AtomicBool>,
}

impl Secretive {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let refuses = Arc::new(AtomicBool::new(false));
        let shared = refuses.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let refuses = shared.clone();
                std::thread::spawn(move || tell_of_itself(client, &refuses));
            }
        });
        Self { url, refuses }
    }
}

fn tell_of_itself(mut client: TcpStream, refuses: &AtomicBool) {
    let mut bytes = [0; 64 * 1024];
    while let Ok(count @ 1..) = client.read(&mut bytes) {
        for command in String::from_utf8_lossy(&bytes[..count]).split("\r\n*") {
            let words: Vec<&str> = command.split("\r\n").collect();
            let answer = match words[2] {
                "CLIENT" | "UNWATCH" => "+OK\r\n".to_owned(),
                "PING" => format!("+{}\r\n", words.get(4).unwrap_or(&"PONG")),
                "INFO" => "+redis_version:6.2.5\r\n".to_owned(),
                "CONFIG" => "*2\r\n+save\r\n+3600 1\r\n".to_owned(),
                _ => {
                    if refuses.load(Ordering::Relaxed) {
                        "-NOPERM you may not\r\n".to_owned()
                    } else {
                        return;
                    }
                }
            };
            if client.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}

#[tokio::test]
async fn a_look_that_breaks_off_is_no_clean_one_and_is_soon_made_again() {
    let server = Secretive::start();
    let mut settings = RedisSettings::new(server.url);
    settings.connect_timeout = Duration::from_secs(10);
    let store = RedisStore::start(settings, Clock::System).unwrap();
    finds(&store, |finding| *finding == Finding::Unfinished).await;
    server.refuses.store(true, Ordering::Relaxed);
    finds(&store, |finding| matches!(finding, Finding::Forbids(rules) if rules.len() == 19)).await;
    let hides = Finding::Hides(vec!["+xinfo|stream"]);
    assert!(store.findings().len() == 2 && store.findings().contains(&hides), "{:?}", store.findings());
}
