//! Two instances over one Redis: what an admin does at one holds at the other.

use std::time::Duration;

use serde_json::json;

use crate::admin_routes::{PRODUCTS, Page};
use crate::support::process::Tollgate;
use crate::support::redis::RedisServer;
use crate::support::tools::Tool;

/// Two instances over `redis`.
fn two(redis: &RedisServer) -> [Page; 2] {
    let patient = [("TOLLGATE_STORE_TIMEOUT", "10s")];
    [(); 2].map(|()| Page(Tollgate::with(&[PRODUCTS, "--store", &redis.url()], &patient)))
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
    let login =
        [("method", "POST"), ("path", "/auth/login"), ("email", "ann@example.org"), ("ip", "192.0.2.7")];
    let answers: Vec<u16> = (0..6).map(|_| other.call(&login)).collect();
    assert_eq!(answers, [200, 200, 200, 200, 200, 429]);
    let (status, reset) = one
        .post("/reset/ann@example.org?domain=aurastream&subject=email", &json!({"reason": "asked support"}));
    assert_eq!((status, &reset["before"]["login"]["used"]), (200, &json!(5)), "{reset}");
    until(|| other.call(&login) == 200);
}
