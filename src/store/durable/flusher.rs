//! The thread that writes down what has changed, again and again, whenever somebody waits for it, and once more when it is told
//! to end. All who wait as it begins are told of one flush.
//!
//! An error of the disk, or of the database, is told once for each of its kinds until a flush succeeds again. What could
//! not be written is tried again with what has changed since.

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock::{Clock, Micros};

use super::error::WriteError;
use super::{Changes, DataFile, FlushStatus, Kept};

/// The longest pause between two attempts at a disk that cannot be written.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long somebody waits for a flush. It goes on.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes down what changes, until it is ended.
#[derive(Debug)]
pub struct Flusher {
    /// Ends the thread when it is gone.
    asks: Arc<Sender<Waiting>>,
    ended: oneshot::Receiver<Result<(), String>>,
    status: Arc<FlushStatus>,
}

/// Asks for flushes, for as long as somebody makes them.
#[derive(Clone, Debug)]
pub struct Flushes(Weak<Sender<Waiting>>);

/// Somebody who is to be told, in words, what became of a flush.
type Waiting = oneshot::Sender<Result<(), String>>;

/// What the thread has.
struct Writer {
    file: DataFile,
    kinds: Vec<Arc<dyn Kept>>,
    clock: Clock,
    /// From the start of one flush to the start of the next.
    period: Duration,
    status: Arc<FlushStatus>,
    told: BTreeSet<String>,
    /// How many flushes failed, one after the other, of those that nobody had asked for.
    failed: u32,
}

/// Why there is a flush.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It is time.
    Time,
    /// Somebody waits for it.
    Ask,
}

impl Flusher {
    /// Starts to write to `file` what changes of `kinds`, twice in each `interval`.
    ///
    /// # Errors
    ///
    /// When the system has no thread for it.
    pub fn start(
        file: DataFile,
        kinds: Vec<Arc<dyn Kept>>,
        interval: Duration,
        clock: Clock,
    ) -> io::Result<Self> {
        kinds.iter().for_each(|kind| kind.keep_track());
        let ((asks, asked), (end, ended)) = (channel(), oneshot::channel());
        let status = Arc::<FlushStatus>::default();
        let (period, told) = (interval / 2, BTreeSet::new());
        let writer = Writer { file, kinds, clock, period, status: status.clone(), told, failed: 0 };
        thread::Builder::new().name("flush".to_owned()).spawn(move || {
            // Nobody may be left who waits for it.
            _ = end.send(writer.run(&asked));
        })?;
        Ok(Self { asks: Arc::new(asks), ended, status })
    }

    /// What has become of it so far.
    pub fn status(&self) -> Arc<FlushStatus> {
        self.status.clone()
    }

    /// Who asks it for flushes.
    pub fn flushes(&self) -> Flushes {
        Flushes(Arc::downgrade(&self.asks))
    }

    /// Writes down what has changed until now, and ends. Nothing may change any more.
    ///
    /// # Errors
    ///
    /// In words, why that could not be written.
    pub async fn end(self) -> Result<(), String> {
        drop(self.asks);
        self.ended.await.unwrap_or_else(|_| gone())
    }
}

impl Flushes {
    /// Waits until all that has changed by now is written down.
    ///
    /// # Errors
    ///
    /// In words, why that could not be written yet. It is tried again.
    pub async fn flush(&self) -> Result<(), String> {
        let (told, hears) = oneshot::channel();
        let Some(asks) = self.0.upgrade() else { return gone() };
        if asks.send(told).is_err() {
            return gone();
        }
        drop(asks);
        match timeout(PATIENCE, hears).await {
            Ok(told) => told.unwrap_or_else(|_| gone()),
            Err(_) => Err(format!("it takes longer than {PATIENCE:?}")),
        }
    }
}

fn gone() -> Result<(), String> {
    Err("the thread that writes is gone".to_owned())
}

impl Writer {
    fn run(mut self, asked: &Receiver<Waiting>) -> Result<(), String> {
        let mut pause = self.period;
        loop {
            let first = match asked.recv_timeout(pause) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let cause = if first.is_some() { Cause::Ask } else { Cause::Time };
            let waiting: Vec<Waiting> = first.into_iter().chain(asked.try_iter()).collect();
            let began = self.clock.steady();
            let outcome = self.flush();
            pause = self.pause_after(cause, &outcome, self.clock.steady().0 - began.0);
            let told = outcome.map_err(|error| error.to_string());
            // Some may wait no longer.
            waiting.into_iter().for_each(|waiting| _ = waiting.send(told.clone()));
        }
        let outcome = self.flush().map_err(|error| error.to_string());
        self.file.give_up();
        outcome
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        self.kinds.iter().for_each(|kind| kind.draw_line());
        let changes = self.kinds.iter().map(|kind| {
            let mut changes = Changes::default();
            kind.take_changes(&mut changes);
            (&**kind, changes)
        });
        let changes: Vec<(&dyn Kept, Changes)> = changes.collect();
        let count = changes.iter().map(|(_, changes)| changes.len()).sum();
        // A database that breaks off is as bad as a disk that does, and no worse.
        let written = catch_unwind(AssertUnwindSafe(|| self.file.write(&changes)));
        let written = written.unwrap_or(Err(WriteError::BrokeOff));
        match &written {
            Ok(()) => self.status.succeeded(count),
            Err(error) => {
                changes.iter().for_each(|(kind, changes)| kind.put_back(changes));
                self.status.failed(error.to_string());
            }
        }
        written
    }

    /// How long to wait until the next flush. However often somebody asks, it is tried as soon as if nobody had.
    fn pause_after(&mut self, cause: Cause, outcome: &Result<(), WriteError>, took: u64) -> Duration {
        let path = self.file.path().display();
        match outcome {
            Ok(()) => {
                if std::mem::take(&mut self.failed) > 0 {
                    self.told.clear();
                    tracing::info!(%path, "the data file is written again");
                }
                self.period.saturating_sub(Micros(took).into())
            }
            Err(error) => {
                if self.told.insert(error.kind()) {
                    tracing::error!(%path, %error, "the data file cannot be written: trying again, decisions go on");
                }
                self.failed = (self.failed + u32::from(cause == Cause::Time)).max(1);
                (self.period * (1 << self.failed.min(16))).min(LONGEST_PAUSE.max(self.period))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::KeySecret;
    use crate::store::durable::DataSettings;

    #[test]
    fn a_broken_disk_is_tried_as_soon_however_often_somebody_asks() {
        let dir = tempfile::tempdir().unwrap();
        let period = Duration::from_millis(500);
        let settings = DataSettings { dir: dir.path().to_owned(), flush_interval: period * 2 };
        let (file, _) = DataFile::open(&settings, Some(KeySecret([7; 16]))).unwrap();
        let (status, told) = (Arc::default(), BTreeSet::new());
        let (kinds, clock) = (Vec::new(), Clock::System);
        let mut writer = Writer { file, kinds, clock, period, status, told, failed: 0 };
        let mut pause = |cause, outcome| writer.pause_after(cause, &outcome, 0);
        let broken = || Err(WriteError::Displaced);
        for _ in 0..10 {
            assert_eq!(pause(Cause::Ask, broken()), period * 2);
        }
        assert_eq!([(); 3].map(|()| pause(Cause::Time, broken())), [4, 8, 16].map(|times| period * times));
        assert_eq!(pause(Cause::Ask, broken()), period * 16);
        assert_eq!([pause(Cause::Ask, Ok(())), pause(Cause::Time, broken())], [period, period * 2]);
    }
}
