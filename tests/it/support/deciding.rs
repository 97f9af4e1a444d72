//! An engine over the memory store, in this process, on a clock that the test moves.

use std::sync::Arc;

use serde_json::{Value, json};
use tollgate::clock::{Clock, Micros, Timestamp};
use tollgate::engine::{
    Check, CheckRequest, Code, Decision, Descriptor, DescriptorStatus, Direction, Engine, EngineSettings,
    Override,
};
use tollgate::limits::{Entry, KeySecret, LimitsHandle, Metadata, RuleSet, WireUnit};
use tollgate::store::memory::{MemorySettings, MemoryStore};

use super::recorded::{Asked, Call, Decides, INVALID, without_nulls};

/// 2026-01-15 10:20:10 UTC: well inside its minute, hour, day, week, month and year.
pub(crate) const MIDDLE_OF_THE_HOUR: Timestamp = Timestamp(1_768_472_410_000_000);

/// Anything that decides calls, asked in this process.
pub(crate) struct InProcess<C> {
    check: C,
    clock: Clock,
}

impl InProcess<Arc<Engine<MemoryStore>>> {
    /// Decides by `rules` over an empty memory store.
    pub(crate) fn over_memory(rules: RuleSet, settings: EngineSettings) -> Self {
        let clock = Clock::manual(MIDDLE_OF_THE_HOUR);
        let store = MemoryStore::new(MemorySettings::default(), clock.clone(), KeySecret([7; 16]));
        Self { check: Arc::new(Engine::new(LimitsHandle::new(rules), store, settings)), clock }
    }
}

impl<C: Check> Decides for InProcess<C> {
    async fn ask(&self, call: &Call) -> Result<Value, String> {
        let request = CheckRequest {
            domain: call.domain.as_bytes(),
            descriptors: call.descriptors.iter().map(descriptor).collect(),
            hits: call.hits,
        };
        self.check.check(request).await.map(|decision| answer(&decision)).map_err(|_| INVALID.to_owned())
    }

    async fn pass(&self, seconds: u64) {
        self.clock.advance(Micros::from_secs(seconds));
    }
}

fn descriptor(asked: &Asked) -> Descriptor<'_> {
    Descriptor {
        entries: asked
            .entries
            .iter()
            .map(|(key, value)| Entry { key: key.as_bytes(), value: value.as_bytes() })
            .collect(),
        hits: asked.hits,
        direction: Direction::Charge,
        number: asked.limit.as_ref().map(|(number, unit)| Override {
            requests_per_unit: *number,
            unit: unit_named(unit),
            multiplier: 1,
        }),
    }
}

fn unit_named(name: &str) -> WireUnit {
    WireUnit::ALL.into_iter().find(|unit| unit.name() == name).unwrap_or(WireUnit::Unknown)
}

/// A decision in the form of the recordings.
fn answer(decision: &Decision) -> Value {
    let headers =
        decision.headers.iter().map(|header| (header.name.to_string(), json!(header.value.to_string())));
    let headers: serde_json::Map<_, _> = headers.collect();
    without_nulls(json!({
        "overall": code(decision.code),
        "statuses": decision.statuses.iter().map(status).collect::<Vec<_>>(),
        "headers": (!headers.is_empty()).then_some(headers),
        "metadata": decision.metadata.as_ref().map(|fields| fields
            .iter()
            .map(|(key, value)| (key.to_string(), metadata(value)))
            .collect::<serde_json::Map<_, _>>()),
        "body": decision.body.as_ref().map(|_| "sent"),
    }))
}

fn status(status: &DescriptorStatus) -> Value {
    let limit = status.limit.as_ref();
    without_nulls(json!({
        "code": code(status.code),
        "remaining": status.remaining,
        "limit": limit.map(|limit| json!([limit.requests_per_unit, limit.unit.name()])),
        "name": limit.filter(|limit| !limit.name.is_empty()).map(|limit| limit.name.to_string()),
        "multiplier": limit.map(|limit| limit.multiplier).filter(|multiplier| *multiplier != 1),
        "reset": status.reset_seconds,
    }))
}

fn code(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::OverLimit => "OVER_LIMIT",
    }
}

fn metadata(value: &Metadata) -> Value {
    match value {
        Metadata::Null => Value::Null,
        Metadata::Bool(truth) => json!(truth),
        Metadata::Number(number) => json!(number),
        Metadata::Text(text) => json!(text),
        Metadata::List(list) => list.iter().map(metadata).collect(),
        Metadata::Map(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.to_string(), metadata(value))).collect())
        }
    }
}
