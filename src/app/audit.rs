//! The audit: which ledger it has, who follows it, what operators are told of it, and what Tollgate records by itself.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::admin::{Probe, State};
use crate::audit::{Action, Actor, Event, Journal, Outcome};
use crate::auth::{Denial, Denials, Gate, Grant, Refused};
use crate::clock::Clock;
use crate::config::reload::{ReloadStatus, log_strays};
use crate::limits::LimitsHandle;
use crate::store::Ledger;
use crate::store::ledger::MemoryLedger;

/// How long calls are kept waiting at start for what was set over the files. Envoy lets all of them pass meanwhile.
const LONGEST_START: Duration = Duration::from_secs(10);
/// How long the end of the process may wait for the last refusals to be recorded. The log has them.
const LONGEST_END: Duration = Duration::from_secs(2);
/// How soon a record that could not be written is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// How much of what is wrong with files is recorded.
const MOST_OF_REASON: usize = 1024;

/// The ledger of a store that keeps nothing: standard output.
pub(super) fn homeless() -> Arc<dyn Ledger> {
    tracing::warn!(
        records = MemoryLedger::MOST,
        "what admins do goes to standard output, its newest records are kept in memory, and what they set is \
         forgotten at the end: name a --data-dir or a Redis"
    );
    Arc::new(MemoryLedger::new(std::io::stdout()))
}

/// The journal of `ledger`, which sets over the files what is recorded.
pub(super) fn open(ledger: Arc<dyn Ledger>, limits: LimitsHandle) -> Journal {
    Journal::open(ledger, Clock::System, move |overlay, now| limits.set_over(overlay, now))
}

/// Reads what is there and puts it in force; where that takes long, what was read by then.
pub(super) async fn catch_up(journal: &Journal) {
    if !journal.catch_up_within(LONGEST_START).await {
        let read = journal.head().number;
        tracing::warn!(read, after = ?LONGEST_START, "the audit is long: calls are taken before all that was set is in force");
    }
}

/// Follows what others append. Once all that was set is in force, it says what is set over nothing: what comes later is set over
/// what is there, or told of when the files change.
pub(super) async fn follow(journal: Journal, limits: LimitsHandle) {
    let telling = async {
        while !journal.state().is_read {
            tokio::time::sleep(PAUSE).await;
        }
        // Much may be set: it is looked through beside whoever decides.
        _ = tokio::task::spawn_blocking(move || log_strays(&limits)).await;
    };
    join(journal.clone().follow(pending()), telling).await;
}

/// Says in the log where the chain ends: whoever has that can tell later whether anything was cut off.
pub(super) fn tell(journal: &Journal) {
    let head = journal.head();
    tracing::info!(records = head.number, head = %head.hash, "the audit");
}

/// How the audit is, for operators.
pub(super) fn probe(journal: &Journal) -> Probe {
    let [look, records, unwritten] = [(); 3].map(|()| journal.clone());
    Probe::new("audit", move || {
        let state = look.state();
        match state.problem() {
            None => State::Telling(state.head.to_string()),
            Some(problem) => State::Degraded(format!("{}; {problem}", state.head)),
        }
    })
    .having("audit_records", "Records of the audit", move || records.head().number)
    .counting(
        "audit_failures",
        "Times that a record could not be written, or that it is not known whether it was",
        move || unwritten.unwritten(),
    )
}

/// Records what becomes of changed files, in the order in which it does. While nothing can be written, only the latest
/// is kept to be.
pub(super) async fn record_reloads(journal: Journal, mut status: watch::Receiver<ReloadStatus>) {
    while status.changed().await.is_ok() {
        let event = reloaded(&status.borrow_and_update());
        while journal.append(|_| Ok::<_, ()>(event.clone())).await.is_err() {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                // A newer one stands for this one as well.
                changed = status.changed() => {
                    status.mark_changed();
                    if changed.is_ok() { break } else { return }
                }
            }
        }
    }
}

fn reloaded(status: &ReloadStatus) -> Event {
    let outcome = if status.last_error.is_none() { Outcome::Done } else { Outcome::Refused };
    let reason = status.last_error.as_ref().map(|found| beginning(&found.to_string())).unwrap_or_default();
    Event {
        after: json!({"generation": status.generation}),
        reason,
        ..Event::new(Actor::tollgate(), Action::Reload, outcome)
    }
}

