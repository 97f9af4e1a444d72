//! The breaker of a limit, for one subject: how it is looked at, opened and closed in the store.
//!
//! It is asked in the same step as all else that a call charges, and opened in a step of its own right after: by then
//! the limit has no room left, so a call that slips in between spends nothing of it. That step opens it only if it is
//! not open, so of all who find the limit reached one opens it. Who closes it, or has its limit begin anew, between the two steps
//! of a call that reaches the limit is not seen by the second: it is open then, and what is used may be nothing.

use crate::algorithm::{Op, Outcome, Rule, Verdict};
use crate::calendar;
use crate::clock::Timestamp;
use crate::limits::{
    Breaker, BreakerStanding, BreakerState, Closing, CounterKey, Limit, Mode, NativeDomain, Number, Subjects,
    Unit, Whose, Window,
};
use crate::store::{Admission, Answer, Binding, Call, Charge, FreedBy, Store};

use super::{Engine, failure};

/// A limit with a breaker, and the breaker that it has for one subject.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guarded<'a> {
    pub(super) limit: &'a Limit,
    pub(super) breaker: &'a Breaker,
    pub(super) key: CounterKey,
}

/// The last bit of the instant at which one was opened tells of whoever did: set, it was somebody's hand.
const BY_HAND: u64 = 1;

/// Who looks at a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looking {
    /// A call that passes while it is half-open.
    Probe,
    /// Any other.
    Plain,
}

/// What a look at a breaker came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    /// It stops nothing, or not this probe.
    Passed,
    /// It stops the call.
    Stopped(BreakerStanding),
    /// The store did not tell, and the limit's policy stops the call.
    Unknown,
}

impl<'a> Guarded<'a> {
    /// The breaker of `limit` for `whose`, if it has any.
    pub(super) fn of(limit: &'a Limit, whose: Whose) -> Option<Self> {
        let breaker = limit.breaker.as_ref()?;
        Some(Self { limit, breaker, key: whose.counter(breaker.identity) })
    }

    /// The breaker of `limit` for the subject that has the counter `own` of the identity `identity`.
    pub(super) fn beside(limit: &'a Limit, own: CounterKey, identity: u128) -> Option<Self> {
        let breaker = limit.breaker.as_ref()?;
        Some(Self { limit, breaker, key: own.beside(identity, breaker.identity) })
    }

