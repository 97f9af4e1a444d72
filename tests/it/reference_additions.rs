//! What files of the reference service may say here beyond what it knows.

use serde_json::{Value, json};
use tollgate::config::source::{SameDomain, Source, compile};
use tollgate::engine::{Enforcement, EngineSettings};

use crate::support::deciding::InProcess;
use crate::support::recorded::{Asked, Call, Decides};

const FILE: &str = "
domain: d
ATOMIC
descriptors:
  - {key: slide, rate_limit: {unit: minute, requests_per_unit: 3, algorithm: sliding_window}}
  - {key: bucket, rate_limit: {unit: minute, requests_per_unit: 6, algorithm: token_bucket}}
  - {key: quarter, rate_limit: {unit: minute, requests_per_unit: 5, unit_multiplier: 15, name: login}}
  - {key: both, rate_limits: [{unit: second, requests_per_unit: 2, name: rate}, {unit: day, requests_per_unit: 3, name: daily}]}
  - {key: one, rate_limit: {unit: hour, requests_per_unit: 1}}
  - {key: ten, rate_limit: {unit: hour, requests_per_unit: 10}}
  - {key: trial, rate_limit: {unit: hour, requests_per_unit: 1}, shadow_mode: true}
";

fn deciding(atomic: &str) -> InProcess<impl tollgate::engine::Check> {
    deciding_with(atomic, EngineSettings::default())
}

fn deciding_with(atomic: &str, settings: EngineSettings) -> InProcess<impl tollgate::engine::Check> {
    let source = Source { name: "limits.yaml".into(), text: FILE.replace("ATOMIC", atomic) };
    let compiled = compile(&[source], SameDomain::Refuse).unwrap_or_else(|found| panic!("{found}"));
    InProcess::over_memory(compiled.rules, settings)
}

/// What `keys`, asked for together, come to: for each whether it passed and what is left.
async fn ask(decides: &impl Decides, keys: &[&str]) -> (bool, Vec<(bool, u64)>) {
    let answer = answer(decides, keys).await;
    let status = |status: &Value| (status["code"] == "OK", status["remaining"].as_u64().unwrap());
    (answer["overall"] == "OK", answer["statuses"].as_array().unwrap().iter().map(status).collect())
}

async fn answer(decides: &impl Decides, keys: &[&str]) -> Value {
    let asked =
        |key: &&str| Asked { entries: vec![((*key).to_owned(), "v".to_owned())], hits: None, limit: None };
    let call = Call { domain: "d".to_owned(), descriptors: keys.iter().map(asked).collect(), hits: 0 };
    decides.ask(&call).await.unwrap()
}

/// Twice the number never fits around a boundary, and what is refused costs nothing.
#[tokio::test]
async fn a_sliding_window() {
    let decides = deciding("");
    decides.pass(45).await;
    for left in [2, 1, 0] {
        assert_eq!(ask(&decides, &["slide"]).await, (true, vec![(true, left)]));
    }
    decides.pass(30).await;
    for _ in 0..5 {
        assert_eq!(ask(&decides, &["slide"]).await, (false, vec![(false, 0)]));
    }
    decides.pass(32).await;
    assert_eq!(ask(&decides, &["slide"]).await, (true, vec![(true, 2)]));
}

/// One of six a minute comes back every ten seconds.
#[tokio::test]
async fn a_token_bucket() {
    let decides = deciding("");
    for left in (0..6).rev() {
        assert_eq!(ask(&decides, &["bucket"]).await, (true, vec![(true, left)]));
    }
    assert!(!ask(&decides, &["bucket"]).await.0);
    decides.pass(9).await;
    assert!(!ask(&decides, &["bucket"]).await.0);
    decides.pass(1).await;
    assert_eq!(ask(&decides, &["bucket"]).await, (true, vec![(true, 0)]));
    assert!(!ask(&decides, &["bucket"]).await.0);
}

#[tokio::test]
async fn a_window_of_many_units() {
    let decides = deciding("");
    let status = &answer(&decides, &["quarter"]).await["statuses"][0];
    assert_eq!((&status["limit"], &status["multiplier"]), (&json!([5, "MINUTE"]), &json!(15)));
    // It is 10:20:10; the quarter ends at 10:30.
    assert_eq!((&status["name"], &status["reset"]), (&json!("login"), &json!(590)));
}

