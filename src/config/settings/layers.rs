//! The places settings come from, merged so that the later one wins: defaults, the settings file, the
//! reference's names in the environment, `TOLLGATE_*`, flags.
//!
//! Every value remembers the file and key, the variable or the flag that gave it. Values stay texts here; an
//! empty one counts as not given, because that is what a compose file leaves behind for an unset variable.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ::config::{Config, ConfigError, File, FileFormat, Map, Source, Value, ValueKind};

use crate::config::diagnostic::suggestion;

use super::error::SettingError;
use super::keys::{self, Key};

/// What the names of settings begin with that are Tollgate's own.
const OWN_PREFIX: &str = "TOLLGATE_";

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The settings file, where a flag names one.
    pub file: Option<PathBuf>,
    /// The environment, by name.
    pub environment: BTreeMap<String, String>,
    /// What flags say.
    pub flags: Vec<(Key, Vec<String>)>,
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// As written; a list where it is one.
    pub(super) texts: Vec<String>,
    /// The file and key, the variable or the flag; `None` for a default.
    pub(super) origin: Option<String>,
}

/// Settings by their place in the settings file.
pub(super) type Merged = BTreeMap<String, Found>;

/// What reading the layers came upon, beside the values.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What is wrong.
    pub(super) errors: Vec<SettingError>,
    /// What is odd.
    pub(super) warnings: Vec<String>,
    /// Settings that stand somewhere with nothing in them, and where; they count as not given.
    pub(super) left_empty: Vec<(Key, String)>,
}

/// One place that settings come from.
#[derive(Clone, Debug, Default)]
struct Layer(Map<String, Value>);

