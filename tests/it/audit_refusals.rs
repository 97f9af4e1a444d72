//! Refusals in the audit of the real program: who, whose token, and what was tried.

use std::fs;

use serde_json::{Value, json};
use tollgate::audit::Role;
use tollgate::auth::{Token, TokenEntry};
use tollgate::clock::Timestamp;
use tollgate::transport::grpc::proto::tollgate::v1 as wire;
use tonic::Code;

use crate::admin_routes::{PRODUCTS, Page};
use crate::admin_service::client;
use crate::support::admins;
use crate::support::http::{self, Call};
use crate::support::process::{Tollgate, until_ready};

/// A service that alice may do everything with, victor look at, and old no longer.
struct House {
    page: Page,
    data: tempfile::TempDir,
    alice: Token,
    victor: Token,
    old: Token,
}

impl House {
    fn open() -> Self {
        let [alice, victor, old] = [(); 3].map(|()| Token::draw().unwrap());
        let line = |token, name, role, until| TokenEntry::of(token, name, role, until).unwrap().to_line();
        let lines = [
            line(&alice, "alice", Role::Admin, None),
            line(&victor, "victor", Role::Viewer, None),
            line(&old, "old", Role::Admin, Some(Timestamp(1_700_000_000_000_000))),
            admins::LINE.to_owned(),
        ];
        let data = tempfile::tempdir().unwrap();
        let dir = data.path().display().to_string();
        let lines = lines.join(",");
        let service = Tollgate::with(&[PRODUCTS, "--data-dir", &dir], &[("TOLLGATE_ADMIN_TOKENS", &lines)]);
        Self { page: Page(service), data, alice, victor, old }
    }

    fn service(&self) -> &Tollgate {
        &self.page.0
    }

    fn send(&self, call: Call, token: Option<&Token>) -> http::Answer {
        let call = match token {
            Some(token) => call.header("authorization", format!("Bearer {}", token.as_str())),
            None => call,
        };
        call.header("content-type", "application/json").send(self.service().admin())
    }

    /// The first records, once there are so many.
    async fn records(&self, number: usize) -> Vec<Value> {
        let noun = if number == 1 { "record" } else { "records" };
        until_ready(self.service(), &format!("audit: {number} {noun}, head ")).await;
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn text(&self) -> String {
        fs::read_to_string(self.data.path().join("audit.jsonl")).unwrap()
    }
}

/// What of a record tells who was refused.
fn about(record: &Value) -> Value {
    json!([record["action"], record["reason"], record["who"], record["domain"], record["target"]])
}

#[tokio::test]
async fn who_was_refused_and_whose_token_it_was_is_told() {
    let house = House::open();
    let alice = house.alice.as_str();
    let escaped = alice.replace("tg_", "%74g%5f");
    let wrong = Token::draw().unwrap();
    for (path, token) in [
        ("/usage".to_owned(), None),
        ("/usage".to_owned(), Some(&house.old)),
        (format!("/livez?t={escaped}"), None),
        (format!("/admin/rate-limits/usage/ann?domain=aurastream&token={alice}"), Some(&house.alice)),
        ("/usage".to_owned(), Some(&wrong)),
    ] {
        assert_eq!(house.send(http::get(path), token).status, 401);
    }
    let records = house.records(4).await;
    let told: Vec<Value> = records.iter().map(about).collect();
    let expected = [
        json!(["log_in", "missing", null, null, {"times": 1}]),
        json!(["log_in", "expired", null, null, {"times": 1, "token_of": "old"}]),
        json!(["log_in", "in_url", null, null, {"revoke": true, "times": 1, "token_of": "alice"}]),
        json!(["log_in", "unknown", null, null, {"times": 1}]),
    ];
    assert_eq!(told, expected);
    house.service().logs("a token that holds stood in a URL");
    let seen = house.text() + &house.service().log();
    for token in [&house.alice, &house.old, &wrong] {
        let (id, secret) = token.as_str().rsplit_once('_').unwrap();
        assert!(!seen.contains(secret) && !seen.contains(&id[3..]), "{seen}");
    }
}

#[tokio::test]
async fn what_was_tried_is_told() {
    let house = House::open();
    let victor = Some(&house.victor);
    for (call, needs) in [
        (
            http::put("/admin/rate-limits/free/monthly_creations?domain=aurastream"),
            "admin, or operator for one subject,",
        ),
        (http::post("/admin/rate-limits/reset/ann?domain=aurastream"), "operator,"),
        (http::put("/admin/rate-limits/prices/nothing-like-it"), "admin,"),
        (http::post("/admin/rate-limits/import?domain=aurastream"), "admin,"),
        (http::put("/admin/rate-limits/ann@example.org/quota?domain=aurastream"), "admin, or operator"),
    ] {
        let answer = house.send(call, victor);
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(answer.body.contains(&format!("needs the role {needs}")), "{}", answer.body);
    }
    let mut client = client(house.service(), Some(house.victor.as_str())).await;
    let subject = [("user".to_owned(), "ann".to_owned())].into_iter().collect();
    let asked = wire::SetTierRequest {
        domain: "aurastream".into(),
        subject,
        tier: "pro".into(),
        ..Default::default()
    };
    assert_eq!(client.set_tier(asked).await.unwrap_err().code(), Code::PermissionDenied);
    let records = house.records(6).await;
    let told: Vec<Value> = records.iter().map(about).collect();
    let ann = &records[1]["target"]["subject"];
    assert_eq!(ann["user"].as_str().map(str::len), Some(32), "{ann}");
    let domain = "aurastream";
    let expected = [
        json!(["update_limit", "forbidden", "victor", domain, {"limit": "monthly_creations", "tier": "free", "times": 1}]),
        json!(["reset_user", "forbidden", "victor", domain, {"subject": ann, "times": 1}]),
        json!(["set_price", "forbidden", "victor", null, {"model": "(unknown)", "times": 1}]),
        json!(["import_usage", "forbidden", "victor", domain, {"times": 1}]),
        json!(["update_limit", "forbidden", "victor", domain, {"limit": "(unknown)", "tier": "(unknown)", "times": 1}]),
        json!(["set_tier", "forbidden", "victor", domain, {"subject": ann, "times": 1}]),
    ];
    assert_eq!(told, expected);
    assert!(
        !(house.text() + &house.service().log()).contains("ann@example.org"),
        "nobody's value is written down"
    );
    let (_, found) = house.page.get("/audit?domain=aurastream&subject=user=ann");
    assert_eq!(found["entries"].as_array().map(Vec::len), Some(2), "{found}");
}
