//! Every setting of the server, once: its place in the settings file, its names in the environment, its flag,
//! its default and what it does.
//!
//! This table is the single source. The reader takes names and defaults from it; `.env.example` and the help
//! of the command line are compared with it by tests. It holds texts and no meaning.

mod admin;
mod callers;
mod deciding;
mod serving;

pub use admin::{ADMIN_CERT, ADMIN_CLIENT_CA, ADMIN_KEY, CERTIFICATES, TOKENS, TOKENS_FILE};
pub use callers::{
    CALLER_CERTIFICATES, CALLER_TOKENS, CALLER_TOKENS_FILE, GRPC_CERT, GRPC_CLIENT_CA, GRPC_KEY, HTTP_TLS,
};
pub use deciding::{
    DYNAMIC_METADATA, ENABLED, FILES, HEADERS, LIMIT_HEADER, LOCAL_CACHE, MERGE_DOMAINS, QUOTA_MODE,
    REMAINING_HEADER, RESET_HEADER, RUNTIME_APPDIRECTORY, RUNTIME_IGNOREDOTFILES, RUNTIME_ROOT,
    RUNTIME_SUBDIRECTORY, RUNTIME_WATCH_ROOT, SHADOW_MODE, STOP_WHEN_OVER,
};
pub use serving::{
    ADMIN, BIND_ALL, DATA_DIR, DRAIN_DELAY, FLUSH_INTERVAL, GRPC, GRPC_MAX_MESSAGE, HTTP, INSTANCES,
    KEY_SECRET, LOG_FORMAT, LOG_LEVEL, MAX_KEYS, SOCKET_TYPE, STORE, STORE_AUTH, STORE_CA, STORE_TIMEOUT,
    STORE_TLS, THREADS, USAGE_MOST, USAGE_RETENTION,
};

/// One setting and its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its place in the settings file, with dots between the levels.
    pub path: &'static str,
    /// Its name in the environment.
    pub env: &'static str,
    /// Names of the reference service that mean the same; `env` beats them.
    pub reference: &'static [&'static str],
    /// Its flag, where it has one.
    pub flag: Option<&'static str>,
    /// What holds when nobody says anything, as it would be written; empty where that is nothing.
    pub default: &'static str,
    /// What it does, its unit and what follows from it, in one line.
    pub help: &'static str,
    /// Whether its value may be shown.
    pub shown: Shown,
}

/// Whether a value may be shown in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As it is.
    Clear,
    /// Never: it is or may hold a secret.
    Hidden,
}

impl Key {
    const fn new(path: &'static str, env: &'static str, default: &'static str, help: &'static str) -> Self {
        Self { path, env, reference: &[], flag: None, default, help, shown: Shown::Clear }
    }

    const fn reference(self, reference: &'static [&'static str]) -> Self {
        Self { reference, ..self }
    }

    const fn flag(self, flag: &'static str) -> Self {
        Self { flag: Some(flag), ..self }
    }

    const fn hidden(self) -> Self {
        Self { shown: Shown::Hidden, ..self }
    }

    /// The key with this place in the settings file.
    pub fn at(path: &str) -> Option<&'static Self> {
        ALL.iter().find(|key| key.path == path)
    }
}

/// Every setting, in the order in which they are shown.
pub const ALL: [Key; 52] = [
    GRPC,
    HTTP,
    ADMIN,
    BIND_ALL,
    THREADS,
    DRAIN_DELAY,
    GRPC_MAX_MESSAGE,
    STORE,
    STORE_AUTH,
    SOCKET_TYPE,
    STORE_TLS,
    STORE_CA,
    STORE_TIMEOUT,
    INSTANCES,
    MAX_KEYS,
    DATA_DIR,
    FLUSH_INTERVAL,
    KEY_SECRET,
    USAGE_RETENTION,
    USAGE_MOST,
    TOKENS,
    TOKENS_FILE,
    CERTIFICATES,
    ADMIN_CERT,
    ADMIN_KEY,
    ADMIN_CLIENT_CA,
    CALLER_TOKENS,
    CALLER_TOKENS_FILE,
    CALLER_CERTIFICATES,
    GRPC_CERT,
    GRPC_KEY,
    GRPC_CLIENT_CA,
    HTTP_TLS,
    LOG_LEVEL,
    LOG_FORMAT,
    FILES,
    RUNTIME_ROOT,
    RUNTIME_SUBDIRECTORY,
    RUNTIME_APPDIRECTORY,
    RUNTIME_WATCH_ROOT,
    RUNTIME_IGNOREDOTFILES,
    MERGE_DOMAINS,
    ENABLED,
    SHADOW_MODE,
    QUOTA_MODE,
    STOP_WHEN_OVER,
    HEADERS,
    LIMIT_HEADER,
    REMAINING_HEADER,
    RESET_HEADER,
    DYNAMIC_METADATA,
    LOCAL_CACHE,
];

/// The name of the variable that commands send their token from.
pub const SENT_TOKEN: &str = "TOLLGATE_TOKEN";

/// The name of the variable that names the settings file; `--settings` beats it.
pub const SETTINGS_FILE: &str = "TOLLGATE_SETTINGS";
