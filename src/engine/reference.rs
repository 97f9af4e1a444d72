//! Calls of reference domains: matched, counted and answered as the reference service does.
//!
//! Each descriptor is matched and charged on its own, over or not, in clock-aligned windows. An answer
//! carries what the reference sends and no more. With `atomic: true` a domain charges all or nothing.

mod answer;
mod metadata;

use std::borrow::Cow;
use std::collections::HashSet;

use smallvec::{SmallVec, smallvec};

use crate::algorithm::{Op, Outcome, Rule, Verdict};
use crate::limits::{
    CounterKey, Debt, Entries, KeyHasher, KeySecret, Number, OnError, ReferenceDomain, ReferenceLimit,
    Tallied, Unit, Whose, Window, WireUnit,
};
use crate::store::{Admission, Binding, Call, Charge, FreedBy, Outcomes, Store};

use super::decision::{Code, Decision};
use super::request::{CheckRequest, Descriptor, Direction, Override};
use super::text::Text;
use super::{Enforcement, Engine, ReferenceSettings};

/// What one descriptor came to.
enum Match<'a> {
    /// No limit applies.
    Nothing,
    /// It is let pass without being counted.
    Unlimited,
    /// Limits of the file, or the one that the caller brought along.
    Limits(SmallVec<[Touch<'a>; 1]>),
}

/// What each descriptor of a call came to.
type Matches<'a> = SmallVec<[Match<'a>; 1]>;

/// A limit that a descriptor touches.
struct Touch<'a> {
    limit: Shown<'a>,
    window: Cow<'a, Window>,
    number: Number,
    key: CounterKey,
    overflow: u128,
}

/// Where a limit comes from, for those who show it.
#[derive(Clone, Copy)]
enum Shown<'a> {
    /// The file.
    Configured(&'a ReferenceLimit),
    /// The caller.
    Sent(Override),
}

/// A limit and what came of charging it.
#[derive(Clone, Copy)]
struct Settled<'s> {
    limit: Shown<'s>,
    number: Number,
    outcome: &'s Outcome,
}

/// The limits of one descriptor, and what came of charging them.
#[derive(Clone, Copy)]
struct Group<'s> {
    touches: &'s [Touch<'s>],
    outcomes: &'s [Outcome],
}

/// For each descriptor its limits; `None` stands for one that is unlimited.
type Groups<'s> = SmallVec<[Option<Group<'s>>; 1]>;

pub(super) async fn check<S: Store>(
    engine: &Engine<S>,
    domain: &ReferenceDomain,
    request: &CheckRequest<'_>,
) -> Decision {
    let secret = engine.store.key_secret();
    let mut matches: Matches<'_> =
        request.descriptors.iter().map(|descriptor| find(domain, descriptor, secret)).collect();
    replace(&mut matches);
    let settings = &engine.settings.reference;
    let mut charges = charges(request, &matches, settings);
    if engine.settings.enforcement == Enforcement::Shadow {
        charges.iter_mut().for_each(|charge| charge.binding = Binding::Counted);
    }
    let admission = match (domain.atomic, settings.stop_when_over) {
        (true, _) => Admission::AllOrNone,
        (false, true) => Admission::EachUnlessOver,
        (false, false) => Admission::Each,
    };
    let call = Call { charges: &charges, admission, expenses: &[] };
    let outcomes = if charges.is_empty() {
        Outcomes::new()
    } else {
        super::failure::ask(&engine.store, call).await.outcomes
    };
    let code = if call.is_refused(&outcomes) { Code::OverLimit } else { Code::Ok };
    let groups = groups(&matches, &outcomes);
    groups.iter().flatten().flat_map(|group| group.settled()).for_each(|each| each.tally(code));
    answer::decide(request, settings, code, &groups)
}

fn find<'a>(domain: &'a ReferenceDomain, descriptor: &'a Descriptor<'_>, secret: KeySecret) -> Match<'a> {
    if let Some(sent) = descriptor.number {
        return Match::Limits(smallvec![touch_of_sent(domain, descriptor, sent, secret)]);
    }
    let Some((rule, values)) = domain.find(&descriptor.entries).filter(|(rule, _)| !rule.limits.is_empty())
    else {
        return Match::Nothing;
    };
    let path = path(&descriptor.entries, values.into_iter(), secret);
    let of_file = |limit: &'a ReferenceLimit| Touch {
        limit: Shown::Configured(limit),
        window: Cow::Borrowed(&limit.window),
        number: limit.number,
        key: path.counter(limit.identity),
        overflow: limit.overflow,
    };
    Match::Limits(rule.limits.iter().map(of_file).collect())
}

/// The limit that a caller brings along, whatever the file says of the descriptor.
fn touch_of_sent<'a>(
    domain: &ReferenceDomain,
    descriptor: &Descriptor<'_>,
    sent: Override,
    secret: KeySecret,
) -> Touch<'a> {
    let window = Window::Fixed { length: sent.length(), debt: Debt::Forgiven };
    let values = descriptor.entries.iter().map(|entry| entry.value);
    let path = path(&descriptor.entries, values, secret);
    Touch {
        limit: Shown::Sent(sent),
        number: Number::AtMost(u64::from(sent.requests_per_unit)),
        key: path.counter(ReferenceDomain::identity_of(&domain.name, &window)),
        overflow: ReferenceDomain::overflow_of(&domain.name, &window, ""),
        window: Cow::Owned(window),
    }
}

