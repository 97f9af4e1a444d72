//! The four routes that an admin page is built on, asked as such a page asks them, with the limits of four products.

use serde_json::{Value, json};

use crate::support::http::{self, Answer};
use crate::support::process::Tollgate;
use crate::support::schema::faults;

pub(crate) const PRODUCTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/products.yaml");
const ROOT: &str = "/admin/rate-limits";
/// How much is created for nothing.
const CREATIONS: &str = "/free/monthly_creations?domain=aurastream";

/// The service, and what an admin asks of it.
pub(crate) struct Page(pub(crate) Tollgate);

impl Page {
    pub(crate) fn open() -> Self {
        Self(Tollgate::start(&[PRODUCTS]))
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        told(&http::get(format!("{ROOT}{path}")).by_admin().send(self.0.admin()))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        self.write(http::put(format!("{ROOT}{path}")), body)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.write(http::post(format!("{ROOT}{path}")), body)
    }

    fn write(&self, call: http::Call, body: &Value) -> (u16, Value) {
        let call = call.by_admin().header("content-type", "application/json").body(body.to_string());
        told(&call.send(self.0.admin()))
    }

    /// Asks whether a call may pass: 200 or 429.
    pub(crate) fn call(&self, entries: &[(&str, &str)]) -> u16 {
        ask(&self.0, "aurastream", entries)
    }
}

/// Asks `service` whether a call may pass.
pub(crate) fn ask(service: &Tollgate, domain: &str, entries: &[(&str, &str)]) -> u16 {
    let entries: Vec<Value> =
        entries.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    let body = json!({"domain": domain, "descriptors": [{"entries": entries}]});
    http::post("/json").body(body.to_string()).send(service.http()).status
}

/// All that is listed of `domain`, which is as it is described.
pub(crate) fn listed(service: &Tollgate, domain: &str) -> Value {
    let get = |path: &str| told(&http::get(path).by_admin().send(service.admin()));
    let (status, all) = get(&format!("{ROOT}/list?domain={domain}"));
    assert_eq!(status, 200, "{all}");
    let (_, document) = get("/openapi.json");
    assert_eq!(faults(&document, &document["components"]["schemas"]["Listing"], &all), Vec::<String>::new());
    all
}

fn told(answer: &Answer) -> (u16, Value) {
    let body = serde_json::from_str(&answer.body);
    (answer.status, body.unwrap_or_else(|error| panic!("{error}: {answer:?}")))
}

#[test]
fn all_tiers_are_read_as_numbers_with_their_details() {
    let page = Page::open();
    let (status, all) = page.get("?domain=aurastream");
    assert_eq!(status, 200, "{all}");
    assert_eq!(all["free"]["monthly_creations"], 3);
    assert_eq!(all["pro"]["monthly_creations"], 50);
    assert_eq!(all["studio"]["monthly_refinements"], -1);
    assert_eq!(all["free"]["monthly_refinements"], 0);
    assert_eq!(all["all"]["login"], 5);
    let detail = &all["details"]["free"]["monthly_creations"];
    assert_eq!(detail["source"], "file");
    assert_eq!(
        (&detail["unit"], &detail["per"], &detail["version"]),
        (&json!("hits"), &json!("user"), &json!(0))
    );
    let is_number = |tier: &Value| tier.as_object().unwrap().values().all(Value::is_number);
    let tiers = all.as_object().unwrap();
    assert!(tiers.iter().all(|(name, tier)| name == "details" || is_number(tier)), "{all}");
    let names = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for (tier, limits) in tiers.iter().filter(|(name, _)| *name != "details") {
        assert_eq!(names(limits), names(&all["details"][tier]), "{tier}");
    }
}

#[test]
fn a_number_that_is_put_decides_the_next_call() {
    let page = Page::open();
    let creation = [("method", "POST"), ("path", "/generate"), ("user", "ann"), ("tier", "free")];
    let (status, changed) = page.put(CREATIONS, &json!({"value": 5, "reason": "spring"}));
    assert_eq!(status, 200, "{changed}");
    assert_eq!((&changed["before"], &changed["value"]), (&json!(3), &json!(5)));
    let answers: Vec<u16> = (0..6).map(|_| page.call(&creation)).collect();
    assert_eq!(answers, [200, 200, 200, 200, 200, 429]);
    let (_, all) = page.get("?domain=aurastream");
    assert_eq!(all["free"]["monthly_creations"], 5);
    assert_eq!(all["details"]["free"]["monthly_creations"]["source"], "override");
    let version = changed["version"].clone();
    assert_eq!(all["details"]["free"]["monthly_creations"]["version"], version);
    // Somebody else was first.
    let (status, problem) = page.put(CREATIONS, &json!({"value": 7, "version": 0}));
    assert_eq!((status, &problem["code"]), (409, &json!("ABORTED")), "{problem}");
    let (status, back) = page.put(CREATIONS, &json!({"value": null, "version": version}));
    assert_eq!((status, &back["value"]), (200, &json!(3)), "{back}");
    assert_eq!(page.call(&creation), 429);
}

