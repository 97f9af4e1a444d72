//! Why a data directory cannot be used, in words that say what to do.

use std::io;
use std::path::{Path, PathBuf};

use redb::{DatabaseError, Error, StorageError};

/// Why a data directory cannot be used at start.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// It is not there and cannot be made, or its file cannot be opened, read or written.
    #[error(
        "the data directory cannot be used: {path}: {source}: name one that this user may write with --data-dir or TOLLGATE_DATA_DIR"
    )]
    Io {
        /// The directory, or the file in it.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has it.
    #[error("{path} is in use by another process: stop that one, or give each its own --data-dir")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is not what was written.
    #[error("{path} is damaged ({problem}): move it away to start without what it holds")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
    /// A version of Tollgate wrote it that comes after this one.
    #[error(
        "{path} has the schema {found} of a newer Tollgate, this one knows {known}: start that one, or move the file away to start without what it holds"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// Its counters are named under a secret that is not the one given.
    #[error(
        "{path} was written under another key secret: set TOLLGATE_KEY_SECRET to that one, or move the file away to start without what it holds"
    )]
    OtherSecret {
        /// The file.
        path: PathBuf,
    },
}

impl DataError {
    /// Of what cannot be done to `path`.
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// Of what the database at `path` says.
    pub(super) fn of(path: &Path) -> impl Fn(Error) -> Self {
        move |error| {
            let path = path.to_owned();
            match error {
                Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => Self::InUse { path },
                Error::Io(source) if !is_damage(&source) => Self::Io { path, source },
                damage => Self::Damaged { path, problem: damage.to_string() },
            }
        }
    }
}

/// Whether what was read is no database.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Why what has changed could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The database, or the disk below it, says no.
    #[error("{0}")]
    Database(#[from] Error),
    /// The database broke off.
    #[error("the database broke off; what it holds may be damaged")]
    BrokeOff,
    /// What is written would not be found again.
    #[error("another file is in its place; move that away, and this one is written there again")]
    Displaced,
}

impl WriteError {
    /// What is alike in errors that are told once.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Database(Error::Io(error)) => error.kind().to_string(),
            other => other.to_string(),
        }
    }
}

/// Errors of the database's single steps.
macro_rules! from_steps {
    ($($step:ty),*) => {
        $(impl From<$step> for WriteError {
            fn from(error: $step) -> Self {
                Self::Database(error.into())
            }
        })*
    };
}

from_steps!(
    DatabaseError,
    StorageError,
    redb::TransactionError,
    redb::TableError,
    redb::CommitError,
    io::Error
);
