//! What is written down of usage: what a settle tells, and what a refused call asked for.

use crate::clock::Timestamp;
use crate::engine::usage::Object;
use crate::limits::CounterKey;
use crate::prices::{Class, PriceTable};
use crate::store::Report;

use super::amounts::cost;
use super::request::Usage;

/// What a settle tells of usage.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Told {
    about: Vec<u8>,
    line: Vec<u8>,
    classes: [u64; Class::ALL.len()],
}

impl Told {
    /// That of the reservation `name` so much was `used` in all, model by model, by the prices of `at`; nothing, if nobody
    /// knows. `about` says whose it is if nothing was reserved.
    pub(in crate::engine) fn of(
        name: CounterKey,
        used: &[Usage<'_>],
        prices: &PriceTable,
        at: Timestamp,
        about: Vec<u8>,
    ) -> Self {
        let mut line = Object::new();
        line.hash("hold", name.id);
        match used {
            [] => line.flag("unknown"),
            [used] => priced(&mut line, used, prices, at),
            several => line.objects("models", several.iter().map(|used| one_of_several(used, prices, at))),
        }
        let classes = Class::ALL.map(|class| used.iter().map(|used| used.tokens.of(class)).sum());
        Self { about, line: line.finish(), classes }
    }

    /// As the store takes it.
    pub(in crate::engine) fn report(&self) -> Report<'_> {
        Report { about: &self.about, line: &self.line, classes: &self.classes }
    }
}

/// What a refused call asked for: the estimate, by class and in money.
pub(in crate::engine) fn asked(line: &mut Object, estimate: &Usage<'_>, prices: &PriceTable, at: Timestamp) {
    let (mut asked, mut classes) = (Object::new(), Object::new());
    estimate.tokens.counts().for_each(|(class, count)| classes.number(class.name(), count));
    asked.number("tokens", estimate.tokens.total());
    asked.object("classes", classes);
    if let Ok(nanos) = cost(estimate, prices, at) {
        asked.number("nano_usd", nanos);
    }
    line.object("asked", asked);
    priced(line, estimate, prices, at);
}

/// What was used of one model, beside others.
fn one_of_several(used: &Usage<'_>, prices: &PriceTable, at: Timestamp) -> Object {
    let mut one = Object::new();
    priced(&mut one, used, prices, at);
    one.number("tokens", used.tokens.total());
    one
}

/// The model as the caller names it and as it is priced, and by which version of its prices; or that the caller priced it.
fn priced(line: &mut Object, usage: &Usage<'_>, prices: &PriceTable, at: Timestamp) {
    if !usage.model.is_empty() {
        line.text("named", &String::from_utf8_lossy(usage.model));
    }
    if usage.usd.is_some() {
        line.flag("own_price");
        return;
    }
    match prices.cost(usage.model, &usage.tokens, at) {
        Ok(cost) => {
            if let Some(entry) = cost.entry {
                line.text("model", entry.model);
                line.number("price_version", entry.version);
            }
            if cost.at_highest {
                line.flag("at_highest_price");
            }
        }
        Err(_) => line.flag("unpriced"),
    }
}
