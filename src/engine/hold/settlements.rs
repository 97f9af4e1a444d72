//! What came of holds and what was used of models: counts, by names of the configuration and nothing else.
//!
//! They begin with the process and decide nothing. A call is counted once, when it has ended: until then what it uses is
//! told as a total that grows. A model that has no prices is `other`, since callers could make up names without end.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::clock::Timestamp;
use crate::engine::{Engine, memo};
use crate::limits::{CounterKey, RuleSet, Unit};
use crate::prices::{Class, PriceTable};
use crate::store::{Before, Part, Settle, Settled, Store, StoreError, Then};

use super::amounts::cost;
use super::heard::Heard;
use super::request::Usage;
use super::settled::domain_of;

/// What models without prices are counted as.
const OTHER: &str = "other";

/// How a hold came to its end, where somebody told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldEnd {
    /// What was used was charged in time.
    Settled,
    /// It was let go, and nothing was charged.
    Released,
    /// What was used was charged after it had lapsed.
    Late,
}

/// How many holds came to which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended([u64; HoldEnd::ALL.len()]);

/// What calls of one model have used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spending {
    tokens: [u64; Class::ALL.len()],
    /// What was paid for it.
    pub nanos: u128,
}

/// What was used, divided by what had been held for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ratios {
    /// As many as are no larger than each of [`Ratios::BOUNDS`], and not than the one before; last, those that are larger.
    pub counts: [u64; Ratios::BOUNDS.len() + 1],
    /// All of them together.
    pub sum: f64,
}

/// By two names, in their order.
type ByNames<T> = BTreeMap<Box<str>, BTreeMap<Box<str>, T>>;

/// All counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// By domain and limit.
    pub ended: ByNames<Ended>,
    /// By domain and model.
    pub spending: ByNames<Spending>,
    /// By model.
    pub ratios: BTreeMap<Box<str>, Ratios>,
}

/// All counts, for those who add to them.
#[derive(Debug, Default)]
pub(in crate::engine) struct Settlements(Mutex<Ledger>);

/// The counts, and what is in them.
#[derive(Debug, Default)]
struct Ledger {
    counts: Counts,
    heard: Heard,
}

impl HoldEnd {
    /// Every end.
    pub const ALL: [Self; 3] = [Self::Settled, Self::Released, Self::Late];

    /// As metrics write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Released => "released",
            Self::Late => "late",
        }
    }

    /// Of what was found so and goes on so; `None`, if nothing ended.
    fn of(before: Before, then: Then) -> Option<Self> {
        match (before, then) {
            (Before::Held, Then::Done) => Some(Self::Settled),
            (Before::Held, Then::Released) => Some(Self::Released),
            (Before::Late, Then::Done) => Some(Self::Late),
            _ => None,
        }
    }
}

impl Ended {
    /// How many came to `end`.
    pub const fn of(self, end: HoldEnd) -> u64 {
        self.0[end as usize]
    }
}

impl Spending {
    /// How many tokens, by class.
    pub fn tokens(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Class::ALL.iter().zip(self.tokens).map(|(class, count)| (class.name(), count))
    }
}

impl Ratios {
    /// Ratios up to which they are counted together.
    pub const BOUNDS: [f64; 11] = [0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 5.0];

    fn add(&mut self, ratio: f64) {
        let place = Self::BOUNDS.iter().position(|bound| ratio <= *bound).unwrap_or(Self::BOUNDS.len());
        self.counts[place] += 1;
        self.sum += ratio;
    }
}

impl Settlements {
    /// All counts, as they are now.
    pub(in crate::engine) fn counts(&self) -> Counts {
        self.0.lock().counts.clone()
    }
}

/// Has the store do `call`. What it has no answer to is counted when it is asked again, even if it is found to be done by
/// then.
pub(in crate::engine) async fn make<S: Store>(
    engine: &Engine<S>,
    call: Settle<'_>,
) -> Result<Settled, StoreError> {
    let (name, then) = (call.name, call.then);
    let settled = engine.store.settle(call).await;
    settled.inspect_err(|_| engine.settlements.0.lock().heard.lose(name, then, engine.store.now()))
}

