//! What callers who learn the cost later are answered, before any wire: values, a refusal too.

use std::sync::Arc;

use crate::algorithm::{Outcome, Retry, Rule, Verdict};
use crate::clock::{Micros, Timestamp};
use crate::engine::Enforcement;
use crate::engine::native::{Part, Settled};
use crate::engine::unclaimed::Unclaimed;
use crate::limits::{BreakerStanding, Limit, Mode, Number, Unit, Window};
use crate::money::NanoUsd;
use crate::store::Answer;

use super::amounts::Granted;
use super::handle::Handle;

/// Whether a call, or what one limit says of it, may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ruling {
    /// It may.
    Allow,
    /// It may, although a limit that is on trial or soft has no room for it.
    ShadowDeny,
    /// It may not.
    Deny,
}

/// What became of a [`ReserveRequest`](super::ReserveRequest).
#[derive(Clone, Debug)]
pub struct ReserveAnswer {
    /// Whether the call may begin.
    pub ruling: Ruling,
    /// What settles it; `None` if nothing is held.
    pub handle: Option<Handle>,
    /// What was granted of the estimate; `None` if the call may not begin.
    pub granted: Option<Granted>,
    /// Every limit that it touches.
    pub standings: Vec<LimitStanding>,
    /// When the hold lapses.
    pub until: Option<Timestamp>,
    /// Whether it was done before.
    pub done: Done,
    /// What is held for whoever asked, if nobody else could ever name it.
    pub unclaimed: Option<Unclaimed>,
}

/// What became of a [`SettleRequest`](super::SettleRequest).
#[derive(Clone, Debug)]
pub struct SettleAnswer {
    /// Whether it may go on.
    pub ruling: Ruling,
    /// What was charged in all; `None` if it touches no limit of money.
    pub charged: Option<NanoUsd>,
    /// What was charged in all, in tokens; 0 if it touches no limit of tokens.
    pub tokens: u64,
    /// Every limit that is charged.
    pub standings: Vec<LimitStanding>,
    /// When what is still held lapses; `None` if nothing is.
    pub until: Option<Timestamp>,
    /// Whether it was done before.
    pub done: Done,
    /// Whether its hold was still there.
    pub timing: Timing,
}

/// What became of a [`ReleaseRequest`](super::ReleaseRequest).
#[derive(Clone, Debug)]
pub struct ReleaseAnswer {
    /// Every limit that is given back to.
    pub standings: Vec<LimitStanding>,
    /// Whether it was done before.
    pub done: Done,
}

/// Whether a call was done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was.
    Now,
    /// It was done before, and nothing was done now.
    Before,
}

/// Whether a hold was still there when it was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// It was, or there was none.
    InTime,
    /// It had lapsed.
    Late,
}

/// Where one limit stands.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitStanding {
    /// Its name.
    pub limit: Arc<str>,
    /// What it says of the call.
    pub ruling: Ruling,
    /// What it counts.
    pub unit: Unit,
    /// The most that may be used and held at once.
    pub most: Number,
    /// What is known of its counter.
    pub known: Known,
    /// Used.
    pub used: u64,
    /// Held.
    pub held: u64,
    /// When it is whole again; `None` if never by itself.
    pub resets_at: Option<Timestamp>,
    /// When to come back; `None` if that is not refused, or nobody knows.
    pub retry_after: Option<Micros>,
    /// Why it refuses, or what is odd about what it was charged.
    pub reason: Option<Reason>,
}

/// What is known of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// What is used and held.
    Amounts,
    /// Nothing: it was not asked, or has no answer.
    Nothing,
}

/// Why a limit refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no room now.
    OverLimit,
    /// It allows nothing on the caller's tier.
    BlockedByTier,
    /// There never is so much room.
    TooLarge,
    /// Its subject is not among the entries.
    MissingSubject,
    /// What was used has no price.
    UnpricedModel,
    /// Its breaker is open.
    BreakerOpen,
    /// The hold is as old as any may become, and nothing of it is held on.
    Expired,
    /// The store does not answer, and the limit refuses or passes by its policy then.
    StoreUnavailable,
}

impl Reason {
    /// Of a limit that refuses by `answer` when it is asked for `room`.
    pub(in crate::engine) fn of(settled: &Settled<'_>, room: Option<u64>, answer: &Answer) -> Self {
        let (touch, standing) = (settled.touch, settled.outcome.standing);
        match (touch.part, Rule { window: &touch.limit.window, number: touch.number }.most()) {
            (Part::Unnamed, _) => Self::MissingSubject,
            (Part::Unpriced, _) => Self::UnpricedModel,
            (Part::Looked(_) | Part::Stopped(_), _) => Self::BreakerOpen,
            (Part::Charged(_), Number::AtMost(0)) => Self::BlockedByTier,
            (Part::Charged(_), Number::AtMost(most)) if room.is_some_and(|room| room > most) => {
                Self::TooLarge
            }
            _ if answer.is_policy_of(touch.limit.on_error, standing) => Self::StoreUnavailable,
            (Part::Charged(_), _) => Self::OverLimit,
        }
    }

