//! From merged texts to the settings types of the rooms.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;

use crate::clock::Micros;
use crate::engine::{Enforcement, EngineSettings, HeaderNames, ReferenceSettings, Settling, Switch};
use crate::limits::KeySecret;
use crate::store::Retention;
use crate::store::durable::DataSettings;
use crate::store::fallback::FallbackSettings;
use crate::store::memory::MemorySettings;
use crate::store::redis::RedisSettings;
use crate::telemetry::{LogFormat, LogSettings};
use crate::transport::grpc::GrpcSettings;
use crate::transport::tls::Tls;

use super::auth::{self, admin_tls, callers, callers_tls};
use super::error::{SettingError, SettingErrors};
use super::layers::{self, Findings, Sources};
use super::listen::address;
use super::read::{Parsed, Reader, at_least, between, header_name, secret, span, text, truth};
use super::store::{Beside, Place, certificates, login, place, socket};
use super::{
    CallSettings, InputPlace, Inputs, Listeners, RuntimeSettings, Settings, StoreSettings, elsewhere, keys,
};

/// The longest drain delay: with it and the drain, the process is gone within 25 s of the signal.
const LONGEST_DRAIN_DELAY: Duration = Duration::from_secs(5);

/// More threads than this are a slip of the pen.
const MOST_THREADS: NonZeroUsize = NonZeroUsize::new(1024).expect("it is not 0");
/// More counters than this fit in no memory that there is.
const MOST_COUNTERS: usize = 1_000_000_000;

/// A cap below this would refuse ordinary calls, and Envoy lets a call pass that is refused for its form.
const LEAST_MESSAGE_BYTES: usize = 64 * 1024;

/// The range of the flush interval: a disk takes its time, and a minute is much to lose.
const FLUSH_INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// The range of the deadline of Redis.
const STORE_TIMEOUTS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(10));

/// The range of the time that usage is kept.
const USAGE_RETENTIONS: (Duration, Duration) =
    (Duration::from_secs(3600), Duration::from_secs(3650 * 24 * 3600));

impl Settings {
    /// Resolves settings from `sources`.
    ///
    /// # Errors
    ///
    /// All that is wrong with them.
    pub fn resolve(sources: &Sources) -> Result<Self, SettingErrors> {
        let mut findings = Findings::default();
        let merged = layers::merge(sources, &mut findings);
        let Findings { mut errors, mut warnings, left_empty } = findings;
        errors.extend(elsewhere::refused(&sources.environment));
        let mut reader = Reader { merged: &merged, errors: &mut errors };
        let inputs = inputs(&mut reader, &mut warnings);
        let key_secret = reader.optional(&keys::KEY_SECRET, secret).map(KeySecret);
        let store = store(&mut reader, key_secret);
        let listeners = listeners(&mut reader, &inputs.place);
        let admin_tls = admin_tls(&mut reader);
        let calls = calls(&mut reader);
        if calls.callers.is_none() {
            reader.errors.extend(auth::left_open(&left_empty));
        }
        warnings.extend(in_the_clear(&listeners, &admin_tls, &calls).chain(auth::closed_to_all(&calls)));
        let settings = Self {
            data: data(&mut reader, &store, &mut warnings),
            listeners,
            admin_tls,
            threads: threads(&mut reader),
            drain_delay: reader.value(&keys::DRAIN_DELAY, span(Duration::ZERO, LONGEST_DRAIN_DELAY)),
            grpc: grpc(&mut reader),
            engine: engine(&mut reader, &calls),
            calls,
            store,
            key_secret,
            auth: auth::auth(&mut reader),
            usage: usage(&mut reader),
            log: log(&mut reader),
            inputs,
            warnings,
        };
        if errors.is_empty() { Ok(settings) } else { Err(SettingErrors(errors)) }
    }
}

impl Inputs {
    /// Resolves from `sources` only what is read; what else they say does not matter to a check.
    ///
    /// # Errors
    ///
    /// All that is wrong with it, and a settings file that cannot be used.
    pub fn resolve(sources: &Sources) -> Result<Self, SettingErrors> {
        let mut findings = Findings::default();
        let merged = layers::merge(sources, &mut findings);
        let Findings { mut errors, mut warnings, .. } = findings;
        let inputs = inputs(&mut Reader { merged: &merged, errors: &mut errors }, &mut warnings);
        if errors.is_empty() { Ok(inputs) } else { Err(SettingErrors(errors)) }
    }
}

