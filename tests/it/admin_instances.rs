//! Two instances over one Redis: what an admin does at one holds at the other.

use std::time::Duration;

use serde_json::json;

use crate::admin_routes::{PRODUCTS, Page, ask};
use crate::support::http;
use crate::support::process::Tollgate;
use crate::support::redis::{RedisServer, tell};
use crate::support::tools::Tool;

const README: &str = include_str!("../../README.md");

/// Two instances over `redis`.
fn two(redis: &RedisServer) -> [Page; 2] {
    two_over(&redis.url())
}

/// Two instances over the Redis at `url`.
fn two_over(url: &str) -> [Page; 2] {
    let patient = [("TOLLGATE_STORE_TIMEOUT", "10s")];
    [(); 2].map(|()| Page(Tollgate::with(&[PRODUCTS, "--store", url], &patient)))
}

/// The commands that the README lists, as rules of a user of Redis.
pub(crate) fn permitted() -> Vec<String> {
    let (_, list) = README.split_once("and these commands: ").unwrap();
    let (list, _) = list.split_once(". What is missing").unwrap();
    list.split(',').map(|name| format!("+{}", name.trim().trim_matches('`').to_lowercase())).collect()
}

/// How many connections were made to a Redis, by what it tells on `connection`.
fn connections(connection: &mut redis::Connection) -> u64 {
    let stats: String = redis::cmd("INFO").arg("stats").query(connection).unwrap();
    let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    line.unwrap().trim().parse().unwrap()
}

/// Asks until it is so; each instance looks several times a second.
fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..600 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it never is");
}

fn create(at: &Page, user: &str) -> u16 {
    at.call(&[("method", "POST"), ("path", "/generate"), ("user", user), ("tier", "free")])
}

#[test]
fn what_is_set_at_one_decides_at_the_other_and_outlives_both() {
    let redis = RedisServer::durable(Tool::Redis);
    let [one, other] = two(&redis);
    let (status, changed) =
        one.put("/free/monthly_creations?domain=aurastream", &json!({"value": 1, "reason": "abuse"}));
    assert_eq!(status, 200, "{changed}");
    // Who has set it sees it at once, all others soon.
    assert_eq!([create(&one, "ann"), create(&one, "ann")], [200, 429]);
    let mut users = (0..).map(|number| format!("user-{number}"));
    until(|| {
        let user = users.next().unwrap();
        [create(&other, &user), create(&other, &user)] == [200, 429]
    });
    let listed =
        |page: &Page| page.get("?domain=aurastream").1["details"]["free"]["monthly_creations"].clone();
    assert_eq!(listed(&one), listed(&other));
    assert_eq!(listed(&one)["source"], "override");
    drop((one, other));
    let [one, _other] = two(&redis);
    until(|| listed(&one)["source"] == "override");
    assert_eq!(create(&one, "ann"), 429);
    let (_, audit) = one.get("/audit?domain=aurastream");
    let last = audit["entries"].as_array().unwrap().iter().find(|entry| entry["action"] == "update_limit");
    assert_eq!(last.unwrap()["reason"], "abuse");
}

#[test]
fn who_is_let_in_again_at_one_is_let_in_at_the_other() {
    let redis = RedisServer::start(Tool::Valkey);
    let [one, other] = two(&redis);
    // A call that asks for more than what is refused is asked anew each time.
    let login = [("limit", "login"), ("email", "ann@example.org")];
    let answers: Vec<u16> = (0..6).map(|_| other.call(&login)).collect();
    assert_eq!(answers, [200, 200, 200, 200, 200, 429]);
    // The other one remembers whom it refused, and seldom asks again.
    tell(&redis, &["CONFIG", "RESETSTAT"]);
    assert!((0..200).all(|_| other.call(&login) == 429));
    assert!(redis.times_made("evalsha") < 200, "{}", redis.times_made("evalsha"));
    let (status, reset) = one
        .post("/reset/ann@example.org?domain=aurastream&subject=email", &json!({"reason": "asked support"}));
    assert_eq!((status, &reset["before"]["login"]["used"]), (200, &json!(5)), "{reset}");
    until(|| other.call(&login) == 200);
}

/// Whether calls that cost money pass at `page`: 200 or 429.
fn spend(page: &Page) -> u16 {
    ask(&page.0, "ducke", &[("route", "llm"), ("session", "s")])
}

