//! Logs: what is written to standard error, and how.
//!
//! Only sets the subscriber up, once, at start. Everyone emits through `tracing`; nothing above `debug` is
//! emitted for a decision.

use tracing::level_filters::STATIC_MAX_LEVEL;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The least that is logged of Tollgate itself. Default `info`.
    pub level: LevelFilter,
    /// How it is written. Default text.
    pub format: LogFormat,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Logs to standard error from now on. Libraries are heard from `warn` upwards, and from below only at `trace`. A
/// release build has nothing below `info` in it, and says so where more is asked for.
///
/// # Errors
///
/// When the process has a subscriber already.
pub fn init(settings: LogSettings) -> Result<(), TryInitError> {
    let libraries = match settings.level {
        LevelFilter::TRACE => LevelFilter::TRACE,
        level => level.min(LevelFilter::WARN),
    };
    let heard = Targets::new().with_default(libraries).with_target("tollgate", settings.level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = match settings.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(heard)).try_init()?;
    if settings.level > STATIC_MAX_LEVEL {
        tracing::warn!("log level {} is not in this build: a debug build has it", settings.level);
    }
    Ok(())
}
