//! What a call charges: one charge for each limit and subject, however many descriptors touch it.

use smallvec::SmallVec;

use crate::algorithm::{Op, Outcome, Rule};
use crate::engine::decision::Code;
use crate::engine::draws::{Draws, Lot};
use crate::engine::memo;
use crate::engine::request::{Descriptor, Direction};
use crate::engine::seen::{SeenTiers, user_of};
use crate::engine::watch::Grown;
use crate::engine::{Enforcement, Engine};
use crate::limits::{
    CounterKey, KeySecret, Limit, Mode, NativeDomain, Number, OnMissing, OnTier, Subjects, TierId, Whose,
};
use crate::prices::Model;
use crate::store::{Binding, Charge, FreedBy, Store};

use super::breaker::Guard;
use super::effect::{Asked, is_look, larger, overridden, same_kind, stricter, takes_slots};
use super::reading::Reading;
use super::select::{Reached, Selection, anchor};
use super::{Part, Settled, Touch};

/// What a call charges, and which descriptor touches what.
pub(in crate::engine) struct Plan<'a> {
    secret: KeySecret,
    pub(super) draws: &'a Draws,
    /// Who remembers the tiers that are named; `None` where nobody calls.
    seen: Option<&'a SeenTiers>,
    /// What the call has drawn, once it had to.
    pub(super) lot: Option<Lot>,
    pub(in crate::engine) charges: SmallVec<[Charge<'a>; 2]>,
    /// Those of the first descriptor, then those of the next.
    pub(super) touches: SmallVec<[Touch<'a>; 2]>,
    /// For each descriptor, how many touches there are with its own.
    pub(super) ends: SmallVec<[usize; 2]>,
    /// The breakers that are looked at.
    pub(super) guards: Vec<Guard<'a>>,
}

/// Whose counters a descriptor charges, for limits that are kept for the same subjects.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) whose: Whose,
    is_complete: bool,
}

/// The owners that were found for one descriptor.
pub(super) type Owners<'a> = SmallVec<[(&'a Subjects, Owner); 2]>;

impl<'a> Plan<'a> {
    /// Nothing yet, of a call that `engine` decides.
    pub(in crate::engine) fn new<S: Store>(engine: &'a Engine<S>) -> Self {
        let (charges, touches, ends) = (SmallVec::new(), SmallVec::new(), SmallVec::new());
        let (secret, draws, seen) = (engine.store.key_secret(), &engine.draws, Some(&*engine.seen));
        Self { secret, draws, seen, lot: None, charges, touches, ends, guards: Vec::new() }
    }

    /// The same, of a call that nobody makes.
    pub(in crate::engine) fn imagined(self) -> Self {
        Self { seen: None, ..self }
    }

    /// Adds what `descriptor` touches, and `asks` anything of.
    #[inline(always)]
    pub(in crate::engine) fn add(
        &mut self,
        domain: &'a NativeDomain,
        descriptor: &Descriptor<'_>,
        asks: impl Fn(&Limit, Number, Reached) -> Option<Asked>,
    ) {
        let mut selection = Selection::of(domain, descriptor);
        let captures = std::mem::take(&mut selection.captures);
        let reading = Reading::new(descriptor, captures, domain.ipv6_prefix);
        let on = domain.on_tier(self.secret, |key| reading.value_of(key));
        let tier = on.tier();
        let own = descriptor.number.as_ref().filter(|_| selection.is_of_one());
        // What one descriptor charges are different limits: only others can have charged the same counter.
        let before = self.charges.len();
        let mut owners = Owners::new();
        let limits = selection.limits();
        self.charges.reserve(limits.len());
        self.touches.reserve(limits.len());
        for (id, reached) in limits {
            let limit = domain.limit(id);
            let usual = match limit.own {
                None => limit.number(tier),
                Some(_) => self.usual_number(limit, tier, (descriptor, &reading), &mut owners),
            };
            let number = overridden(usual, limit, own.filter(|_| reached != Reached::Every));
            let Some(asked) = asks(limit, number, reached) else { continue };
            let owner = self.owner(&limit.subjects, &reading, &mut owners);
            let Some(part) = self.part(limit, number, (owner, asked), descriptor, before) else { continue };
            self.touches.push(Touch { id, limit, tier, number, part });
        }
        if let OnTier::Named(_) = on {
            self.see(domain, &reading, tier, &owners);
        }
        if descriptor.direction == Direction::Charge && !domain.breakers.is_empty() {
            self.guard(domain, (descriptor, &reading), tier, &mut owners, before);
        }
        self.ends.push(self.touches.len());
    }

