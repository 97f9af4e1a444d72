//! Stopping: the signals that ask for it, the one that is not to bring it about, and how all parts hear of it.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// SIGXFSZ: a file would grow beyond the limit of the process (`ulimit -f`).
const FILE_TOO_LARGE: SignalKind = SignalKind::from_raw(25);

/// Resolves when the process is asked to end, by SIGTERM or SIGINT. Asked again, it ends at once: whoever
/// presses Ctrl-C twice does not want to wait for the drain. A file that may not grow ends nothing any more: who writes to it
/// is told so, as where the disk is full.
///
/// # Errors
///
/// When the system does not let the process listen for signals.
pub fn signals() -> io::Result<impl Future<Output = ()>> {
    // Whoever listens to it once has taken away what it does by itself, for good.
    _ = signal(FILE_TOO_LARGE)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    Ok(async move {
        next().await;
        tokio::spawn(async move {
            next().await;
            tracing::warn!("asked to end a second time: calls in progress are cut off");
            std::process::exit(1);
        });
    })
}

/// Tells every part that holds a [`Stop`] to end.
#[derive(Debug)]
pub(super) struct Stopper(watch::Sender<bool>);

/// Tells one part when it is to end.
#[derive(Clone, Debug)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stopper {
    /// Nothing is to end yet.
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// What one more part is told by.
    pub(super) fn stop(&self) -> Stop {
        Stop(self.0.subscribe())
    }

    /// Everything is to end.
    pub(super) fn ask(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Resolves when this part is to end, or when nobody is left who could say so.
    pub(super) async fn asked(mut self) {
        _ = self.0.wait_for(|stop| *stop).await;
    }
}