    /// As it is sent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OverLimit => "over_limit",
            Self::BlockedByTier => "blocked_by_tier",
            Self::TooLarge => "too_large",
            Self::MissingSubject => "missing_subject",
            Self::UnpricedModel => "unpriced_model",
            Self::BreakerOpen => "breaker_open",
            Self::Expired => "expired",
            Self::StoreUnavailable => "store_unavailable",
        }
    }
}

impl Ruling {
    /// What a limit of `mode` says that has no room.
    pub(super) fn without_room(mode: Mode, enforcement: Enforcement) -> Self {
        match (mode, enforcement) {
            (Mode::Enforced, Enforcement::Enforced) => Self::Deny,
            _ => Self::ShadowDeny,
        }
    }

    /// What all of `standings` say together.
    pub(in crate::engine) fn of(standings: &[LimitStanding]) -> Self {
        standings.iter().map(|standing| standing.ruling).max().unwrap_or(Self::Allow)
    }
}

impl LimitStanding {
    /// Of `limit`, which allows `number`, at `at`.
    pub(in crate::engine) fn new(
        limit: &Limit,
        number: Number,
        outcome: &Outcome,
        at: Timestamp,
        enforcement: Enforcement,
    ) -> Self {
        let standing = outcome.standing;
        let most = Rule { window: &limit.window, number }.most();
        let (ruling, retry_after, reason) = match outcome.verdict {
            Verdict::Admitted => (Ruling::Allow, None, None),
            Verdict::Refused(retry) => {
                let blocked = number.is_blocked();
                let reason = if blocked { Reason::BlockedByTier } else { Reason::OverLimit };
                (Ruling::without_room(limit.mode, enforcement), span(retry), Some(reason))
            }
        };
        Self {
            limit: limit.name.clone(),
            ruling,
            unit: limit.unit,
            most,
            known: Known::Amounts,
            used: standing.used,
            held: standing.held,
            // Its holders bring the room of a concurrent limit back, whenever they do.
            resets_at: standing
                .reset_after
                .filter(|_| !matches!(limit.window, Window::Concurrent { .. }))
                .map(|after| at.plus(after)),
            retry_after,
            reason,
        }
    }

    /// Stops what spends at `at`, since its `breaker` is open.
    pub(super) fn stopped(
        self,
        limit: &Limit,
        breaker: BreakerStanding,
        at: Timestamp,
        enforcement: Enforcement,
    ) -> Self {
        let gives_way = breaker.gives_way_at().map(|instant| instant.since(at));
        let retry_after = match self.reason {
            // Whoever comes back sooner finds no room.
            Some(_) => gives_way.zip(self.retry_after).map(|(one, other)| one.max(other)),
            None => gives_way,
        };
        let ruling = Ruling::without_room(limit.mode, enforcement);
        Self { ruling, retry_after, reason: Some(Reason::BreakerOpen), ..self }
    }

    /// Holds nothing on, since the hold is too old, unless it refuses for a reason of its own.
    pub(super) fn expire(&mut self, enforcement: Enforcement) {
        if self.ruling == Ruling::Allow {
            self.ruling = Ruling::without_room(Mode::Enforced, enforcement);
            self.reason = Some(Reason::Expired);
        }
    }

    /// Lets pass, whatever there is room for now.
    pub(super) fn pass(&mut self) {
        (self.ruling, self.retry_after, self.reason) = (Ruling::Allow, None, None);
    }

    /// Of a limit that is asked for `room`.
    pub(in crate::engine) fn of_asked(
        settled: Settled<'_>,
        room: Option<u64>,
        answer: &Answer,
        enforcement: Enforcement,
    ) -> Self {
        let touch = settled.touch;
        let mut standing = Self::new(touch.limit, touch.number, settled.outcome, answer.at, enforcement);
        if standing.reason.is_some() {
            let reason = Reason::of(&settled, room, answer);
            // A policy may know no better than to come back soon.
            standing.retry_after = standing.retry_after.filter(|_| reason != Reason::TooLarge);
            standing.reason = Some(reason);
        }
        let known = settled.known(|_| room, answer);
        if known == Known::Nothing {
            standing.reason.get_or_insert(Reason::StoreUnavailable);
        }
        if !touch.is_asked() || known == Known::Nothing {
            (standing.known, standing.used, standing.held) = (Known::Nothing, 0, 0);
        }
        standing
    }
}

fn span(retry: Retry) -> Option<Micros> {
    match retry {
        Retry::After(span) => Some(span),
        Retry::Never => None,
    }
}