#[test]
fn the_usage_of_somebody_is_told_without_naming_the_tier() {
    let page = Page::open();
    let creation = [("method", "POST"), ("path", "/generate"), ("user", "paula"), ("tier", "pro")];
    assert_eq!([page.call(&creation), page.call(&creation)], [200, 200]);
    let (status, usage) = page.get("/usage/paula?domain=aurastream");
    assert_eq!(status, 200, "{usage}");
    assert_eq!((&usage["user"], &usage["tier"]), (&json!("paula"), &json!("pro")));
    let creations = &usage["limits"]["monthly_creations"];
    assert_eq!(
        (&creations["used"], &creations["limit"], &creations["remaining"]),
        (&json!(2), &json!(50), &json!(48))
    );
    assert!(creations["resets_at"].as_str().unwrap().ends_with("T00:00:00Z"), "{creations}");
    assert_eq!(usage["limits"]["monthly_coach_sessions"]["remaining"], -1);
    assert_eq!(usage["limits"]["max_brand_kits"]["resets_at"], Value::Null);
    // The tier may be named, and whoever it is may have any bytes in its name.
    let (_, usage) = page.get("/usage/paula?domain=aurastream&tier=studio");
    assert_eq!(usage["limits"]["monthly_creations"]["limit"], 100);
    let (status, nobody) = page.get("/usage/a%2Fb%ff?domain=aurastream");
    assert_eq!((status, &nobody["limits"]["monthly_creations"]["used"]), (200, &json!(0)), "{nobody}");
}

#[test]
fn somebody_who_is_locked_out_is_let_in_again() {
    let page = Page::open();
    let login =
        [("method", "POST"), ("path", "/auth/login"), ("email", "a+b@example.org"), ("ip", "192.0.2.7")];
    let answers: Vec<u16> = (0..6).map(|_| page.call(&login)).collect();
    assert_eq!(answers, [200, 200, 200, 200, 200, 429]);
    let body = json!({"limits": ["login"], "reason": "asked support"});
    let (status, reset) = page.post("/reset/a+b@example.org?domain=aurastream&subject=email", &body);
    assert_eq!(status, 200, "{reset}");
    assert_eq!(reset["email"], "a+b@example.org");
    assert_eq!(reset["before"]["login"]["used"], 5);
    assert_eq!(page.call(&login), 200);
    // Without a body, too: all that time would bring back, and nothing that exists.
    let kit = [("limit", "max_brand_kits"), ("user", "ann"), ("tier", "pro")];
    assert_eq!(page.call(&kit), 200);
    let call = http::post(format!("{ROOT}/reset/ann?domain=aurastream")).by_admin();
    let (status, reset) = told(&call.header("content-type", "application/json").send(page.0.admin()));
    assert_eq!(status, 200, "{reset}");
    assert!(reset["kept"].as_array().unwrap().contains(&json!("max_brand_kits")), "{reset}");
    let (_, usage) = page.get("/usage/ann?domain=aurastream&tier=pro");
    assert_eq!(usage["limits"]["max_brand_kits"]["used"], 1);
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let page = Page::open();
    let (_, before) = page.get("?domain=aurastream");
    for (path, body, status, code, words) in [
        ("/free/monthly_creations", json!({"value": 5}), 400, "INVALID_ARGUMENT", "domain: must be given"),
        ("/fre/monthly_creations?domain=aurastream", json!({"value": 5}), 404, "NOT_FOUND", "free"),
        (
            "/free/monthly_creation?domain=aurastream",
            json!({"value": 5}),
            404,
            "NOT_FOUND",
            "monthly_creations",
        ),
        ("/free/monthly_creations?domain=aurastrem", json!({"value": 5}), 404, "NOT_FOUND", "aurastream"),
        (CREATIONS, json!({"value": 31}), 412, "FAILED_PRECONDITION", "force"),
        (CREATIONS, json!({"value": 0}), 412, "FAILED_PRECONDITION", "force"),
        (CREATIONS, json!({"value": -1}), 412, "FAILED_PRECONDITION", "force"),
        (CREATIONS, json!({"value": -2}), 400, "INVALID_ARGUMENT", "-2"),
        (CREATIONS, json!({"value": 4.5}), 400, "INVALID_ARGUMENT", "value"),
        (CREATIONS, json!({"value": "5"}), 400, "INVALID_ARGUMENT", "value"),
        (CREATIONS, json!({"value": 1e300}), 400, "INVALID_ARGUMENT", "value"),
        (CREATIONS, json!({"valeu": 5}), 400, "INVALID_ARGUMENT", "value"),
        (CREATIONS, json!({"value": 5, "x": 1}), 400, "INVALID_ARGUMENT", "x:"),
        (
            "/free/monthly_creations?domain=aurastream&a=b",
            json!({"value": 5}),
            400,
            "INVALID_ARGUMENT",
            "domain",
        ),
        (CREATIONS, json!({"value": 5, "until": "now"}), 400, "INVALID_ARGUMENT", "until"),
        (CREATIONS, json!({"value": 5, "version": 99}), 409, "ABORTED", "99"),
    ] {
        let (told, problem) = page.put(path, &body);
        assert_eq!((told, &problem["code"]), (status, &json!(code)), "{path} {body}: {problem}");
        let text = problem["error"].as_str().unwrap();
        assert!(text.contains(words), "{path} {body}: {text}");
    }
    assert_eq!(page.get("?domain=aurastream").1, before);
    let long = json!({"value": 5, "reason": "x".repeat(70_000)});
    assert_eq!(page.put(CREATIONS, &long).0, 413);
    let call = http::put(format!("{ROOT}{CREATIONS}")).by_admin();
    let call = call.header("content-type", "text/plain").body("{\"value\": 5}".to_owned());
    assert_eq!(call.send(page.0.admin()).status, 415);
}

