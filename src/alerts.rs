//! Tells people that a limit is nearly used up, or not paid for want of a price: in the log, and by the webhook of its
//! file.
//!
//! Whoever finds a threshold crossed raises an [`Alert`] and goes on: to raise neither waits nor fails. A task of its own
//! writes each into the log and offers it to the webhook until that has taken it, in the order in which they came.
//! Every alert is taken to be news; whether it is, those know who count. Nothing here looks at a counter, sees more of a
//! caller than the name of a model, or shows the address of a webhook.

mod alert;
mod delivery;
mod pause;
mod post;
mod trust;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::limits::Alerted;

pub use alert::{Alert, Crossed};
pub use delivery::Delivery;
pub(crate) use trust::connector;

/// How alerts are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlertSettings {
    /// How many alerts may wait; what comes then is dropped. Default 1,024.
    pub most_waiting: usize,
    /// How often an alert is offered to its webhook. Default 5.
    pub tries: u32,
    /// How long the webhook has to take it, each time. Default 5 s.
    pub patience: Duration,
    /// About how long to wait before the second try; before each further one it is three times as long. Default 1.5 s,
    /// which makes five tries in a minute.
    pub pause: Duration,
    /// How long those that wait are still sent once the process is to end. Default 1.5 s.
    pub drain: Duration,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            most_waiting: 1_024,
            tries: 5,
            patience: Duration::from_secs(5),
            pause: Duration::from_millis(1_500),
            drain: Duration::from_millis(1_500),
        }
    }
}

/// Where alerts are raised. Copies are cheap, and raise alerts to the same [`Delivery`].
#[derive(Clone, Debug)]
pub struct Alerts {
    inbox: mpsc::Sender<Alert>,
    crowd: Arc<Crowd>,
}

impl Alerts {
    /// Has `alert` told. When too many wait already it is dropped, which is counted.
    pub fn raise(&self, alert: Alert) {
        match self.inbox.try_send(alert) {
            Ok(()) => {}
            Err(TrySendError::Full(alert)) => self.crowd.turn_away(&alert),
            Err(TrySendError::Closed(alert)) => alert.became(Alerted::Dropped),
        }
    }
}

/// Whether alerts come faster than they can be told. It is said once, until none waits any more.
#[derive(Debug, Default)]
struct Crowd(AtomicBool);

impl Crowd {
    fn turn_away(&self, alert: &Alert) {
        alert.became(Alerted::Dropped);
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::error!("too many alerts wait: further ones are dropped and counted");
        }
    }

    fn is_gone(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