    /// A look at it: refused while it stops those who look so. Nothing is changed by it.
    pub(super) fn look(self, looking: Looking) -> Charge<'a> {
        let window = match (&self.breaker.reset, looking) {
            (Some(reset), Looking::Probe) => &reset.window,
            _ => &self.breaker.window,
        };
        let binding = if self.limit.mode == Mode::Enforced { Binding::Enforced } else { Binding::Counted };
        Charge { binding, ..self.charge(window, Op::Take { room: 1, charge: 0 }) }
    }

    /// A look at it that stops nobody.
    pub(super) fn look_only(self) -> Charge<'a> {
        Charge { binding: Binding::Counted, ..self.look(Looking::Plain) }
    }

    /// Opens it as of `since`, however it is, since somebody wants it open.
    pub(super) fn open_by_hand(self, since: Timestamp) -> Charge<'a> {
        self.charge(&self.breaker.window, Op::Set { units: since.0 | BY_HAND })
    }

    /// The same, since its limit was reached.
    fn open(self, since: Timestamp) -> Charge<'a> {
        self.charge(&self.breaker.window, Op::Set { units: since.0.max(2) & !BY_HAND })
    }

    /// Closes it, however it is.
    pub(super) fn close(self) -> Charge<'a> {
        self.charge(&self.breaker.window, Op::Set { units: 0 })
    }

    fn charge(self, window: &'a Window, op: Op) -> Charge<'a> {
        Charge {
            key: self.key,
            overflow: self.breaker.identity,
            rule: Rule { window, number: Breaker::MOST },
            op,
            binding: Binding::Counted,
            on_error: self.limit.on_error,
            freed_by: FreedBy::Hand,
            unit: Unit::Hits,
            memo: 0,
        }
    }

    /// What a look at it came to that was answered with `outcome` at `at`.
    pub(super) fn looked(self, outcome: &Outcome, at: Timestamp) -> Looked {
        match (outcome.verdict, outcome.standing.used) {
            (Verdict::Admitted, _) => Looked::Passed,
            (Verdict::Refused(_), 0) => Looked::Unknown,
            (Verdict::Refused(_), since) => {
                Looked::Stopped(self.breaker.standing(Some(Timestamp(since & !BY_HAND)), at))
            }
        }
    }

    /// Whether a look at it tells that it was opened by hand, and not by its limit.
    pub(super) fn is_open_by_hand(outcome: &Outcome) -> bool {
        !outcome.is_admitted() && outcome.standing.used & BY_HAND != 0
    }

    /// Opens it because its limit was reached at `at`, unless it is open. Whether it was not.
    async fn trip<S: Store>(self, engine: &Engine<S>, at: Timestamp) -> bool {
        // To a probe it is closed once it is half-open: reached then, it opens anew.
        let look = Charge { binding: Binding::Enforced, ..self.look(Looking::Probe) };
        let call = Call { charges: &[look, self.open(at)], admission: Admission::AllOrNone, expenses: &[] };
        let Answer { outcomes, .. } = failure::ask(&engine.store, call).await;
        outcomes[0].is_admitted() && outcomes[1].standing.used > 0
    }

    /// Remembers what a look at one came to at `at` that all share, and tells when it was open and is closed now.
    pub(super) fn remember(self, domain: &NativeDomain, looking: Looking, looked: Looked, at: Timestamp) {
        if *self.limit.subjects != Subjects::ALL {
            return;
        }
        let tally = &self.breaker.tally;
        let closing = match (looked, looking) {
            (Looked::Passed, Looking::Plain) => tally.saw_closed(at),
            (Looked::Passed, Looking::Probe) => tally.passed_probe(at),
            (Looked::Stopped(standing), _) => return tally.saw_open(standing.closes_at),
            (Looked::Unknown, _) => return,
        };
        let (domain, limit) = (&*domain.name, &*self.limit.name);
        match closing {
            Some(Closing::ByItself) => tracing::warn!(domain, limit, "a breaker has closed by itself"),
            Some(Closing::ByHand) => tracing::warn!(domain, limit, "a breaker was closed by hand"),
            None => {}
        }
    }

    /// Remembers how one is at `at` that all share.
    pub(super) fn see(self, standing: BreakerStanding, at: Timestamp) {
        if *self.limit.subjects != Subjects::ALL {
            return;
        }
        let tally = &self.breaker.tally;
        match standing.state {
            BreakerState::Closed => _ = tally.saw_closed(at),
            BreakerState::Open | BreakerState::HalfOpen => tally.saw_open(standing.closes_at),
        }
    }

    /// Whose it is, as alerts name them: `None` of one that all share.
    pub(super) fn subject(self) -> Option<String> {
        let of_one = *self.limit.subjects != Subjects::ALL;
        of_one.then(|| format!("{:032x}", self.key.id ^ self.breaker.identity))
    }

    /// Tells that it was opened at `since`.
    fn tell(self, domain: &NativeDomain, since: Timestamp) {
        self.breaker.tally.count();
        let standing = self.breaker.standing(Some(since), since);
        self.see(standing, since);
        let BreakerStanding { half_open_at, closes_at, .. } = standing;
        tracing::warn!(
            domain = &*domain.name,
            limit = &*self.limit.name,
            subject = self.subject(),
            half_open_at = half_open_at.map(calendar::in_utc),
            closes_at = closes_at.map(calendar::in_utc),
            "a breaker has opened: what spends money in the domain is refused"
        );
    }
}

impl Looked {
    /// Whether it may be that a limit which is reached now is the first to open the breaker, or to open it anew.
    pub(super) fn can_trip(self) -> bool {
        match self {
            Self::Passed => true,
            Self::Stopped(standing) => standing.state == BreakerState::HalfOpen,
            Self::Unknown => false,
        }
    }
}

/// Opens these breakers of `domain`, whose limits were reached at `at`, and tells of each that was not open.
pub(super) async fn trip<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    at: Timestamp,
    reached: &[Guarded<'_>],
) {
    for guarded in reached {
        if guarded.trip(engine, at).await {
            guarded.tell(domain, at);
        }
    }
}

/// What has to be used of `limit`, which allows `number`, to open its breaker; `None` if nothing does: it is a rule on trial,
/// or allows nothing.
pub(super) fn trips_at(limit: &Limit, number: Number) -> Option<u64> {
    match (limit.mode, number) {
        (Mode::Enforced, Number::AtMost(most @ 1..)) => Some(most),
        _ => None,
    }
}
