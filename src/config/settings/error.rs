//! What is wrong with settings, in words that name where the value came from and what to write instead.

use super::keys::{Key, Shown};

/// One thing that is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// A value that cannot be meant.
    #[error("{origin}: {value} {problem}")]
    Value {
        /// The file and key, the variable or the flag.
        origin: String,
        /// The value in quotes, or that it is hidden.
        value: String,
        /// What is wrong with it and what to write instead.
        problem: String,
    },
    /// A key of the settings file that does not exist.
    #[error("{file}: {path}: there is no such setting: {fix}")]
    UnknownKey {
        /// The settings file.
        file: String,
        /// The key, with dots between the levels.
        path: String,
        /// What was meant, or what there is.
        fix: String,
    },
    /// A settings file that cannot be read.
    #[error("{file}: {problem}")]
    File {
        /// The settings file.
        file: String,
        /// Why not.
        problem: String,
    },
    /// Nothing says what is limited.
    #[error(
        "nothing says what is limited: type `tollgate serve FILE`, or set TOLLGATE_FILES or RUNTIME_ROOT"
    )]
    NoInputs,
}

impl SettingError {
    /// A value of `key` that cannot be meant.
    pub(super) fn value(key: &Key, origin: &str, value: &str, problem: String) -> Self {
        let value = match key.shown {
            Shown::Clear => format!("{value:?}"),
            Shown::Hidden => "the value (not shown)".to_owned(),
        };
        Self::Value { origin: origin.to_owned(), value, problem }
    }
}

/// Everything that is wrong with the settings; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SettingErrors(pub Vec<SettingError>);
