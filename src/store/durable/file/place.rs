//! Where the file is: at its path, unless somebody takes it away while it is open. What was written to it is not lost then,
//! but nobody would find it again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Seek as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::store::durable::DataError;

/// The path of the file, and the file wherever it is by now.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Opened on its own, since the database locks what it is given.
    file: File,
}

/// What is at the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The file.
    Ours,
    /// Nothing: it was taken away.
    Nothing,
    /// Another file.
    Another,
}

impl Place {
    /// The file `name` in `dir`; both are made where they are missing.
    pub(super) fn take(dir: &Path, name: &str) -> Result<Self, DataError> {
        make(dir).map_err(DataError::io(dir))?;
        let path = dir.join(name);
        let file = options().create(true).open(&path).map_err(DataError::io(&path))?;
        Ok(Self { path, file })
    }

    /// Where it belongs.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is there, opened once more.
    pub(super) fn to_write(&self) -> io::Result<File> {
        options().open(&self.path)
    }

    /// What is there now.
    pub(super) fn look(&self) -> io::Result<Seen> {
        let ours = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (ours.dev(), ours.ino()) => Ok(Seen::Ours),
            Ok(_) => Ok(Seen::Another),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Seen::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Makes a file there that holds what ours does, and is ours from then on. Half a copy is never there.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        self.path.parent().map_or(Ok(()), make)?;
        let beside = self.path.with_extension("new");
        let mut copy = options().create(true).truncate(true).open(&beside)?;
        self.file.rewind()?;
        io::copy(&mut self.file, &mut copy)?;
        copy.sync_all()?;
        fs::rename(&beside, &self.path)?;
        self.file = copy;
        tracing::warn!(path = %self.path.display(), "the data file was taken away: it is written to its place again");
        Ok(())
    }
}

fn make(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}
