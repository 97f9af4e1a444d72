//! The command line: words and flags, no meaning.
//!
//! Flags stay texts here. The settings read them beside the environment and the settings file, so that all
//! three are checked by the same words and everything wrong is said in one go.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::settings::Sources;
use super::settings::keys::{self, Key};

/// Decides whether a request may pass: Envoy asks over gRPC, Tollgate answers.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, after_help = EXAMPLES, arg_required_else_help = true, args_override_self = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tollgate check limits.yaml                 is the file right, and what does it say?
  tollgate serve limits.yaml                 answer on 127.0.0.1:8081, count in memory
  tollgate serve limits/ --store redis://127.0.0.1:6379
  RUNTIME_ROOT=/srv/runtime_data/current REDIS_URL=redis:6379 tollgate serve

`tollgate serve --help` lists every flag, `.env.example` every name in the environment.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer calls by the limits in FILES, and follow changes of them.
    #[command(after_help = SERVE_NOTES, args_override_self = true)]
    Serve(Box<ServeArgs>),
    /// Check FILES and print what every tier is allowed; exit 78 if anything is wrong.
    Check(CheckArgs),
    /// Read what was spent and what was refused.
    #[command(subcommand)]
    Usage(UsageCommand),
    /// Read what admins did, and make sure that nobody has changed the records.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Take over what was counted elsewhere.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Make tokens for those who may ask the admin listener, and for those who may call.
    #[command(subcommand)]
    Token(TokenCommand),
}

const SERVE_NOTES: &str = "\
Flags beat TOLLGATE_* in the environment, which beats the reference service's names there, which beat the
settings file. Exit 78: the configuration is wrong, and standard error says where and what to write.";

/// What to do about the audit.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Verify the chain of records in FILE; exit 1 and say where, if it is broken.
    Verify(VerifyArgs),
    /// Ask a running server for its records; print each as the line that it is.
    Export(AuditExportArgs),
}

/// Which chain to verify.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Records, one on each line: a data directory, whose data file has noted the last of them; what was exported; - is
    /// standard input.
    #[arg(value_name = "DIR|FILE|-")]
    pub file: PathBuf,
    /// The hash of a record that has to be there, as it was logged or stood in /readyz: tells whether the end was cut off.
    #[arg(long, value_name = "HASH")]
    pub head: Option<String>,
}

/// Which records to ask for.
#[derive(Args, Debug)]
pub struct AuditExportArgs {
    /// Who is asked.
    #[command(flatten)]
    pub server: ServerArgs,
    /// From the record with this number on.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub from: u64,
}

/// What to take over.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Tell a running server what subjects have used of their limits by now. It is set, not added.
    Usage(ImportArgs),
}

/// Which usage to import.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// Who is told; it takes the token of an admin.
    #[command(flatten)]
    pub server: ServerArgs,
    /// CSV with the header subject,limit,used, or JSON lines with the same fields. A subject is user=u1, or user=u1+kit=k2.
    /// - is standard input.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Into this domain; may be left out where there is one.
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
    /// Why, for the audit.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
}

/// Which server to ask, and as whom.
#[derive(Args, Debug)]
pub struct ServerArgs {
    /// The admin listener of the server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:6070")]
    pub admin: String,
    /// A file with the token to send [env: TOLLGATE_TOKEN, the token itself]. To read, a viewer's will do.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// What to do about tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Print a new token, and the line for the settings of the server. The token is shown only once.
    New(NewTokenArgs),
}

/// Whose token it is to be.
#[derive(Args, Debug)]
pub struct NewTokenArgs {
    /// Who is to have it, as records of what they do will say.
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// What they may: viewer looks, operator also helps single subjects and sets breakers, admin does everything.
    #[arg(long, value_name = "ROLE", value_parser = ["viewer", "operator", "admin"])]
    #[arg(required_unless_present = "domain", conflicts_with = "domain")]
    pub role: Option<String>,
    /// In place of a role, of those who call: which domains they may ask about, with + between them, or * for all; may be given
    /// more than once. A + in a name is %2B, and a % is %25.
    #[arg(long, value_name = "NAME")]
    pub domain: Vec<String>,
    /// For how long it holds, such as 90d; for ever unless given.
    #[arg(long, value_name = "SPAN")]
    pub expires: Option<String>,
}

/// What to do about usage.
#[derive(Debug, Subcommand)]
pub enum UsageCommand {
    /// Ask a running server for usage events; print each as a line of JSON.
    Export(ExportArgs),
}

