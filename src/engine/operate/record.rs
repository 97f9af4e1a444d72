//! What operators do is recorded before it is done, and before it is answered.

use std::convert::Infallible;
use std::fmt::Display;

use serde_json::Value as Json;

use crate::audit::{Action, Actor, Event, Journal, JournalError, Outcome, SUBJECT_MEMBERS, subject_json};
use crate::engine::Engine;
use crate::engine::hold::LimitStanding;
use crate::limits::{Overlay, SubjectId};
use crate::store::Store;

use super::error::OperateError;

/// What is going to be done, and by whom.
pub(super) struct Deed<'a> {
    pub(super) actor: &'a Actor,
    pub(super) action: Action,
    pub(super) domain: Option<&'a str>,
    pub(super) target: Json,
    pub(super) reason: &'a str,
}

impl Deed<'_> {
    /// The event that it is done.
    pub(super) fn event(&self, before: Json, after: Json) -> Event {
        let event = Event::new(self.actor.clone(), self.action, Outcome::Done);
        Event {
            domain: self.domain.map(Into::into),
            target: self.target.clone(),
            before,
            after,
            reason: self.reason.into(),
            ..event
        }
    }
}

/// Where it is recorded.
pub(super) fn journal<S>(engine: &Engine<S>) -> Result<&Journal, OperateError> {
    engine.journal.as_ref().ok_or(OperateError::NoJournal)
}

/// Records what `decide` says of what is set by then. The number of the record.
pub(super) async fn record<S: Store>(
    engine: &Engine<S>,
    decide: impl Fn(&Overlay) -> Result<Event, OperateError>,
) -> Result<u64, OperateError> {
    let appended = journal(engine)?.append(decide).await;
    appended.map(|appended| appended.number).map_err(of_change)
}

fn of_change(error: JournalError<OperateError>) -> OperateError {
    match error {
        JournalError::Refused(error) => error,
        JournalError::Unknown(_) => OperateError::Unknown(error.to_string()),
        error => OperateError::Unrecorded(error.to_string()),
    }
}

/// Records `event`, of what is done behind it. Of what was given up it is sure that it is not done, and if the record comes to
/// be there, another says so.
async fn record_deed<S: Store>(engine: &Engine<S>, event: &Event) -> Result<u64, OperateError> {
    let appended = journal(engine)?.append_deed(event).await;
    appended.map(|appended| appended.number).map_err(of_deed)
}

fn of_deed(error: JournalError<Infallible>) -> OperateError {
    let error = match error {
        JournalError::Unknown(error) => JournalError::Unwritten(error),
        error => error,
    };
    OperateError::Unrecorded(error.to_string())
}

/// Records `event`, then does `deed`; if that fails, records that too. The number of the first record.
pub(super) async fn record_and_do<S: Store, T, E: From<OperateError> + Display>(
    engine: &Engine<S>,
    event: Event,
    deed: impl Future<Output = Result<T, E>>,
) -> Result<(u64, T), E> {
    let number = record_deed(engine, &event).await?;
    match deed.await {
        Ok(done) => Ok((number, done)),
        Err(error) => {
            let failed = event.failed();
            if let Err(unrecorded) = record(engine, |_| Ok(failed.clone())).await {
                tracing::error!(record = number, %error, %unrecorded, "it is not recorded that this may not be done");
            }
            Err(error)
        }
    }
}

/// Where limits stand, for people to read.
pub(super) fn standings_json(standings: &[LimitStanding]) -> Json {
    let one = |standing: &LimitStanding| {
        let amounts = [("used", standing.used), ("held", standing.held)].into_iter();
        let amounts = amounts.filter(|(name, amount)| *name == "used" || *amount > 0);
        let amounts = amounts.map(|(name, amount)| (name.to_owned(), amount.into()));
        (standing.limit.to_string(), Json::Object(amounts.collect()))
    };
    Json::Object(standings.iter().map(one).collect())
}

/// What a record's target says of `subjects`, by each of which it is found, and of what stands `beside` them.
pub(super) fn target_of(
    subjects: &[SubjectId],
    beside: impl IntoIterator<Item = (&'static str, Json)>,
) -> Json {
    let named = SUBJECT_MEMBERS.into_iter().zip(subjects);
    let named = named.map(|(name, subject)| (name, subject_json(subject)));
    let members = named.chain(beside).filter(|(_, member)| !member.is_null());
    Json::Object(members.map(|(name, member)| (name.to_owned(), member)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::operate::Mistake;
    use crate::store::StoreError;
    use crate::store::ledger::LedgerError;

    const SILENT: LedgerError = LedgerError::Store(StoreError::Timeout);

    #[test]
    fn nobody_is_told_that_nothing_is_done_where_it_may_be() {
        let error = of_change(JournalError::Unknown(SILENT));
        assert_eq!(error.mistake(), Mistake::Unavailable);
        assert!(error.to_string().contains("it may come to be in force"), "{error}");
        for error in [of_change(JournalError::Unwritten(SILENT)), of_deed(JournalError::Unknown(SILENT))] {
            assert_eq!(error.mistake(), Mistake::Unavailable);
            assert!(error.to_string().contains("nothing is done"), "{error}");
        }
    }
}
