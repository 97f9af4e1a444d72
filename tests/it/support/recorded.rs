//! Answers recorded from the reference service: read from `tests/data/envoy`, played against whatever decides
//! calls, and compared part by part.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tollgate::engine::{Enforcement, EngineSettings, HeaderNames, ReferenceSettings};

/// Calls in a row, and the configuration they are made under.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Scenario {
    pub(crate) id: Value,
    pub(crate) name: String,
    #[serde(default)]
    files: Vec<String>,
    document: Option<String>,
    /// Settings of the server, by the reference's names.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) steps: Vec<Step>,
}

/// One call and the answer that was recorded.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Step {
    #[serde(default)]
    pub(crate) sleep: u64,
    #[serde(flatten)]
    pub(crate) call: Call,
    answer: Value,
}

/// One call.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Call {
    pub(crate) domain: String,
    pub(crate) descriptors: Vec<Asked>,
    #[serde(default)]
    pub(crate) hits: u32,
}

/// One descriptor of a call.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Asked {
    pub(crate) entries: Vec<(String, String)>,
    pub(crate) hits: Option<u64>,
    pub(crate) limit: Option<(u32, String)>,
}

/// The recorded error, whatever its words: the call is invalid.
pub(crate) const INVALID: &str = "INVALID_ARGUMENT";

/// Something that decides calls under one configuration.
pub(crate) trait Decides {
    /// The answer in the form of the recordings, with the seconds of headers as they are; or the code of the error.
    async fn ask(&self, call: &Call) -> Result<Value, String>;

    /// Lets time pass.
    async fn pass(&self, seconds: u64);
}

/// Every item of a recorded file: a YAML list of items, each of which is JSON.
pub(crate) fn items<T: for<'a> Deserialize<'a>>(file: &str) -> Vec<T> {
    let text = read(file);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut items: Vec<String> = Vec::new();
    for line in lines {
        match (line.strip_prefix("- "), items.last_mut()) {
            (Some(first), _) => items.push(first.to_owned()),
            (None, Some(item)) => item.push_str(line),
            (None, None) => panic!("{file} begins with no item"),
        }
    }
    items.iter().map(|item| serde_json::from_str(item).expect("an item is JSON")).collect()
}

/// The text of a recorded file.
pub(crate) fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/envoy").join(file);
    std::fs::read_to_string(path).expect("recorded data is readable")
}

impl Scenario {
    /// The configuration: names and texts.
    pub(crate) fn documents(&self) -> Vec<(String, String)> {
        let files = self.files.iter().map(|name| format!("{name}.yaml"));
        let files = files.map(|name| (name.clone(), read(&name)));
        files.chain(self.document.iter().map(|text| ("document.yaml".to_owned(), text.clone()))).collect()
    }

    /// How the server is set.
    pub(crate) fn settings(&self) -> EngineSettings {
        let value = |name: &str| self.env.get(name).cloned();
        let is_on = |name: &str| value(name).is_some_and(|text| text == "true");
        let names = HeaderNames::default();
        let headers = is_on("LIMIT_RESPONSE_HEADERS_ENABLED").then(|| HeaderNames {
            limit: value("LIMIT_LIMIT_HEADER").map_or(names.limit, Into::into),
            remaining: value("LIMIT_REMAINING_HEADER").map_or(names.remaining, Into::into),
            reset: value("LIMIT_RESET_HEADER").map_or(names.reset, Into::into),
        });
        let enforcement = if is_on("SHADOW_MODE") { Enforcement::Shadow } else { Enforcement::Enforced };
        let reference = ReferenceSettings {
            all_quota: is_on("QUOTA_MODE"),
            stop_when_over: is_on("STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT"),
            dynamic_metadata: is_on("RESPONSE_DYNAMIC_METADATA"),
            headers,
        };
        EngineSettings { enforcement, reference, ..EngineSettings::default() }
    }

    /// Plays the scenario and returns how many answers came and what differs, step by step.
    pub(crate) async fn play(&self, decides: &impl Decides) -> Played {
        let mut differences = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            decides.pass(step.sleep).await;
            let call = step.call.with_values_of_this_run();
            let answer = decides.ask(&call).await;
            if let Err(why) = compare(&step.answer, &answer) {
                let place = format!("{} ({}), step {index}", self.id, self.name);
                differences.push(format!("{place}: {call:?}\n  {why}"));
            }
        }
        Played { answers: self.steps.len(), differences }
    }
}

