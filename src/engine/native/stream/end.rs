//! The end of a call: what it used is charged, and what it held is let go.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::algorithm::Op;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::engine::decision::{Code, Decision};
use crate::engine::hold::{
    Handle, KEPT_SETTLED, Ruling, Told as Report, keep_after_the_fact, of_usage, standings, tell as tell_of,
};
use crate::engine::insist::{Closing, Insistence, Owed};
use crate::engine::native::plan::Plan;
use crate::engine::native::{Asked, about};
use crate::engine::odd::Odd;
use crate::engine::request::CheckRequest;
use crate::limits::{CounterKey, Limit, NativeDomain, RuleSet, Unit};
use crate::store::{Spent, Store, Then};

use super::bill::Bill;
use super::role::Role;

/// Which of the call's descriptors.
type Places = SmallVec<[usize; 4]>;

/// Descriptors that tell of the same end.
struct Ending<'a> {
    /// What they settle; `None`, if nothing was held.
    hold: Option<Handle>,
    /// Under which what was not held is charged only once; may be empty.
    key: &'a [u8],
    places: Places,
}

/// Settles all that the call tells the end of. The places of descriptors that brought a limit over its number.
pub(super) async fn end<'a, S: Store>(
    engine: &'a Arc<Engine<S>>,
    rules: &'a RuleSet,
    domain: &'a NativeDomain,
    request: &'a CheckRequest<'_>,
    roles: &'a [Role<'a>],
) -> Places {
    let mut over = Places::new();
    for Ending { hold, key, places } in endings(roles) {
        let told = |places| Told { engine, rules, domain, request, roles, places };
        if let Some(hold) = hold {
            over.extend(told(places).settle(hold).await);
            continue;
        }
        for places in told(places).apart() {
            over.extend(told(places).charge(key).await);
        }
    }
    over
}

/// Says of the descriptors at these places that they are over.
pub(super) fn tell(decision: &mut Decision, over: &[usize]) {
    for place in over {
        decision.statuses[*place].code = Code::OverLimit;
        decision.code = Code::OverLimit;
    }
}

/// What `roles` tell the end of, each once. An end of nothing that tells nothing is none.
fn endings<'a>(roles: &[Role<'a>]) -> SmallVec<[Ending<'a>; 2]> {
    let mut endings: SmallVec<[Ending<'a>; 2]> = SmallVec::new();
    for (place, role) in roles.iter().enumerate() {
        let Role::Ends { hold, told, key, .. } = *role else { continue };
        if hold.is_none() && told.is_none() {
            continue;
        }
        let same = |ending: &&mut Ending<'_>| ending.hold == hold && (hold.is_some() || ending.key == key);
        match endings.iter_mut().find(same) {
            Some(ending) => ending.places.push(place),
            None => endings.push(Ending { hold, key, places: Places::from_slice(&[place]) }),
        }
    }
    endings
}

/// What some descriptors of a call tell.
struct Told<'a, 'r, S> {
    engine: &'a Arc<Engine<S>>,
    rules: &'a RuleSet,
    domain: &'a NativeDomain,
    request: &'a CheckRequest<'r>,
    roles: &'a [Role<'a>],
    places: Places,
}

