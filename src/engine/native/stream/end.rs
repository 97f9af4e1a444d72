//! The end of a call: what it used is charged, and what it held is let go.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::algorithm::Op;
use crate::clock::Timestamp;
use crate::engine::decision::{Code, Decision};
use crate::engine::hold::{Handle, KEPT_SETTLED, Ruling, Told as Report, standings, tell as tell_of};
use crate::engine::insist::{Closing, Insistence};
use crate::engine::native::plan::Plan;
use crate::engine::native::{Asked, about, charge};
use crate::engine::odd::Odd;
use crate::engine::request::CheckRequest;
use crate::engine::{Engine, unpriced};
use crate::limits::{CounterKey, Limit, NativeDomain, RuleSet, Unit};
use crate::prices::CostError;
use crate::store::{Before, Charge, Store, Then};

use super::bill::Bill;
use super::follow;
use super::role::Role;

/// Descriptors that tell of the same end.
struct Ending {
    /// What they settle; `None`, if nothing was held.
    hold: Option<Handle>,
    /// Which of the call's descriptors.
    places: SmallVec<[usize; 4]>,
}

/// Settles all that the call tells the end of. The places of descriptors that brought a limit over its number.
pub(super) async fn end<'a, S: Store>(
    engine: &'a Arc<Engine<S>>,
    rules: &'a RuleSet,
    domain: &'a NativeDomain,
    request: &'a CheckRequest<'_>,
    roles: &'a [Role<'a>],
) -> SmallVec<[usize; 4]> {
    let mut over = SmallVec::new();
    for ending in &endings(roles) {
        let told = Told { engine, rules, domain, request, roles, places: &ending.places };
        let is_over = match ending.hold {
            Some(hold) => told.settle(hold).await,
            None => told.charge().await,
        };
        if is_over {
            over.extend_from_slice(&ending.places);
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
fn endings(roles: &[Role<'_>]) -> SmallVec<[Ending; 2]> {
    let mut endings: SmallVec<[Ending; 2]> = SmallVec::new();
    for (place, role) in roles.iter().enumerate() {
        let Role::Ends { hold, told, .. } = role else { continue };
        if hold.is_none() && told.is_none() {
            continue;
        }
        match endings.iter_mut().find(|ending| ending.hold == *hold) {
            Some(ending) => ending.places.push(place),
            None => endings.push(Ending { hold: *hold, places: SmallVec::from_slice(&[place]) }),
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
    places: &'a [usize],
}

impl<'a, S: Store> Told<'a, '_, S> {
    /// Settles `hold`. Whether that brought a limit over its number.
    async fn settle(&self, hold: Handle) -> bool {
        let Self { engine, rules, .. } = self;
        let bill = self.bill();
        let spent = match &bill {
            None => hold.unknown.spent(),
            Some(bill) => bill.spent(self.price(bill, hold.began)),
        };
        let usage = bill.as_ref().map(Bill::usage);
        let first = &self.request.descriptors[self.places[0]];
        let about = about(self.domain, first, engine.store.key_secret());
        let told = Report::of(hold.name, usage.as_ref(), &rules.prices, hold.began, about);
        let (name, then, keep) = (hold.name, Then::Done, KEPT_SETTLED);
        let insistence = Insistence::on(engine, Closing { name, spent, then, keep, told: Some(told) });
        let plan = bill.is_some().then(|| self.plan());
        let otherwise: SmallVec<[Charge<'_>; 2]> = plan
            .iter()
            .flat_map(|plan| &plan.charges)
            .filter(|charge| charge.unit != Unit::Hits)
            .copied()
            .collect();
        let settled = match engine.store.settle(insistence.call(&otherwise)).await {
            Ok(settled) => settled,
            Err(error) => {
                tracing::debug!(%error, "a settle is asked for again");
                return false;
            }
        };
        tell_of(engine, self.domain, &settled).await;
        insistence.done();
        if let Some(bill) = &bill {
            self.tell_unpaid(bill, hold.began, hold.name, &settled.unpaid());
        }
        if let Some(bill) = bill.filter(|_| settled.before != Before::Settled) {
            bill.teach(&mut engine.estimates.lock());
        }
        Ruling::of(&standings(rules, &settled, engine.settings.enforcement)) == Ruling::Deny
    }

    /// Charges what nobody has held. Whether that brought a limit over its number.
    async fn charge(&self) -> bool {
        let mut plan = self.plan();
        let mut bills = vec![Bill::default(); plan.charges.len()];
        for (place, charged) in self.places.iter().zip(plan.charged()) {
            for index in charged {
                self.add(&mut bills[index], *place);
            }
        }
        let at = self.engine.store.now();
        for (charge, bill) in plan.charges.iter_mut().zip(&bills) {
            let due = match charge.unit {
                Unit::Tokens => bill.tokens(),
                Unit::Money => self.price(bill, at).unwrap_or(0),
                Unit::Hits => continue,
            };
            charge.op = Op::Take { room: 0, charge: due };
        }
        plan.unbind();
        let (at, outcomes) = charge(self.engine, &plan).await;
        follow(self.engine, self.domain, &plan, Code::Ok, (at, &outcomes)).await;
        if let Some(bill) = self.bill() {
            let unpaid = plan.charges.iter().zip(&bills).filter(|(charge, bill)| {
                charge.unit == Unit::Money && bill.cost(&self.rules.prices, at).is_err()
            });
            let unpaid: Vec<u128> = unpaid.map(|(charge, _)| charge.overflow).collect();
            self.tell_unpaid(&bill, at, self.engine.names.fresh(&plan), &unpaid);
            bill.teach(&mut self.engine.estimates.lock());
        }
        plan.settled(&outcomes).any(|each| each.refusal().is_some())
    }

    /// What the descriptors charge to limits of tokens and money; nothing yet.
    fn plan(&self) -> Plan<'a> {
        let nothing = Op::Take { room: 0, charge: 0 };
        let spends = |limit: &Limit| (limit.unit != Unit::Hits).then_some(Asked::Op(nothing));
        let mut plan = Plan::new(self.engine.store.key_secret());
        for place in self.places {
            plan.add(self.domain, &self.request.descriptors[*place], |limit, _, _| spends(limit));
        }
        plan
    }

    /// All that they tell; `None`, if that is only the end.
    fn bill(&self) -> Option<Bill<'a>> {
        let mut bill = None;
        for place in self.places {
            if matches!(self.roles[*place], Role::Ends { told: Some(_), .. }) {
                self.add(bill.get_or_insert_default(), *place);
            }
        }
        bill
    }

    /// Adds what the descriptor at `place` tells to `bill`.
    fn add(&self, bill: &mut Bill<'a>, place: usize) {
        if let Role::Ends { told: Some(class), model, .. } = self.roles[place] {
            bill.add(model, class, self.request.hits_of(&self.request.descriptors[place]));
        }
    }

    /// Tells that `bill`, of the reservation `name`, is not paid to limits of these identities, if it has no price at `at`.
    fn tell_unpaid(&self, bill: &Bill<'_>, at: Timestamp, name: CounterKey, unpaid: &[u128]) {
        let Self { engine, rules, domain, .. } = self;
        if unpaid.is_empty() || bill.cost(&rules.prices, at).is_ok() {
            return;
        }
        let first = &self.request.descriptors[self.places[0]];
        let about = about(domain, first, engine.store.key_secret());
        unpriced::write_down(engine, rules, engine.store.now(), unpaid, (&about, name, &bill.usage()));
    }

    /// What `bill` costs by the prices of `at`.
    fn price(&self, bill: &Bill<'_>, at: Timestamp) -> Result<u64, CostError> {
        bill.cost(&self.rules.prices, at).inspect_err(|_| self.engine.oddities.note(Odd::Model))
    }
}
