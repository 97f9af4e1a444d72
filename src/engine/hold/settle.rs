//! Charging what a call came to.

use crate::clock::Timestamp;
use crate::engine::native::{Plan, about};
use crate::engine::odd::Odd;
use crate::engine::{Enforcement, Engine, unpriced};
use crate::limits::{CounterKey, Mode, NativeDomain, RuleSet, Unit};
use crate::money::NanoUsd;
use crate::prices::CostError;
use crate::store::{Before, Charge, Due, Part, Report, Settle, Settled, Spent, Store, Then};

use super::amounts::{Amounts, known_cost};
use super::answer::{Done, LimitStanding, Reason, Ruling, SettleAnswer, Timing};
use super::estimate::teach;
use super::handle::{Handle, Kept};
use super::life::{KEPT_SETTLED, oldest};
use super::name::{self, Purpose};
use super::request::{self, InvalidHold, Named, Progress, SettleRequest, SubjectOf, Usage};
use super::settled::{charged, domain_of, judged, stopping, tell};
use super::settlements::{count, make};
use super::told::Told;
use super::unknown::Unknown;
use super::{HoldError, handle, native, refuse_misnamed, refuse_unnamed, reserve};

/// The field of a request that says what was used.
const USED: &str = "used";

/// What was used, in the units of limits.
#[derive(Clone, Copy, Debug)]
struct Bill {
    spent: Spent,
    /// Why the money is not known.
    unpriced: Option<CostError>,
}

pub(super) async fn settle<S: Store>(
    engine: &Engine<S>,
    request: &SettleRequest<'_>,
) -> Result<SettleAnswer, HoldError> {
    let used = request.used.as_ref().map(|used| used.read(USED)).transpose()?;
    let rules = engine.limits.in_force();
    match &request.reserved {
        Named::Handle(text) => by_handle(engine, &rules, handle(text)?, used.as_ref(), request).await,
        Named::Key { subject, idempotency_key } => {
            by_key(engine, &rules, subject, idempotency_key, used.as_ref(), request).await
        }
    }
}

/// What is to be settled, however it was named.
struct Ending<'a> {
    name: CounterKey,
    used: Option<&'a Usage<'a>>,
    /// What is due if nobody tells what was used.
    unknown: Unknown,
    priced: Priced,
    /// What is charged if nothing was reserved, and whose that is.
    otherwise: &'a [Charge<'a>],
    about: &'a [u8],
}

/// By the prices of which time.
#[derive(Clone, Copy, Debug)]
enum Priced {
    /// Of this one.
    At(Timestamp),
    /// Of the time when it was reserved, which the store knows; of this one, if it was not.
    AsReserved(Timestamp),
}

async fn by_handle<S: Store>(
    engine: &Engine<S>,
    rules: &RuleSet,
    handle: Handle,
    used: Option<&Usage<'_>>,
    request: &SettleRequest<'_>,
) -> Result<SettleAnswer, HoldError> {
    let Handle { name, began, unknown, kept, .. } = handle;
    if kept == Kept::Nothing {
        return Ok(SettleAnswer::untouched());
    }
    let priced = Priced::At(request.used_at.unwrap_or(began));
    let unknown = due_untold(unknown, request.progress);
    let ending = Ending { name, used, unknown, priced, otherwise: &[], about: &[] };
    match ending.settle(engine, rules, request.progress).await? {
        Some(answer) => Ok(answer),
        None => Err(HoldError::UnknownReservation),
    }
}

/// Settles what was reserved under a key, or charges what was not reserved at all.
async fn by_key<S: Store>(
    engine: &Engine<S>,
    rules: &RuleSet,
    subject: &SubjectOf<'_>,
    key: &[u8],
    used: Option<&Usage<'_>>,
    request: &SettleRequest<'_>,
) -> Result<SettleAnswer, HoldError> {
    let descriptor = subject.descriptor()?;
    let key = match request::idempotency_key(key)? {
        b"" => return Err(InvalidHold::NoIdempotencyKey.into()),
        key => key,
    };
    let domain = native(rules, subject.domain)?;
    let mut plan = reserve::plan(engine, domain, &descriptor, &Amounts::UNKNOWN);
    plan.write_memos(domain, None);
    refuse_unnamed(&plan)?;
    let (misnamed, otherwise) = (refuse_misnamed(domain, &descriptor), after_the_fact(&plan));
    let secret = engine.store.key_secret();
    let ending = Ending {
        name: name::by_key(secret, Purpose::Reservation, &domain.name, &descriptor, key),
        used,
        unknown: due_untold(Unknown::at(&plan), request.progress),
        priced: Priced::of(used, request.used_at, engine.store.now(), rules, &plan),
        // What was reserved is settled whatever the domain has by now, and what was not by what is told.
        otherwise: if misnamed.is_ok() && used.is_some() { &otherwise } else { &[] },
        about: &about(domain, &descriptor, secret, None),
    };
    match ending.settle(engine, rules, request.progress).await? {
        Some(answer) => Ok(answer),
        None if used.is_none() => misnamed.and(Err(InvalidHold::NoUsage.into())),
        None => misnamed.map(|()| SettleAnswer::untouched()),
    }
}

