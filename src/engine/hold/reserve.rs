//! Holding what a call will cost.

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::algorithm::Share;
use crate::clock::Micros;
use crate::engine::breaker::trip;
use crate::engine::decision::Code;
use crate::engine::insist::{Closing, Insistence};
use crate::engine::native::{Part, Plan, Settled, about, refused_by, sample};
use crate::engine::request::Descriptor;
use crate::engine::unclaimed::Unclaimed;
use crate::engine::usage::Object;
use crate::engine::{Enforcement, Engine, failure, watch};
use crate::limits::{CounterKey, NativeDomain, identity};
use crate::prices::{Class, PriceTable};
use crate::store::{Admission, Answer, Call, Expense, Grant, Hold, Life, Reserve, Reserved, Store};

use super::amounts::{Amounts, Granted};
use super::answer::{Done, LimitStanding, ReserveAnswer, Ruling};
use super::handle::{Handle, Kept, Seal};
use super::life::life;
use super::name::{self, Purpose};
use super::request::{self, Partial, ReserveRequest, Usage, UsageOf};
use super::unknown::Unknown;
use super::{ESTIMATE, HoldError, native, refuse_misnamed, told};

/// What is reserved, apart from the charges.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Terms<'a> {
    /// Under which name.
    pub(in crate::engine) name: CounterKey,
    /// A public hash of what is asked.
    pub(in crate::engine) body: u64,
    /// Of how many units what is flexible consists.
    pub(in crate::engine) units: Option<NonZeroU64>,
    /// How long it lives.
    pub(in crate::engine) life: Life,
    /// Whose it is and what for, as it is written down.
    pub(in crate::engine) about: &'a [u8],
    /// What is spent at once beside it.
    pub(in crate::engine) expenses: &'a [Expense<'a>],
}

impl Terms<'_> {
    /// As much of what is flexible as is enough.
    fn least(&self) -> Share {
        self.units.map_or(Share::WHOLE, |units| Share { granted: 1, of: units.get() })
    }
}

/// A request that makes sense.
struct Asked<'r, 'a> {
    request: &'r ReserveRequest<'a>,
    descriptor: Descriptor<'a>,
    /// As the caller wrote it.
    estimate: Usage<'a>,
    key: &'a [u8],
    ttl: Option<Micros>,
}

pub(super) async fn reserve<S: Store>(
    engine: &Arc<Engine<S>>,
    request: &ReserveRequest<'_>,
) -> Result<ReserveAnswer, HoldError> {
    let asked = Asked::read(request)?;
    let rules = engine.limits.in_force();
    let domain = native(&rules, request.subject.domain)?;
    refuse_misnamed(domain, &asked.descriptor)?;
    let now = engine.store.now();
    let usage = asked.usage(engine, domain, &rules.prices);
    let amounts = Amounts::of(&usage, request.partial, &rules.prices, now);
    let mut plan = plan(engine, domain, &asked.descriptor, &amounts);
    if plan.charges.is_empty() && !plan.is_refused() {
        return Ok(ReserveAnswer::untouched(request));
    }
    let model = rules.prices.model(usage.model);
    let about = about(domain, &asked.descriptor, engine.store.key_secret(), model);
    plan.write_memos(domain, model);
    let terms = asked.terms(engine, domain, &plan, amounts.units, &about);
    // Without a key nobody could ever settle what is held for a caller who has gone. With one it may be asked for again.
    let closing = || Closing::release(terms.name, terms.life.keep);
    let giving_back = asked.key.is_empty().then(|| Insistence::on(engine, closing()));
    let mut reserved = take(engine, &plan, terms).await;
    if reserved.hold == Hold::Conflict {
        return Err(HoldError::Conflict);
    }
    let reached = plan.stop(domain, &mut reserved.answer);
    if !matches!(reserved.hold, Hold::Replayed(_)) {
        if engine.sampler.takes_this() {
            let call = (&asked.descriptor, asked.estimate.hits);
            sample(engine, domain, std::iter::once(call), reserved.answer.at);
        }
        tell(engine, domain, &plan, &reserved, terms).await;
        trip(engine, domain, reserved.answer.at, &reached).await;
        write_down(engine, &plan, &reserved, terms, |line| told::asked(line, &usage, &rules.prices, now));
    }
    let answer = asked.answer(engine, &plan, &reserved, terms, &usage);
    Ok(ReserveAnswer { unclaimed: giving_back.and_then(|back| unclaimed(back, &reserved)), ..answer })
}

