//! Has the limits of one subject begin anew: all of them in one step of the store, so that nobody sees some cleared and
//! others not.
//!
//! What is held by name is room of calls that go on, and what is given out in total still exists: both are cleared only of
//! limits that are named, and what all share too. A breaker that was opened by what is cleared is closed with it. Where calls may say when their months
//! begin, the counters of all days are cleared, unless the entries say the day.

mod breakers;

use std::sync::Arc;

use serde_json::Value as Json;

use crate::algorithm::Op;
use crate::audit::{Action, Actor};
use crate::engine::Engine;
use crate::engine::hold::LimitStanding;
use crate::engine::native::{Kept, KeptFor};
use crate::limits::{KeySecret, Limit, NativeDomain, SubjectId, Subjects, TierId, Unit, Window};
use crate::store::{Answer, Charge, Store};

use super::ask::{ask, keep};
use super::error::{Near, OperateError, check_reason, text};
use super::record::{Deed, record_and_do, standings_json, target_of};
use super::usage::{Looks, ONE_LEFT};
use super::who::{Who, domain, secret};

use breakers::Breakers;

/// Have the limits of a subject begin anew.
#[derive(Clone, Debug, Default)]
pub struct ResetSubject<'a> {
    /// Whose.
    pub who: Who<'a>,
    /// Which; none means every rate, quota and budget. What was given out and is to be given back, and what is held, is
    /// cleared only of limits that are named.
    pub limits: Vec<&'a [u8]>,
    /// Why; may be empty.
    pub reason: &'a str,
}

/// What became of a [`ResetSubject`].
#[derive(Clone, Debug, PartialEq)]
pub struct SubjectReset {
    /// The domain.
    pub domain: Box<str>,
    /// How each limit stood that was cleared, in the order of the file.
    pub before: Vec<LimitStanding>,
    /// Limits of the subject that stay as they are: what they count still exists, and they are not named; or they are kept
    /// for more than the subject, as per user and kit.
    pub kept: Vec<Arc<str>>,
    /// Limits that were cleared, and their breakers closed, which were open.
    pub closed: Vec<Arc<str>>,
    /// Limits whose breakers are open, and go on stopping what spends in the domain: those that all share, and of those that
    /// were cleared the ones that somebody opened by hand.
    pub open: Vec<Arc<str>>,
    /// The number of the record that says so.
    pub version: u64,
}

/// What is cleared, and how.
struct Resetting<'a, 'd, 'l> {
    kept_for: KeptFor<'a, 'd>,
    tier: TierId,
    cleared: &'l [Kept<'a>],
    breakers: &'l Breakers<'a>,
    op: Op,
}

pub(super) async fn reset<S: Store>(
    engine: &Engine<S>,
    actor: &Actor,
    request: &ResetSubject<'_>,
) -> Result<SubjectReset, OperateError> {
    check_reason(request.reason)?;
    let rules = engine.limits.load();
    let domain = domain(&rules, request.who.domain)?;
    if request.who.is_all() && request.limits.is_empty() {
        return Err(OperateError::AllUnnamed);
    }
    let descriptor = request.who.descriptor_or_all(domain)?;
    let secret = secret(engine)?;
    let kept_for = KeptFor::new(domain, &descriptor, secret);
    let (cleared, kept) = chosen(domain, &kept_for, &request.limits)?;
    let breakers = Breakers::of(&kept_for, &cleared);
    let looks = Looks::at(domain, &kept_for, &cleared)?.beside(breakers.looks().collect());
    let survey = looks.ask(engine, domain).await?;
    let stood: Vec<_> = cleared.iter().map(|kept| survey.of(engine, &kept_for, *kept).1).collect();
    let breakers = breakers.keeping_those_by_hand(survey.beside());
    let (closed, _) = breakers.open(survey.beside(), survey.at);
    let event = deed(actor, domain, secret, request).event(before_json(&stood, &closed), Json::Null);
    let op = if request.limits.is_empty() { Op::Set { units: 0 } } else { Op::Clear };
    let resetting =
        Resetting { kept_for, tier: survey.known.tier, cleared: &cleared, breakers: &breakers, op };
    let charges = resetting.charges();
    let (version, answer) = record_and_do(engine, event, ask(engine, &charges)).await?;
    let before = resetting.standings(engine, &answer);
    let (closed, open) = breakers.open(&answer.outcomes[cleared.len()..], answer.at);
    breakers.closed(domain, &closed, request.reason, answer.at);
    keep(engine).await?;
    Ok(SubjectReset { domain: domain.name.clone(), before, kept, closed, open, version })
}

