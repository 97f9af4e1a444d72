//! What follows when a counter grows: alerts for the shares of a limit that it crosses.
//!
//! Found in the outcomes of the step that charged, on whichever instance it is made. A sliding window forgets all the time
//! and can cross a share again and again, and what is settled is found again by whoever settles it again, since the
//! answer to the first may be lost. So a limit of one alert a window, kept in the same store, says what is news. Nothing
//! here is awaited unless something was crossed.

use crate::alerts::{Alert, Crossed};
use crate::algorithm::{Op, Rule, Span, Standing};
use crate::clock::{Micros, Timestamp};
use crate::limits::{
    CounterKey, Limit, NativeDomain, Number, OnError, Percent, TierId, Unit, Window, crossed, identity,
};
use crate::store::{Admission, Binding, Call, Charge, FreedBy, Store};

use super::Engine;

/// Within what a capacity is told of once, however often it empties and fills.
const A_DAY: Micros = Micros::from_secs(24 * 3600);

/// A counter that has grown.
#[derive(Clone, Copy)]
pub(super) struct Grown<'a> {
    pub(super) limit: &'a Limit,
    /// `None` where only what was reserved is known.
    pub(super) tier: Option<TierId>,
    pub(super) key: CounterKey,
    /// What makes the counter another's than other limits'.
    pub(super) identity: u128,
    pub(super) number: Number,
    /// By so much.
    pub(super) units: u64,
    /// To this.
    pub(super) standing: Standing,
}

impl<'a> Grown<'a> {
    /// The window that it is counted in: of calls that say on which day it begins, theirs.
    fn window(&self) -> &'a Window {
        let anchored = self.limit.anchored.iter().find(|anchored| anchored.identity == self.identity);
        anchored.map_or(&self.limit.window, |anchored| &anchored.window)
    }

    /// The shares that it has crossed, from the least.
    fn crossings(&self) -> impl Iterator<Item = Percent> + use<'a> {
        let used = self.standing.used;
        crossed(&self.limit.thresholds, self.number, used.saturating_sub(self.units), used)
    }

    /// That it has crossed `threshold`.
    fn crossed(&self, threshold: Percent, at: Timestamp) -> Crossed {
        let Standing { used, held, reset_after, .. } = self.standing;
        let most = if let Number::AtMost(most) = self.number { most } else { u64::MAX };
        let subject = self.key.id ^ self.identity;
        let resets_at = reset_after.map(|span| at.plus(span));
        Crossed { threshold, tier: self.tier, used, held, most, subject, at, resets_at }
    }
}

/// A counter that has grown, and a share that it has crossed.
pub(super) struct Crossing<'a> {
    grown: Grown<'a>,
    threshold: Percent,
}

/// What all that has `grown` has crossed. Nothing is kept where nobody would be told.
pub(super) fn crossings<'a, S: Store>(
    engine: &Engine<S>,
    grown: impl Iterator<Item = Grown<'a>>,
) -> Vec<Crossing<'a>> {
    if engine.alerts.is_none() {
        return Vec::new();
    }
    grown.flat_map(|grown| grown.crossings().map(move |threshold| Crossing { grown, threshold })).collect()
}

/// Raises alerts for all that was crossed at `at` of limits of `domain`.
pub(super) async fn raise<S: Store>(
    engine: &Engine<S>,
    domain: &NativeDomain,
    at: Timestamp,
    crossings: &[Crossing<'_>],
) {
    let Some(alerts) = &engine.alerts else { return };
    for Crossing { grown, threshold } in crossings {
        if is_news(engine, grown, *threshold, at).await {
            alerts.raise(Alert::new(domain, grown.limit, grown.crossed(*threshold, at)));
        }
    }
}

/// Whether nobody was told of this crossing within the window. Without a store to tell, it is news.
async fn is_news<S: Store>(engine: &Engine<S>, grown: &Grown<'_>, threshold: Percent, at: Timestamp) -> bool {
    let Some((window, event)) = event(grown, at) else { return true };
    let (threshold, event) = (threshold.0.to_le_bytes(), event.0.to_le_bytes());
    let told = identity(&[b"alert", &threshold, &grown.identity.to_le_bytes(), &event]);
    let once = Charge {
        key: grown.key.beside(grown.identity, told),
        overflow: told,
        rule: Rule { window: &window, number: Number::AtMost(1) },
        op: Op::Take { room: 1, charge: 1 },
        binding: Binding::Enforced,
        on_error: OnError::Allow,
        freed_by: FreedBy::Time,
        unit: Unit::Hits,
        memo: 0,
    };
    let call = Call { charges: &[once], admission: Admission::AllOrNone, expenses: &[] };
    let answer = super::failure::ask(&engine.store, call).await;
    answer.outcomes.iter().all(|outcome| outcome.is_admitted())
}

/// Within what one crossing is told once, and which of several such spans it is; `None` where every crossing is news.
fn event(grown: &Grown<'_>, at: Timestamp) -> Option<(Window, Timestamp)> {
    let whole_seconds = |span: Micros| Micros::from_secs(span.0.div_ceil(Micros::from_secs(1).0).max(1));
    match grown.window() {
        Window::Sliding { length } | Window::TokenBucket { length, .. } => {
            Some((Window::Sliding { length: *length }, Timestamp::default()))
        }
        // The end of the period, which may not be when the counter is whole.
        window @ (Window::Fixed { .. } | Window::Calendar(..)) => {
            let end = Span::holding(window, at).end;
            Some((Window::Sliding { length: whole_seconds(end.since(at)) }, end))
        }
        Window::Total { .. } => Some((Window::Sliding { length: A_DAY }, Timestamp::default())),
        _ => None,
    }
}