/// Counts what the reservation `name` came to once `settled`, which goes on as `then` says, and what was `used` in all by the
/// prices of `at`; nothing if nobody told. What is told again is counted once. How the reservation was found, as counts see
/// it: what was done and not heard of is done now.
pub(in crate::engine) fn count<S: Store>(
    engine: &Engine<S>,
    rules: &RuleSet,
    (name, settled, then): (CounterKey, &Settled, Then),
    used: &[Usage<'_>],
    at: Timestamp,
) -> Before {
    let domain = domain_of(rules, settled);
    let Ledger { counts, heard } = &mut *engine.settlements.0.lock();
    let before = heard.found(name, then, settled.before, settled.at);
    let Some(domain) = domain else { return before };
    let is_over = then == Then::Done && !matches!(before, Before::Settled | Before::Unknown);
    if let Some(end) = HoldEnd::of(before, then) {
        let held = settled.parts.iter().filter(|part| part.granted > 0);
        for limit in held.filter_map(|part| domain.of_identity(part.limit)) {
            named(&mut counts.ended, &domain.name, &limit.name).0[end as usize] += 1;
        }
    }
    if is_over {
        counts.spend(&rules.prices, &domain.name, &settled.parts, used, at);
        if let (Some(usage), Some(ratio)) = (used.first(), ratio(&settled.parts)) {
            let model = model(&rules.prices, usage.model);
            counts.ratios.entry(model.into()).or_default().add(ratio);
        }
    }
    before
}

impl Counts {
    /// One call of `domain`, which has used so much and is paid for by `parts`. What nobody tells the model of, or has no price,
    /// is paid as that which was reserved for.
    fn spend(
        &mut self,
        prices: &PriceTable,
        domain: &str,
        parts: &[Part],
        used: &[Usage<'_>],
        at: Timestamp,
    ) {
        let money = parts.iter().filter(|part| part.unit == Unit::Money);
        let paid = money.map(|part| part.paid).max();
        let reserved = || memo::model(prices, parts).map_or(OTHER, |model| &model.name);
        for usage in used {
            let spending = named(&mut self.spending, domain, model(prices, usage.model));
            usage.tokens.counts().for_each(|(class, count)| spending.tokens[class as usize] += count);
            let cost = cost(usage, prices, at);
            // What several models cost is paid in one sum.
            let paid = paid.filter(|_| used.len() == 1).unwrap_or(cost.unwrap_or(0));
            let payer = match prices.model(usage.model) {
                Some(model) => &model.name,
                None if usage.model.is_empty() || cost.is_err() => reserved(),
                None => OTHER,
            };
            named(&mut self.spending, domain, payer).nanos += u128::from(paid);
        }
        if let (true, Some(paid)) = (used.is_empty(), paid) {
            named(&mut self.spending, domain, reserved()).nanos += u128::from(paid);
        }
    }
}

/// What was used of what was held: in tokens, else in money; `None` where nothing was held.
fn ratio(parts: &[Part]) -> Option<f64> {
    let held = |unit| parts.iter().find(|part| part.unit == unit && part.granted > 0);
    let part = held(Unit::Tokens).or_else(|| held(Unit::Money))?;
    Some(part.paid as f64 / part.granted as f64)
}

/// The name under which a model that callers name so is counted.
fn model<'p>(prices: &'p PriceTable, name: &[u8]) -> &'p str {
    prices.model(name).map_or(OTHER, |model| &model.name)
}

fn named<'m, T: Default>(counts: &'m mut ByNames<T>, first: &str, second: &str) -> &'m mut T {
    if !counts.get(first).is_some_and(|counts| counts.contains_key(second)) {
        counts.entry(first.into()).or_default().insert(second.into(), T::default());
    }
    counts.get_mut(first).and_then(|counts| counts.get_mut(second)).expect("it is there by now")
}