/// What is given back by `giving_back` if nobody is told of it; `None` if nothing is `reserved`. Where the store has no
/// answer it may hold all of it, or come to that yet: nobody could settle it, so it is given back at once.
fn unclaimed<S: Store>(giving_back: Insistence<S>, reserved: &Reserved) -> Option<Unclaimed> {
    match (reserved.hold, &reserved.answer.degraded) {
        (Hold::Taken(_) | Hold::Replayed(_), _) => return Some(giving_back.unless_claimed()),
        (_, Some(error)) if !error.is_definite() => drop(giving_back),
        _ => giving_back.done(),
    }
    None
}

impl<'r, 'a> Asked<'r, 'a> {
    fn read(request: &'r ReserveRequest<'a>) -> Result<Self, HoldError> {
        Ok(Self {
            request,
            descriptor: request.subject.descriptor()?,
            estimate: request.estimate.read(ESTIMATE)?,
            key: request::idempotency_key(request.idempotency_key)?,
            ttl: request::ttl(request.ttl)?,
        })
    }

    /// What is asked; where that is a model and nothing else, what such a call is expected to use.
    fn usage<S: Store>(&self, engine: &Engine<S>, domain: &NativeDomain, prices: &PriceTable) -> Usage<'a> {
        let UsageOf { model, tokens, usd, .. } = &self.request.estimate;
        if model.is_empty() || !tokens.is_empty() || !usd.is_empty() {
            return self.estimate;
        }
        Usage::expected(engine, (model, self.estimate.hits), (domain, &self.descriptor), prices)
    }

    fn terms<'t, S: Store>(
        &self,
        engine: &Engine<S>,
        domain: &NativeDomain,
        plan: &Plan<'_>,
        units: Option<NonZeroU64>,
        about: &'t [u8],
    ) -> Terms<'t> {
        let name = match self.key {
            b"" => engine.names.fresh(plan),
            key => {
                let secret = engine.store.key_secret();
                name::by_key(secret, Purpose::Reservation, &domain.name, &self.descriptor, key)
            }
        };
        let (body, life) = (body(self.request, &self.estimate), life(plan, self.ttl));
        Terms { name, body, units, life, about, expenses: &[] }
    }

    /// What is answered once it is `reserved` on `terms`, of which `usage` was asked.
    fn answer<S: Store>(
        &self,
        engine: &Engine<S>,
        plan: &Plan<'_>,
        reserved: &Reserved,
        terms: Terms<'_>,
        usage: &Usage<'_>,
    ) -> ReserveAnswer {
        let (grant, done) = match reserved.hold {
            Hold::Taken(grant) => (Some(grant), Done::Now),
            Hold::Replayed(grant) => (Some(grant), Done::Before),
            Hold::Refused | Hold::Unheld | Hold::Conflict => (None, Done::Now),
        };
        let standings = standings(plan, &reserved.answer, terms, done, engine.settings.enforcement);
        let whole = terms.units.map_or(1, NonZeroU64::get);
        let handle = |Grant { began, .. }| Handle {
            name: terms.name,
            began,
            kept: Kept::Record,
            unknown: Unknown::at(plan),
            seal: Seal::of(engine.store.key_secret(), self.request.subject.domain, terms.name),
        };
        // What was expected of the first call is not known any more: calls have taught since.
        let usage = if done == Done::Before { &self.estimate } else { usage };
        let granted = || Granted::of(usage, self.request.partial, grant.map_or(whole, |grant| grant.units));
        ReserveAnswer {
            ruling: Ruling::of(&standings),
            handle: grant.map(handle),
            granted: (reserved.hold != Hold::Refused).then(granted),
            standings,
            until: grant.map(|grant| grant.until),
            done,
            unclaimed: None,
        }
    }
}

/// Counts what came of a call, and tells of what it crossed.
async fn tell<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    plan: &Plan<'_>,
    reserved: &Reserved,
    terms: Terms<'_>,
) {
    let room = |settled: &Settled<'_>| asked_room(settled, plan, terms);
    let code = if reserved.hold == Hold::Refused { Code::OverLimit } else { Code::Ok };
    let outcomes = &reserved.answer.outcomes;
    plan.settled(outcomes).for_each(|each| each.tally(code, room, &reserved.answer));
    let crossings = watch::crossings(engine, plan.grown(code, outcomes));
    watch::raise(engine, domain, reserved.answer.at, &crossings).await;
}

