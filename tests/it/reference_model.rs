//! Random configurations and calls, decided by the engine and by a model of the reference service written as
//! plainly as can be: lists that are searched, one map of counts, no hashing, no store.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tollgate::config::source::{SameDomain, Source, compile};
use tollgate::engine::{Enforcement, EngineSettings, HeaderNames, ReferenceSettings};

use crate::support::deciding::InProcess;
use crate::support::recorded::{Asked, Call, Decides, compare, without_nulls};

#[derive(Clone, Debug)]
struct Written {
    key: &'static str,
    value: &'static str,
    limit: Option<Limit>,
    share: bool,
    below: Vec<Written>,
}

#[derive(Clone, Debug)]
struct Limit {
    number: Option<u32>,
    unit: &'static str,
    name: &'static str,
    replaces: Vec<&'static str>,
    shadow: bool,
    quota: bool,
}

const KEYS: [&str; 6] = ["a", "b", "c", "a*1", "b_x*", "c*z"];
const VALUES: [&str; 9] = ["", "1", "2", "x1", "xyz", "x*", "x*z", "*1", "*"];
const NAMES: [&str; 4] = ["P", "Q", "R", "S"];

fn limit() -> impl Strategy<Value = Limit> {
    let number = prop_oneof![6 => select(&[0_u32, 1, 2, 3, 5, 8, 20][..]).prop_map(Some), 1 => Just(None)];
    let name = prop_oneof![2 => Just(""), 1 => select(&NAMES[..])];
    let replaces = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(select(&NAMES[..]), 1..3)];
    let flags = (prop::bool::weighted(0.15), prop::bool::weighted(0.25));
    let unit = select(&["HOUR", "DAY", "YEAR"][..]);
    (number, unit, name, replaces, flags).prop_map(|(number, unit, name, mut replaces, (shadow, quota))| {
        replaces.retain(|other| *other != name);
        Limit { number, unit, name, replaces, shadow, quota }
    })
}

fn level(depth: u32) -> BoxedStrategy<Vec<Written>> {
    let below = if depth == 0 {
        Just(Vec::new()).boxed()
    } else {
        prop_oneof![Just(Vec::new()), level(depth - 1)].boxed()
    };
    let limit = prop::option::weighted(0.75, limit());
    let key = prop_oneof![3 => select(&KEYS[..3]), 1 => select(&KEYS[3..])];
    let one = (key, select(&VALUES[..]), limit, any::<bool>(), below).prop_map(
        |(key, value, limit, share, below)| {
            // A wildcard in the key is written without a value: with one, ours is another rule than the reference's.
            let value = if key.contains('*') { "" } else { value };
            let share = share && (key.contains('*') || value.contains('*'));
            Written { key, value, limit, share, below }
        },
    );
    prop::collection::vec(one, 1..5)
        .prop_map(|mut level| {
            let mut seen = HashSet::new();
            level.retain(|written| seen.insert((written.key, written.value)));
            level
        })
        .boxed()
}

fn call() -> impl Strategy<Value = Call> {
    let values = &["", "1", "2", "x", "x1", "xyz", "xz", "x*", "y1"][..];
    let key = prop_oneof![12 => select(&["a", "b", "c"][..]), 1 => Just("nokey"), 3 => select(&["a*1", "ab", "b_x", "cxyz"][..])];
    let entries =
        prop::collection::vec((key.prop_map(str::to_owned), select(values).prop_map(str::to_owned)), 0..4);
    let unit = select(&["HOUR", "DAY", "YEAR", "WEEK"][..]).prop_map(str::to_owned);
    let limit = prop::option::weighted(0.1, (select(&[0_u32, 1, 5][..]), unit));
    let hits = prop::option::weighted(0.2, select(&[0_u64, 1, 3][..]));
    let asked = (entries, hits, limit).prop_map(|(entries, hits, limit)| Asked { entries, hits, limit });
    (prop::collection::vec(asked, 1..4), select(&[0_u32, 1, 2, 4][..])).prop_map(|(descriptors, hits)| Call {
        domain: "m".to_owned(),
        descriptors,
        hits,
    })
}

