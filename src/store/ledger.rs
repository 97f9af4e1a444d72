//! Ledgers: lines that are only ever added, each in its place, and never changed again.
//!
//! The seam between what is recorded and where it is kept. A ledger knows nothing of its lines but that they hold no end of
//! line. Whoever adds one names the place behind the last one that they know: if others have been there before, they are
//! told, and nothing is added. So of all who add at once each adds behind what it has read. All ledgers pass one
//! conformance suite.

mod file;
mod memory;
pub mod noted;

use std::time::Duration;
use std::{fmt, io};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use parking_lot::{Mutex, MutexGuard};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::StoreError;

pub use file::FileLedger;
pub(crate) use file::NAME;
pub use memory::MemoryLedger;

/// How long a disk, or whoever reads an output, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lines that are only ever added.
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Adds `line` at `place`, which has to lie behind all others; the first is 1. Once it is done, the line outlives the
    /// process, as far as the ledger can see to that.
    fn append<'a>(&'a self, place: u64, line: &'a [u8]) -> BoxFuture<'a, Result<Placing, LedgerError>>;

    /// The lines from the place `from` on, in their order, at most so many. Fewer only where there are no more.
    fn read(&self, from: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>>;

    /// The lines before the place `before`, the last first, at most so many. Fewer only where there are no more.
    fn read_back(&self, before: u64, most: usize) -> BoxFuture<'_, Result<Vec<Line>, LedgerError>>;

    /// The last place that was ever used, as far as that is known without its line: such lines may be gone.
    fn last_place(&self) -> BoxFuture<'_, Result<u64, LedgerError>> {
        ready(Ok(0)).boxed()
    }

    /// Whether it takes lines again of which it took none. One that cannot show it without a line says that it does not.
    fn takes_lines(&self) -> BoxFuture<'_, bool> {
        ready(false).boxed()
    }

    /// The last line that there was before this process, where that is noted apart from the lines: it has to be there still.
    fn noted(&self) -> Option<Line> {
        None
    }
}

/// What became of a line that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    /// It is there.
    Done,
    /// It is not: its place does not lie behind all others.
    Overtaken,
}

/// A line, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its place.
    pub place: u64,
    /// What it says.
    pub bytes: Box<[u8]>,
}

/// Why a ledger took no line, or has none to give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// It is in a store, which has no answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is a file or an output that cannot be used.
    #[error("{place}: {problem}")]
    Output {
        /// Which.
        place: String,
        /// Why not.
        problem: String,
    },
    /// It takes longer than anybody waits for, and goes on.
    #[error("{place}: it takes longer than {PATIENCE:?}")]
    Late {
        /// What does.
        place: String,
    },
}

impl LedgerError {
    /// That `error` came of using `place`.
    fn of(place: &str, error: &io::Error) -> Self {
        Self::Output { place: place.to_owned(), problem: error.to_string() }
    }

    /// Whether what was asked may be done all the same, or come to be.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Store(error) => !error.is_definite(),
            Self::Output { .. } => false,
            Self::Late { .. } => true,
        }
    }
}

/// Does what may take long where nobody waits for the thread. What takes longer than [`PATIENCE`] goes on, and nobody is
/// told how it ends.
async fn off_the_runtime<T: Send + 'static>(
    place: String,
    work: impl FnOnce() -> Result<T, LedgerError> + Send + 'static,
) -> Result<T, LedgerError> {
    match timeout(PATIENCE, spawn_blocking(work)).await {
        Ok(done) => done.unwrap_or_else(|broken| Err(LedgerError::of(&place, &broken.into()))),
        Err(_) => Err(LedgerError::Late { place }),
    }
}

/// What `mutex` guards, unless somebody has it for very long: one who cannot go on holds up no others.
fn held<'m, T>(mutex: &'m Mutex<T>, place: &str) -> Result<MutexGuard<'m, T>, LedgerError> {
    let problem = || format!("somebody has used it for longer than {PATIENCE:?}");
    mutex
        .try_lock_for(PATIENCE)
        .ok_or_else(|| LedgerError::Output { place: place.to_owned(), problem: problem() })
}