impl<'a, S: Store> Told<'a, '_, S> {
    /// Settles `hold`. The places, if that brought a limit over its number.
    async fn settle(&self, hold: Handle) -> Places {
        let Handle { name, began, unknown, .. } = hold;
        let bill = self.bill();
        let spent = bill.as_ref().map_or_else(|| unknown.spent(), |bill| self.spent(bill, began));
        let otherwise = bill.as_ref().map_or_else(Vec::new, |_| Owed::of(&self.plan().charges));
        let told = self.report(name, bill.as_ref(), began, self.about());
        let (then, keep) = (Then::Done, KEPT_SETTLED);
        let priced = bill.map(|bill| (bill, began));
        self.close(Closing { name, spent, then, keep, told: Some(told), priced, otherwise }).await
    }

    /// Charges what nobody has held, once under `key`, if there is one. The places, if that brought a limit over its
    /// number.
    async fn charge(&self, key: &[u8]) -> Places {
        let (engine, plan, about, now) = (self.engine, self.plan(), self.about(), self.engine.store.now());
        let bill = self.bill().unwrap_or_default();
        let otherwise = Owed::of(&plan.charges);
        if otherwise.is_empty() {
            return Places::new();
        }
        let name = match key {
            b"" => engine.names.fresh(&plan),
            key => of_usage(engine.store.key_secret(), &about, key, &plan),
        };
        let (spent, keep) = (self.spent(&bill, now), keep_after_the_fact(key));
        let told = Some(self.report(name, Some(&bill), now, about));
        let (then, priced) = (Then::Done, Some((bill, now)));
        self.close(Closing { name, spent, then, keep, told, priced, otherwise }).await
    }

    /// Makes the settle `closing`, and does what follows.
    async fn close(&self, closing: Closing) -> Places {
        let Self { engine, rules, .. } = self;
        let insistence = Insistence::on(engine, closing);
        let settled = match insistence.settle().await {
            Ok(settled) => settled,
            Err(error) => {
                tracing::debug!(%error, "a settle is asked for again");
                return Places::new();
            }
        };
        insistence.heard(rules, &settled);
        tell_of(engine, rules, &settled).await;
        insistence.done();
        match Ruling::of(&standings(rules, &settled, engine.settings.enforcement)) {
            Ruling::Deny => self.places.clone(),
            Ruling::Allow | Ruling::ShadowDeny => Places::new(),
        }
    }

    /// The places, apart by what they charge and whose that is: what is told of one is charged to no other.
    fn apart(&self) -> Vec<Places> {
        let (mut apart, mut whose) = (Vec::<Places>::new(), Vec::new());
        for (place, charged) in self.places.iter().zip(self.plan().charged()) {
            let own = (charged, self.about_of(*place));
            match whose.iter().position(|known| *known == own) {
                Some(index) => apart[index].push(*place),
                None => {
                    apart.push(Places::from_slice(&[*place]));
                    whose.push(own);
                }
            }
        }
        apart
    }

    /// What the descriptors charge to limits of tokens and money; nothing yet.
    fn plan(&self) -> Plan<'a> {
        let nothing = Op::Take { room: 0, charge: 0 };
        let spends = |limit: &Limit| (limit.unit != Unit::Hits).then_some(Asked::Op(nothing));
        let mut plan = Plan::new(self.engine);
        for place in &self.places {
            plan.add(self.domain, &self.request.descriptors[*place], |limit, _, _| spends(limit));
        }
        plan.write_memos(self.domain, None);
        plan
    }

    /// All that they tell; `None`, if that is only the end.
    fn bill(&self) -> Option<Bill> {
        let mut bill = None;
        for place in &self.places {
            let Role::Ends { told: Some(class), model, .. } = self.roles[*place] else { continue };
            let bill = bill.get_or_insert_with(Bill::default);
            let descriptor = &self.request.descriptors[*place];
            if descriptor.is_of_unknown_weight() {
                self.engine.oddities.note(Odd::Weight);
                bill.add_unknown(model, class);
            } else {
                bill.add(model, class, self.request.hits_of(descriptor));
            }
        }
        bill
    }

    /// What is due of `bill` by the prices of `at`.
    fn spent(&self, bill: &Bill, at: Timestamp) -> Spent {
        let cost = bill.cost(&self.rules.prices, at);
        if cost.unpriced.is_some() {
            self.engine.oddities.note(Odd::Model);
        }
        bill.spent(cost)
    }

    /// What is written down of `bill`.
    fn report(&self, name: CounterKey, bill: Option<&Bill>, at: Timestamp, about: Vec<u8>) -> Report {
        let usages = bill.map(Bill::usages).unwrap_or_default();
        Report::of(name, &usages, &self.rules.prices, at, about)
    }

    /// Whose usage it is and what for.
    fn about(&self) -> Vec<u8> {
        self.about_of(self.places[0])
    }

    fn about_of(&self, place: usize) -> Vec<u8> {
        about(self.domain, &self.request.descriptors[place], self.engine.store.key_secret(), None)
    }
}
