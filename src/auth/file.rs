//! A file of tokens: one a line, empty lines and those that begin with `#` left out.
//!
//! It is looked at again and again, so that tokens are exchanged without a restart. A file that is wrong, or that cannot be
//! read, leaves the tokens in force that were last right, and says so once; an empty one is right, and takes all away.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::gate::Gate;
use super::grant::Grant;
use super::tokens::{MalformedEntry, TokenEntry};
use crate::audit::Role;

/// How often it is looked at.
const INTERVAL: Duration = Duration::from_millis(250);
/// The largest that is read.
const MOST_BYTES: u64 = 1024 * 1024;

/// Tokens that may change while the process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokensFile<G = Role> {
    path: PathBuf,
    tokens: Vec<TokenEntry<G>>,
}

/// What is wrong with a file of tokens, in words that repeat nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokensFileError {
    /// It cannot be read.
    #[error("cannot be read ({0}): name a file with one token a line, as `tollgate token new` prints it")]
    Unreadable(String),
    /// It is something else.
    #[error("is larger than 1 MiB: name a file with one token a line, as `tollgate token new` prints it")]
    TooLarge,
    /// A line is wrong.
    #[error("line {line} {problem}")]
    Line {
        /// Which one, from 1.
        line: usize,
        /// What is wrong with it.
        problem: MalformedEntry,
    },
}

impl<G: Grant> TokensFile<G> {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, TokensFileError> {
        let path = path.into();
        let tokens = tokens_in(&path)?;
        Ok(Self { path, tokens })
    }

    /// The tokens in it.
    pub fn tokens(&self) -> &[TokenEntry<G>] {
        &self.tokens
    }
}

fn tokens_in<G: Grant>(path: &Path) -> Result<Vec<TokenEntry<G>>, TokensFileError> {
    let unreadable = |error: std::io::Error| TokensFileError::Unreadable(error.to_string());
    if fs::metadata(path).map_err(unreadable)?.len() > MOST_BYTES {
        return Err(TokensFileError::TooLarge);
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let lines = text.lines().map(str::trim).enumerate();
    let written = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let read = |(at, line)| {
        TokenEntry::read(line).map_err(|problem| TokensFileError::Line { line: at + 1, problem })
    };
    written.map(read).collect()
}

/// Keeps `gate` in step with `file`, beside the tokens that are `always` there, until `shutdown` ends; and has it tell of
/// refusals when their time has come.
pub async fn follow<G: Grant>(
    gate: Gate<G>,
    always: Vec<TokenEntry<G>>,
    file: Option<TokensFile<G>>,
    shutdown: impl Future<Output = ()>,
) {
    let mut watched = file.map(|file| Watched { seen: Ok(file.tokens.clone()), before: None, file });
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            _ = ticks.tick() => {}
        }
        gate.sweep();
        if let Some(watched) = &mut watched
            && let Some(tokens) = watched.look().await
        {
            gate.exchange(always.iter().chain(&tokens).cloned());
            tracing::info!(tokens = tokens.len(), "the file of tokens was read again");
        }
    }
}

type Read<G> = Result<Vec<TokenEntry<G>>, TokensFileError>;

/// A file, and what was found in it.
struct Watched<G> {
    file: TokensFile<G>,
    /// What has been acted on.
    seen: Read<G>,
    /// What was there at the last look; acted on if it is still there at the next, so that nothing half written is.
    before: Option<Read<G>>,
}

impl<G: Grant> Watched<G> {
    /// Other tokens that are in the file now.
    async fn look(&mut self) -> Option<Vec<TokenEntry<G>>> {
        let path = self.file.path.clone();
        let found = tokio::task::spawn_blocking(move || tokens_in(&path)).await.ok()?;
        let rests = self.before.as_ref() == Some(&found);
        self.before = Some(found.clone());
        if !rests || found == self.seen {
            return None;
        }
        self.seen.clone_from(&found);
        match found {
            Ok(tokens) => Some(tokens),
            Err(error) => {
                let file = self.file.path.display();
                tracing::error!("{file}: {error}");
                tracing::error!("the tokens were not reloaded; the last good ones stay in force");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Token;

    fn entry(name: &str) -> TokenEntry {
        TokenEntry::of(&Token::draw().unwrap(), name, Role::Viewer, None).unwrap()
    }

    #[tokio::test]
    async fn a_change_is_taken_once_it_rests_and_a_mistake_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        let [ann, bob] = ["ann", "bob"].map(entry);
        let write = |text: &str| fs::write(&path, text).unwrap();
        write(&format!("# who may\n\n  {}\n", ann.to_line()));
        let file = TokensFile::read(&path).unwrap();
        assert_eq!(file.tokens(), std::slice::from_ref(&ann));
        let mut watched = Watched { seen: Ok(vec![ann.clone()]), before: None, file };
        assert_eq!((watched.look().await, watched.look().await), (None, None), "as it was");
        write(&format!("{}\n{}", ann.to_line(), bob.to_line()));
        assert_eq!(watched.look().await, None, "it may go on");
        assert_eq!(watched.look().await, Some(vec![ann.clone(), bob]));
        write("ann");
        assert_eq!((watched.look().await, watched.look().await), (None, None));
        fs::remove_file(&path).unwrap();
        assert_eq!((watched.look().await, watched.look().await), (None, None));
        write("");
        assert_eq!((watched.look().await, watched.look().await), (None, Some(vec![])));
    }

    #[test]
    fn a_mistake_is_named_by_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        fs::write(&path, format!("{}\n\nann:root:00\n", entry("ann").to_line())).unwrap();
        let error = TokensFile::<Role>::read(&path).unwrap_err().to_string();
        assert_eq!(error, "line 3 has no role: write viewer, operator or admin");
        let error = TokensFile::<Role>::read(folder.path().join("none")).unwrap_err().to_string();
        assert!(error.starts_with("cannot be read (No such file"), "{error}");
    }
}
