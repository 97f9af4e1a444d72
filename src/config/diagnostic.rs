//! What is wrong with a file, in words for whoever wrote it: where, what, and how to put it right.
//!
//! Readers report into a [`Report`] and go on, so that all problems of all files come out in one go. Nothing
//! here knows what a file means.

mod fields;

use std::fmt;

pub use crate::nearest::nearest;
pub use fields::{Field, Fields, shorten, suggestion};

/// A place in a file. Lines and columns count from 1; line 0 is the file as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// Whether a file can be used in spite of it. What is worse comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but somebody should know.
    Warning,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the file can be used in spite of it.
    pub severity: Severity,
    /// The file's name as given.
    pub file: Box<str>,
    /// Where in the file.
    pub at: Position,
    /// What is wrong.
    pub message: String,
    /// What to write instead; empty where nothing can be written.
    pub fix: String,
}

/// What was found in one file.
#[derive(Clone, Debug)]
pub struct Report {
    file: Box<str>,
    found: Vec<Diagnostic>,
}

/// What was found in all files, in their order: of each file its errors before its warnings, by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Position {
    /// The file as a whole.
    pub const FILE: Self = Self { line: 0, column: 0 };

    /// The first character of a file: where something is missing that nothing else stands for.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} column {}", self.line, self.column)
    }
}

impl fmt::Display for Diagnostic {
    /// `file:line:column: message; fix`, with `warning:` before the message of a warning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.at != Position::FILE {
            write!(f, ":{}:{}", self.at.line, self.at.column)?;
        }
        let warning = if self.severity == Severity::Warning { "warning: " } else { "" };
        write!(f, ": {warning}{}", self.message)?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, "; {}", self.fix) }
    }
}

impl Report {
    /// Nothing found yet in `file`.
    pub fn new(file: &str) -> Self {
        Self { file: file.into(), found: Vec::new() }
    }

    /// The file that is reported on.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Reports what makes the file unusable, and what to write instead.
    pub fn error(&mut self, at: Position, message: impl Into<String>, fix: impl Into<String>) {
        self.push(Severity::Error, at, message.into(), fix.into());
    }

    /// Reports what somebody should know, and what to write instead.
    pub fn warning(&mut self, at: Position, message: impl Into<String>, fix: impl Into<String>) {
        self.push(Severity::Warning, at, message.into(), fix.into());
    }

    /// Whether anything found so far is an error.
    pub fn has_errors(&self) -> bool {
        self.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    fn push(&mut self, severity: Severity, at: Position, message: String, fix: String) {
        self.found.push(Diagnostic { severity, file: self.file.clone(), at, message, fix });
    }
}

impl Diagnostics {
    /// Adds what was found in one more file: its errors before its warnings, by line.
    pub fn add(&mut self, report: Report) {
        let mut found = report.found;
        found.sort_by_key(|diagnostic| (diagnostic.severity, diagnostic.at));
        self.0.extend(found);
    }

    /// Whether any of it is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of it, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl fmt::Display for Diagnostics {
    /// One line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