/// Which usage events to ask for.
#[derive(Args, Debug)]
pub struct ExportArgs {
    /// Who is asked.
    #[command(flatten)]
    pub server: ServerArgs,
    /// From this time on: 2026-11-01, which begins in the time zone of the file, or 2026-11-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Before this time.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Of this domain.
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
    /// Of this subject, such as user=alice or session=42.
    #[arg(long, value_name = "KEY=VALUE")]
    pub subject: Option<String>,
    /// Behind the event with this id, to go on where another export ended.
    #[arg(long, value_name = "ID")]
    pub after: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    pub limit: Option<String>,
    /// Add them up, domain by domain, in the time zone of the file: day, week, month or year.
    #[arg(long, value_name = "PERIOD")]
    pub sum: Option<String>,
}

/// How to answer calls.
#[derive(Args, Debug, Default)]
pub struct ServeArgs {
    /// What is limited: files, or directories of them [env: TOLLGATE_FILES, RUNTIME_ROOT].
    #[arg(value_name = "FILE|DIR")]
    pub files: Vec<PathBuf>,
    /// Where gRPC is served [default: 127.0.0.1:8081] [env: TOLLGATE_GRPC].
    #[arg(long, value_name = "ADDR")]
    pub grpc: Option<String>,
    /// Where POST /json and /healthcheck are served [default: 127.0.0.1:8080] [env: TOLLGATE_HTTP].
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// Where /livez, /readyz, /metrics and, for those with a token, all else is served [default: 127.0.0.1:6070] [env: TOLLGATE_ADMIN].
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
    /// Where counters are kept: memory, redis://…, rediss://…, unix:///PATH [default: memory] [env: TOLLGATE_STORE].
    #[arg(long, value_name = "STORE")]
    pub store: Option<String>,
    /// Where counters in memory are written down, so that they survive a restart [env: TOLLGATE_DATA_DIR].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// How many threads decide [default: one for each core] [env: TOLLGATE_THREADS].
    #[arg(long, value_name = "N")]
    pub threads: Option<String>,
    /// The largest gRPC message in bytes; nine descriptors that repeat a path of 59 KB need more
    /// [default: 524288] [env: TOLLGATE_GRPC_MAX_MESSAGE].
    #[arg(long, value_name = "BYTES")]
    pub grpc_max_message: Option<String>,
    /// A file of settings, in YAML [env: TOLLGATE_SETTINGS].
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// How much is logged: error, warn, info; in a debug build also debug, trace [default: info] [env: TOLLGATE_LOG_LEVEL].
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// How it is logged: text, json [default: text] [env: TOLLGATE_LOG_FORMAT].
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

/// What to check.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Files, or directories of them.
    #[arg(value_name = "FILE|DIR", required = true)]
    pub files: Vec<PathBuf>,
    /// A domain may stand in several files of the reference's language [env: MERGE_DOMAIN_CONFIG].
    #[arg(long)]
    pub merge_domains: bool,
}

impl ServeArgs {
    /// Where settings come from: these flags and the variables of `environment`.
    pub fn sources(self, environment: impl IntoIterator<Item = (String, String)>) -> Sources {
        let one = |key: Key, value: Option<String>| value.map(|value| (key, vec![value]));
        let files = shown(&self.files);
        let flags = [
            (!files.is_empty()).then_some((keys::FILES, files)),
            one(keys::GRPC, self.grpc),
            one(keys::HTTP, self.http),
            one(keys::ADMIN, self.admin),
            one(keys::STORE, self.store),
            one(keys::DATA_DIR, self.data_dir.map(|dir| dir.display().to_string())),
            one(keys::THREADS, self.threads),
            one(keys::GRPC_MAX_MESSAGE, self.grpc_max_message),
            one(keys::LOG_LEVEL, self.log_level),
            one(keys::LOG_FORMAT, self.log_format),
        ];
        Sources {
            file: self.settings,
            environment: environment.into_iter().collect(),
            flags: flags.into_iter().flatten().collect(),
        }
    }
}

impl CheckArgs {
    /// Where settings come from: these flags and the variables of `environment`.
    pub fn sources(self, environment: impl IntoIterator<Item = (String, String)>) -> Sources {
        let merged = self.merge_domains.then(|| (keys::MERGE_DOMAINS, vec!["true".to_owned()]));
        Sources {
            file: None,
            environment: environment.into_iter().collect(),
            flags: [(keys::FILES, shown(&self.files))].into_iter().chain(merged).collect(),
        }
    }
}

fn shown(files: &[PathBuf]) -> Vec<String> {
    files.iter().map(|file| file.display().to_string()).collect()
}