fn settings() -> impl Strategy<Value = EngineSettings> {
    let flag = || prop::bool::weighted(0.2);
    (flag(), flag(), flag(), any::<bool>()).prop_map(|(shadow, all_quota, stop_when_over, headers)| {
        EngineSettings {
            enforcement: if shadow { Enforcement::Shadow } else { Enforcement::Enforced },
            reference: ReferenceSettings {
                all_quota,
                stop_when_over,
                headers: headers.then(HeaderNames::default),
                ..ReferenceSettings::default()
            },
            ..EngineSettings::default()
        }
    })
}

/// The level as the file says it: JSON is YAML.
fn file(level: &[Written]) -> Value {
    let descriptor = |written: &Written| {
        let limit = written.limit.as_ref();
        let replaces =
            |limit: &Limit| limit.replaces.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        without_nulls(json!({
            "key": written.key,
            "value": written.value,
            "rate_limit": limit.map(|limit| match limit.number {
                Some(number) => json!({"requests_per_unit": number, "unit": limit.unit, "name": limit.name,
                    "replaces": replaces(limit)}),
                None => json!({"unlimited": true, "name": limit.name, "replaces": replaces(limit)}),
            }),
            "shadow_mode": limit.is_some_and(|limit| limit.shadow),
            "quota_mode": limit.is_some_and(|limit| limit.quota),
            "share_threshold": written.share,
            "descriptors": file(&written.below),
        }))
    };
    level.iter().map(descriptor).collect()
}

/// What a `*` stands for: any text. Tried one way after the other.
fn takes(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => (0..=text.len()).any(|skipped| takes(&pattern[1..], &text[skipped..])),
        Some(first) => text.starts_with(first) && takes(&pattern[1..], &text[1..]),
    }
}

/// The limit that `entries` end on, and the texts that stand for their values.
fn find<'m>(mut level: &'m [Written], entries: &[(String, String)]) -> Option<(&'m Limit, Vec<String>)> {
    let (mut path, mut limit) = (Vec::new(), None);
    for (key, value) in entries {
        let joined = format!("{key}_{value}");
        let by_key_alone = |written: &&Written| written.value.is_empty();
        let is_exact = |written: &&Written| match written.value {
            "" => written.key.contains('*') && written.key == joined,
            own => written.key == key && own == value,
        };
        let is_taken = |written: &&Written| match written.value {
            "" => written.key.contains('*') && takes(written.key, &joined),
            own => written.key == key && own.contains('*') && takes(own, value),
        };
        let matched = level.iter().find(is_exact).or_else(|| level.iter().find(is_taken));
        let fallback = || level.iter().filter(by_key_alone).find(|written| written.key == key);
        let written = matched.or_else(fallback)?;
        path.push(match (matched, written.value) {
            (Some(Written { share: true, .. }), "") => written.key.to_owned(),
            (Some(Written { share: true, .. }), pattern) => pattern.to_owned(),
            _ => value.clone(),
        });
        (level, limit) = (&written.below, written.limit.as_ref());
    }
    limit.map(|limit| (limit, path))
}

#[derive(Default)]
struct Model {
    counts: HashMap<(Vec<(String, String)>, String), u64>,
}

