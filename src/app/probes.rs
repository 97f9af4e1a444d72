//! What operators are told of the parts that only the whole knows.

use tokio::sync::watch;

use crate::admin::{Probe, State};
use crate::config::reload::ReloadStatus;
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
    Probe::new("files", move || match &status.borrow().last_error {
        None => State::Ready,
        Some(found) => {
            State::Degraded(format!("changed and wrong, the last good ones are in force\n{found}"))
        }
    })
}
