//! The data directory: what the embedded store holds survives its process.
//!
//! All decisions are made in memory. What they change is written to one file, twice in each `flush_interval`, before what an
//! operator has changed is answered, and once more at the end, by a thread of its own that no decision ever waits for. So a
//! process that is killed loses what less than an interval has changed, as long as a flush takes less than half of one; a
//! process that ends loses nothing. A flush writes whole steps: what was settled is found with its charge and its note, or not
//! at all.
//! A disk that cannot be written is told and tried again, and stops nobody.
//!
//! The file is an embedded database with a table for each kind of thing that is [`Kept`]. The database is known to
//! [`mod@file`] alone. What a kind's keys and values mean is known to the kind alone.

mod changes;
mod error;
mod file;
mod flusher;
mod status;

use std::path::PathBuf;
use std::time::Duration;

pub use changes::{Changes, Track};
pub use error::DataError;
pub use file::DataFile;
pub use flusher::{Flusher, Flushes};
pub use status::FlushStatus;

/// Where things are kept, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSettings {
    /// The directory; it is made where it is missing.
    pub dir: PathBuf,
    /// The most that a process which is killed may lose, in time. Default 1 s.
    pub flush_interval: Duration,
}

/// A kind of thing that is held in memory and written down, in a table of its own.
///
/// The table holds what is in memory, as of the last flush: what is let go there is removed here. Whoever writes draws a
/// line, then asks every kind for what has changed up to the line, and only then draws the next one. Kinds that are
/// changed in one step by the same owner are told as of one instant: of each step all, or nothing.
pub trait Kept: Send + Sync {
    /// The name of its table.
    fn table(&self) -> &'static str;

    /// From here on, what changes is to be told.
    fn keep_track(&self);

    /// What changes from here on is told once the next line is drawn. Of kinds with the same owner, one does that for all.
    fn draw_line(&self);

    /// Adds what has changed since this was last asked, up to the line.
    fn take_changes(&self, changes: &mut Changes);

    /// `changes` could not be written: they are to be told again.
    fn put_back(&self, changes: &Changes);

    /// Whether `key` is in memory.
    fn holds(&self, key: &[u8]) -> bool;

    /// Takes in what was written before.
    fn restore(&self, key: &[u8], value: &[u8]) -> Restored;
}

/// What became of something that was written before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is in memory again.
    Held,
    /// Time has made it as good as nothing: it is removed.
    Idle,
    /// There is no place for it in memory: it stays in the file.
    NoPlace,
    /// It cannot be read, for this reason, and is removed.
    Unreadable(String),
}