impl Model {
    fn answer(&mut self, level: &[Written], call: &Call, settings: &EngineSettings) -> Value {
        let found: Vec<_> = call.descriptors.iter().map(|asked| touched(level, asked)).collect();
        let replaced: HashSet<&str> =
            found.iter().flatten().flat_map(|(limit, _)| limit.replaces.clone()).collect();
        let hits: Vec<u64> =
            call.descriptors.iter().map(|asked| asked.hits.unwrap_or(u64::from(call.hits.max(1)))).collect();
        let counted: Vec<_> = found
            .iter()
            .map(|found| {
                found.as_ref().filter(|(limit, _)| limit.name.is_empty() || !replaced.contains(limit.name))
            })
            .map(|found| {
                found.and_then(|(limit, key)| limit.number.map(|number| (limit, key, u64::from(number))))
            })
            .collect();
        let over: Vec<bool> = counted
            .iter()
            .zip(&hits)
            .map(|(counted, hits)| counted.is_some_and(|(_, key, number)| self.count(key) + hits > number))
            .collect();
        let stopped = settings.reference.stop_when_over && over.contains(&true);
        let mut statuses = Vec::new();
        let (mut plain_over, mut quotas) = (Vec::new(), Vec::new());
        for (index, counted) in counted.iter().enumerate() {
            let is_unlimited = found[index].as_ref().is_some_and(|(limit, _)| limit.number.is_none());
            if is_unlimited {
                statuses.push(json!({"code": "OK", "remaining": u32::MAX}));
                continue;
            }
            let is_quota = settings.reference.all_quota || counted.is_some_and(|(limit, ..)| limit.quota);
            let mut refused = false;
            statuses.push(match counted {
                None => json!({"code": "OK", "remaining": 0}),
                Some((limit, key, number)) => {
                    let added = if stopped && !over[index] { 0 } else { hits[index] };
                    let count = self.counts.entry((*key).clone()).or_default();
                    *count += added;
                    refused = *count > *number && !limit.shadow;
                    without_nulls(json!({
                        "code": if refused { "OVER_LIMIT" } else { "OK" },
                        "remaining": number.saturating_sub(*count),
                        "limit": [number, limit.unit],
                        "name": (!limit.name.is_empty()).then_some(limit.name),
                        "reset": true,
                    }))
                }
            });
            if is_quota {
                quotas.push(refused);
            } else if refused {
                plain_over.push(index);
            }
        }
        let is_over = !plain_over.is_empty() || (!quotas.is_empty() && quotas.iter().all(|over| *over));
        let passes = settings.enforcement == Enforcement::Shadow || !is_over;
        let least = || {
            let limited = statuses.iter().filter(|status| status["limit"].is_array());
            limited.min_by_key(|status| status["remaining"].as_u64())
        };
        let shown = plain_over.last().map(|index| &statuses[*index]).or_else(least);
        let headers = shown.filter(|_| settings.reference.headers.is_some()).map(|status| {
            json!({"RateLimit-Limit": status["limit"][0].to_string(),
                "RateLimit-Remaining": status["remaining"].to_string(), "RateLimit-Reset": "seconds"})
        });
        without_nulls(json!({
            "overall": if passes { "OK" } else { "OVER_LIMIT" }, "statuses": statuses, "headers": headers,
        }))
    }

    fn count(&self, key: &(Vec<(String, String)>, String)) -> u64 {
        self.counts.get(key).copied().unwrap_or_default()
    }
}

type Touched = (Limit, (Vec<(String, String)>, String));

/// The limit that a descriptor touches, and its counter: the path and the unit.
fn touched(level: &[Written], asked: &Asked) -> Option<Touched> {
    if let Some((number, unit)) = &asked.limit {
        let unit = ["HOUR", "DAY", "YEAR", "WEEK"].into_iter().find(|known| known == unit).unwrap();
        let limit = Limit {
            number: Some(*number),
            unit,
            name: "",
            replaces: Vec::new(),
            shadow: false,
            quota: false,
        };
        return Some((limit, (asked.entries.clone(), unit.to_owned())));
    }
    let (limit, path) = find(level, &asked.entries)?;
    let keys = asked.entries.iter().map(|(key, _)| key.clone());
    Some((limit.clone(), (keys.zip(path).collect(), limit.unit.to_owned())))
}

#[test]
fn the_engine_answers_as_the_model() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let run = (level(2), prop::collection::vec(call(), 1..25), settings());
    let config = Config { cases: 1_000, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&run, |(written, calls, settings)| {
            let text = json!({"domain": "m", "descriptors": file(&written)}).to_string();
            let source = Source { name: "limits.yaml".into(), text: text.clone() };
            let compiled =
                compile(&[source], SameDomain::Refuse).unwrap_or_else(|found| panic!("{found}\n{text}"));
            let decides = InProcess::over_memory(compiled.rules, settings.clone());
            let mut model = Model::default();
            for call in calls {
                let expected = model.answer(&written, &call, &settings);
                let answer = runtime.block_on(decides.ask(&call));
                if let Err(why) = compare(&expected, &answer) {
                    return Err(TestCaseError::fail(format!("{text}\n{call:?}\n{why}")));
                }
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
