//! Sets what the tokens of a model cost from an instant on. What was charged before stays charged.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value as Json, json};

use crate::audit::{Action, Actor, Event, Set};
use crate::calendar::in_utc;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::limits::{Number, Overlay, RuleSet, Target, Unit, Value};
use crate::nearest::nearest;
use crate::prices::{Class, MOST_NAME_BYTES, PerMillion, Version};
use crate::store::Store;

use super::change::suspicion;
use super::error::{Near, OperateError, check_reason, dollars_of};
use super::plain::{has_unseen, is_plain};
use super::record::{Deed, record};
use super::set_number::head;
use super::update::{Caution, PriceChanged, SetPrice};

pub(super) async fn set_price<S: Store>(
    engine: &Engine<S>,
    actor: &Actor,
    request: &SetPrice<'_>,
) -> Result<PriceChanged, OperateError> {
    check_reason(request.terms.reason)?;
    let now = engine.store.now();
    let from = request.from.unwrap_or(now);
    if from < now && !request.usd.is_empty() {
        return Err(OperateError::FromPast);
    }
    let head = head(engine, &request.terms).await?;
    let (files, to, told) = (engine.limits.files(), prices(request)?, Mutex::new(None));
    let version = record(engine, |overlay: &Overlay| {
        // No price depends on what is set of subjects.
        let overlay = &overlay.about(&[]);
        let pricing = Pricing { request, from, to, files: &files, overlay, now };
        let (changed, event) = pricing.judge(actor, head)?;
        *told.lock() = Some(changed);
        Ok(event)
    });
    let version = version.await?;
    let told = told.into_inner().expect("it was judged before it was recorded");
    Ok(PriceChanged { version, ..told })
}

/// A change at the place of its record.
struct Pricing<'a> {
    request: &'a SetPrice<'a>,
    from: Timestamp,
    /// `None` if a price is to be taken back.
    to: Option<PerMillion>,
    files: &'a Arc<RuleSet>,
    overlay: &'a Overlay,
    now: Timestamp,
}

impl Pricing<'_> {
    /// What comes of it, and what is recorded; or why it is not to be.
    fn judge(&self, actor: &Actor, head: u64) -> Result<(PriceChanged, Event), OperateError> {
        let (request, from, overlay) = (self.request, self.from, self.overlay);
        let rules = self.files.under(overlay, self.now);
        let model = model(&rules, request)?;
        let target = Target::Price { model: model.clone(), from };
        let known = overlay.version_of_prices(&model).unwrap_or_default();
        request.terms.check_version(known, overlay.last_change(&target), head)?;
        if self.to.is_none() && overlay.get(&target).is_none() {
            return Err(OperateError::NoSuchPrice { model: model.into(), from: in_utc(from) });
        }
        let before = version_at(&rules, &model, from);
        let after = self.to.or_else(|| self.without(&target, &model));
        self.check_steps(&model, before)?;
        let before = before.map(|version| version.prices);
        check_size(request, &model, before, after)?;
        let (action, reason) = (Action::SetPrice, request.terms.reason);
        let of = json!({"model": &*model, "from": in_utc(from)});
        let deed = Deed { actor, action, domain: None, target: of, reason };
        let event = deed.event(price_json(before), price_json(after));
        let set = match self.to {
            Some(prices) => Set::Place { target, value: Value::Price(prices), until: None },
            None => Set::Remove { target },
        };
        let changed = PriceChanged { model, from, before, after, version: 0 };
        Ok((changed, Event { sets: vec![set], ..event }))
    }

    /// What `model` costs once `target` is taken back.
    fn without(&self, target: &Target, model: &str) -> Option<PerMillion> {
        let mut over = self.overlay.clone();
        over.remove(target, self.overlay.version());
        version_at(&self.files.under(&over, self.now), model, self.from).map(|version| version.prices)
    }

    /// Whether prices of calls with much input go, which only a file can say, without somebody having thought twice.
    fn check_steps(&self, model: &str, before: Option<&Version>) -> Result<(), OperateError> {
        let step = before.and_then(|version| version.steps.first());
        match (self.request.terms.caution, self.to, step) {
            (Caution::Kept, Some(_), Some(step)) => {
                Err(OperateError::DropsSteps { model: model.to_owned(), above: step.above })
            }
            _ => Ok(()),
        }
    }
}

