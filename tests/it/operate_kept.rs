//! What an operator was told is done outlives a kill of the process, and what cannot be written down is told as that.

use std::fs;

use serde_json::{Value, json};

use crate::admin_routes::{PRODUCTS, Page, ask};
use crate::support::process::Tollgate;

/// A data directory, and a service that writes down what decisions change once a minute.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> Page {
        let dir = self.dir.path().to_str().unwrap();
        let slowly = [("TOLLGATE_FLUSH_INTERVAL", "60s")];
        Page(Tollgate::with(&[PRODUCTS, "--data-dir", dir], &slowly))
    }
}

fn create(page: &Page, user: &str) -> u16 {
    page.call(&[("method", "POST"), ("path", "/generate"), ("user", user), ("tier", "free")])
}

fn used(page: &Page, user: &str) -> Value {
    let (_, usage) = page.get(&format!("/usage/{user}?domain=aurastream"));
    usage["limits"]["monthly_creations"]["used"].clone()
}

fn import(page: &Page, user: &str, used: &str) -> (u16, Value) {
    let row = json!({"subject": {"user": user}, "limit": "monthly_creations", "used": used});
    page.post("/import", &json!({"domain": "aurastream", "rows": [row], "reason": "moving over"}))
}

fn reset(page: &Page, user: &str) -> (u16, Value) {
    page.post(&format!("/reset/{user}?domain=aurastream"), &json!({"reason": "locked out"}))
}

fn open_breaker(page: &Page) -> (u16, Value) {
    page.post("/breaker/breaker?domain=ducke", &json!({"open": true, "reason": "bills"}))
}

fn is_open(page: &Page) -> bool {
    let (status, breaker) = page.get("/breaker/breaker?domain=ducke");
    assert_eq!(status, 200, "{breaker}");
    breaker["state"] == "open"
}

#[test]
fn what_was_answered_is_there_after_a_kill() {
    let place = Place::new();
    let mut page = place.open();
    assert_eq!([(); 3].map(|()| create(&page, "ann")), [200; 3]);
    // Whatever is written down by now, the answers below write down the rest.
    let (status, told) = import(&page, "bea", "3");
    assert_eq!(status, 200, "{told}");
    page.0.kill();
    page = place.open();
    assert_eq!((used(&page, "ann"), used(&page, "bea")), (json!(3), json!(3)));
    let (status, told) = reset(&page, "ann");
    assert_eq!(status, 200, "{told}");
    page.0.kill();
    page = place.open();
    assert_eq!((used(&page, "ann"), used(&page, "bea")), (json!(0), json!(3)));
    let (status, told) = open_breaker(&page);
    assert_eq!(status, 200, "{told}");
    page.0.kill();
    page = place.open();
    assert!(is_open(&page));
}

#[test]
fn what_cannot_be_written_down_is_done_and_told_as_that() {
    let place = Place::new();
    let page = place.open();
    // What decisions changed would be written to a file that nobody finds.
    let (file, kept) = (place.dir.path().join("tollgate.redb"), place.dir.path().join("kept"));
    fs::rename(&file, &kept).unwrap();
    fs::write(&file, "another").unwrap();
    for (status, told) in [import(&page, "ann", "3"), open_breaker(&page), reset(&page, "carl")] {
        let text = told["error"].as_str().unwrap_or_default();
        assert_eq!((status, &told["code"]), (503, &json!("UNAVAILABLE")), "{told}");
        assert!(
            text.starts_with("this is done, but") && text.contains("another file is in its place"),
            "{text}"
        );
    }
    let (_, audit) = page.get("/audit");
    let outcomes: Vec<&str> =
        audit["entries"].as_array().unwrap().iter().filter_map(|record| record["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["done"; 3], "{audit}");
    page.0.logs("a breaker was set by hand");
    assert_eq!((create(&page, "ann"), create(&page, "bea")), (429, 200), "it is done, and decisions go on");
    let weather = [("limit", "hourly_cost"), ("ip", "192.0.2.1")];
    assert!(is_open(&page) && ask(&page.0, "ducke", &weather) == 429);
    fs::rename(&kept, &file).unwrap();
    assert_eq!(import(&page, "ann", "3").0, 200, "it is tried at once");
}
