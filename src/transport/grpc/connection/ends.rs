//! What ends a connection: being asked to, its age, a peer that does not answer, and one of whom nobody is let in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::transport::access::Entered;

use super::super::GrpcSettings;
use super::Event;

/// Whether the peer has called since this was last asked; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<AtomicBool>);

impl Activity {
    /// The peer has called.
    pub(super) fn mark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// When everything is to end.
pub(super) async fn asked_to(mut leave: watch::Receiver<bool>) -> Event {
    _ = leave.wait_for(|leave| *leave).await;
    Event::Leave
}

/// When the connection has lived for `age`.
pub(super) async fn of_age(age: Duration) -> Event {
    sleep(age).await;
    Event::Leave
}

/// `then`, when nobody has been let in for so long since the connection began.
pub(super) async fn of_strangers(entered: Entered, patience: Duration, then: Event) -> Event {
    sleep(patience).await;
    if entered.by_anybody() { Event::Over } else { then }
}

/// When the peer does not answer a ping. It is asked whenever it has not called for a whole interval.
pub(super) fn of_silence(
    mut pings: PingPong,
    activity: Activity,
    settings: &GrpcSettings,
) -> impl Future<Output = Event> + Send + 'static {
    let (interval, patience) = (settings.keepalive_interval, settings.keepalive_timeout);
    async move {
        loop {
            sleep(interval).await;
            if activity.take() {
                continue;
            }
            if !matches!(timeout(patience, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
                return Event::Lost;
            }
        }
    }
}
