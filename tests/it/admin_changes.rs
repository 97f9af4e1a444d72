//! What changes something at the admin listener: for whom, by which words, and what is said against it.

use std::collections::HashMap;

use serde_json::{Value, json};

use tollgate::transport::grpc::proto::tollgate::v1 as wire;

use crate::admin_routes::{Page, listed};
use crate::admin_service::admin;
use crate::support::process::Tollgate;

const CREATIONS: &str = "/free/monthly_creations?domain=aurastream";
const SPEND: &str = "/all/spend?domain=blueprint";

#[test]
fn a_field_that_names_nobody_never_stands_for_a_whole_tier() {
    let page = Page::open();
    for (named, field) in [
        (json!({"subject": {}}), "subject"),
        (json!({"subject": null}), "subject"),
        (json!({"subject": {"email": null}}), "subject"),
        (json!({"subject": {"email": ""}}), "subject"),
        (json!({"subject": {"user": "ann", "email": null}}), "subject"),
        (json!({"user": null}), "user"),
        (json!({"user": ""}), "user"),
        (json!({"user": "ann", "subject": {"user": "ann"}}), "user"),
        (json!({"subject": ["ann"]}), "subject"),
    ] {
        let mut body = named.clone();
        body["value"] = 5.into();
        let (status, problem) = page.put(CREATIONS, &body);
        assert_eq!((status, &problem["code"]), (400, &json!("INVALID_ARGUMENT")), "{body}: {problem}");
        let text = problem["error"].as_str().unwrap();
        assert!(text.starts_with(&format!("{field}: ")), "{body}: {text}");
    }
    for subject in [json!({}), json!({"user": ""}), json!({"": "ann"}), json!({"user": null})] {
        let asked = json!({"domain": "aurastream", "subject": subject, "tier": "pro"});
        let (status, problem) = page.post("/tier", &asked);
        assert_eq!((status, &problem["code"]), (400, &json!("INVALID_ARGUMENT")), "{asked}: {problem}");
    }
    for (whom, body) in [
        ("ann?domain=aurastream&kit=", json!({})),
        ("ann?domain=aurastream", json!({"limits": []})),
        ("ann?domain=aurastream", json!({"limits": null})),
    ] {
        let (status, problem) = page.post(&format!("/reset/{whom}"), &body);
        assert_eq!((status, &problem["code"]), (400, &json!("INVALID_ARGUMENT")), "{whom} {body}: {problem}");
    }
    assert_eq!(page.get("?domain=aurastream").1["free"]["monthly_creations"], 3);
}

/// What is said against putting `value` at `path`.
fn against(page: &Page, path: &str, body: &Value) -> String {
    let (status, problem) = page.put(path, body);
    assert!(status >= 400, "{body}: {problem}");
    problem["error"].as_str().unwrap().to_owned()
}

#[test]
fn errors_name_the_fields_of_http() {
    let page = Page::open();
    let no_money = "is no number of a limit; write -1 for unlimited, 0 for blocked, or dollars up to 9000000";
    for (path, body, text) in [
        (
            CREATIONS,
            json!({"value": -5}),
            "value: -5 is no number of a limit; write -1 for unlimited, 0 for blocked, or up to 9007199254740991"
                .to_owned(),
        ),
        (
            CREATIONS,
            json!({"value": 4.5}),
            "value: 4.5 has a fraction, and the limit counts whole ones".to_owned(),
        ),
        (
            CREATIONS,
            json!({"value": 5, "version": 99}),
            "version: 99 is from the future; the newest record is 0".to_owned(),
        ),
        (SPEND, json!({"value": -5}), format!("value: -5 {no_money}")),
        (SPEND, json!({"value": -0.5}), format!("value: -0.5 {no_money}")),
        (SPEND, json!({"value": 9_000_001}), "value: it is above the largest amount, 9000000".to_owned()),
        (
            SPEND,
            json!({"value": 0.1 + 0.2}),
            "value: 0.30000000000000004 has more than nine decimals, which no amount has; write 0.30".to_owned(),
        ),
        (
            CREATIONS,
            json!({"value": 5, "until": "9999-12-31T23:59:59Z"}),
            "until: '9999-12-31T23:59:59Z' is no time from 1970 to 9999-12-30, such as 2026-12-01T00:00:00Z"
                .to_owned(),
        ),
    ] {
        assert_eq!(against(&page, path, &body), text, "{path} {body}");
    }
    let (_, problem) =
        page.post("/tier", &json!({"domain": "aurastream", "subject": {"colour": "red"}, "tier": "pro"}));
    let text = problem["error"].as_str().unwrap();
    assert!(text.starts_with("subject: no limit is kept per 'colour'; there are "), "{text}");
    let stale = |version: u64| against(&page, CREATIONS, &json!({"value": 6, "version": version}));
    assert_eq!(page.put(CREATIONS, &json!({"value": 5})).0, 200);
    assert_eq!(
        stale(0),
        "version: may have been changed since version 0, by record 1 at the latest; read it again"
    );
}