/// What is due if nobody tells what was used: of what goes on, nothing yet.
fn due_untold(at_its_end: Unknown, progress: Progress) -> Unknown {
    match progress {
        Progress::More => Unknown::NOTHING,
        Progress::Done => at_its_end,
    }
}

/// The charges of `plan` by which what was not reserved is paid, and the breakers are looked at that may stop it.
fn after_the_fact<'a>(plan: &Plan<'a>) -> Vec<Charge<'a>> {
    let spends = |charge: &Charge<'_>| charge.unit != Unit::Hits;
    if !plan.charges.iter().any(spends) {
        return Vec::new();
    }
    let counts = |index, charge| spends(charge) || plan.is_guard(index);
    (0..)
        .zip(&plan.charges)
        .filter(|(index, charge)| counts(*index, charge))
        .map(|(_, charge)| *charge)
        .collect()
}

impl Priced {
    /// Of what is settled at `now` by its key, and has `used` so much: as the caller says by `used_at`; else as it was
    /// reserved, if it had another price within the time that one at the limits of `plan` may have begun.
    fn of(
        used: Option<&Usage<'_>>,
        used_at: Option<Timestamp>,
        now: Timestamp,
        rules: &RuleSet,
        plan: &Plan<'_>,
    ) -> Self {
        let since = |used: &Usage<'_>| match used.usd {
            Some(_) => Timestamp::default(),
            None => rules.prices.unchanged_since(used.model, &used.tokens, now),
        };
        match (used_at, used) {
            (Some(at), _) => Self::At(at),
            (None, Some(used)) if now.since(since(used)) <= oldest(plan) => Self::AsReserved(now),
            (None, _) => Self::At(now),
        }
    }
}

impl Ending<'_> {
    /// Settles it; `None`, if nothing is known of it and nothing is charged otherwise.
    async fn settle<S: Store>(
        &self,
        engine: &Engine<S>,
        rules: &RuleSet,
        progress: Progress,
    ) -> Result<Option<SettleAnswer>, HoldError> {
        let (at, bill) = self.priced(engine, rules).await?;
        let used = self.used.map_or(&[][..], std::slice::from_ref);
        let told = Told::of(self.name, used, &rules.prices, at, self.about.to_vec());
        let then = then(progress);
        let call = self.call(bill.spent, then, Some(told.report()));
        let settled = make(engine, call).await.map_err(HoldError::Unavailable)?;
        if settled.before == Before::Unknown {
            return Ok(None);
        }
        let before = count(engine, rules, (self.name, &settled, then), used, at);
        if let (Some(used), Then::Done, true) = (self.used, then, before != Before::Settled) {
            teach(&mut engine.estimates.lock(), &rules.prices, used, &settled);
        }
        tell(engine, rules, &settled).await;
        Ok(Some(answer(engine, rules, &settled, bill, progress)))
    }

    /// What is due, and by the prices of which time. The store is asked first what it knows, where the price depends on
    /// that, and where there is none: what nothing was held for is not settled for nothing.
    async fn priced<S: Store>(
        &self,
        engine: &Engine<S>,
        rules: &RuleSet,
    ) -> Result<(Timestamp, Bill), HoldError> {
        let (Priced::At(at) | Priced::AsReserved(at)) = self.priced;
        let bill = self.bill(rules, at);
        if self.used.is_none() || matches!(self.priced, Priced::At(_)) && bill.unpriced.is_none() {
            return Ok((at, bill));
        }
        let look = Settle { otherwise: &[], ..self.call(bill.spent, Then::Unchanged, None) };
        let found = engine.store.settle(look).await.map_err(HoldError::Unavailable)?;
        let (at, bill) = match (self.priced, found.before) {
            (Priced::AsReserved(_), before) if before != Before::Unknown => {
                (found.began, self.bill(rules, found.began))
            }
            _ => (at, bill),
        };
        if let (Some(error), Some(used)) = (bill.unpriced, self.used) {
            let unpaid = self.unpaid(&found);
            if !unpaid.is_empty() {
                unpriced::write_down(engine, rules, found.at, &unpaid, (self.about, self.name, used));
                return Err(HoldError::Unpriced(error));
            }
            engine.oddities.note(Odd::Model);
        }
        Ok((at, bill))
    }

    /// The limits of money that would be paid nothing if what was held was paid.
    fn unpaid(&self, found: &Settled) -> Vec<u128> {
        let money = self.otherwise.iter().filter(|charge| charge.unit == Unit::Money);
        match found.before {
            Before::Unknown => money.map(|charge| charge.overflow).collect(),
            // Nothing more is charged.
            Before::Settled => Vec::new(),
            Before::Held | Before::Late | Before::Unheld => found.unheld_money(),
        }
    }

    fn call<'c>(&'c self, spent: Spent, then: Then, report: Option<Report<'c>>) -> Settle<'c> {
        let Self { name, otherwise, .. } = *self;
        Settle { name, spent, then, otherwise, keep: KEPT_SETTLED, report }
    }

    /// By the prices of `at`.
    fn bill(&self, rules: &RuleSet, at: Timestamp) -> Bill {
        let Some(used) = self.used else { return Bill { spent: self.unknown.spent(), unpriced: None } };
        let cost = known_cost(used, &rules.prices, at);
        let money = if cost.unpriced.is_none() { Due::Exactly } else { Due::AtLeast }(cost.nanos);
        Bill { spent: Spent { tokens: Due::Exactly(used.tokens.total()), money }, unpriced: cost.unpriced }
    }
}