impl Layer {
    fn put(&mut self, path: &str, origin: Option<&str>, kind: impl Into<ValueKind>) {
        self.0.insert(path.to_owned(), Value::new(origin.map(str::to_owned).as_ref(), kind));
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// Merges every layer of `sources`.
pub(super) fn merge(sources: &Sources, findings: &mut Findings) -> Merged {
    warn_of_unknown_names(&sources.environment, findings);
    let merged = Config::builder()
        .add_source(defaults())
        .add_source(settings_file(sources, findings))
        .add_source(reference_names(&sources.environment))
        .add_source(own_names(&sources.environment, findings))
        .add_source(flags(&sources.flags))
        .build()
        .expect("layers hold nothing but texts under known keys");
    let mut flat = Merged::new();
    flatten("", merged.cache, &mut flat);
    flat
}

fn defaults() -> Layer {
    let mut layer = Layer::default();
    for key in keys::ALL.iter().filter(|key| !key.default.is_empty()) {
        layer.put(key.path, None, key.default);
    }
    layer
}

fn settings_file(sources: &Sources, findings: &mut Findings) -> Layer {
    let named = sources.environment.get(keys::SETTINGS_FILE).filter(|path| !path.is_empty());
    let Some(path) = sources.file.clone().or_else(|| named.map(PathBuf::from)) else {
        return Layer::default();
    };
    let file = path.display().to_string();
    let content = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    let values = content.and_then(|text| {
        File::from_str(&text, FileFormat::Yaml).collect().map_err(|error| error.to_string())
    });
    match values {
        Ok(values) => known_keys(&file, values, findings),
        Err(problem) => {
            findings.errors.push(SettingError::File { file, problem });
            Layer::default()
        }
    }
}

/// The values of a settings file under keys that exist; others are errors.
fn known_keys(file: &str, values: Map<String, Value>, findings: &mut Findings) -> Layer {
    let left_empty = keys::ALL.iter().filter(|key| is_nothing(&values, key.path));
    findings.left_empty.extend(left_empty.map(|key| (*key, format!("{file}: {}", key.path))));
    let mut flat = Merged::new();
    flatten("", Value::new(None, values), &mut flat);
    let mut layer = Layer::default();
    for (path, Found { texts, .. }) in flat {
        if Key::at(&path).is_some() {
            layer.put(&path, Some(&format!("{file}: {path}")), texts);
        } else {
            let fix = suggestion(&path, keys::ALL.iter().map(|key| key.path));
            findings.errors.push(SettingError::UnknownKey { file: file.to_owned(), path, fix });
        }
    }
    layer
}

/// Whether `path` is written among `values` with nothing behind it.
fn is_nothing(values: &Map<String, Value>, path: &str) -> bool {
    let Some((level, below)) = path.split_once('.') else {
        return values.get(path).is_some_and(|value| value.kind == ValueKind::Nil);
    };
    match values.get(level).map(|value| &value.kind) {
        Some(ValueKind::Table(values)) => is_nothing(values, below),
        _ => false,
    }
}

/// The reference's names. Where two make one setting, they are a host and a port.
fn reference_names(environment: &BTreeMap<String, String>) -> Layer {
    let mut layer = Layer::default();
    let given = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    for key in &keys::ALL {
        match key.reference {
            [] => {}
            [host, port, ..] => match (given(host), given(port)) {
                (None, None) => {}
                (Some(at), None) => {
                    let port = key.default.rsplit(':').next().unwrap_or_default();
                    layer.put(key.path, Some(&variable(host)), with_port(at, port));
                }
                (None, Some(number)) => layer.put(key.path, Some(&variable(port)), with_port("", number)),
                (Some(at), Some(number)) => {
                    layer.put(key.path, Some(&variable(&format!("{host}, {port}"))), with_port(at, number));
                }
            },
            [name] => {
                if let Some(value) = given(name) {
                    layer.put(key.path, Some(&variable(name)), value.as_str());
                }
            }
        }
    }
    layer
}

fn variable(name: &str) -> String {
    format!("environment {name}")
}

fn with_port(host: &str, port: &str) -> String {
    let bare_ipv6 = host.contains(':') && !host.starts_with('[');
    if bare_ipv6 { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn own_names(environment: &BTreeMap<String, String>, findings: &mut Findings) -> Layer {
    let mut layer = Layer::default();
    for key in &keys::ALL {
        let Some(value) = environment.get(key.env) else { continue };
        let origin = variable(key.env);
        if value.is_empty() {
            findings.left_empty.push((*key, origin));
        } else if *key == keys::FILES {
            let files: Vec<String> = value.split(':').map(str::to_owned).collect();
            layer.put(key.path, Some(&origin), files);
        } else {
            layer.put(key.path, Some(&origin), value.as_str());
        }
    }
    layer
}

fn flags(given: &[(Key, Vec<String>)]) -> Layer {
    let mut layer = Layer::default();
    for (key, values) in given {
        layer.put(key.path, key.flag, values.clone());
    }
    layer
}

/// Names that begin as ours do and mean nothing are worth a word. Those that Kubernetes sets for a service
/// called `tollgate` are not.
fn warn_of_unknown_names(environment: &BTreeMap<String, String>, findings: &mut Findings) {
    let own = keys::ALL.iter().map(|key| key.env).chain([keys::SETTINGS_FILE, keys::SENT_TOKEN]);
    let own = own.filter(|name| name.starts_with(OWN_PREFIX));
    let from_kubernetes = |name: &str| name.contains("_SERVICE_") || name.contains("_PORT");
    for name in environment.keys().filter(|name| name.starts_with(OWN_PREFIX)) {
        if !own.clone().any(|known| known == name) && !from_kubernetes(name) {
            let fix = suggestion(name, own.clone());
            findings.warnings.push(format!("environment {name}: means nothing here: {fix}"));
        }
    }
}

/// Takes `value` apart into texts by their dotted place. Nothing at all counts as not given.
fn flatten(path: &str, value: Value, into: &mut Merged) {
    let origin = value.origin().map(str::to_owned);
    match value.kind {
        ValueKind::Nil => {}
        ValueKind::Table(table) => {
            for (key, value) in table {
                let below = if path.is_empty() { key } else { format!("{path}.{key}") };
                flatten(&below, value, into);
            }
        }
        ValueKind::Array(items) => {
            let texts = items.into_iter().map(|item| item.to_string()).collect();
            into.insert(path.to_owned(), Found { texts, origin });
        }
        scalar => {
            into.insert(path.to_owned(), Found { texts: vec![scalar.to_string()], origin });
        }
    }
}
