//! The tollgate binary: arguments, logs, settings, then the service; and what the shell is told at the end.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use mimalloc::MiMalloc;
use tokio::runtime::Runtime;
use tollgate::app;
use tollgate::config::cli::{
    AuditCommand, CheckArgs, Cli, Command, ImportCommand, ServeArgs, TokenCommand, UsageCommand,
};
use tollgate::config::settings::keys::SENT_TOKEN;
use tollgate::config::settings::{Inputs, Settings, callers_of};
use tollgate::telemetry;

/// Every call allocates and frees small pieces on one thread; glibc's allocator takes longer over it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(arguments) => serve(*arguments),
        Command::Check(arguments) => check(arguments),
        Command::Usage(UsageCommand::Export(arguments)) => asking(|token| app::export(&arguments, token)),
        Command::Audit(AuditCommand::Verify(arguments)) => app::verify(&arguments),
        Command::Audit(AuditCommand::Export(arguments)) => {
            asking(|token| app::export_audit(&arguments, token))
        }
        Command::Import(ImportCommand::Usage(arguments)) => asking(|token| app::import(&arguments, token)),
        Command::Token(TokenCommand::New(arguments)) => app::new_token(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(app::exit_code(&error))
        }
    }
}

/// The variables of the process. One that is no text is no setting of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn check(arguments: CheckArgs) -> anyhow::Result<()> {
    let sources = arguments.sources(environment());
    app::check(&Inputs::resolve(&sources)?, callers_of(&sources).as_ref())
}

/// Asks a server, with the token of the environment if there is one.
fn asking<F>(ask: impl FnOnce(Option<String>) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    runtime()?.block_on(ask(std::env::var(SENT_TOKEN).ok()))
}

fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot run anything")
}

fn serve(arguments: ServeArgs) -> anyhow::Result<()> {
    let settings = Settings::resolve(&arguments.sources(environment()))?;
    telemetry::init(settings.log).context("cannot log")?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async { app::serve(settings, app::signals()?).await });
    // A disk that does not answer may hold up the watcher of the files, but not the end.
    runtime.shutdown_background();
    ended
}
