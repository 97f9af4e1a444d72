//! The journal: appends records behind the last, reads what others have appended, and puts in force what comes of both.
//!
//! All instances over one ledger follow it, so what one sets is in force on the others a quarter of a second later. Who
//! appends is judged against what is set at the very place of the record: if others are there first, it is judged
//! again. A ledger that takes no record fails whoever appends, and no decision; what was read before stays in force.

mod book;
mod error;
mod late;
mod pages;
mod state;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use crate::clock::{Clock, Micros, Timestamp};
use crate::limits::Overlay;
use crate::store::ledger::{Ledger, LedgerError, Line, MemoryLedger, Placing};

use super::{Event, Head};

use book::{Book, Taken};

pub use error::JournalError;
pub use pages::{Asked, Page};
pub use state::JournalState;

/// How often it is looked whether others have appended.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often it is put in force what was read of a long chain, while more is.
const TELL_EVERY: Micros = Micros::from_secs(1);
/// How many lines are read at once.
const AT_ONCE: usize = 500;
/// How long whoever appends waits for a chain that was not read to its end yet.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is tried to append behind others who append all the while.
const MOST_TRIES: usize = 64;

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

/// What was recorded.
#[derive(Clone, Debug)]
pub struct Appended {
    /// The number of the record.
    pub number: u64,
    /// What is set over the files with it. It is in force.
    pub overlay: Arc<Overlay>,
}

/// What a record stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// What it sets, or what was done before.
    Itself,
    /// Something that is done once it is there.
    Deed,
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

    /// Appends what `decide` says, behind all that is there. It is called with what is set there, and again if others were
    /// first.
    ///
    /// # Errors
    ///
    /// What `decide` has against it, and that the ledger took no record.
    pub async fn append<E>(
        &self,
        decide: impl Fn(&Overlay) -> Result<Event, E>,
    ) -> Result<Appended, JournalError<E>> {
        let mut book = self.book_to_write().await?;
        self.append_to(&mut book, decide, Meaning::Itself).await
    }

    /// Appends `event`, of what is done only once this has answered. If it comes to be there although this has failed, the
    /// same with the outcome `failed` is appended behind it.
    ///
    /// # Errors
    ///
    /// That the ledger took no record.
    pub async fn append_deed(&self, event: &Event) -> Result<Appended, JournalError<Infallible>> {
        let mut book = self.book_to_write().await?;
        self.append_to(&mut book, |_| Ok(event.clone()), Meaning::Deed).await
    }

    /// The book, to append to, without a long wait until its chain is read. What cannot be read fails the append.
    async fn book_to_write<E>(&self) -> Result<MutexGuard<'_, Book>, JournalError<E>> {
        if self.0.state.load().is_read {
            return Ok(self.0.book.lock().await);
        }
        let reading = async {
            let mut book = self.0.book.lock().await;
            self.read_on(&mut book).await.ok();
            book
        };
        timeout(PATIENCE, reading).await.map_err(|_| {
            self.0.unwritten.fetch_add(1, Ordering::Relaxed);
            JournalError::Unread
        })
    }

    async fn append_to<E>(
        &self,
        book: &mut Book,
        decide: impl Fn(&Overlay) -> Result<Event, E>,
        meaning: Meaning,
    ) -> Result<Appended, JournalError<E>> {
        let appended = self.append_in_turn(book, decide, meaning).await;
        match &appended {
            Ok(_) => book.wrote(),
            Err(JournalError::Unwritten(error) | JournalError::Unknown(error)) => {
                self.0.unwritten.fetch_add(1, Ordering::Relaxed);
                book.could_not_write(error);
            }
            Err(_) => {}
        }
        self.publish(book).await;
        appended
    }

    async fn append_in_turn<E>(
        &self,
        book: &mut Book,
        decide: impl Fn(&Overlay) -> Result<Event, E>,
        meaning: Meaning,
    ) -> Result<Appended, JournalError<E>> {
        self.read_on(book).await.map_err(JournalError::Unwritten)?;
        for _ in 0..MOST_TRIES {
            // Whoever decides finds in force what is set at the place of the record.
            self.publish(book).await;
            let event = decide(book.overlay()).map_err(JournalError::Refused)?;
            // Others may be behind it by the time it is known to be there.
            let number = book.next_number();
            let bytes = book.line(&event, self.0.clock.now()).into();
            let line = Line { place: book.next_place(), bytes };
            let added = self.add(book, &line).await;
            if let Err(JournalError::Unknown(_)) = &added {
                book.late.await_line(line, (meaning == Meaning::Deed).then(|| event.failed()));
            }
            if added? {
                return Ok(Appended { number, overlay: book.overlay().clone() });
            }
        }
        Err(JournalError::Contended)
    }

    /// Adds a line behind all that was read; whether it is there.
    async fn add<E>(&self, book: &mut Book, line: &Line) -> Result<bool, JournalError<E>> {
        let ledger = &self.0.ledger;
        let first = ledger.append(line.place, &line.bytes).await;
        let is_unknown = first.as_ref().is_err_and(LedgerError::is_unknown);
        // At one place it is there once at most, however often it is asked.
        let placed = if is_unknown { ledger.append(line.place, &line.bytes).await } else { first };
        match placed {
            Ok(Placing::Done) => {
                book.late.overtake(line.place);
                book.take_in(line);
                return Ok(true);
            }
            Ok(Placing::Overtaken) => {}
            Err(error) if is_unknown || error.is_unknown() => return Err(JournalError::Unknown(error)),
            Err(error) => return Err(JournalError::Unwritten(error)),
        }
        let found = if is_unknown { ledger.read(line.place, 1).await } else { Ok(Vec::new()) };
        let is_there = found.map_err(JournalError::Unknown)?.first() == Some(line);
        let known = book.place();
        let failed = if is_there { JournalError::Unknown } else { JournalError::Unwritten };
        self.read_on(book).await.map_err(failed)?;
        if book.place() == known {
            // What was there is gone, and its places are never used again.
            book.skip_place();
        }
        Ok(is_there)
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

    /// Records that was not done what is recorded late. What cannot be written now is tried again.
    async fn settle(&self, book: &mut Book) {
        while let Some(event) = book.late.owed().cloned() {
            let decide = |_: &Overlay| Ok::<_, Infallible>(event.clone());
            if self.append_to(book, decide, Meaning::Itself).await.is_err() {
                return;
            }
            book.late.settle();
        }
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
