//! A ledger in the data directory: a file of lines, each of which is on the disk before anybody is told that it is there.
//!
//! The directory belongs to one process, which holds it by its data file. A process that is killed while it adds a line
//! may leave part of it, which is cut off: nobody was told that it is there, unless it is noted. Whatever else stands in the
//! file stays, and can be read by anybody at any time. A file that somebody takes away or changes takes no lines any more,
//! since what is in it would be lost. Its last line is noted outside of it as well.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::Value as Json;

use super::noted::NotedLine;
use super::{Ledger, LedgerError, Line, Placing, held, off_the_runtime};
use crate::store::durable::DataError;

/// Its name in the data directory.
pub(crate) const NAME: &str = "audit.jsonl";
/// What is written to find out whether a line could be, beside it: whoever follows the lines sees nothing of that.
const PROBE: &str = "audit.probe";
/// As much as the longest lines have: of whether a line can be written, less says nothing.
const LONG_BYTES: usize = 16 * 1024;

/// A file of lines.
#[derive(Clone, Debug)]
pub struct FileLedger {
    path: PathBuf,
    book: Arc<Mutex<Book>>,
    noted: Arc<NotedLine>,
}

#[derive(Debug)]
struct Book {
    path: PathBuf,
    file: File,
    /// Where each line begins, and last where the next one will.
    starts: Vec<u64>,
    /// Whether behind the last line may be part of one that could not be written.
    is_torn: bool,
}

impl FileLedger {
    /// The file in the data directory `dir`, which is made where it is missing; the directory is there.
    ///
    /// # Errors
    ///
    /// [`DataError`], where it cannot be used.
    pub fn open(dir: &Path) -> Result<Self, DataError> {
        Self::noting(dir, Arc::default())
    }

    /// The same, whose last line is noted in `noted`. As long as that has one that is not there, it stays.
    ///
    /// # Errors
    ///
    /// As of [`open`](Self::open).
    pub fn noting(dir: &Path, noted: Arc<NotedLine>) -> Result<Self, DataError> {
        let (path, before) = (dir.join(NAME), noted.before());
        let book = Book::open(path.clone(), dir, before.as_ref())
            .map_err(|source| DataError::Io { path: path.clone(), source })?;
        let ledger = Self { path, book: Arc::new(Mutex::new(book)), noted };
        let is_there = |line: Line| ledger.first(&line).is_some_and(|found| found == line);
        if before.is_none_or(is_there) {
            let last = ledger.book.lock().read_back(u64::MAX, 1);
            last.into_iter().flatten().for_each(|line| ledger.noted.note(line));
        }
        Ok(ledger)
    }

    /// What stands at the place of `line`.
    fn first(&self, line: &Line) -> Option<Line> {
        self.book.lock().read(line.place, 1).ok()?.into_iter().next()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What `work` on the book comes to.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Book) -> io::Result<T> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (book, place) = (self.book.clone(), self.path.display().to_string());
        off_the_runtime(place.clone(), move || {
            let mut book = held(&book, &place)?;
            work(&mut book).map_err(|error| LedgerError::of(&place, &error))
        })
        .await
    }
}

