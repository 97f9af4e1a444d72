//! Which files hold the limits, and their texts.
//!
//! Named files and directories, or the places where the reference looks. What comes of the same disk is always the
//! same, in the same order: by path. Kubernetes mounts a volume's files twice, once below names that begin with
//! two dots; those copies are never read. Nothing is known here of what the files say.

mod runtime;

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::diagnostic::{Diagnostics, Position, Report};
use super::settings::InputPlace;
use super::source::Source;

/// The largest file that is read, in bytes. Limits written by hand or by a program stay far below it.
const LARGEST: u64 = 16 * 1024 * 1024;

/// A file that is read, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    /// The path as given or as walked to, for messages.
    shown: PathBuf,
    /// Where its content is, links followed.
    resolved: PathBuf,
}

/// What tells one state of the files from another without reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(Vec<(Found, Stamp)>);

/// What changes with the content of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The texts of all files of `place`.
///
/// # Errors
///
/// Every path that is not there or cannot be read.
pub fn read(place: &InputPlace) -> Result<Vec<Source>, Diagnostics> {
    let mut wrong = Diagnostics::default();
    let mut sources = Vec::new();
    for found in find(place)? {
        let name = found.shown.display().to_string();
        match text_of(&found.resolved) {
            Ok(text) => sources.push(Source { name: name.into(), text }),
            Err(Unusable { at, message, fix }) => {
                let mut report = Report::new(&name);
                report.error(at, message, fix);
                wrong.add(report);
            }
        }
    }
    if wrong.is_empty() { Ok(sources) } else { Err(wrong) }
}

/// The state of all files of `place`.
///
/// # Errors
///
/// Every path that is not there.
pub fn fingerprint(place: &InputPlace) -> Result<Fingerprint, Diagnostics> {
    let mut wrong = Diagnostics::default();
    let mut stamped = Vec::new();
    for found in find(place)? {
        match found.resolved.metadata() {
            Ok(metadata) => stamped.push((found, Stamp::of(&metadata))),
            Err(error) => wrong.add(unreadable(&found.shown, &error)),
        }
    }
    if wrong.is_empty() { Ok(Fingerprint(stamped)) } else { Err(wrong) }
}

/// Why a file has no text.
struct Unusable {
    at: Position,
    message: String,
    fix: &'static str,
}

fn text_of(path: &Path) -> Result<String, Unusable> {
    let whole = |message: String, fix| Unusable { at: Position::FILE, message, fix };
    let bytes = bytes_of(path).map_err(|error| whole(words_of(&error), "make it readable"))?;
    let Some(bytes) = bytes else {
        return Err(whole("it is no regular file".to_owned(), "put the limits into a regular file"));
    };
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LARGEST) {
        let message = format!("it is larger than {} MiB", LARGEST / 1024 / 1024);
        return Err(whole(message, "split it into several files"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let message = format!("byte {} is not UTF-8", valid.len());
        Unusable { at: end_of(&String::from_utf8_lossy(valid)), message, fix: "save the file as UTF-8" }
    })
}

/// The place right behind `text`.
fn end_of(text: &str) -> Position {
    let last = text.rsplit('\n').next().unwrap_or_default();
    Position { line: text.matches('\n').count() + 1, column: last.chars().count() + 1 }
}

/// At most one byte more than the largest file has; `None` if it is no regular file. To open a pipe waits for whoever
/// writes into it and a device may never end, so neither is opened.
fn bytes_of(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    if !path.metadata()?.is_file() {
        return Ok(None);
    }
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn find(place: &InputPlace) -> Result<Vec<Found>, Diagnostics> {
    let found = match place {
        InputPlace::Files(paths) => named(paths),
        InputPlace::Runtime(settings) => runtime::files(settings),
    }?;
    let mut seen = HashSet::new();
    Ok(found.into_iter().filter(|found| seen.insert(found.resolved.clone())).collect())
}

/// Files by name, and of directories what ends in `.yaml` or `.yml`.
fn named(paths: &[PathBuf]) -> Result<Vec<Found>, Diagnostics> {
    let mut wrong = Diagnostics::default();
    let mut found = Vec::new();
    for path in paths {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => match directory(path) {
                Ok(files) if files.is_empty() => {
                    let message = "the directory holds no *.yaml or *.yml";
                    wrong.add(unusable(&path.display().to_string(), message, "put a file of limits there"));
                }
                Ok(files) => found.extend(files),
                Err(error) => wrong.add(unreadable(path, &error)),
            },
            Ok(_) => found.extend(Found::at(path.clone())),
            Err(error) => wrong.add(unreadable(path, &error)),
        }
    }
    if wrong.is_empty() { Ok(found) } else { Err(wrong) }
}

fn directory(path: &Path) -> std::io::Result<Vec<Found>> {
    let is_yaml = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
            && !is_hidden(path)
            && !path.is_dir()
    };
    Ok(children(path)?.into_iter().filter(is_yaml).filter_map(Found::at).collect())
}

/// What stands in a directory, by name.
fn children(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries: std::io::Result<Vec<_>> = std::fs::read_dir(directory)?.collect();
    let mut paths: Vec<PathBuf> = entries?.into_iter().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    Ok(paths)
}

fn is_hidden(path: &Path) -> bool {
    begins_with(path, ".")
}

fn begins_with(path: &Path, start: &str) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(start.as_bytes()))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Report {
    let fix = match error.kind() {
        std::io::ErrorKind::NotFound => "name a file or directory that is there",
        _ => "make it readable",
    };
    unusable(&path.display().to_string(), words_of(error), fix)
}

fn words_of(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "it may not be read by this user".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}

fn unusable(name: &str, message: impl Into<String>, fix: &str) -> Report {
    let mut report = Report::new(name);
    report.error(Position::FILE, message, fix);
    report
}

impl Found {
    /// The file at `shown`; none where a link leads nowhere, which a swap of links may show for a moment.
    fn at(shown: PathBuf) -> Option<Self> {
        let resolved = shown.canonicalize().ok()?;
        Some(Self { shown, resolved })
    }
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}