#[tokio::test]
async fn several_limits_of_one_descriptor() {
    let decides = deciding("");
    for (passes, name, left) in [(true, "rate", 1), (true, "rate", 0), (false, "rate", 0)] {
        let status = &answer(&decides, &["both"]).await["statuses"][0];
        let shown = (status["code"] == "OK", &status["name"], &status["remaining"]);
        assert_eq!(shown, (passes, &json!(name), &json!(left)));
    }
    decides.pass(1).await;
    let status = &answer(&decides, &["both"]).await["statuses"][0];
    assert_eq!((&status["code"], &status["name"]), (&json!("OVER_LIMIT"), &json!("daily")));
}

/// A server that refuses nothing counts everything.
#[tokio::test]
async fn a_shadow_server_counts_what_it_would_refuse() {
    for atomic in ["", "atomic: true"] {
        let shadow = EngineSettings { enforcement: Enforcement::Shadow, ..EngineSettings::default() };
        let decides = deciding_with(atomic, shadow);
        for (left, passes) in [(9, true), (8, false), (7, false)] {
            let expected = (true, vec![(true, left), (passes, 0)]);
            assert_eq!(ask(&decides, &["ten", "one"]).await, expected, "{atomic:?}");
        }
    }
}

/// Two descriptors of a call may be the same; what they ask for together has to fit.
#[tokio::test]
async fn one_limit_twice_in_a_call() {
    let decides = deciding("atomic: true");
    for _ in 0..2 {
        assert_eq!(ask(&decides, &["one", "one"]).await, (false, vec![(true, 1), (false, 0)]));
    }
    assert_eq!(ask(&decides, &["one"]).await, (true, vec![(true, 0)]));
}

/// As the reference counts, a refused call is charged; with `atomic` it is charged nowhere.
#[tokio::test]
async fn all_or_nothing() {
    for (atomic, left) in [("", [9, 8, 7]), ("atomic: true", [9, 9, 9])] {
        let decides = deciding(atomic);
        for (turn, left) in left.into_iter().enumerate() {
            let passes = turn == 0;
            let expected = (passes, vec![(true, left), (passes, 0)]);
            assert_eq!(ask(&decides, &["ten", "one"]).await, expected, "turn {turn} of {atomic:?}");
        }
        for _ in 0..3 {
            assert_eq!(ask(&decides, &["trial"]).await, (true, vec![(true, 0)]), "{atomic:?}");
        }
    }
}

fn deciding_by(document: &str, settings: EngineSettings) -> InProcess<impl tollgate::engine::Check> {
    let source = Source { name: "limits.yaml".into(), text: document.to_owned() };
    let compiled = compile(&[source], SameDomain::Refuse).unwrap_or_else(|found| panic!("{found}"));
    InProcess::over_memory(compiled.rules, settings)
}

/// What is refused costs nothing, also where only one of several limits of a quota rule is over.
#[tokio::test]
async fn an_atomic_quota_rule_of_several_limits_is_refused_for_nothing() {
    const FILE: &str = "
domain: d
atomic: true
descriptors:
  - {key: q, quota_mode: true, rate_limits: [{unit: hour, requests_per_unit: 2}, {unit: day, requests_per_unit: 5}]}
";
    let decides = deciding_by(FILE, EngineSettings::default());
    for _ in 0..10 {
        ask(&decides, &["q"]).await;
    }
    decides.pass(3600).await;
    assert!(
        ask(&decides, &["q"]).await.0,
        "eight refusals cost nothing, so three of the day's five are left"
    );
}

/// A call that passes is charged; a shadow rule beside a quota rule does not make it free.
#[tokio::test]
async fn an_atomic_call_that_passes_is_charged_beside_a_shadow_quota_rule() {
    const FILE: &str = "
domain: d
atomic: true
descriptors:
  - {key: q, quota_mode: true, rate_limit: {unit: hour, requests_per_unit: 1}}
  - {key: s, quota_mode: true, shadow_mode: true, rate_limit: {unit: hour, requests_per_unit: 100}}
";
    let decides = deciding_by(FILE, EngineSettings::default());
    assert_eq!(ask(&decides, &["q", "s"]).await, (true, vec![(true, 0), (true, 99)]));
    assert_eq!(ask(&decides, &["q", "s"]).await, (true, vec![(false, 0), (true, 98)]));
    assert_eq!(ask(&decides, &["q", "s"]).await, (true, vec![(false, 0), (true, 97)]));
}