impl Book {
    /// The file at `path`, which should have the line that is `noted`.
    fn open(path: PathBuf, dir: &Path, noted: Option<&Line>) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        // A file that is made is on the disk once its directory is.
        File::open(dir)?.sync_all()?;
        let mut bytes = Vec::new();
        (&file).read_to_end(&mut bytes)?;
        let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let starts = [0].into_iter().chain(ends.map(|(at, _)| at as u64 + 1)).collect();
        let mut book = Self { path, file, starts, is_torn: false };
        book.mend(&bytes, noted)?;
        Ok(book)
    }

    /// Ends the last line of what was read, or cuts it off where it is not whole.
    fn mend(&mut self, bytes: &[u8], noted: Option<&Line>) -> io::Result<()> {
        let (end, length) = (self.end(), bytes.len() as u64);
        let last = bytes.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        if last.is_empty() {
            return Ok(());
        }
        let path = self.path.display().to_string();
        // Part of an object is none.
        if serde_json::from_slice::<Json>(last).is_ok() {
            self.file.write_all_at(b"\n", length)?;
            self.starts.push(length + 1);
        } else {
            self.file.set_len(end)?;
            let (line, bytes) = (self.starts.len(), length - end);
            if noted.is_some_and(|noted| noted.place == line as u64 && noted.bytes.starts_with(last)) {
                tracing::error!(
                    path,
                    line,
                    bytes,
                    "the last line of the audit was whole once, and part of it was taken away: what was left is cut off"
                );
            } else {
                tracing::warn!(
                    path,
                    line,
                    bytes,
                    "the last line of the audit is not whole, and is cut off: it was never noted that it is there"
                );
            }
        }
        self.file.sync_all()
    }

    fn end(&self) -> u64 {
        self.starts.last().copied().unwrap_or_default()
    }

    fn append(&mut self, place: u64, line: &[u8]) -> io::Result<Placing> {
        let lines = self.starts.len() as u64 - 1;
        if place <= lines {
            return Ok(Placing::Overtaken);
        }
        if place > lines + 1 {
            return Err(io::Error::other(format!("it has no line {}", place - 1)));
        }
        self.look()?;
        let end = self.end();
        let line = [line, b"\n"].concat();
        self.is_torn = true;
        let written = self.file.write_all_at(&line, end).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.is_torn = self.file.set_len(end).is_err();
            return Err(error);
        }
        self.is_torn = false;
        self.starts.push(end + line.len() as u64);
        Ok(Placing::Done)
    }

    /// Makes sure that a line could be written: as much is, into a file beside it that is gone at once. It stands as far behind
    /// its beginning as the line would, since how long files may be has an end as well.
    fn rehearse(&mut self) -> io::Result<()> {
        self.look()?;
        let path = self.path.with_file_name(PROBE);
        let probe = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        fs::remove_file(&path)?;
        probe.write_all_at(&[b' '; LONG_BYTES], self.end())?;
        probe.sync_data()
    }

    /// Makes sure that the file is the one at its path, and ends where its last line does.
    fn look(&mut self) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.end())?;
            self.is_torn = false;
        }
        let (ours, found) = (self.file.metadata()?, fs::metadata(&self.path));
        let found = found.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::other("it was taken away: put it back, or start anew"),
            _ => error,
        })?;
        if (found.dev(), found.ino()) != (ours.dev(), ours.ino()) {
            return Err(io::Error::other("another file is in its place: put it back, or start anew"));
        }
        if ours.len() != self.end() {
            return Err(io::Error::other("somebody else has written to it: start anew"));
        }
        Ok(())
    }

    fn read(&self, from: u64, most: usize) -> io::Result<Vec<Line>> {
        let first = usize::try_from(from.max(1) - 1).unwrap_or(usize::MAX);
        let places = (from.max(1)..).zip(self.starts.windows(2).skip(first)).take(most);
        places.map(|(place, ends)| self.line(place, ends)).collect()
    }

    fn read_back(&self, before: u64, most: usize) -> io::Result<Vec<Line>> {
        let behind = usize::try_from(before.max(1) - 1).unwrap_or(usize::MAX);
        let lines = self.starts.windows(2).take(behind);
        let places = (1..=lines.len() as u64).rev();
        places.zip(lines.rev()).take(most).map(|(place, ends)| self.line(place, ends)).collect()
    }

    /// The line at `place`, which lies between these ends.
    fn line(&self, place: u64, ends: &[u64]) -> io::Result<Line> {
        let length = usize::try_from(ends[1] - ends[0] - 1).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, ends[0])?;
        Ok(Line { place, bytes: bytes.into() })
    }
}

impl Ledger for FileLedger {
    fn append<'a>(&'a self, place: u64, line: &'a [u8]) -> BoxFuture<'a, Result<Placing, LedgerError>> {
        let (line, noted) = (Line { place, bytes: line.into() }, self.noted.clone());
        let append = move |book: &mut Book| {
            let placing = book.append(place, &line.bytes)?;
            if placing == Placing::Done {
                noted.note(line);
            }
            Ok(placing)
        };
        self.ask(append).boxed()
    }

    fn read(&self, from: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        self.ask(move |book| book.read(from, most)).boxed()
    }

    fn read_back(&self, before: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>> {
        self.ask(move |book| book.read_back(before, most)).boxed()
    }

    fn takes_lines(&self) -> BoxFuture<'_, bool> {
        self.ask(Book::rehearse).map(|rehearsed| rehearsed.is_ok()).boxed()
    }

    fn noted(&self) -> Option<Line> {
        self.noted.before()
    }
}
