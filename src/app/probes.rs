//! What operators are told of the parts that only the whole knows.

use std::sync::Arc;

use tokio::sync::watch;

use crate::admin::{Probe, State};
use crate::config::reload::ReloadStatus;
use crate::store::memory::MemoryStore;
use crate::store::redis::RedisStore;
use crate::transport::health::{Health, Serving};

/// Not ready before calls are wanted, and once they no longer are.
pub(super) fn health(health: Health) -> Probe {
    Probe::new("health", move || match health.get() {
        Serving::Wanted => State::Ready,
        Serving::Unwanted => State::Failed("calls are not wanted".to_owned()),
    })
}

/// Whether the files as they are now are the limits in force.
pub(super) fn files(status: watch::Receiver<ReloadStatus>) -> Probe {
    let (reloads, refused) = (status.clone(), status.clone());
    Probe::new("files", move || match &status.borrow().last_error {
        None => State::Ready,
        Some(found) => {
            State::Degraded(format!("changed and wrong, the last good ones are in force\n{found}"))
        }
    })
    .counting("reloads", "How often files were put in force, with the first time at start", move || {
        reloads.borrow().generation
    })
    .counting(
        "reload_failures",
        "How often changed files were wrong, and the last good ones stayed",
        move || refused.borrow().refused,
    )
}

/// Whether the embedded store has remembered all reservations for as long as it should.
pub(super) fn reservations(store: &Arc<MemoryStore>) -> Probe {
    let (look, count) = (store.clone(), store.clone());
    Probe::new("reservations", move || match look.forgotten() {
        0 => State::Ready,
        times => {
            State::Degraded(format!("{times} were forgotten before their time: raise TOLLGATE_MAX_KEYS"))
        }
    })
    .counting(
        "reservations_forgotten",
        "Reservations that were forgotten before their time, since there were too many",
        move || count.forgotten(),
    )
}

/// Whether Redis has answered in time, of late.
pub(super) fn answers(store: &RedisStore) -> Probe {
    let is_late = store.lateness();
    Probe::new("answers of the store", move || match is_late() {
        false => State::Ready,
        true => State::Degraded("some come too late: TOLLGATE_STORE_TIMEOUT gives them longer".to_owned()),
    })
    .counting(
        "store_unanswered",
        "Calls to the store that it had no answer to in time: what begins goes by on_error, a settle is told again",
        store.unanswered(),
    )
}
