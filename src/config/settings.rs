//! Settings of the server: where it listens, where it counts, what it reads, how it answers.
//!
//! Resolved once at start from defaults, a settings file, the environment and flags, each beating the one
//! before, into the settings types of the rooms. Everything that is wrong is said in one go, with where it
//! came from and what to write instead. What is limited is another matter, with another lifetime.

mod auth;
mod elsewhere;
mod error;
pub mod keys;
mod layers;
mod listen;
mod read;
mod resolve;
mod store;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::{AuthSettings, Domains};
use crate::engine::EngineSettings;
use crate::limits::KeySecret;
use crate::store::Retention;
use crate::store::durable::DataSettings;
use crate::store::fallback::FallbackSettings;
use crate::store::memory::MemorySettings;
use crate::store::redis::RedisSettings;
use crate::telemetry::LogSettings;
use crate::transport::grpc::GrpcSettings;
use crate::transport::tls::Tls;

pub use auth::{callers_of, expiry};
pub use error::{SettingError, SettingErrors};
pub use layers::Sources;
pub use listen::{Address, Listeners};

/// Settings of the server, resolved.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens.
    pub listeners: Listeners,
    /// What the operators' listener is encrypted by; `None` if it is not.
    pub admin_tls: Option<Tls>,
    /// How many threads decide. Default: one for each core.
    pub threads: NonZeroUsize,
    /// How long new calls are still taken after the signal to stop. Default 2 s.
    pub drain_delay: Duration,
    /// How gRPC connections and calls are treated.
    pub grpc: GrpcSettings,
    /// Who may call, and how.
    pub calls: CallSettings,
    /// Where counters are kept.
    pub store: StoreSettings,
    /// Where the embedded store is written down; `None` if nowhere.
    pub data: Option<DataSettings>,
    /// The secret under which counters are named, where it is given.
    pub key_secret: Option<KeySecret>,
    /// Who is let in to the admin listener.
    pub auth: AuthSettings,
    /// How much is kept of what was spent and refused.
    pub usage: Retention,
    /// What is logged, and how.
    pub log: LogSettings,
    /// What is read to know what is limited.
    pub inputs: Inputs,
    /// How calls are decided, apart from the rules.
    pub engine: EngineSettings,
    /// What is odd about the settings, to be logged at start.
    pub warnings: Vec<String>,
}

/// Who may call, and how.
#[derive(Clone, Debug)]
pub struct CallSettings {
    /// What gRPC is encrypted by; `None` if it is not.
    pub tls: Option<Tls>,
    /// The same of HTTP.
    pub http_tls: Option<Tls>,
    /// Who may call; `None` if everybody may.
    pub callers: Option<AuthSettings<Domains>>,
}

/// Where counters are kept.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// In this process.
    Memory(MemorySettings),
    /// In a Redis, and what stands in for it when it is silent.
    Redis(Box<RedisSettings>, FallbackSettings),
}

impl StoreSettings {
    /// The kind of store, in one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Redis(..) => "redis",
        }
    }
}

/// What is read to know what is limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Where it is.
    pub place: InputPlace,
    /// Whether a domain may stand in several reference files.
    pub merge_domains: bool,
}

/// Where it is written what is limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputPlace {
    /// Files, and directories of files.
    Files(Vec<PathBuf>),
    /// Where the reference looks for its files.
    Runtime(RuntimeSettings),
}

/// Where the reference looks for its files, in its own terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeSettings {
    /// `RUNTIME_ROOT`.
    pub root: PathBuf,
    /// `RUNTIME_SUBDIRECTORY`; empty for none.
    pub subdirectory: PathBuf,
    /// `RUNTIME_APPDIRECTORY`.
    pub app_directory: PathBuf,
    /// `RUNTIME_WATCH_ROOT`.
    pub watch_root: bool,
    /// `RUNTIME_IGNOREDOTFILES`.
    pub ignore_dot_files: bool,
}