/// Records who is refused at `gate`, and logs it: that is there also where nothing can be recorded. What cannot be is told
/// again a minute later. Of what may come to be recorded nobody knows: it is as well, and may be there twice. Once it is to
/// `stop`, what was counted until then has its record.
pub(super) async fn record_denials<G: Grant>(
    journal: Journal,
    gate: Gate<G>,
    mut denials: Denials,
    stop: impl Future<Output = ()>,
) {
    tokio::pin!(stop);
    loop {
        let denial = tokio::select! {
            biased;
            denial = denials.recv() => denial,
            () = &mut stop => break,
        };
        let Some(denial) = denial else { break };
        log(&denial);
        // The journal tells of what it cannot write.
        if !is_recorded(&journal, &denial).await {
            gate.put_back(denial);
        }
    }
    let rest = gate.rest();
    rest.iter().for_each(log);
    let recording = async {
        for denial in &rest {
            if !is_recorded(&journal, denial).await {
                return;
            }
        }
    };
    _ = tokio::time::timeout(LONGEST_END, recording).await;
}

async fn is_recorded(journal: &Journal, denial: &Denial) -> bool {
    journal.append(|_| Ok::<_, ()>(denied(denial))).await.is_ok()
}

fn log(denial: &Denial) {
    let Refused { actor, holder, from, action, why, attempt } = &denial.refused;
    let name = actor.as_ref().map_or("", |actor| &actor.name);
    let from = from.map(|address| address.to_string()).unwrap_or_default();
    let (action, times, token_of) =
        (action.name(), denial.times, holder.as_ref().map(|holder| &*holder.name));
    let (domain, target) = (attempt.domain.as_deref(), told(&attempt.target));
    tracing::warn!(name, from, action, why, token_of, domain, target, times, "somebody was refused");
    if let Some(name) = denial.gives_away() {
        tracing::error!(
            name,
            "a token that holds stood in a URL, where others read it: make another, and take this one away"
        );
    }
}

fn told(target: &Value) -> Option<String> {
    (!target.is_null()).then(|| target.to_string())
}

fn denied(denial: &Denial) -> Event {
    let Refused { actor, holder, from, action, why, attempt } = &denial.refused;
    let actor = actor.clone().unwrap_or_else(|| Actor::unknown(*from));
    let mut target = attempt.target.as_object().cloned().unwrap_or_default();
    target.extend(holder.iter().map(|holder| ("token_of".to_owned(), (*holder.name).into())));
    if denial.gives_away().is_some() {
        target.insert("revoke".to_owned(), true.into());
    }
    target.insert("times".to_owned(), denial.times.into());
    Event {
        domain: attempt.domain.clone(),
        target: target.into(),
        reason: (*why).into(),
        ..Event::new(actor, *action, Outcome::Refused)
    }
}

/// As much of `text` as is recorded.
fn beginning(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(MOST_OF_REASON)].into()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::{BoxFuture, ready};

    use super::*;
    use crate::auth::Caller;
    use crate::store::ledger::{LedgerError, Line, Placing};

    /// One that takes nothing.
    #[derive(Debug)]
    struct Full;

    impl Ledger for Full {
        fn append<'a>(&'a self, _: u64, _: &'a [u8]) -> BoxFuture<'a, Result<Placing, LedgerError>> {
            let (place, problem) = ("here".to_owned(), "full".to_owned());
            ready(Err(LedgerError::Output { place, problem })).boxed()
        }

        fn read(&self, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
            ready(Ok(Vec::new())).boxed()
        }

        fn read_back(&self, _: u64, _: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
            ready(Ok(Vec::new())).boxed()
        }
    }

    fn journal(ledger: impl Ledger + 'static) -> Journal {
        Journal::open(Arc::new(ledger), Clock::System, |_, _| {})
    }

    #[tokio::test]
    async fn a_refusal_that_cannot_be_written_is_given_back() {
        let (gate, denials) = Gate::new([], Clock::System);
        gate.admit(&Caller::default()).unwrap_err();
        let recording = record_denials(journal(Full), gate.clone(), denials, pending());
        assert_eq!(recording.now_or_never(), None, "it goes on");
        let back = gate.rest();
        assert_eq!(
            back.iter().map(|denial| (denial.refused.why, denial.times)).collect::<Vec<_>>(),
            [("missing", 1)]
        );
    }

    #[tokio::test]
    async fn what_was_counted_has_its_record_at_the_end() {
        let (gate, denials) = Gate::new([], Clock::System);
        for _ in 0..5 {
            gate.admit(&Caller::default()).unwrap_err();
        }
        let ledger = MemoryLedger::new(std::io::sink());
        record_denials(journal(ledger.clone()), gate, denials, ready(())).await;
        let lines = ledger.read(1, 10).await.unwrap();
        let times = |line: &Line| {
            let record: Value = serde_json::from_slice(&line.bytes).unwrap();
            record["target"]["times"].clone()
        };
        assert_eq!(lines.iter().map(times).collect::<Vec<_>>(), [1, 4]);
    }
}