/// What came of playing scenarios.
#[derive(Debug, Default)]
pub(crate) struct Played {
    pub(crate) answers: usize,
    pub(crate) differences: Vec<String>,
}

impl Played {
    /// Adds what came of another scenario.
    pub(crate) fn add(&mut self, other: Self) {
        self.answers += other.answers;
        self.differences.extend(other.differences);
    }

    /// Fails with every difference, or when fewer answers than `least` were compared.
    pub(crate) fn assert_alike(&self, least: usize) {
        let shown = self.differences.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
        assert!(
            self.differences.is_empty(),
            "{} of {} answers differ:\n{shown}",
            self.differences.len(),
            self.answers
        );
        assert!(self.answers >= least, "only {} answers were compared", self.answers);
    }
}

impl Call {
    /// The call with its placeholders filled in.
    fn with_values_of_this_run(&self) -> Self {
        let mut call = self.clone();
        for (_, value) in call.descriptors.iter_mut().flat_map(|asked| &mut asked.entries) {
            *value = value.replace("$u", "uuuu").replace("$v", "vvvv");
        }
        call
    }
}

/// Why `answer` is not what was recorded, if it is not.
pub(crate) fn compare(recorded: &Value, answer: &Result<Value, String>) -> Result<(), String> {
    let answer = match (recorded.get("error"), answer) {
        (Some(_), Err(code)) if code == INVALID => return Ok(()),
        (Some(error), other) => return Err(format!("the reference fails with {error}, here came {other:?}")),
        (None, Err(code)) => return Err(format!("the call failed with {code}")),
        (None, Ok(answer)) => answer,
    };
    let answer = with_seconds_blanked(recorded, answer)?;
    if *recorded == answer {
        return Ok(());
    }
    Err(format!("recorded {recorded}\n  came     {answer}"))
}

/// `answer` with the resets of its statuses and headers reduced to what was recorded of them.
fn with_seconds_blanked(recorded: &Value, answer: &Value) -> Result<Value, String> {
    let mut answer = answer.clone();
    for status in answer["statuses"].as_array_mut().into_iter().flatten() {
        let length = status["limit"][1].as_str().map_or(u64::MAX, seconds);
        if let Some(reset) = status.get_mut("reset") {
            match reset.as_u64() {
                Some(seconds) if (1..=length).contains(&seconds) => *reset = json!(true),
                _ => return Err(format!("a reset of {reset} is not within 1 to {length} s")),
            }
        }
    }
    for (name, value) in recorded["headers"].as_object().into_iter().flatten() {
        if value != "seconds" {
            continue;
        }
        let header = &mut answer["headers"][name];
        match header.as_str().and_then(|text| text.parse::<u64>().ok()) {
            Some(1..) => *header = json!("seconds"),
            _ => return Err(format!("header {name} is {header}, not a number of seconds")),
        }
    }
    Ok(numbers_as_doubles(answer))
}

/// Numbers of metadata are doubles on the wire.
fn numbers_as_doubles(mut answer: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Number(number) => *value = json!(number.as_f64()),
            Value::Array(list) => list.iter_mut().for_each(walk),
            Value::Object(map) => map.values_mut().for_each(walk),
            _ => {}
        }
    }
    if let Some(metadata) = answer.get_mut("metadata") {
        walk(metadata);
    }
    answer
}

/// The length of a unit of time.
pub(crate) fn seconds(unit: &str) -> u64 {
    match unit {
        "SECOND" => 1,
        "MINUTE" => 60,
        "HOUR" => 3_600,
        "DAY" => 86_400,
        "WEEK" => 604_800,
        "MONTH" => 2_592_000,
        "YEAR" => 31_536_000,
        other => panic!("{other} is no unit of time"),
    }
}

/// An object without the members that are `null`: what was not set is absent in recordings.
pub(crate) fn without_nulls(members: Value) -> Value {
    let Value::Object(members) = members else { return members };
    Value::Object(members.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>())
}