    /// What is done to `limit` for what `descriptor` has `asked` of it; `None` if the limit does not apply. Among the first
    /// `others` charges may be one to the same counter.
    #[inline(always)]
    fn part(
        &mut self,
        limit: &'a Limit,
        number: Number,
        (owner, asked): (Owner, Asked),
        descriptor: &Descriptor<'_>,
        others: usize,
    ) -> Option<Part> {
        match (missing(limit, owner), asked) {
            (Missing::No, Asked::Op(op)) => {
                let (window, identity) = limit.window_on(|| anchor(descriptor));
                let key = owner.whose.counter(identity);
                let charge = charge(limit, key, identity, Rule { window, number }, op);
                Some(Part::Charged(self.charge(charge, others)))
            }
            (Missing::No, Asked::Unpriced) => Some(Part::Unpriced),
            (Missing::Refused, _) => Some(Part::Unnamed),
            (Missing::Skipped, _) => None,
        }
    }

    /// Remembers on which tier a descriptor was that names it, and whose are the counters that it charges.
    #[inline(never)]
    fn see(&self, domain: &NativeDomain, reading: &Reading<'_>, tier: TierId, owners: &Owners<'_>) {
        let Some(seen) = self.seen else { return };
        let user = || user_of(self.secret, |key| reading.value_of(key));
        owners.iter().for_each(|(_, owner)| seen.see(domain, owner.whose, tier, user));
    }

    /// How much `limit` allows the subject of `descriptor` if it brings no number along: their own, else that of `tier`.
    #[cold]
    fn usual_number(
        &self,
        limit: &'a Limit,
        tier: TierId,
        (descriptor, reading): (&Descriptor<'_>, &Reading<'_>),
        owners: &mut Owners<'a>,
    ) -> Number {
        let (_, identity) = limit.window_on(|| anchor(descriptor));
        let owner = self.owner(&limit.subjects, reading, owners);
        limit.number_of(tier, owner.whose.counter(identity), identity)
    }

    /// Adds nothing, for a descriptor that touches no limit.
    pub(super) fn skip(&mut self) {
        self.ends.push(self.touches.len());
    }

