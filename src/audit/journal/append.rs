//! How a journal appends: behind the last line that was read, and again behind those who were first.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::MutexGuard;
use tokio::time::timeout;

use crate::audit::Event;
use crate::limits::Overlay;
use crate::store::ledger::{LedgerError, Line, Placing};

use super::book::Book;
use super::{Journal, JournalError};

/// How long whoever appends waits for a chain that was not read to its end yet.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is tried to append behind others who append all the while.
const MOST_TRIES: usize = 64;

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

impl Journal {
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
            self.skip_places(book).await.map_err(failed)?;
        }
        Ok(is_there)
    }

    /// What was there is gone, and its places are never used again: the next line goes behind all of them. Whoever cannot know
    /// which was the last tries one after the other.
    async fn skip_places(&self, book: &mut Book) -> Result<(), LedgerError> {
        let (known, last) = (book.place(), self.0.ledger.last_place().await);
        // Between the last place and the next line may be nothing that was not read.
        self.read_on(book).await?;
        if book.place() == known {
            book.skip_to(last.unwrap_or_default());
        }
        Ok(())
    }

    /// Records that was not done what is recorded late. What cannot be written now is tried again.
    pub(super) async fn settle(&self, book: &mut Book) {
        while let Some(event) = book.late.owed().cloned() {
            let decide = |_: &Overlay| Ok::<_, Infallible>(event.clone());
            if self.append_to(book, decide, Meaning::Itself).await.is_err() {
                return;
            }
            book.late.settle();
        }
    }
}
