//! The dynamic metadata of reference domains: the call as it came, and what the limits that passed say.

use serde_json::{Value, json};
use tollgate::config::source::{SameDomain, Source, compile};
use tollgate::engine::{EngineSettings, ReferenceSettings};

use crate::support::deciding::InProcess;
use crate::support::recorded::{Asked, Call, Decides};

const FILE: &str = "
domain: d
descriptors:
  - {key: a, rate_limit: {unit: hour, requests_per_unit: 1}, metadata: {own: a, both: {of: a, deep: {x: 1}}, list: [1, ~]}}
  - {key: b, rate_limit: {unit: hour, requests_per_unit: 9}, metadata: {both: {of: b, deep: {on: yes, 1.50: 0x10}}, list: [2]}, detailed_metric: true}
";

fn asked(key: &str, hits: Option<u64>, limit: Option<(u32, &str)>) -> Asked {
    let limit = limit.map(|(number, unit)| (number, unit.to_owned()));
    Asked { entries: vec![(key.to_owned(), "v".to_owned())], hits, limit }
}

async fn metadata(decides: &impl Decides, descriptors: Vec<Asked>, hits: u32) -> Value {
    let call = Call { domain: "d".to_owned(), descriptors, hits };
    decides.ask(&call).await.unwrap()["metadata"].clone()
}

#[tokio::test]
async fn what_came_and_what_passed() {
    let source = Source { name: "limits.yaml".into(), text: FILE.to_owned() };
    let rules = compile(&[source], SameDomain::Refuse).unwrap_or_else(|found| panic!("{found}")).rules;
    let reference = ReferenceSettings { dynamic_metadata: true, ..ReferenceSettings::default() };
    let decides = InProcess::over_memory(rules, EngineSettings { reference, ..EngineSettings::default() });
    let of_b = json!({"both": {"of": "b", "deep": {"true": true, "1.5": 16.0}}, "list": [2.0]});

    let both = metadata(&decides, vec![asked("a", None, None), asked("b", Some(0), None)], 0).await;
    let merged = json!({"own": "a", "both": {"of": "a", "deep": {"x": 1.0, "true": true, "1.5": 16.0}}, "list": [1.0, null]});
    let sent = json!([{"entries": ["a=v"]}, {"entries": ["b=v"], "hitsAddend": 0.0}]);
    assert_eq!(both, json!({"domain": "d", "descriptors": sent, "metadata": merged}));

    // The first is over now, and nothing of it was left in the second.
    let second = metadata(&decides, vec![asked("a", None, None), asked("b", None, None)], 2).await;
    assert_eq!((&second["metadata"], &second["hitsAddend"]), (&of_b, &json!(2.0)));

    for (limit, text) in [((5, "DAY"), "requests_per_unit:5 unit:DAY"), ((0, "WEEK"), "unit:WEEK")] {
        let own = metadata(&decides, vec![asked("a", None, Some(limit))], 0).await;
        assert_eq!((&own["descriptors"][0]["limit"], own.get("metadata")), (&json!(text), None));
    }
}
