//! One `rate_limit`: how much, over which window, by which algorithm.

use super::WrittenLimit;
use super::value::{Values, quoted};
use crate::clock::Micros;
use crate::config::diagnostic::{Position, Report, nearest};
use crate::config::yaml::Node;
use crate::limits::{Debt, Number, Window, WireUnit};

/// The longest window, in seconds: ten years of 365 days.
const LONGEST: u64 = 10 * WireUnit::Year.seconds();

/// Reads one limit; `None` where it is not whole.
pub(super) fn read(node: &Node, report: &mut Report) -> Option<WrittenLimit> {
    if node.as_map().is_none() {
        report.error(
            node.at,
            format!("'rate_limit' is {}", node.describe()),
            "write {unit: hour, requests_per_unit: 10}",
        );
        return None;
    }
    let values = Values::of(node);
    let name = values.text("name", report);
    let replaces = replaces(values, name, report);
    let limit = if values.flag("unlimited", report) {
        unlimited(values, node.at, report)
    } else {
        counted(values, node.at, report)
    };
    let (number, window, unit, multiplier) = limit?;
    Some(WrittenLimit { name: name.into(), number, window, unit, multiplier, replaces })
}

type Counted = (Number, Window, WireUnit, u32);

fn unlimited(values: Values<'_>, at: Position, report: &mut Report) -> Option<Counted> {
    let unit = values.text("unit", report);
    if unit_named(unit).is_some() {
        let at = values.at("unit").unwrap_or(at);
        report.error(at, "'unit' stands beside 'unlimited'", "remove 'unit', or 'unlimited'");
        return None;
    }
    let requests = values.number("requests_per_unit", 0, report);
    for (name, is_set) in [
        ("unit", !unit.is_empty()),
        ("requests_per_unit", requests.is_some_and(|number| number > 0)),
        ("algorithm", values.get("algorithm").is_some()),
        ("unit_multiplier", values.get("unit_multiplier").is_some()),
    ] {
        if is_set {
            let at = values.at(name).unwrap_or(at);
            report.warning(at, format!("'{name}' has no effect beside 'unlimited'"), "remove it");
        }
    }
    Some((Number::Unlimited, Window::Request, WireUnit::Unknown, 1))
}

fn counted(values: Values<'_>, at: Position, report: &mut Report) -> Option<Counted> {
    let unit = unit(values, at, report);
    let written = values.get("requests_per_unit");
    let number = values.number("requests_per_unit", 0, report);
    if written.is_none() {
        let message = "'requests_per_unit' is missing, so everything is refused";
        report.warning(at, message, "write 'requests_per_unit: N'; 0 if everything is to be refused");
    }
    let number = u64::from(number.or(written.is_none().then_some(0))?);
    let multiplier =
        values.get("unit_multiplier").map_or(Some(1), |_| values.number("unit_multiplier", 1, report));
    let algorithm = algorithm(values, report);
    let (unit, multiplier) = (unit?, multiplier?);
    let seconds = unit.seconds() * u64::from(multiplier);
    if seconds > LONGEST {
        let at = values.at("unit_multiplier").unwrap_or(at);
        report.error(at, format!("the window is {seconds} s long"), "write one of at most ten years");
        return None;
    }
    let length = Micros::from_secs(seconds);
    let window = match algorithm? {
        Algorithm::FixedWindow => Window::Fixed { length, debt: Debt::Forgiven },
        Algorithm::SlidingWindow => Window::Sliding { length },
        Algorithm::TokenBucket => Window::TokenBucket { length, burst: number },
    };
    Some((Number::AtMost(number), window, unit, multiplier))
}

/// The unit of time of a limit that is not unlimited.
fn unit(values: Values<'_>, at: Position, report: &mut Report) -> Option<WireUnit> {
    let written = values.text("unit", report);
    let unit = unit_named(written);
    if unit.is_none() && values.get("unit").is_none_or(|node| node.as_text().is_some()) {
        let (at, message) = match values.get("unit") {
            Some(node) => (node.at, format!("{} is no unit of time", quoted(written))),
            None => (at, "the limit has no unit".to_owned()),
        };
        let units = ["second", "minute", "hour", "day", "week", "month", "year"];
        let fix = nearest(written, units).map_or_else(
            || format!("write 'unit:' with one of {}", units.join(", ")),
            |near| format!("did you mean '{near}'?"),
        );
        report.error(at, message, fix);
    }
    unit
}

fn unit_named(text: &str) -> Option<WireUnit> {
    let text = text.to_uppercase();
    WireUnit::ALL.into_iter().find(|unit| unit.name() == text)
}

/// How a window forgets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    FixedWindow,
    SlidingWindow,
    TokenBucket,
}

fn algorithm(values: Values<'_>, report: &mut Report) -> Option<Algorithm> {
    match values.text("algorithm", report) {
        "" => values.get("algorithm").is_none().then_some(Algorithm::FixedWindow),
        "fixed_window" => Some(Algorithm::FixedWindow),
        "sliding_window" => Some(Algorithm::SlidingWindow),
        "token_bucket" => Some(Algorithm::TokenBucket),
        other => {
            let at = values.get("algorithm").map_or(Position::FILE, |node| node.at);
            let fix = "write fixed_window, sliding_window or token_bucket";
            report.error(at, format!("{} is no algorithm", quoted(other)), fix);
            None
        }
    }
}

/// The names that the limit called `own` replaces.
fn replaces(values: Values<'_>, own: &str, report: &mut Report) -> Vec<(Box<str>, Position)> {
    let mut names = Vec::new();
    for node in values.mappings("replaces", report) {
        let entry = Values::of(node);
        let name = entry.text("name", report);
        let at = entry.get("name").map_or(node.at, |value| value.at);
        if name.is_empty() {
            report.error(at, "an item of 'replaces' has no name", "write '- name: NAME'");
        } else if name == own {
            report.error(at, format!("the limit {} replaces itself", quoted(own)), "remove the item");
        } else {
            names.push((name.into(), at));
        }
    }
    names
}