#[test]
fn a_breaker_is_as_open_at_one_as_at_the_other() {
    let redis = RedisServer::start(Tool::Redis);
    let [one, other] = two(&redis);
    assert_eq!([spend(&one), spend(&other)], [200, 200]);
    let path = "/breaker/breaker?domain=ducke";
    for (open, status, state) in [(true, 429, "open"), (false, 200, "closed"), (true, 429, "open")] {
        let (done, answer) = one.post(path, &json!({"open": open, "reason": "a drill"}));
        assert_eq!(done, 200, "{answer}");
        until(|| spend(&other) == status);
        assert_eq!((spend(&one), &other.get(path).1["state"]), (status, &json!(state)));
    }
    assert_eq!(other.post(path, &json!({"open": false, "reason": "it is over"})).0, 200);
    until(|| spend(&one) == 200);
    // A hundred dollars in micro-USD, which are all that a day may cost.
    let entries = [json!({"key": "limit", "value": "breaker"})];
    let all = json!({"domain": "ducke", "descriptors": [{"entries": entries, "hitsAddend": 100_000_000}]});
    assert_eq!(http::post("/json").body(all.to_string()).send(one.0.http()).status, 200);
    until(|| spend(&other) == 429);
    assert_eq!(other.get(path).1["state"], "open");
}

/// Somebody has taken from its user what a record needs; or else Redis is full.
#[test]
fn what_redis_does_not_write_down_is_not_done_and_calls_are_decided() {
    let redis = RedisServer::start(Tool::Redis);
    let [one, other] = two(&redis);
    let path = "/free/monthly_creations?domain=aurastream";
    let put = |value: u64| one.put(path, &json!({"value": value})).0;
    assert_eq!(put(4), 200);
    tell(&redis, &["ACL", "SETUSER", "default", "-xadd"]);
    assert_eq!(put(5), 503);
    let reset = one.post("/reset/ann?domain=aurastream", &json!({}));
    assert_eq!(reset.0, 503, "{}", reset.1);
    assert_eq!(one.post("/breaker/breaker?domain=ducke", &json!({"open": true, "reason": "x"})).0, 503);
    let answers: Vec<u16> = (0..5).map(|_| create(&one, "ann")).collect();
    assert_eq!(answers, [200, 200, 200, 200, 429], "nothing of it was done");
    assert_eq!([create(&other, "ann"), spend(&other)], [429, 200]);
    tell(&redis, &["ACL", "SETUSER", "default", "+xadd"]);
    until(|| put(5) == 200);
    until(|| create(&one, "ann") == 200);
}

#[test]
fn what_the_readme_permits_is_enough_and_keeps_connections() {
    for tool in [Tool::Redis, Tool::Valkey] {
        let redis = RedisServer::start(tool);
        let mut watcher = redis.connection_while_busy();
        let mut user = redis::cmd("ACL");
        user.arg(&["SETUSER", "tg", "on", ">swordfish", "~tollgate:*"]).arg(permitted());
        user.exec(&mut watcher).unwrap();
        let [one, other] = two_over(&redis.url().replace("//", "//tg:swordfish@"));
        let (status, changed) = one.put("/free/monthly_creations?domain=aurastream", &json!({"value": 1}));
        assert_eq!(status, 200, "{changed}");
        let mut users = (0..).map(|number| format!("user-{number}"));
        until(|| {
            let user = users.next().unwrap();
            [create(&other, &user), create(&other, &user)] == [200, 429]
        });
        for path in ["/usage/user-0?domain=aurastream", "/audit", "/top?domain=aurastream&limit=login"] {
            assert_eq!(other.get(path).0, 200, "{path}");
        }
        let (status, reset) = other.post("/reset/user-0?domain=aurastream", &json!({}));
        assert_eq!(status, 200, "{reset}");
        assert_eq!(usage(&one), 200);
        let before = connections(&mut watcher);
        // Each looks some ten times whether there is anything new in the audit.
        std::thread::sleep(Duration::from_secs(3));
        // A pool may have two, and makes the second when both are wanted at once.
        let made = connections(&mut watcher) - before;
        assert!(made <= 2, "{tool:?}: {made} connections were made");
        let refused: Vec<redis::Value> = redis::cmd("ACL").arg("LOG").query(&mut watcher).unwrap();
        assert!(refused.is_empty(), "{tool:?}: {refused:?}");
    }
}

/// What `/usage` answers at `page`.
fn usage(page: &Page) -> u16 {
    http::get("/usage").by_admin().send(page.0.admin()).status
}