/// The path of a counter: the keys of the entries, each with the value that stands for its own.
fn path<'v>(entries: &Entries<'_>, values: impl Iterator<Item = &'v [u8]>, secret: KeySecret) -> Whose {
    let mut path = KeyHasher::new(secret);
    for (entry, value) in entries.iter().zip(values) {
        path.piece(entry.key);
        path.piece(value);
    }
    Whose::alone(path.finish())
}

/// Sets aside the limits that others of the call replace by name, and takes unlimited ones out of counting.
fn replace(matches: &mut [Match<'_>]) {
    let replaced: HashSet<&str> = matches
        .iter()
        .flat_map(|found| found.touches().iter().filter_map(|touch| touch.limit.configured()))
        .flat_map(|limit| limit.replaces.iter().map(AsRef::as_ref))
        .collect();
    for found in matches {
        let Match::Limits(touches) = found else { continue };
        if touches.iter().any(|touch| touch.number == Number::Unlimited) {
            *found = Match::Unlimited;
            continue;
        }
        touches.retain(|touch| touch.limit.name().is_empty() || !replaced.contains(touch.limit.name()));
        if touches.is_empty() {
            *found = Match::Nothing;
        }
    }
}

fn charges<'a>(
    request: &CheckRequest<'_>,
    matches: &'a [Match<'_>],
    settings: &ReferenceSettings,
) -> SmallVec<[Charge<'a>; 2]> {
    let a_quota_passes = matches.iter().any(|found| found.is_passing_quota(settings));
    let mut charges = SmallVec::new();
    for (group, (descriptor, found)) in (0..).zip(request.descriptors.iter().zip(matches)) {
        let hits = request.hits_of(descriptor);
        let op = match descriptor.direction {
            Direction::Charge => Op::Take { room: hits, charge: hits },
            Direction::GiveBack => Op::GiveBack { units: hits },
        };
        charges.extend(found.touches().iter().map(|touch| {
            let binding = match (touch.limit.is_shadow(), touch.limit.is_quota(settings)) {
                (true, _) => Binding::Counted,
                (false, true) if a_quota_passes => Binding::Counted,
                (false, true) => Binding::Quota { group },
                (false, false) => Binding::Enforced,
            };
            Charge {
                key: touch.key,
                overflow: touch.overflow,
                rule: Rule { window: &touch.window, number: touch.number },
                op,
                binding,
                on_error: OnError::Local,
                freed_by: FreedBy::Hand,
                unit: Unit::Hits,
                memo: 0,
            }
        }));
    }
    charges
}

impl Settled<'_> {
    /// Counts what came of the limit in a call that came out as `code`.
    fn tally(self, code: Code) {
        let Some(limit) = self.limit.configured() else { return };
        limit.tally.count(match (self.outcome.verdict, code) {
            (Verdict::Admitted, _) => Tallied::Admitted,
            (Verdict::Refused(_), Code::OverLimit) if !limit.shadow => Tallied::Refused,
            (Verdict::Refused(_), _) => Tallied::Over,
        });
    }
}

/// Gives every match its outcomes, which stand in the order of the charges.
fn groups<'s>(matches: &'s [Match<'_>], outcomes: &'s [Outcome]) -> Groups<'s> {
    let mut rest = outcomes;
    let group = |found: &'s Match<'_>| {
        let touches = found.touches();
        let (own, others) = rest.split_at(touches.len());
        rest = others;
        (!matches!(found, Match::Unlimited)).then_some(Group { touches, outcomes: own })
    };
    matches.iter().map(group).collect()
}

impl<'s> Group<'s> {
    fn settled(self) -> impl Iterator<Item = Settled<'s>> {
        let settled = |(touch, outcome): (&'s Touch<'_>, _)| Settled {
            limit: touch.limit,
            number: touch.number,
            outcome,
        };
        self.touches.iter().zip(self.outcomes).map(settled)
    }
}

impl<'a> Match<'a> {
    /// Whether it is a quota descriptor that is never over, so that quotas cannot refuse the call.
    fn is_passing_quota(&self, settings: &ReferenceSettings) -> bool {
        match self {
            Self::Nothing => settings.all_quota,
            Self::Unlimited => false,
            Self::Limits(touches) => {
                let mut quotas = touches.iter().filter(|touch| touch.limit.is_quota(settings)).peekable();
                quotas.peek().is_some() && quotas.all(|touch| touch.limit.is_shadow())
            }
        }
    }

    /// The limits it came to.
    fn touches(&self) -> &[Touch<'a>] {
        match self {
            Self::Limits(touches) => touches,
            Self::Nothing | Self::Unlimited => &[],
        }
    }
}

impl<'a> Shown<'a> {
    fn configured(self) -> Option<&'a ReferenceLimit> {
        match self {
            Self::Configured(limit) => Some(limit),
            Self::Sent(_) => None,
        }
    }

    fn name(self) -> &'a str {
        self.configured().map_or("", |limit| &limit.name)
    }

    fn text(self) -> Text {
        self.configured().map_or(Text::Fixed(""), |limit| Text::from(&limit.name))
    }

    fn is_shadow(self) -> bool {
        self.configured().is_some_and(|limit| limit.shadow)
    }

    fn is_quota(self, settings: &ReferenceSettings) -> bool {
        settings.all_quota || self.configured().is_some_and(|limit| limit.quota)
    }

    fn unit(self) -> (WireUnit, u32) {
        match self {
            Self::Configured(limit) => (limit.unit, limit.multiplier),
            Self::Sent(sent) => (sent.unit, sent.multiplier.max(1)),
        }
    }
}
