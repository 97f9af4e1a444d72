//! What a record sets over the files, as JSON: exact, so that all who read the record set the same.

use serde_json::{Map, Value as Json, json};

use crate::calendar::{in_utc_to_the_microsecond, instant};
use crate::clock::Timestamp;
use crate::limits::{MAX_AMOUNT, Number, SubjectId, Target, Unit, Value};
use crate::money::NanoUsd;
use crate::prices::{Class, PerMillion};

use super::Set;

type Members = Map<String, Json>;

/// A subject, as records name it: `{"user":"…"}` with its keyed hash.
pub fn subject_json(subject: &SubjectId) -> Json {
    Json::Object([(subject.key.to_string(), format!("{:032x}", subject.hash).into())].into_iter().collect())
}

/// The subject that [`subject_json`] has written.
pub(super) fn subject(json: &Json) -> Option<SubjectId> {
    let mut members = json.as_object()?.iter();
    let (key, hash) = (members.next()?, members.next());
    let (key, text) = (key.0.as_str(), key.1.as_str()?);
    let is_hash = hash.is_none() && text.len() == 32 && !text.starts_with('+');
    is_hash.then_some(SubjectId { key: key.into(), hash: u128::from_str_radix(text, 16).ok()? })
}

/// As the record writes it.
pub(super) fn to_json(set: &Set) -> Json {
    let (target, value, until) = match set {
        Set::Place { target, value, until } => (target, Some(value), *until),
        Set::Remove { target } => (target, None, None),
    };
    let mut json = target_json(target);
    json["to"] = value.map_or(Json::Null, value_json);
    if let Some(Value::Number(_, unit)) = value {
        json["unit"] = unit.name().into();
    }
    if let Some(until) = until {
        json["until"] = in_utc_to_the_microsecond(until).into();
    }
    json
}

/// What [`to_json`] has written; `None` if it makes no sense to this version.
pub(super) fn of_json(json: &Json) -> Option<Set> {
    let members = json.as_object()?;
    let target = target(members)?;
    let to = members.get("to")?;
    if to.is_null() {
        return Some(Set::Remove { target });
    }
    let value = match target {
        Target::Number { .. } | Target::Own { .. } => {
            Value::Number(number(to)?, Unit::named(members.get("unit")?.as_str()?)?)
        }
        Target::Tier { .. } => Value::Tier(to.as_str()?.into()),
        Target::Price { .. } => Value::Price(prices(to.as_object()?)?),
    };
    let until = match members.get("until") {
        None => None,
        Some(until) => Some(instant(until.as_str()?)?),
    };
    Some(Set::Place { target, value, until })
}

fn target_json(target: &Target) -> Json {
    match target {
        Target::Number { domain, tier, limit } => {
            json!({"set": "number", "domain": domain, "tier": tier, "limit": limit})
        }
        Target::Own { domain, limit, subject } => {
            json!({"set": "own", "domain": domain, "limit": limit, "subject": subject_json(subject)})
        }
        Target::Tier { domain, subject } => {
            json!({"set": "tier", "domain": domain, "subject": subject_json(subject)})
        }
        Target::Price { model, from } => {
            json!({"set": "price", "model": model, "from": in_utc_to_the_microsecond(*from)})
        }
    }
}

fn target(members: &Members) -> Option<Target> {
    let text = |name: &str| Some(Box::<str>::from(members.get(name)?.as_str()?));
    let whose = || subject(members.get("subject")?);
    match &*text("set")? {
        "number" => {
            Some(Target::Number { domain: text("domain")?, tier: text("tier")?, limit: text("limit")? })
        }
        "own" => Some(Target::Own { domain: text("domain")?, limit: text("limit")?, subject: whose()? }),
        "tier" => Some(Target::Tier { domain: text("domain")?, subject: whose()? }),
        "price" => Some(Target::Price { model: text("model")?, from: instant_of(members.get("from")?)? }),
        _ => None,
    }
}

fn instant_of(json: &Json) -> Option<Timestamp> {
    instant(json.as_str()?)
}

fn value_json(value: &Value) -> Json {
    match value {
        Value::Number(Number::Unlimited, _) => (-1).into(),
        Value::Number(Number::AtMost(most), _) => (*most).into(),
        Value::Tier(tier) => (**tier).into(),
        Value::Price(prices) => {
            let named = Class::ALL.into_iter().filter_map(|class| {
                let price = prices.own(class)?;
                Some((class.name().to_owned(), Json::from(price.to_decimal())))
            });
            Json::Object(named.collect())
        }
    }
}

fn number(json: &Json) -> Option<Number> {
    match (json.as_i64(), json.as_u64()) {
        (Some(-1), _) => Some(Number::Unlimited),
        (_, Some(most)) if most <= MAX_AMOUNT => Some(Number::AtMost(most)),
        _ => None,
    }
}

fn prices(members: &Members) -> Option<PerMillion> {
    let price = |(name, price): (&String, &Json)| {
        Some((Class::named(name.as_bytes())?, NanoUsd::parse_decimal(price.as_str()?).ok()?))
    };
    members.iter().map(price).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets() -> Vec<Set> {
        let ann = || SubjectId { key: "user+kit".into(), hash: 0xab };
        let number = Target::Number { domain: "shop".into(), tier: "all".into(), limit: "login".into() };
        let own = Target::Own { domain: "shop".into(), limit: "login".into(), subject: ann() };
        let tier = Target::Tier { domain: "sh\"op\n".into(), subject: ann() };
        let price = Target::Price { model: "gpt-5".into(), from: Timestamp(1_795_262_400_123_456) };
        let prices = [(Class::Input, NanoUsd(1_250_000_000)), (Class::Output, NanoUsd(0))];
        let place = |target, value| Set::Place { target, value, until: None };
        vec![
            place(number.clone(), Value::Number(Number::AtMost(MAX_AMOUNT), Unit::Money)),
            place(number.clone(), Value::Number(Number::Unlimited, Unit::Tokens)),
            Set::Place {
                target: own,
                value: Value::Number(Number::AtMost(0), Unit::Hits),
                until: Some(Timestamp(1_795_262_400_000_001)),
            },
            place(tier, Value::Tier("pro".into())),
            place(price, Value::Price(prices.into_iter().collect())),
            Set::Remove { target: number },
        ]
    }

    #[test]
    fn what_is_set_is_read_as_it_was_written() {
        for set in sets() {
            let line = to_json(&set).to_string();
            assert_eq!(of_json(&serde_json::from_str(&line).unwrap()), Some(set), "{line}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_not_guessed_at() {
        let good = to_json(&sets()[2]);
        for (name, bad) in [
            ("set", json!("colour")),
            ("domain", json!(7)),
            ("subject", json!({})),
            ("subject", json!({"user": "ab"})),
            ("subject", json!({"user": "ab".repeat(16), "kit": "ab".repeat(16)})),
            ("to", json!(-2)),
            ("to", json!(0.5)),
            ("to", json!(MAX_AMOUNT + 1)),
            ("to", json!("pro")),
            ("unit", json!("stars")),
            ("unit", json!(null)),
            ("until", json!("soon")),
        ] {
            let mut json = good.clone();
            json[name] = bad;
            assert_eq!(of_json(&json), None, "{json}");
        }
        let mut json = good;
        json.as_object_mut().unwrap().remove("to");
        assert_eq!(of_json(&json), None);
    }
}
