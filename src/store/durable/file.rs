//! The one file of a data directory: a table for each kind of thing, changed in whole transactions.
//!
//! The only place that knows the database. It is looked through from one end to the other when it is opened, because it
//! trusts what it reads from then on: a file that was damaged is not used.

mod meta;
mod place;

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::Path;

use redb::backends::{FileBackend, InMemoryBackend};
use redb::{Builder, Database, Error, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use crate::limits::KeySecret;

use super::error::WriteError;
use super::{Changes, DataError, DataSettings, Kept, Restored, Track};

use place::{Place, Seen};

/// Its name in the data directory.
const NAME: &str = "tollgate.redb";
/// What the database remembers of the file, in bytes: what has changed is seldom in few places.
const CACHE_BYTES: usize = 16 << 20;
/// How many times larger than what it holds a file may be, beyond what a small one has; else it is made smaller.
const SPARSE: u64 = 4;
const SMALL_BYTES: u64 = 16 << 20;
const COPIED_AT_ONCE_BYTES: usize = 1 << 20;

/// The file of a data directory, held by this process.
#[derive(Debug)]
pub struct DataFile {
    place: Place,
    /// `None` after an error: it takes no more until it is opened again.
    database: Option<Database>,
}

/// What was found of one kind of thing.
#[derive(Debug, Default)]
struct Found {
    held: usize,
    without_place: usize,
    unreadable: usize,
    /// Whatever is not to stay.
    gone: Changes,
    bytes: u64,
}

type Table = TableDefinition<'static, &'static [u8], &'static [u8]>;

impl DataFile {
    /// Opens the file of the directory that `settings` name; makes both where they are missing. Answers the secret
    /// under which keys are made: the one that is `given`, else the file's own.
    ///
    /// # Errors
    ///
    /// [`DataError`], where it cannot be used.
    pub fn open(settings: &DataSettings, given: Option<KeySecret>) -> Result<(Self, KeySecret), DataError> {
        let place = Place::take(&settings.dir, NAME)?;
        let path = place.path();
        let database = place.to_write().map_err(DataError::io(path))?;
        let database = open(database).map_err(DataError::of(path))?;
        let secret = meta::agree(&database, path, given)?;
        Ok((Self { place, database: Some(database) }, secret))
    }

    /// What the file in `dir`, which no process uses, has under `key` in the table of this name. It is left as it is, and need
    /// not be one that may be written.
    ///
    /// # Errors
    ///
    /// [`DataError`], where it cannot be read.
    pub fn peek(dir: &Path, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, DataError> {
        let path = dir.join(NAME);
        if !path.exists() {
            return Ok(None);
        }
        let copy = copy(&path).map_err(DataError::of(&path))?;
        let read = || -> Result<Option<Vec<u8>>, Error> {
            let database = opened(copy)?;
            let reading = database.begin_read()?;
            let table: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table);
            match reading.open_table(table) {
                Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
                table => Ok(table?.get(key)?.map(|value| value.value().to_vec())),
            }
        };
        read().map_err(|error| DataError::Damaged { path: path.clone(), problem: error.to_string() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Takes `kinds` into memory again, and makes the file smaller if much of it is empty.
    ///
    /// # Errors
    ///
    /// [`DataError`], where it cannot be read.
    pub fn load(&mut self, kinds: &[impl AsRef<dyn Kept>]) -> Result<(), DataError> {
        let path = self.path().to_owned();
        let failed = |error: WriteError| match error {
            WriteError::Database(error) => DataError::of(&path)(error),
            WriteError::BrokeOff | WriteError::Displaced => {
                DataError::Damaged { path: path.clone(), problem: error.to_string() }
            }
        };
        let mut bytes = 0;
        for kind in kinds {
            let found = self.restore(kind.as_ref()).map_err(failed)?;
            found.tell(kind.as_ref().table());
            bytes += found.bytes;
            self.write(&[(kind.as_ref(), found.gone)]).map_err(failed)?;
        }
        self.shrink(bytes).map_err(failed)
    }

    fn restore(&self, kind: &dyn Kept) -> Result<Found, WriteError> {
        let mut found = Found::default();
        let reading = self.database()?.begin_read()?;
        let table = match reading.open_table(table_of(kind)) {
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(found),
            table => table?,
        };
        for entry in table.iter()? {
            let (key, value) = entry?;
            found.take_in(kind, key.value(), value.value());
        }
        Ok(found)
    }

    fn shrink(&mut self, bytes: u64) -> Result<(), WriteError> {
        let length = self.path().metadata()?.len();
        if length <= SMALL_BYTES + SPARSE * bytes {
            return Ok(());
        }
        let database = self.database.as_mut().ok_or_else(not_open)?;
        database.compact().map_err(Error::from)?;
        let after = self.path().metadata()?.len();
        tracing::info!(path = %self.path().display(), before = length, after, "the data file was mostly empty");
        Ok(())
    }

    /// Writes what has changed of each kind, all of it or nothing. What is to be written twice is, in its order.
    pub(super) fn write(&mut self, kinds: &[(&dyn Kept, Changes)]) -> Result<(), WriteError> {
        let seen = self.place.look()?;
        if seen == Seen::Ours && kinds.iter().all(|(_, changes)| changes.is_empty()) {
            return Ok(());
        }
        let database = match self.database.take().filter(|_| seen == Seen::Ours) {
            Some(database) => database,
            None => self.reopen(seen)?,
        };
        let writing = database.begin_write()?;
        for (kind, changes) in kinds {
            let mut table = writing.open_table(table_of(*kind))?;
            if changes.track() == Track::Lost {
                table.retain(|key, _| kind.holds(key))?;
            }
            // In the order of the file, all of one place at once.
            let mut sorted: Vec<_> = changes.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            for (key, value) in sorted {
                match value {
                    Some(value) => drop(table.insert(key, value)?),
                    None => drop(table.remove(key)?),
                }
            }
        }
        writing.commit()?;
        self.database = Some(database);
        Ok(())
    }

    /// Opens the file again, of which that is `seen`. One that was taken away is copied back: it is open still.
    fn reopen(&mut self, seen: Seen) -> Result<Database, WriteError> {
        match seen {
            Seen::Ours => {}
            Seen::Nothing => self.place.fill()?,
            Seen::Another => return Err(WriteError::Displaced),
        }
        Ok(open(self.place.to_write()?)?)
    }

    /// Lets go of the file, whatever became of it.
    pub(super) fn give_up(&mut self) {
        self.database = None;
    }

    fn database(&self) -> Result<&Database, WriteError> {
        self.database.as_ref().ok_or_else(not_open)
    }
}

impl Found {
    fn take_in(&mut self, kind: &dyn Kept, key: &[u8], value: &[u8]) {
        self.bytes += (key.len() + value.len()) as u64;
        match kind.restore(key, value) {
            Restored::Held => self.held += 1,
            Restored::NoPlace => self.without_place += 1,
            Restored::Idle => self.gone.remove(key),
            Restored::Unreadable(problem) => {
                if self.unreadable == 0 {
                    tracing::warn!(
                        table = kind.table(),
                        problem,
                        "what was kept cannot be read and is dropped"
                    );
                }
                self.unreadable += 1;
                self.gone.remove(key);
            }
        }
    }

    fn tell(&self, table: &str) {
        let Self { held, without_place, unreadable, .. } = self;
        tracing::info!(table, held, idle = self.gone.len() - unreadable, "read what was kept");
        if *unreadable > 0 {
            tracing::warn!(table, unreadable, "some of what was kept is lost");
        }
        if *without_place > 0 {
            tracing::warn!(
                table,
                without_place,
                "there is no room for all that was kept: raise TOLLGATE_MAX_KEYS"
            );
        }
    }
}

fn open(file: File) -> Result<Database, Error> {
    opened(FileBackend::new(file)?)
}

/// What is in the file at `path`, in memory: what was not closed is mended by whoever opens it.
fn copy(path: &Path) -> Result<InMemoryBackend, Error> {
    let (file, copy) = (FileBackend::new(File::open(path)?)?, InMemoryBackend::new());
    let is_free = file.try_lock_shared_range(Bound::Unbounded, Bound::Unbounded);
    if !is_free.map_err(io::Error::from)? {
        return Err(Error::DatabaseAlreadyOpen);
    }
    let mut left = file.len()?;
    copy.set_len(left)?;
    let mut part = vec![0; COPIED_AT_ONCE_BYTES];
    while left > 0 {
        part.truncate(usize::try_from(left).unwrap_or(COPIED_AT_ONCE_BYTES));
        left -= part.len() as u64;
        file.read(left, &mut part)?;
        copy.write(left, &part)?;
    }
    file.close()?;
    Ok(copy)
}

fn opened(backend: impl StorageBackend) -> Result<Database, Error> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    Ok(builder.create_with_backend(backend)?)
}

fn table_of(kind: &dyn Kept) -> Table {
    TableDefinition::new(kind.table())
}

fn not_open() -> WriteError {
    WriteError::from(io::Error::other("the data file is not open"))
}