#[test]
fn a_whole_number_may_be_written_in_any_way() {
    let page = Page::open();
    for (path, value, put) in [
        (CREATIONS, json!(5.0), json!(5)),
        (CREATIONS, serde_json::from_str("1e1").unwrap(), json!(10)),
        (CREATIONS, json!(-1.0), json!(-1)),
        (SPEND, json!(-1.0), json!(-1)),
        (SPEND, json!(12.0), json!(12)),
        (SPEND, json!(12.5), json!(12.5)),
    ] {
        let (status, changed) = page.put(path, &json!({"value": value, "force": true}));
        assert_eq!((status, &changed["value"]), (200, &put), "{path} {value}: {changed}");
    }
}

const SHOP: &str = "
domains:
  shop:
    per: user
    tier: {default: free}
    limits: {month: month}
    tiers: {free: {month: 3}}
";

#[test]
fn what_is_set_over_a_limit_that_is_renamed_is_told_and_does_not_come_back_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let limits = folder.path().join("limits.yaml").display().to_string();
    std::fs::write(&limits, SHOP).unwrap();
    let data = folder.path().join("data").display().to_string();
    let start = || Page(Tollgate::start(&[&limits, "--data-dir", &data]));
    let page = start();
    assert_eq!(page.put("/free/month", &json!({"value": 5})).0, 200);
    let renamed = SHOP.replace("month:", "months:");
    std::fs::write(&limits, &renamed).unwrap();
    page.0.logs("the limits were reloaded");
    let ignored = "the number of shop.month on tier free is set, but the files have no such thing";
    assert!(page.0.log().contains(ignored), "{}", page.0.log());
    let stray = json!({"value": 5, "unit": "hits", "version": 1});
    assert_eq!(page.get("").1["details"]["free"]["month"]["stray"], stray);
    assert_eq!(page.get("").1["free"], json!({"months": 3}));
    drop(page);

    let page = start();
    page.0.logs(ignored);
    std::fs::write(
        &limits,
        SHOP.replace("free: {month: 3}", "free: {month: $3.00}").replace("month: month", "month: $/month"),
    )
    .unwrap();
    page.0.logs("the limits were reloaded");
    let (_, all) = page.get("");
    let month = &all["details"]["free"]["month"];
    assert_eq!(
        (&all["free"]["month"], &month["source"], &month["stray"]),
        (&json!(3), &json!("file"), &stray)
    );
    std::fs::write(&limits, SHOP).unwrap();
    page.0.logs("generation=3");
    let returned = "the number of shop.month on tier free was set before the files had such a thing again";
    assert!(page.0.log().contains(returned), "{}", page.0.log());
    assert_eq!(page.get("").1["free"]["month"], 5);
    std::fs::write(&limits, SHOP.replace("month: month", "month: 1d")).unwrap();
    page.0.logs("generation=4");
    let kept = "was set when the limit had another window or another subject";
    assert!(page.0.log().contains(kept), "{}", page.0.log());
    std::fs::write(&limits, &renamed).unwrap();
    page.0.logs("generation=5");
    let (status, back) = page.put("/free/month", &json!({"value": null, "version": 1}));
    assert_eq!((status, &back["before"], &back["value"]), (200, &json!(5), &Value::Null), "{back}");
    assert!(page.get("").1["details"]["free"]["month"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_over_nothing_is_listed_and_taken_back_by_grpc() {
    let folder = tempfile::tempdir().unwrap();
    let limits = folder.path().join("limits.yaml").display().to_string();
    std::fs::write(&limits, SHOP.replace("tiers: {", "tiers: {pro: {month: 9}, ")).unwrap();
    let service = Tollgate::start(&[&limits]);
    let mut admin = admin(&service).await;
    let ann = || HashMap::from([("user".to_owned(), "ann".to_owned())]);
    let number = |change: fn(&mut wire::UpdateLimitRequest)| {
        let limit = "month".to_owned();
        let mut request = wire::UpdateLimitRequest { limit, ..wire::UpdateLimitRequest::default() };
        change(&mut request);
        request
    };
    let on_pro = number(|asked| (asked.tier, asked.max) = ("pro".to_owned(), Some(8)));
    let own = number(|asked| (asked.user, asked.max) = ("ann".to_owned(), Some(7)));
    let tier =
        wire::SetTierRequest { subject: ann(), tier: "pro".to_owned(), ..wire::SetTierRequest::default() };
    admin.update_limit(on_pro).await.unwrap();
    admin.update_limit(own).await.unwrap();
    admin.set_tier(tier).await.unwrap();
    std::fs::write(
        &limits,
        SHOP.replace("month: month", "month: $/month").replace("month: 3", "month: $3.00"),
    )
    .unwrap();
    tokio::task::block_in_place(|| service.logs("the limits were reloaded"));

    let listed = admin.list_limits(wire::ListLimitsRequest::default()).await.unwrap().into_inner();
    let told = |value: &wire::LimitValue| {
        let keys: Vec<String> = value.subject.keys().cloned().collect();
        (value.tier.clone(), value.max, value.unit(), value.source.clone(), value.version, keys)
    };
    let hits = wire::Unit::Hits;
    let stray = "stray".to_owned();
    assert_eq!(
        listed.strays.iter().map(told).collect::<Vec<_>>(),
        [
            ("pro".to_owned(), 8, hits, stray.clone(), 1, vec![]),
            (String::new(), 7, hits, stray, 2, vec!["user".to_owned()])
        ]
    );
    assert_eq!((listed.stray_tiers.len(), listed.tiers.len(), listed.limits.len()), (1, 0, 1));
    let by_http = tokio::task::block_in_place(|| self::listed(&service, "shop"));
    let counted = ["strays", "strayTiers", "limits"].map(|name| by_http[name].as_array().map_or(0, Vec::len));
    assert_eq!((counted, by_http.get("tiers")), ([2, 1, 1], None), "{by_http}");
    let back = number(|asked| (asked.tier, asked.clear) = ("pro".to_owned(), true));
    let back = admin.update_limit(back).await.unwrap().into_inner();
    assert_eq!((back.before.unwrap().max, back.after), (8, None));
    let back = number(|asked| (asked.user, asked.clear) = ("ann".to_owned(), true));
    admin.update_limit(back).await.unwrap();
    let back = wire::SetTierRequest { subject: ann(), clear: true, ..wire::SetTierRequest::default() };
    admin.set_tier(back).await.unwrap();
    let listed = admin.list_limits(wire::ListLimitsRequest::default()).await.unwrap().into_inner();
    assert_eq!((listed.strays, listed.stray_tiers), (vec![], vec![]));
    let nobody = number(|asked| {
        asked.subject = HashMap::from([("user".to_owned(), String::new())]);
        asked.max = Some(7);
    });
    let refused = admin.update_limit(nobody).await.unwrap_err();
    assert!(refused.message().starts_with("subject: "), "{refused}");
    let wrong = number(|asked| {
        asked.tier = "free".to_owned();
        (asked.max, asked.if_version) = (Some(4_000_000_000), Some(99));
    });
    assert!(admin.update_limit(wrong).await.unwrap_err().message().starts_with("if_version: "));
}
