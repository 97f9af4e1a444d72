//! What is found out about a Redis by a look at its own configuration, and by trying what it permits.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tollgate::clock::Clock;
use tollgate::store::redis::{Finding, RedisSettings, RedisStore, Secret};

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

#[tokio::test]
async fn what_its_user_may_not_do_is_found() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let sets = [
            "-zadd",
            "-zrem",
            "-zrank",
            "-zrange",
            "-zrangebyscore",
            "-zremrangebyrank",
            "-pexpire",
            "-xadd",
            "-xrange",
            "-xrevrange",
            "-xtrim",
            "-unwatch",
        ];
        for command in ["-evalsha", "-psetex", "-setrange", "-del", "-time"].into_iter().chain(sets) {
            let server = RedisServer::start(tool);
            let user = ["ACL", "SETUSER", "tollgate", "on", ">swordfish", "~tollgate:*", "+@all", command];
            tell(&server, &user);
            let mut settings = server.settings();
            settings.user = Some("tollgate".to_owned());
            settings.password = Some(Secret::new("swordfish"));
            let store = RedisStore::start(settings, Clock::System).unwrap();
            finds(&store, |finding| matches!(finding, Finding::Refuses(_))).await;
        }
        let server = RedisServer::start(tool);
        let store = server.store(Clock::System).await;
        finds(&store, |finding| *finding == Finding::NotPersistent).await;
        let refuses = store.findings().iter().any(|finding| matches!(finding, Finding::Refuses(_)));
        assert!(!refuses, "{tool:?}: {:?}", store.findings());
        let left: Vec<String> =
            redis::cmd("KEYS").arg("tollgate:{*").query(&mut server.connection()).unwrap();
        assert_eq!(left, Vec::<String>::new(), "looking leaves nothing behind");
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
                        _ = client.write_all(b"-NOPERM you may not\r\n");
                    }
                    return;
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
    finds(&store, |finding| *finding == Finding::Refuses("NOPERM".to_owned())).await;
    assert_eq!(store.findings().len(), 1, "{:?}", store.findings());
}