fn inputs(reader: &mut Reader<'_>, warnings: &mut Vec<String>) -> Inputs {
    let files: Vec<PathBuf> = reader.list(&keys::FILES).iter().map(PathBuf::from).collect();
    let runtime = runtime(reader);
    let merge_domains = reader.value(&keys::MERGE_DOMAINS, truth);
    let place = match (files.is_empty(), runtime) {
        (true, Some(runtime)) => InputPlace::Runtime(runtime),
        (true, None) => {
            reader.errors.push(SettingError::NoInputs);
            InputPlace::Files(files)
        }
        (false, runtime) => {
            if runtime.is_some() {
                warnings.push("RUNTIME_ROOT is not read, because files are named".to_owned());
            }
            InputPlace::Files(files)
        }
    };
    Inputs { place, merge_domains }
}

fn runtime(reader: &mut Reader<'_>) -> Option<RuntimeSettings> {
    let root = reader.optional(&keys::RUNTIME_ROOT, text);
    let subdirectory = reader.optional(&keys::RUNTIME_SUBDIRECTORY, text);
    let app_directory = reader.value(&keys::RUNTIME_APPDIRECTORY, text);
    let watch_root = reader.value(&keys::RUNTIME_WATCH_ROOT, truth);
    let ignore_dot_files = reader.value(&keys::RUNTIME_IGNOREDOTFILES, truth);
    Some(RuntimeSettings {
        root: root?.into(),
        subdirectory: subdirectory.unwrap_or_default().into(),
        app_directory: app_directory.into(),
        watch_root,
        ignore_dot_files,
    })
}

/// A start in the reference's way is open to other machines, as the reference is; any other is not, unless
/// told to be.
fn listeners(reader: &mut Reader<'_>, inputs: &InputPlace) -> Listeners {
    let open = reader.value(&keys::BIND_ALL, truth) || matches!(inputs, InputPlace::Runtime(_));
    let host = if open { "0.0.0.0" } else { "127.0.0.1" };
    let mut listener = |key: &keys::Key| {
        let mut listener = reader.value(key, address(host));
        if !reader.is_given(key) {
            host.clone_into(&mut listener.host);
        }
        listener
    };
    Listeners { grpc: listener(&keys::GRPC), http: listener(&keys::HTTP), admin: listener(&keys::ADMIN) }
}

fn threads(reader: &mut Reader<'_>) -> NonZeroUsize {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let few = between(NonZeroUsize::MIN, MOST_THREADS, "more than there are cores do not help");
    reader.optional(&keys::THREADS, few).unwrap_or_else(cores)
}

fn grpc(reader: &mut Reader<'_>) -> GrpcSettings {
    let max_message_bytes = reader.value(&keys::GRPC_MAX_MESSAGE, at_least(LEAST_MESSAGE_BYTES));
    GrpcSettings { max_message_bytes, ..GrpcSettings::default() }
}

fn store(reader: &mut Reader<'_>, key_secret: Option<KeySecret>) -> StoreSettings {
    let beside = Beside {
        socket: reader.optional(&keys::SOCKET_TYPE, socket),
        tls: reader.value(&keys::STORE_TLS, truth),
    };
    let place = reader.value(&keys::STORE, place(&beside));
    let login = reader.optional(&keys::STORE_AUTH, login);
    let ca = reader.optional(&keys::STORE_CA, certificates);
    let (shortest, longest) = STORE_TIMEOUTS;
    let op_timeout = reader.value(&keys::STORE_TIMEOUT, span(shortest, longest));
    let counters = between(1, MOST_COUNTERS, "each takes 60 bytes and more");
    let memory = MemorySettings { max_keys: reader.value(&keys::MAX_KEYS, counters) };
    let fallback = FallbackSettings { instances: reader.value(&keys::INSTANCES, at_least(1)), memory };
    match place {
        Place::Memory => StoreSettings::Memory(memory),
        Place::Redis(url) => {
            let (user, password) = login.map_or((None, None), |(user, password)| (user, Some(password)));
            let mut redis =
                RedisSettings { user, password, ca, op_timeout, key_secret, ..RedisSettings::new(url) };
            // What takes many questions may take as long as one.
            redis.connect_timeout = redis.connect_timeout.max(op_timeout);
            StoreSettings::Redis(Box::new(redis), fallback)
        }
    }
}