fn deed<'a>(
    actor: &'a Actor,
    domain: &'a NativeDomain,
    secret: KeySecret,
    request: &ResetSubject<'a>,
) -> Deed<'a> {
    let subjects = request.who.subjects(domain, secret);
    Deed {
        actor,
        action: if request.who.is_all() { Action::ResetAll } else { Action::ResetUser },
        domain: Some(&domain.name),
        target: target(&subjects, &request.limits),
        reason: request.reason,
    }
}

/// How limits stood, and that the breakers of some were open, for people to read.
fn before_json(stood: &[LimitStanding], open: &[Arc<str>]) -> Json {
    let mut before = standings_json(stood);
    for limit in open {
        before[&**limit]["breaker"] = "open".into();
    }
    before
}

/// Which limits of a subject are cleared, those that are `named` or all that forget; and which are kept although nobody said
/// so.
fn chosen<'a>(
    domain: &'a NativeDomain,
    kept_for: &KeptFor<'a, '_>,
    named: &[&[u8]],
) -> Result<(Vec<Kept<'a>>, Vec<Arc<str>>), OperateError> {
    let all = kept_for.limits();
    for name in named {
        check_name(domain, &all, name)?;
    }
    let is_named = |kept: &Kept<'_>| named.contains(&kept.limit.name.as_bytes());
    let (cleared, others): (Vec<_>, Vec<_>) = match named {
        [] => all.into_iter().partition(is_forgotten),
        _ => all.into_iter().partition(is_named),
    };
    let others = others.iter().map(|other| (other.id, other.limit)).chain(kept_for.wider());
    let mut kept: Vec<_> = others.filter(|(_, other)| named.is_empty() && is_counted(other)).collect();
    kept.sort_unstable_by_key(|(id, _)| *id);
    Ok((cleared, kept.into_iter().map(|(_, other)| other.name.clone()).collect()))
}

impl<'a> Resetting<'a, '_, '_> {
    /// A look at each limit.
    fn looks(&self) -> Vec<Charge<'a>> {
        self.cleared.iter().map(|kept| self.kept_for.charge(*kept, self.tier, ONE_LEFT)).collect()
    }

    /// The same and at breakers, then all that clears the limits and closes the breakers.
    fn charges(&self) -> Vec<Charge<'a>> {
        let clear = |kept: &Kept<'a>| self.kept_for.charges_of_all_days(*kept, self.tier, self.op);
        let mut charges = self.looks();
        charges.extend(self.breakers.looks());
        charges.extend(self.cleared.iter().flat_map(clear));
        charges.extend(self.breakers.closing());
        charges
    }

    /// How each limit stood, by the answer to a call that begins with [`looks`](Self::looks).
    fn standings<S: Store>(&self, engine: &Engine<S>, answer: &Answer) -> Vec<LimitStanding> {
        let standing = |((kept, look), outcome): ((&Kept<'_>, Charge<'_>), _)| {
            let number = look.rule.number;
            LimitStanding::new(kept.limit, number, outcome, answer.at, engine.settings.enforcement)
        };
        self.cleared.iter().zip(self.looks()).zip(&answer.outcomes).map(standing).collect()
    }
}

/// Whose limits are cleared, and which if they are named.
fn target(subjects: &[SubjectId], limits: &[&[u8]]) -> Json {
    let limits = limits.iter().map(|name| Json::from(text(name))).collect::<Vec<_>>();
    let limits = if limits.is_empty() { Json::Null } else { limits.into() };
    target_of(subjects, [("limits", limits)])
}

/// Whether the limit `name` is one of `all`.
fn check_name(domain: &NativeDomain, all: &[Kept<'_>], name: &[u8]) -> Result<(), OperateError> {
    if all.iter().any(|kept| kept.limit.name.as_bytes() == name) {
        return Ok(());
    }
    let names = domain.limits.iter().map(|limit| &*limit.name);
    let id = domain.by_name.get(name).ok_or_else(|| OperateError::UnknownLimit(Near::of(name, names)))?;
    let subjects = &domain.limit(*id).subjects;
    if **subjects == Subjects::ALL {
        return Err(OperateError::OfAll(text(name)));
    }
    Err(OperateError::OtherSubject { limit: text(name), subjects: subjects.to_string() })
}

/// Whether it is a rate, a quota or a budget.
fn is_forgotten(kept: &Kept<'_>) -> bool {
    is_counted(kept.limit) && (kept.limit.unit != Unit::Hits || !kept.limit.window.is_held())
}

/// Whether anything is counted of it from call to call.
fn is_counted(limit: &Limit) -> bool {
    !matches!(limit.window, Window::Request)
}
