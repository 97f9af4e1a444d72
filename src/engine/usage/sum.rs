//! What was spent and refused in calendar periods, domain by domain.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::calendar::{self, Calendar, Period};
use crate::money::NanoUsd;
use crate::prices::Class;

use super::event::Event;

/// Sums of events that are added one by one.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    period: Period,
    /// By when it begins, and the domain.
    sums: BTreeMap<(u64, String), Sum>,
}

#[derive(Clone, Debug)]
struct Sum {
    period: String,
    ends: u64,
    settles: u64,
    refusals: u64,
    tokens: u64,
    money: u64,
    classes: [u64; Class::ALL.len()],
}

impl Sums {
    /// Of nothing yet, by `period`.
    pub(super) fn of(period: Period) -> Self {
        Self { period, sums: BTreeMap::new() }
    }

    /// Adds `event`, of a domain whose days begin in `zone`.
    pub(super) fn add(&mut self, event: &Event, zone: &str) {
        let Ok(calendar) = Calendar::new(self.period, zone, 1) else { return };
        let [begins, ends] = calendar.period_of(event.at);
        let fresh = || Sum {
            period: calendar.name_of(event.at),
            ends: ends.0,
            settles: 0,
            refusals: 0,
            tokens: 0,
            money: 0,
            classes: [0; Class::ALL.len()],
        };
        let sum = self.sums.entry((begins.0, event.domain().to_owned())).or_insert_with(fresh);
        let Some(spending) = &event.spending else {
            sum.refusals += 1;
            return;
        };
        sum.settles += 1;
        sum.tokens = sum.tokens.saturating_add(spending.tokens);
        sum.money = sum.money.saturating_add(spending.money);
        for (sum, grown) in sum.classes.iter_mut().zip(&spending.classes) {
            *sum = sum.saturating_add(*grown);
        }
    }

    /// As JSON, one line each, the oldest first.
    pub(super) fn to_lines(&self) -> String {
        self.sums.iter().map(|((begins, domain), sum)| sum.to_line(*begins, domain)).collect()
    }
}

impl Sum {
    fn to_line(&self, begins: u64, domain: &str) -> String {
        let counts = Class::ALL.into_iter().zip(self.classes).filter(|(_, count)| *count > 0);
        let classes: Map<String, Value> =
            counts.map(|(class, count)| (class.name().to_owned(), count.into())).collect();
        let [from, to] = [begins, self.ends].map(|at| calendar::in_utc(crate::clock::Timestamp(at)));
        let line = json!({
            "period": self.period,
            "from": from,
            "to": to,
            "domain": domain,
            "settles": self.settles,
            "refusals": self.refusals,
            "tokens": self.tokens,
            "classes": classes,
            "nano_usd": self.money,
            "usd": NanoUsd(self.money).to_decimal(),
        });
        format!("{line}\n")
    }
}
