//! Where the reference looks: `RUNTIME_ROOT`, `RUNTIME_SUBDIRECTORY`, `RUNTIME_APPDIRECTORY`.
//!
//! It names each file by its path with dots for slashes. When it watches the root, it reads every file whose name
//! begins with the application directory and a dot, at any depth; else every file below that directory. Any
//! extension counts. Directories behind links are not entered, except the one to begin with.

use std::path::{Component, Path, PathBuf};

use super::{Found, begins_with, children, is_hidden, unreadable, unusable};
use crate::config::diagnostic::Diagnostics;
use crate::config::settings::RuntimeSettings;

/// The files that the reference would read.
pub(super) fn files(settings: &RuntimeSettings) -> Result<Vec<Found>, Diagnostics> {
    let mut base = below(&settings.root, &settings.subdirectory);
    let mut wanted = String::new();
    if settings.watch_root {
        wanted = format!("{}.", dotted(&settings.app_directory));
    } else {
        base = below(&base, &settings.app_directory);
    }
    let mut walk = Walk { settings, wanted, found: Vec::new() };
    match walk.enter(&base, "") {
        Ok(()) if walk.found.is_empty() => {
            // The reference goes on with no limits at all, which would let every call pass in silence.
            let directory = below(&settings.root, &settings.subdirectory);
            let directory = below(&directory, &settings.app_directory);
            let message = "no file of limits is there, and every call would pass";
            let mut wrong = Diagnostics::default();
            wrong.add(unusable(&directory.display().to_string(), message, "put one there"));
            Err(wrong)
        }
        Ok(()) => Ok(walk.found),
        Err((path, error)) => {
            let mut wrong = Diagnostics::default();
            wrong.add(unreadable(&path, &error));
            Err(wrong)
        }
    }
}

struct Walk<'s> {
    settings: &'s RuntimeSettings,
    /// What the dotted name of a file begins with.
    wanted: String,
    found: Vec<Found>,
}

impl Walk<'_> {
    /// Adds the files below `directory`, whose own dotted name is `name`.
    fn enter(&mut self, directory: &Path, name: &str) -> Result<(), (PathBuf, std::io::Error)> {
        let paths = children(directory).map_err(|error| (directory.to_owned(), error))?;
        for path in paths {
            if self.is_skipped(&path) {
                continue;
            }
            let name = joined(name, &path);
            let is_directory = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
            if is_directory && self.leads_on(&name) {
                self.enter(&path, &name)?;
            } else if !is_directory && name.starts_with(&self.wanted) && !path.is_dir() {
                self.found.extend(Found::at(path));
            }
        }
        Ok(())
    }

    fn is_skipped(&self, path: &Path) -> bool {
        begins_with(path, "..") || (self.settings.ignore_dot_files && is_hidden(path))
    }

    /// Whether a wanted file may stand below the directory called `name`.
    fn leads_on(&self, name: &str) -> bool {
        let below = format!("{name}.");
        below.starts_with(&self.wanted) || self.wanted.starts_with(&below)
    }
}

/// `path` in `directory`, also where it begins with a slash: the reference takes it as part of the whole.
fn below(directory: &Path, path: &Path) -> PathBuf {
    let parts = path.components().filter(|part| *part != Component::RootDir);
    directory.join(parts.collect::<PathBuf>())
}

fn joined(name: &str, path: &Path) -> String {
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    if name.is_empty() { own.into_owned() } else { format!("{name}.{own}") }
}

fn dotted(path: &Path) -> String {
    path.to_string_lossy().trim_matches('/').replace('/', ".")
}