    /// For each descriptor, the indices of the charges that stand for it.
    pub(super) fn charged(&self) -> Vec<Vec<usize>> {
        let mut start = 0;
        let charged = |touch: &Touch<'_>| match touch.part {
            Part::Charged(index) => Some(index),
            Part::Unnamed | Part::Unpriced | Part::Looked(_) | Part::Stopped(_) => None,
        };
        let own = |end: &usize| {
            let touches = &self.touches[std::mem::replace(&mut start, *end)..*end];
            touches.iter().filter_map(charged).collect()
        };
        self.ends.iter().map(own).collect()
    }

    /// Has it refuse as the service is told to: a call that is refused whatever the counters say is then charged nothing.
    pub(in crate::engine) fn enforce(&mut self, enforcement: Enforcement) {
        match enforcement {
            Enforcement::Enforced => self.spare_the_refused(),
            Enforcement::Shadow => self.unbind(),
        }
    }

    fn spare_the_refused(&mut self) {
        if self.is_refused() {
            self.charges.iter_mut().for_each(|charge| charge.op = charge.op.peek());
        }
    }

    /// Whether the call is refused whatever the counters say: for want of a subject or a price.
    pub(in crate::engine) fn is_refused(&self) -> bool {
        self.touches.iter().any(|touch| matches!(touch.part, Part::Unnamed | Part::Unpriced))
    }

    /// A limit whose subject is missing, where it must not be.
    pub(in crate::engine) fn unnamed(&self) -> Option<&'a Limit> {
        let unnamed = |touch: &&Touch<'_>| matches!(touch.part, Part::Unnamed);
        self.touches.iter().find(unnamed).map(|touch| touch.limit)
    }

    /// The limits that are touched, and not only looked at.
    pub(in crate::engine) fn limits(&self) -> impl Iterator<Item = &'a Limit> {
        let touched = self.touches.iter().filter(|touch| !matches!(touch.part, Part::Looked(_)));
        touched.map(|touch| touch.limit)
    }

    /// Has each charge tell whoever settles it later what that call was: on which tier, and that it asks for `model`.
    pub(in crate::engine) fn write_memos(&mut self, domain: &NativeDomain, model: Option<&Model>) {
        for touch in &self.touches {
            if let Part::Charged(index) | Part::Looked(index) | Part::Stopped(index) = touch.part {
                let charge = &mut self.charges[index];
                let usual = touch.limit.number_of(touch.tier, charge.key, charge.overflow);
                let numbers = [charge.rule.number, usual];
                charge.memo = memo::write(domain, touch.tier, numbers, model);
            }
        }
        self.write_memos_of_guards();
    }

    /// Lets no charge refuse: the whole server is on trial.
    fn unbind(&mut self) {
        self.charges.iter_mut().for_each(|charge| charge.binding = Binding::Counted);
    }

    /// Every limit that is touched, and what came of it by the `outcomes` of the charges.
    pub(in crate::engine) fn settled<'s>(
        &'s self,
        outcomes: &'s [Outcome],
    ) -> impl Iterator<Item = Settled<'s>> {
        self.touches.iter().map(|touch| Settled::of(touch, outcomes)).filter(Settled::is_told)
    }

    /// The counters that have grown in a call that came out as `code`, of limits that alert.
    pub(in crate::engine) fn grown<'s>(
        &'s self,
        code: Code,
        outcomes: &'s [Outcome],
    ) -> impl Iterator<Item = Grown<'s>> {
        let made = code == Code::Ok;
        self.touches.iter().enumerate().filter_map(move |(place, touch)| {
            if touch.limit.thresholds.is_empty() || !made {
                return None;
            }
            let index = touch.charge()?;
            let charge = &self.charges[index];
            let is_first = !self.touches[..place].iter().any(|other| other.charge() == Some(index));
            let Op::Take { charge: units @ 1.., .. } = charge.op else { return None };
            is_first.then(|| Grown {
                limit: touch.limit,
                tier: Some(touch.tier),
                key: charge.key,
                identity: charge.overflow,
                number: charge.rule.number,
                units,
                standing: outcomes[index].standing,
            })
        })
    }

    /// As [`settled`](Self::settled), descriptor by descriptor.
    pub(super) fn settled_by_descriptor<'s>(
        &'s self,
        outcomes: &'s [Outcome],
    ) -> impl ExactSizeIterator<Item = impl Iterator<Item = Settled<'s>>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let touches = &self.touches[std::mem::replace(&mut start, *end)..*end];
            touches.iter().map(|touch| Settled::of(touch, outcomes)).filter(Settled::is_told)
        })
    }

    /// The subject for limits of `subjects`, found and hashed once a descriptor.
    pub(super) fn owner(
        &self,
        subjects: &'a Subjects,
        reading: &Reading<'_>,
        owners: &mut Owners<'a>,
    ) -> Owner {
        if let Some((_, owner)) = owners.iter().find(|(known, _)| std::ptr::eq(*known, subjects)) {
            return *owner;
        }
        let subject = subjects.find(|key| reading.value_of(key));
        let owner = Owner { whose: subject.hashed(self.secret), is_complete: !subject.is_incomplete() };
        owners.push((subjects, owner));
        owner
    }

    /// Adds `charge`. Among the first `others` charges may be one to the same counter, which then
    /// stands for both.
    pub(super) fn charge(&mut self, charge: Charge<'a>, others: usize) -> usize {
        let same = |other: &Charge<'_>| {
            let is_of_slots = || takes_slots(other) && takes_slots(&charge);
            other.key == charge.key && (same_kind(other.op, charge.op) || is_look(other.op) || is_of_slots())
        };
        if let Some(index) = self.charges[..others].iter().position(same) {
            let other = &mut self.charges[index];
            let number = stricter(other.rule.number, charge.rule.number);
            let op = if is_look(other.op) { charge.op } else { larger(other.op, charge.op) };
            *other = Charge { op, rule: Rule { number, ..charge.rule }, ..charge };
            return index;
        }
        self.charges.push(charge);
        self.charges.len() - 1
    }
}

pub(super) fn charge<'a>(
    limit: &Limit,
    key: CounterKey,
    overflow: u128,
    rule: Rule<'a>,
    op: Op,
) -> Charge<'a> {
    Charge {
        key,
        overflow,
        rule,
        op,
        binding: if limit.mode == Mode::Enforced { Binding::Enforced } else { Binding::Counted },
        on_error: limit.on_error,
        freed_by: freed_by(limit),
        unit: limit.unit,
        memo: 0,
    }
}

fn freed_by(limit: &Limit) -> FreedBy {
    if limit.is_reserved() {
        FreedBy::Holders
    } else if limit.takes_back() {
        FreedBy::Hand
    } else {
        FreedBy::Time
    }
}

/// What a limit makes of a call without its subject.
pub(super) enum Missing {
    /// Nothing is missing, or all such calls share one counter.
    No,
    /// The limit does not apply.
    Skipped,
    /// The call is refused.
    Refused,
}

pub(super) fn missing(limit: &Limit, owner: Owner) -> Missing {
    match (limit.on_missing, limit.mode) {
        _ if owner.is_complete => Missing::No,
        (OnMissing::Share, _) => Missing::No,
        (OnMissing::Refuse, Mode::Enforced) => Missing::Refused,
        (OnMissing::Skip | OnMissing::Refuse, _) => Missing::Skipped,
    }
}
