//! The journal: appends records behind the last, reads what others have appended, and puts in force what comes of both.
//!
//! All instances over one ledger follow it, so what one sets is in force on the others a quarter of a second later. Who
//! appends is judged against what is set at the very place of the record: if others are there first, it is judged
//! again. A ledger that takes no record fails whoever appends, and no decision; what was read before stays in force.

mod append;
mod book;
mod error;
mod late;
mod pages;
mod state;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::clock::{Clock, Micros, Timestamp};
use crate::limits::Overlay;
use crate::store::ledger::{Ledger, LedgerError, MemoryLedger};

use super::Head;

use book::{Book, Taken};

pub use append::Appended;
pub use error::JournalError;
pub use pages::{Asked, Page};
pub use state::JournalState;

/// How often it is looked whether others have appended.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often it is put in force what was read of a long chain, while more is.
const TELL_EVERY: Micros = Micros::from_secs(1);
/// How many lines are read at once.
const AT_ONCE: usize = 500;

/// Puts in force what is set.
type InForce = Arc<dyn Fn(Arc<Overlay>, Timestamp) + Send + Sync>;

/// Appends records and follows those of others; one for all who share it.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

struct Shared {
    ledger: Arc<dyn Ledger>,
    clock: Clock,
    in_force: InForce,
    /// How often anything was put in force: what is older is not put there behind what is newer.
    put: Arc<parking_lot::Mutex<u64>>,
    /// Held by whoever reads or appends: what comes of the lines is put in force in their order.
    book: Mutex<Book>,
    state: ArcSwap<JournalState>,
    unwritten: AtomicU64,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("ledger", &self.0.ledger).finish_non_exhaustive()
    }
}

impl Journal {
    /// The journal of what is in `ledger`, of which nothing is read yet. What comes of its lines, and of time, is handed to
    /// `in_force`.
    pub fn open(
        ledger: Arc<dyn Ledger>,
        clock: Clock,
        in_force: impl Fn(Arc<Overlay>, Timestamp) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            book: Mutex::new(Book::expecting(ledger.noted())),
            ledger,
            clock,
            in_force: Arc::new(in_force),
            put: Arc::default(),
            state: ArcSwap::default(),
            unwritten: AtomicU64::new(0),
        }))
    }

    /// A journal that remembers its newest records, and writes them nowhere.
    pub fn in_memory(
        clock: Clock,
        in_force: impl Fn(Arc<Overlay>, Timestamp) + Send + Sync + 'static,
    ) -> Self {
        Self::open(Arc::new(MemoryLedger::new(std::io::sink())), clock, in_force)
    }

    /// Reads what others have appended, and puts in force what comes of it.
    ///
    /// # Errors
    ///
    /// That the ledger cannot be read.
    pub async fn catch_up(&self) -> Result<(), LedgerError> {
        let mut book = self.0.book.lock().await;
        let caught_up = self.read_on(&mut book).await;
        match &caught_up {
            Ok(()) => book.read(),
            Err(error) => book.could_not_read(error),
        }
        // Nobody may have anything to write for long.
        if caught_up.is_ok() && book.is_unwritten() && self.0.ledger.takes_lines().await {
            book.takes_lines();
        }
        self.publish(&mut book).await;
        if caught_up.is_ok() {
            self.settle(&mut book).await;
        }
        caught_up
    }

    /// The same for as long as `patience` lasts: what was read by then is in force. Whether that is all.
    pub async fn catch_up_within(&self, patience: Duration) -> bool {
        let is_all = timeout(patience, self.catch_up()).await.is_ok();
        // Whoever has the book reads on, and publishes what it reads.
        if !is_all && let Ok(mut book) = self.0.book.try_lock() {
            self.publish(&mut book).await;
        }
        is_all
    }

    async fn read_on(&self, book: &mut Book) -> Result<(), LedgerError> {
        let mut told = self.0.clock.steady();
        loop {
            let lines = self.0.ledger.read(book.place().max(1), AT_ONCE).await?;
            let read = lines.len();
            match book.go_on(lines) {
                Taken::Lost => {}
                Taken::All if read < AT_ONCE => break,
                Taken::All => tokio::task::yield_now().await,
            }
            let now = self.0.clock.steady();
            if now.0.saturating_sub(told.0) >= TELL_EVERY.0 {
                told = now;
                self.publish(book).await;
            }
        }
        book.ends();
        Ok(())
    }

    /// Tells everybody, and puts in force what is set now.
    async fn publish(&self, book: &mut Book) {
        let now = self.0.clock.now();
        if let Some(turn) = book.has_changed_by(now) {
            self.put_in_force(book.overlay().clone(), now, turn).await;
        }
        self.0.state.store(Arc::new(book.state()));
    }

    /// Much may be set, and what is in force is made of all of it: that is done beside whoever decides. It is done to its end
    /// also where nobody waits for it, and not at all once something newer is.
    async fn put_in_force(&self, overlay: Arc<Overlay>, now: Timestamp, turn: u64) {
        let (in_force, put) = (self.0.in_force.clone(), self.0.put.clone());
        let putting = tokio::task::spawn_blocking(move || {
            let mut last = put.lock();
            if *last < turn {
                in_force(overlay, now);
                *last = turn;
            }
        });
        if let Err(error) = putting.await {
            tracing::error!(%error, "what is set is not in force");
        }
    }

    /// Follows what others append, and the ends of what is set, until `shutdown` resolves.
    pub async fn follow(self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            // What cannot be read is told where it is found out.
            _ = self.catch_up().await;
            tokio::select! {
                () = &mut shutdown => return,
                () = tokio::time::sleep(self.pause()) => {}
            }
        }
    }

    /// How long until something may have changed.
    fn pause(&self) -> Duration {
        let now = self.0.clock.now();
        let end = self.0.state.load().overlay.next_end(now);
        end.map_or(LOOK_EVERY, |end| LOOK_EVERY.min(end.since(now).into()))
    }

    /// How it is now, as far as it was read.
    pub fn state(&self) -> Arc<JournalState> {
        self.0.state.load_full()
    }

    /// The last record that was read or appended.
    pub fn head(&self) -> Head {
        self.0.state.load().head
    }

    /// How many records could not be written, or may not have been.
    pub fn unwritten(&self) -> u64 {
        self.0.unwritten.load(Ordering::Relaxed)
    }
}