/// What is asked for; `None` if a price is to be taken back.
fn prices(request: &SetPrice<'_>) -> Result<Option<PerMillion>, OperateError> {
    let price = |(class, usd): &(&[u8], &[u8])| {
        let names = Class::ALL.into_iter().map(Class::name);
        let class = Class::named(class).ok_or_else(|| OperateError::UnknownClass(Near::of(class, names)))?;
        let price =
            dollars_of(usd).map_err(|wrong| OperateError::ClassPrice { class: class.name(), wrong })?;
        Ok((class, price))
    };
    let all = request.usd.iter().map(price).collect::<Result<PerMillion, OperateError>>()?;
    Ok((!request.usd.is_empty()).then_some(all))
}

/// The name of the model that is meant: its own, if it has prices already. What calls are read as where a name has no prices,
/// such as a snapshot as its model, is not what is changed.
fn model(rules: &RuleSet, request: &SetPrice<'_>) -> Result<Box<str>, OperateError> {
    if let Some(model) = rules.prices.exactly(request.model) {
        return Ok(model.name.clone());
    }
    let name = std::str::from_utf8(request.model).ok();
    let is_name = |name: &str| !name.is_empty() && name.trim() == name && name.len() <= MOST_NAME_BYTES;
    let name = name.filter(|name| is_name(name) && is_plain(name) && !has_unseen(name));
    let name = name.ok_or(OperateError::ModelName(MOST_NAME_BYTES))?;
    match request.terms.caution {
        Caution::Forced => Ok(name.into()),
        Caution::Kept => {
            let known = rules.prices.models().iter().map(|model| &*model.name);
            let read_as = rules.prices.model(request.model).map(|model| &*model.name);
            let near = read_as.or_else(|| nearest(name, known));
            let near = near.map_or(String::new(), |near| format!("did you mean '{near}'? "));
            Err(OperateError::NewModel { model: name.to_owned(), near })
        }
    }
}

/// The prices that calls which name `model` are charged at `at`.
fn version_at<'r>(rules: &'r RuleSet, model: &str, at: Timestamp) -> Option<&'r Version> {
    rules.prices.model(model.as_bytes())?.at(at).map(|(_, version)| version)
}

/// Whether the prices may change so much, or a class of tokens may lose its price, without somebody having thought twice.
fn check_size(
    request: &SetPrice<'_>,
    model: &str,
    before: Option<PerMillion>,
    after: Option<PerMillion>,
) -> Result<(), OperateError> {
    let (Caution::Kept, Some(before)) = (request.terms.caution, before) else { return Ok(()) };
    for class in Class::ALL {
        let Some(was) = before.own(class) else { continue };
        let is = after.and_then(|after| after.own(class));
        let change = match is {
            None => Some("a class without a price"),
            Some(is) if is != was && is.0.min(was.0) == 0 => Some("a change to or from nothing"),
            Some(is) => suspicion(Number::AtMost(was.0), Number::AtMost(is.0)),
        };
        if let Some(change) = change {
            let in_words = |amount| format!("{} for {class} tokens of {model}", Unit::Money.in_words(amount));
            let after = is.map_or_else(|| "nothing".to_owned(), |is| Unit::Money.in_words(is.0));
            return Err(OperateError::NeedsForce { before: in_words(was.0), after, change });
        }
    }
    Ok(())
}

fn price_json(prices: Option<PerMillion>) -> Json {
    let Some(prices) = prices else { return Json::Null };
    let named = Class::ALL.into_iter().filter_map(|class| Some((class, prices.own(class)?)));
    Json::Object(named.map(|(class, price)| (class.name().to_owned(), price.to_decimal().into())).collect())
}