impl ReserveAnswer {
    /// Where no limit is touched: nothing is to be settled.
    pub(super) fn untouched(request: &ReserveRequest<'_>) -> Self {
        let usage = request.estimate.read(ESTIMATE).ok();
        Self {
            ruling: Ruling::Allow,
            handle: Some(Handle::OF_NOTHING),
            granted: usage.map(|usage| Granted::of(&usage, Partial::Refused, 1)),
            standings: Vec::new(),
            until: None,
            done: Done::Now,
            unclaimed: None,
        }
    }
}

/// What a call of `amounts` charges to the limits of `descriptor`.
pub(super) fn plan<'a, S: Store>(
    engine: &'a Engine<S>,
    domain: &'a NativeDomain,
    descriptor: &Descriptor<'_>,
    amounts: &Amounts,
) -> Plan<'a> {
    let mut plan = Plan::new(engine);
    plan.add(domain, descriptor, |limit, number, reached| amounts.ask(limit, number, reached));
    plan.enforce(engine.settings.enforcement);
    plan
}

/// Charges and holds what `plan` says on `terms`. Where the call is refused whatever its counters say, they are only
/// looked at.
pub(in crate::engine) async fn take<S: Store>(
    engine: &Engine<S>,
    plan: &Plan<'_>,
    terms: Terms<'_>,
) -> Reserved {
    let Terms { name, body, units, life, about, expenses } = terms;
    if engine.settings.enforcement == Enforcement::Enforced && plan.is_refused() {
        let call = Call { charges: &plan.charges, admission: Admission::AllOrNone, expenses: &[] };
        return Reserved { answer: failure::ask(&engine.store, call).await, hold: Hold::Refused };
    }
    let call = Reserve { name, body, charges: &plan.charges, accepts_less: units, life, about, expenses };
    failure::reserve(&engine.store, call).await
}

/// Where every limit of `plan` stands, by the `answer` to its charges. One to a call that was done before says what there
/// is room for now, which is no ruling on that call.
fn standings(
    plan: &Plan<'_>,
    answer: &Answer,
    terms: Terms<'_>,
    done: Done,
    enforcement: Enforcement,
) -> Vec<LimitStanding> {
    let room = |settled: &Settled<'_>| asked_room(settled, plan, terms);
    let standing = |each: Settled<'_>| LimitStanding::of_asked(each, room(&each), answer, enforcement);
    let mut standings: Vec<_> = plan.settled(&answer.outcomes).map(standing).collect();
    if done == Done::Before {
        standings.iter_mut().for_each(LimitStanding::pass);
    }
    standings
}

/// The room without which a limit refuses.
fn asked_room(settled: &Settled<'_>, plan: &Plan<'_>, terms: Terms<'_>) -> Option<u64> {
    match settled.touch.part {
        Part::Charged(index) => plan.charges[index].op.granted(terms.least()).room(),
        Part::Unnamed | Part::Unpriced | Part::Looked(_) | Part::Stopped(_) => None,
    }
}

/// Writes down that limits of tokens or money refused a call, if any did.
fn write_down<S: Store>(
    engine: &Engine<S>,
    plan: &Plan<'_>,
    reserved: &Reserved,
    terms: Terms<'_>,
    asked: impl FnOnce(&mut Object),
) {
    let Answer { at, outcomes, .. } = &reserved.answer;
    let room = |settled: &Settled<'_>| asked_room(settled, plan, terms);
    let by = refused_by(plan.settled(outcomes), room, &reserved.answer);
    if reserved.hold == Hold::Refused && !by.is_empty() {
        let mut line = Object::new();
        line.objects("refused_by", by);
        asked(&mut line);
        engine.store.note_refusal(*at, terms.about, &line.finish());
    }
}

/// A public hash of what is asked, the subject and its key aside.
#[expect(clippy::cast_possible_truncation, reason = "half of a hash tells calls apart as well")]
fn body(request: &ReserveRequest<'_>, usage: &Usage<'_>) -> u64 {
    let number = |number: Option<u64>| number.map_or(Vec::new(), |number| number.to_le_bytes().to_vec());
    let mut numbers: Vec<Vec<u8>> =
        Class::ALL.iter().map(|class| number(Some(usage.tokens.of(*class)))).collect();
    numbers.push(number(Some(usage.hits)));
    numbers.push(number(usage.usd.map(|usd| usd.0)));
    numbers.push(number(request.ttl.map(|ttl| ttl.0)));
    let mut pieces: Vec<&[u8]> = vec![usage.model];
    pieces.push(if request.partial == Partial::Accepted { b"partial" } else { b"whole" });
    pieces.extend(numbers.iter().map(Vec::as_slice));
    identity(&pieces) as u64
}
