//! The beginning of a call: what it may use is held, beside all that it charges at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::{Micros, Timestamp};
use crate::engine::Engine;
use crate::engine::decision::{Code, Decision};
use crate::engine::hold::{
    Amounts, Handle, Kept, Partial, Seal, Terms, Unknown, Usage, asked as tell_asked, keep, take,
};
use crate::engine::insist::{Closing, Insistence};
use crate::engine::native::plan::Plan;
use crate::engine::native::spent::{all_spent, expenses};
use crate::engine::native::{Asked as Ask, about, answer as answers, charge, op, refused};
use crate::engine::request::CheckRequest;
use crate::engine::usage::Object;
use crate::limits::{Limit, Metadata, NativeDomain, RuleSet};
use crate::store::{Answer, FreedBy, Hold, Life, Reserved, Store, StoreError};

use super::follow;
use super::role::{Asked, Role};

/// How long a call holds what no limit says more about: nobody can renew it.
const MAX_AGE: Micros = Micros::from_secs(3600);
/// A reservation of this kind is never asked for twice under its name.
const BODY: u64 = 0;
/// The name under which Envoy finds the hold.
const HOLD: &str = "hold";

/// Decides what is asked for, by all descriptors that tell of no end.
pub(super) async fn begin<S: Store>(
    engine: &Arc<Engine<S>>,
    rules: &RuleSet,
    domain: &NativeDomain,
    request: &CheckRequest<'_>,
    roles: &[Role<'_>],
) -> Decision {
    let mut plan = plan(engine, rules, domain, request, roles);
    let asked = |place: usize, line: &mut Object| {
        if let Role::Begins { asked, model } = roles[place] {
            let usage = usage(engine, rules, domain, (request, place), (asked, model));
            tell_asked(line, &usage, &rules.prices, engine.store.now());
        }
    };
    let holds = plan.charges.iter().any(|charge| charge.freed_by == FreedBy::Holders);
    let Some((first, model)) = first_begun(roles).filter(|_| holds) else {
        let mut answer = charge(engine, domain, request, &plan).await;
        return conclude(engine, domain, request, &mut plan, &mut answer, asked).await;
    };
    let (life, name) = (life(&plan), engine.names.fresh(&plan));
    let giving_back = Insistence::on(engine, Closing::release(name, life.keep));
    let model = rules.prices.model(model);
    let about = about(domain, &request.descriptors[first], engine.store.key_secret(), model);
    plan.write_memos(domain, model);
    let spent = all_spent(engine, domain, request, &plan);
    let expenses = &expenses(&spent)[..];
    let terms = Terms { name, body: BODY, units: None, life, about: &about, expenses };
    let Reserved { mut answer, hold } = take(engine, &plan, terms).await;
    let mut decision = conclude(engine, domain, request, &mut plan, &mut answer, asked).await;
    let Some(began) = began(engine, hold) else {
        if answer.degraded.as_ref().is_none_or(StoreError::is_definite) {
            giving_back.done();
        }
        return decision;
    };
    let seal = Seal::of(engine.store.key_secret(), domain.name.as_bytes(), name);
    hand_out(&mut decision, Handle { name, began, kept: Kept::Record, unknown: Unknown::at(&plan), seal });
    decision.unclaimed = Some(giving_back.unless_claimed());
    decision
}

/// Has `decision` tell Envoy what is held.
fn hand_out(decision: &mut Decision, handle: Handle) {
    let text = Metadata::Text(handle.to_string().into());
    decision.metadata.get_or_insert_with(BTreeMap::new).insert(HOLD.into(), text);
}

/// The place of the first descriptor that tells of a beginning, and the model that it names.
fn first_begun<'r>(roles: &[Role<'r>]) -> Option<(usize, &'r [u8])> {
    roles.iter().enumerate().find_map(|(place, role)| match role {
        Role::Begins { model, .. } => Some((place, *model)),
        Role::None | Role::Ends { .. } => None,
    })
}

/// When it began, if something is or may be held for it.
fn began<S: Store>(engine: &Engine<S>, hold: Hold) -> Option<Timestamp> {
    match hold {
        Hold::Taken(grant) | Hold::Replayed(grant) => Some(grant.began),
        // The store may come to it yet, or has to be told what was used without it.
        Hold::Unheld => Some(engine.store.now()),
        Hold::Refused | Hold::Conflict => None,
    }
}

/// What the call charges and holds; nothing for descriptors that tell of an end.
fn plan<'a, S: Store>(
    engine: &'a Engine<S>,
    rules: &RuleSet,
    domain: &'a NativeDomain,
    request: &CheckRequest<'_>,
    roles: &[Role<'_>],
) -> Plan<'a> {
    let mut plan = Plan::new(engine);
    for (place, (descriptor, role)) in request.descriptors.iter().zip(roles).enumerate() {
        let hits = request.hits_of(descriptor);
        match role {
            Role::Ends { .. } => plan.skip(),
            Role::None => plan.add(domain, descriptor, |limit, number, reached| {
                op(limit, number, reached, descriptor.direction, hits).map(Ask::Op)
            }),
            Role::Begins { asked, model } => {
                let usage = usage(engine, rules, domain, (request, place), (*asked, *model));
                let amounts = Amounts::of(&usage, Partial::Refused, &rules.prices, engine.store.now());
                plan.add(domain, descriptor, |limit, number, reached| amounts.ask(limit, number, reached));
            }
        }
    }
    plan.enforce(engine.settings.enforcement);
    plan
}

/// What the descriptor at `place` has `asked` for, of `model`.
fn usage<'m, S: Store>(
    engine: &Engine<S>,
    rules: &RuleSet,
    domain: &NativeDomain,
    (request, place): (&CheckRequest<'_>, usize),
    (asked, model): (Asked, &'m [u8]),
) -> Usage<'m> {
    let descriptor = &request.descriptors[place];
    let hits = request.hits_of(descriptor);
    let expected = || Usage::expected(engine, (model, hits), (domain, descriptor), &rules.prices);
    asked.usage(model, hits, expected)
}

/// The strictest of the limits says how long. No lease does: nobody could renew it.
fn life(plan: &Plan<'_>) -> Life {
    let max_age = plan.limits().filter_map(Limit::longest_hold).min().unwrap_or(MAX_AGE);
    let ttl = plan.limits().filter_map(|limit| limit.max_ttl).fold(max_age, Micros::min);
    Life { ttl, max_age, keep: keep(ttl) }
}

/// Counts what came of the call, and does what follows. `asked` adds what a refused descriptor asked for.
async fn conclude<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    request: &CheckRequest<'_>,
    plan: &mut Plan<'_>,
    answer: &mut Answer,
    asked: impl FnOnce(usize, &mut Object),
) -> Decision {
    let reached = plan.stop(domain, answer);
    let Answer { at, ref outcomes, .. } = *answer;
    let decision = answers::decide(domain, engine.settings.enforcement, plan, answer);
    plan.settled(outcomes).for_each(|each| each.tally(decision.code, |each| each.room(plan), answer));
    if decision.code == Code::OverLimit {
        refused::write_down(engine, domain, request, plan, answer, asked);
    }
    follow(engine, domain, plan, decision.code, (at, outcomes), &reached).await;
    decision
}
