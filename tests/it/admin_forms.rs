//! What bodies and addresses of the admin's routes may be, and how it is said that they are not.

use serde_json::{Value, json};

use crate::admin_routes::Page;
use crate::support::http::{self, Answer, Call};

const CHANGE: &str = "/admin/rate-limits/free/monthly_creations?domain=aurastream";

/// What is answered to `call`, which sends `body` as `kind`.
fn send(page: &Page, call: Call, kind: &str, body: &str) -> Answer {
    call.by_admin().header("content-type", kind).body(body.to_owned()).send(page.0.admin())
}

/// The code and the error that `answer` tells.
fn problem(answer: &Answer) -> (u16, String, String) {
    assert_eq!(answer.header("content-type").as_deref(), Some("application/json"), "{answer:?}");
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    (answer.status, text("code"), text("error"))
}

#[test]
fn a_key_that_stands_twice_is_refused_wherever_it_does() {
    let page = Page::open();
    for (call, body, key) in [
        (http::put(CHANGE), r#"{"value": 8, "value": null}"#, "value"),
        (http::put(CHANGE), r#"{"value": 6, "subject": {"user": "x", "user": "y"}}"#, "user"),
        (
            http::post("/admin/rate-limits/tier"),
            r#"{"subject": {"user": "x", "user": "y"}, "tier": "pro"}"#,
            "user",
        ),
        (
            http::post("/admin/rate-limits/breaker/x"),
            r#"{"open": true, "open": false, "reason": "x"}"#,
            "open",
        ),
    ] {
        let (status, code, error) = problem(&send(&page, call, "application/json", body));
        assert_eq!((status, &*code), (400, "INVALID_ARGUMENT"), "{body}");
        assert_eq!(error, format!("{key}: stands twice in one object"), "{body}");
    }
    let (_, audit) = page.get("/audit");
    assert_eq!(audit["entries"], Value::Null, "nothing was done");
}

#[test]
fn a_field_by_both_its_names_is_refused_wherever_it_is_read() {
    let page = Page::open();
    let rows = r#"[{"subject": {"user": "x"}, "limit": "monthly_creations", "used": "3"}]"#;
    let import = |more: &str| format!(r#"{{"domain": "aurastream", "rows": {rows}, {more}}}"#);
    let explain = r#"{"subject": {"domain": "aurastream", "entries": {"user": "x"}}, "requestId": "a", "request_id": null}"#;
    let price = r#"{"usd_per_million": {"input": "1"}, "effective_from": "2027-01-01T00:00:00Z", "effectiveFrom": "2028-01-01T00:00:00Z"}"#;
    for (call, body, name) in [
        (http::post("/admin/rate-limits/import"), import(r#""dryRun": true, "dry_run": false"#), "dryRun"),
        (http::post("/admin/rate-limits/import?dry_run=true"), import(r#""dryRun": false"#), "dryRun"),
        (http::put("/admin/rate-limits/prices/gpt-5"), price.to_owned(), "effectiveFrom"),
        (http::post("/admin/rate-limits/explain"), explain.to_owned(), "requestId"),
    ] {
        let (status, code, error) = problem(&send(&page, call, "application/json", &body));
        assert_eq!((status, &*code), (400, "INVALID_ARGUMENT"), "{body}");
        assert_eq!(error, format!("{name}: stands twice in one object, by both its names"), "{body}");
    }
    let (_, audit) = page.get("/audit");
    assert_eq!(audit["entries"], Value::Null, "nothing was done");
    let (status, answer) = page.get("/audit?page_size=1&pageSize=2");
    assert!(
        status == 400 && answer["error"].as_str().unwrap().starts_with("pageSize: stands twice"),
        "{answer}"
    );
    // Keys of a map are the caller's own, and may be as like as these.
    let tier = r#"{"domain": "aurastream", "subject": {"user_id": "x", "userId": "y"}, "tier": "pro"}"#;
    let answer = send(&page, http::post("/admin/rate-limits/tier"), "application/json", tier);
    assert!(!answer.body.contains("stands twice"), "{answer:?}");
}

#[test]
fn bodies_are_json_in_utf_8_as_it_is_and_may_be_left_out_where_nothing_is_said() {
    let page = Page::open();
    let body = r#"{"value": 4}"#;
    for (kind, status) in [
        ("application/json; charset=utf-8", 200),
        ("Application/JSON;charset=\"UTF-8\"", 200),
        ("application/json; charset=utf-16", 415),
        ("text/json", 415),
    ] {
        assert_eq!(send(&page, http::put(CHANGE), kind, body).status, status, "{kind}");
    }
    let packed = http::put(CHANGE).header("content-encoding", "gzip");
    assert_eq!(problem(&send(&page, packed, "application/json", body)).0, 415);
    let reset = http::post("/admin/rate-limits/reset/ann?domain=aurastream").by_admin();
    assert_eq!(reset.send(page.0.admin()).status, 200);
    let unsaid = http::put(CHANGE).by_admin().body(body.to_owned()).send(page.0.admin());
    assert_eq!(problem(&unsaid).0, 415);
    let long = format!("{{\"open\": true, \"reason\": \"{}\"}}", "x".repeat(70_000));
    let breaker = http::post("/admin/rate-limits/breaker/x");
    assert_eq!(problem(&send(&page, breaker, "application/json", &long)).0, 413);
}

#[test]
fn a_thousand_rows_fit() {
    let page = Page::open();
    let row = |number| {
        let user = format!("somebody-with-a-long-name-{number}");
        json!({"subject": {"user": user}, "limit": "monthly_creations", "used": "1"})
    };
    let rows: Vec<Value> = (0..1000).map(row).collect();
    let (status, told) = page.post("/import", &json!({"domain": "aurastream", "rows": rows}));
    assert_eq!((status, told["rows"].as_array().map(Vec::len)), (200, Some(1000)), "{}", told["error"]);
}

#[test]
fn errors_name_the_field_or_what_is_not_there() {
    let page = Page::open();
    let nothing = Value::Null;
    let row = |used: Value| json!({"rows": [{"limit": "l", "used": "1"}, {"limit": "l", "used": used}]});
    let root = |path: &str| format!("/admin/rate-limits{path}");
    for (call, body, status, says) in [
        (http::get(root("/top?most=-1")), &nothing, 400, "most: must be a whole number from 0 to"),
        (http::get(root("/top?domain=aurastream")), &nothing, 400, "limit: must be given"),
        (http::get(root("/audit?pageSize=x")), &nothing, 400, "pageSize: must be a whole number"),
        (http::get(root("/audit?from=x")), &nothing, 400, "from: must be a time such as"),
        (
            http::get(root("/audit?from=2027-01-01T00:00:00Z&to=2026-01-01T00:00:00Z")),
            &nothing,
            400,
            "from: is behind to",
        ),
        (http::get(root("/audit?form=x")), &nothing, 400, "form: is not read here"),
        (http::get(root("/audit?domain=aurastrem")), &nothing, 404, "domain: there is no domain"),
        (http::get(root("/audit?subject=foo=a")), &nothing, 400, "subject: no limit is kept per 'foo'"),
        (http::post(root("/explain")), &json!({"hits": "1.5"}), 400, "hits: must be a whole number"),
        (http::post(root("/import")), &row(json!(3)), 400, "rows[1].used: must be a text"),
        (http::get(root("/usage/a%zz?domain=aurastream")), &nothing, 400, "the address: write %25"),
        (http::get("/admin/rate-limit"), &nothing, 404, "there is no such route"),
        (
            http::put(CHANGE),
            &json!({"value": null, "until": "2030-01-01T00:00:00Z"}),
            400,
            "until: what is taken back",
        ),
        (
            http::post(root("/tier")),
            &json!({"subject": {"user": "x"}, "clear": true, "until": "2030-01-01T00:00:00Z"}),
            400,
            "until: what is taken back",
        ),
        (http::post(root("/top")), &json!({}), 405, "the route has no such method"),
    ] {
        let call = call.by_admin();
        let call = match body {
            Value::Null => call,
            body => call.header("content-type", "application/json").body(body.to_string()),
        };
        let (answered, _, error) = problem(&call.send(page.0.admin()));
        assert!(answered == status && error.starts_with(says), "{says}: {answered} {error}");
    }
}