fn then(progress: Progress) -> Then {
    match progress {
        Progress::More => Then::More,
        Progress::Done => Then::Done,
    }
}

fn answer<S: Store>(
    engine: &Engine<S>,
    rules: &RuleSet,
    settled: &Settled,
    bill: Bill,
    progress: Progress,
) -> SettleAnswer {
    let enforcement = engine.settings.enforcement;
    let done = if settled.before == Before::Settled { Done::Before } else { Done::Now };
    let charged =
        |unit| settled.parts.iter().filter(move |part| part.unit == unit).map(|part| part.paid).max();
    let (money, tokens) = (charged(Unit::Money), charged(Unit::Tokens));
    let mut standings = self::standings(rules, settled, enforcement);
    if let Some(error) = bill.unpriced.filter(|_| money.is_some() && done == Done::Now) {
        tracing::warn!(%error, "what was used has no price: what was held is charged");
        let money = standings.iter_mut().filter(|standing| standing.unit == Unit::Money);
        money.for_each(|standing| standing.reason = Some(Reason::UnpricedModel));
    }
    let mut ruling = Ruling::of(&standings);
    if progress == Progress::More {
        ruling = ruling.max(go_on(rules, settled, enforcement, done, &mut standings));
    }
    SettleAnswer {
        ruling,
        charged: money.map(NanoUsd),
        tokens: tokens.unwrap_or(0),
        standings,
        until: settled.until,
        done,
        timing: if settled.before == Before::Late { Timing::Late } else { Timing::InTime },
    }
}

/// Has `standings` say what may stop a call that is to go on, and that it does not if nothing is held any more. Tells what
/// that rules.
fn go_on(
    rules: &RuleSet,
    settled: &Settled,
    enforcement: Enforcement,
    done: Done,
    standings: &mut Vec<LimitStanding>,
) -> Ruling {
    let stopping =
        domain_of(rules, settled).map_or_else(Vec::new, |domain| stopping(domain, settled, enforcement));
    let ruling = Ruling::of(&stopping);
    standings.retain(|standing| stopping.iter().all(|stopping| stopping.limit != standing.limit));
    standings.extend(stopping);
    if settled.until.is_some() {
        return ruling;
    }
    if done == Done::Now {
        standings.iter_mut().for_each(|standing| standing.expire(enforcement));
    }
    ruling.max(Ruling::without_room(Mode::Enforced, enforcement))
}

/// Where the limits stand that were settled. Those that the rules no longer have are left out.
pub(in crate::engine) fn standings(
    rules: &RuleSet,
    settled: &Settled,
    enforcement: Enforcement,
) -> Vec<LimitStanding> {
    let domain = domain_of(rules, settled);
    let standing = |part: &Part, domain: &NativeDomain| {
        let limit = charged(domain, part)?;
        let (number, outcome) = judged(domain, limit, part);
        Some(LimitStanding::new(limit, number, &outcome, settled.at, enforcement))
    };
    settled.parts.iter().filter_map(|part| standing(part, domain?)).collect()
}

impl SettleAnswer {
    /// Where no limit is touched.
    pub(super) fn untouched() -> Self {
        Self {
            ruling: Ruling::Allow,
            charged: None,
            tokens: 0,
            standings: Vec::new(),
            until: None,
            done: Done::Now,
            timing: Timing::InTime,
        }
    }
}