#[test]
fn one_user_gets_a_number_and_a_tier_of_their_own() {
    let page = Page::open();
    let (status, changed) = page.put(CREATIONS, &json!({"value": 1, "user": "bea"}));
    assert_eq!((status, &changed["source"]), (200, &json!("user")), "{changed}");
    let creation = |user: &str| {
        page.call(&[("method", "POST"), ("path", "/generate"), ("user", user), ("tier", "free")])
    };
    assert_eq!([creation("bea"), creation("bea"), creation("ann"), creation("ann")], [200, 429, 200, 200]);
    let asked =
        json!({"domain": "aurastream", "subject": {"user": "carl"}, "tier": "pro", "reason": "has paid"});
    let (status, set) = page.post("/tier", &asked);
    assert_eq!((status, &set["after"]), (200, &json!("pro")), "{set}");
    let call = || page.call(&[("method", "POST"), ("path", "/generate"), ("user", "carl")]);
    assert_eq!([call(), call(), call(), call()], [200; 4]);
    let (_, usage) = page.get("/usage/carl?domain=aurastream");
    assert_eq!((&usage["tier"], &usage["tier_source"]), (&json!("pro"), &json!("assigned")), "{usage}");
    assert_eq!((&usage["assigned_tier"], set.get("warning")), (&json!("pro"), None), "{usage} {set}");
}

#[test]
fn support_sees_the_tier_that_refuses_whatever_is_set() {
    let page = Page::open();
    let asked = json!({"domain": "aurastream", "subject": {"user": "dan"}, "tier": "pro"});
    assert!(page.post("/tier", &asked).1.get("warning").is_none());
    let creation =
        || page.call(&[("method", "POST"), ("path", "/generate"), ("user", "dan"), ("tier", "free")]);
    while creation() == 200 {}
    let (_, usage) = page.get("/usage/dan?domain=aurastream");
    let told = ["tier", "tier_source", "assigned_tier"].map(|name| &usage[name]);
    assert_eq!(told, [&json!("free"), &json!("seen"), &json!("pro")], "{usage}");
    assert_eq!(usage["limits"]["monthly_creations"]["remaining"], 0, "{usage}");
    let (_, set) = page.post("/tier", &asked);
    let warning = set["warning"].as_str().unwrap_or_default();
    assert!(warning.contains("are decided by 'free'"), "{set}");
}

#[test]
fn all_that_is_set_over_the_files_is_listed_and_can_be_taken_back() {
    let page = Page::open();
    let done = |(status, answer): (u16, Value)| assert_eq!(status, 200, "{answer}");
    done(page.put("/free/monthly_creations?domain=aurastream", &json!({"value": 5, "user": "ann"})));
    done(page.post("/tier", &json!({"domain": "aurastream", "subject": {"user": "ann"}, "tier": "pro"})));
    done(page.put("/prices/new-model", &json!({"usd_per_million": {"input": "1.5"}, "force": true})));
    let all = listed(&page.0, "aurastream");
    assert_eq!((&all["domain"], &all["version"]), (&json!("aurastream"), &json!("3")), "{all}");
    let limits = all["limits"].as_array().unwrap();
    let of = |source: &str| limits.iter().filter(|limit| limit["source"] == source).collect::<Vec<_>>();
    assert!(of("file").len() > 10, "{all}");
    let [own] = of("user")[..] else { panic!("{all}") };
    let whose = &all["tiers"][0]["subject"]["user"];
    assert_eq!(
        (&own["max"], &own["version"], &own["subject"]["user"]),
        (&json!("5"), &json!("1"), whose),
        "{all}"
    );
    assert_eq!((&all["tiers"][0]["tier"], &all["tiers"][0]["version"]), (&json!("pro"), &json!("2")));
    let price = &all["prices"][0];
    assert_eq!((&price["model"], &price["usdPerMillion"]), (&json!("new-model"), &json!({"input": "1.50"})));
    // By what it tells, the price is taken back.
    done(page.put(
        "/prices/new-model",
        &json!({"clear": true, "force": true, "effectiveFrom": price["effectiveFrom"]}),
    ));
    assert_eq!(listed(&page.0, "aurastream").get("prices"), None);
    let (status, unknown) = page.get("/list?domain=aurastraem");
    assert_eq!((status, &unknown["code"]), (404, &json!("NOT_FOUND")), "{unknown}");
}