/// Where the embedded store is written down. Redis keeps what is counted in it itself.
fn data(reader: &mut Reader<'_>, store: &StoreSettings, warnings: &mut Vec<String>) -> Option<DataSettings> {
    let dir = reader.optional(&keys::DATA_DIR, text).map(PathBuf::from);
    let (shortest, longest) = FLUSH_INTERVALS;
    let flush_interval = reader.value(&keys::FLUSH_INTERVAL, span(shortest, longest));
    match (dir, store) {
        (Some(dir), StoreSettings::Memory(_)) => Some(DataSettings { dir, flush_interval }),
        (Some(_), StoreSettings::Redis(..)) => {
            let name = reader.name_of(&keys::DATA_DIR);
            warnings.push(format!("{name} is not used, because Redis keeps the counters"));
            None
        }
        (None, _) => {
            if reader.is_given(&keys::FLUSH_INTERVAL) {
                let (without, name) = (keys::FLUSH_INTERVAL.env, keys::DATA_DIR.env);
                warnings.push(format!("{without} is not used, because {name} names no directory"));
            }
            None
        }
    }
}

fn usage(reader: &mut Reader<'_>) -> Retention {
    let (shortest, longest) = USAGE_RETENTIONS;
    let age = Micros::of(reader.value(&keys::USAGE_RETENTION, span(shortest, longest)));
    let events = between(1, MOST_COUNTERS, "each takes some 400 bytes");
    Retention { age, most: reader.value(&keys::USAGE_MOST, events) }
}

fn log(reader: &mut Reader<'_>) -> LogSettings {
    LogSettings {
        level: reader.value(&keys::LOG_LEVEL, level),
        format: reader.value(&keys::LOG_FORMAT, |text| match text.to_ascii_lowercase().as_str() {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("is no format of the log: write text or json".to_owned()),
        }),
    }
}

/// A level, in the reference's spellings too.
fn level(text: &str) -> Parsed<LevelFilter> {
    match text.to_ascii_lowercase().as_str() {
        "panic" | "fatal" | "error" => Ok(LevelFilter::ERROR),
        "warn" | "warning" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err("is no level: write error, warn, info, debug or trace".to_owned()),
    }
}

/// Who may call, and how.
fn calls(reader: &mut Reader<'_>) -> CallSettings {
    let (tls, is_for_http) = callers_tls(reader);
    CallSettings { http_tls: tls.clone().filter(|_| is_for_http), tls, callers: callers(reader) }
}

/// What is odd about listeners that take tokens and are not encrypted.
fn in_the_clear<'a>(
    listeners: &'a Listeners,
    admin_tls: &Option<Tls>,
    calls: &CallSettings,
) -> impl Iterator<Item = String> + use<'a> {
    let asks = calls.callers.is_some();
    let listeners = [
        ("the admin listener", &listeners.admin, &keys::ADMIN_CERT, admin_tls.is_none()),
        ("the gRPC listener", &listeners.grpc, &keys::GRPC_CERT, asks && calls.tls.is_none()),
        ("the HTTP listener", &listeners.http, &keys::HTTP_TLS, asks && calls.http_tls.is_none()),
    ];
    let clear = listeners.into_iter().filter(|(.., is_clear)| *is_clear);
    clear.filter_map(|(listener, address, key, _)| auth::in_the_clear(listener, address, key))
}

fn engine(reader: &mut Reader<'_>, calls: &CallSettings) -> EngineSettings {
    // Taken for what it is called, and without effect on any answer.
    reader.value(&keys::LOCAL_CACHE, at_least(0_u64));
    EngineSettings {
        switch: if reader.value(&keys::ENABLED, truth) { Switch::On } else { Switch::Off },
        enforcement: match reader.value(&keys::SHADOW_MODE, truth) {
            true => Enforcement::Shadow,
            false => Enforcement::Enforced,
        },
        settling: match calls.callers {
            Some(_) => Settling::OfOwnDomain,
            None => Settling::Any,
        },
        reference: ReferenceSettings {
            all_quota: reader.value(&keys::QUOTA_MODE, truth),
            stop_when_over: reader.value(&keys::STOP_WHEN_OVER, truth),
            dynamic_metadata: reader.value(&keys::DYNAMIC_METADATA, truth),
            headers: headers(reader),
        },
    }
}

fn headers(reader: &mut Reader<'_>) -> Option<HeaderNames> {
    let names = HeaderNames {
        limit: reader.value(&keys::LIMIT_HEADER, header_name).into(),
        remaining: reader.value(&keys::REMAINING_HEADER, header_name).into(),
        reset: reader.value(&keys::RESET_HEADER, header_name).into(),
    };
    reader.value(&keys::HEADERS, truth).then_some(names)
}
