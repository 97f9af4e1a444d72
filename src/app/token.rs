//! Tokens for those who run the service: `tollgate token new`, and the one that is made at start where none is configured.
//!
//! A token leaves the process here and nowhere else, in plain text and not by the log, which is kept.

use std::io::{self, Write};
use std::net::SocketAddr;

use anyhow::{Context, anyhow};

use crate::audit::Role;
use crate::auth::{AuthSettings, Denials, Domains, Gate, Grant, Token, TokenEntry};
use crate::clock::Clock;
use crate::config::cli::NewTokenArgs;
use crate::config::settings::expiry;

/// The name of the token that is made at start.
const AT_START: &str = "made-at-start";

/// Writes a new token to standard output, and behind it the line for the settings, which does not tell what it is.
///
/// # Errors
///
/// What is wrong with what is asked.
pub fn new_token(asked: &NewTokenArgs) -> anyhow::Result<()> {
    let Some(role) = &asked.role else {
        let domains = Domains::read(&asked.domain.join("+"));
        let domains =
            domains.map_err(|problem| anyhow!("--domain: \"{}\" {problem}", asked.domain.join("+")))?;
        return make(asked, domains, "TOLLGATE_CALLER_TOKENS");
    };
    let role = Role::named(role).ok_or_else(|| anyhow!("--role: write viewer, operator or admin"))?;
    make(asked, role, "TOLLGATE_ADMIN_TOKENS")
}

/// Makes one that grants `grant`, for the setting of this name and the file that has its name with `_FILE` behind it.
fn make(asked: &NewTokenArgs, grant: impl Grant, setting: &str) -> anyhow::Result<()> {
    let until = |span: &String| {
        expiry(span, Clock::System.now()).map_err(|problem| anyhow!("--expires: \"{span}\" {problem}"))
    };
    let expires = asked.expires.as_ref().map(until).transpose()?;
    let token = Token::draw()?;
    let entry = TokenEntry::of(&token, &asked.name, grant, expires)
        .map_err(|problem| anyhow!("--name: \"{}\" {problem}", asked.name))?;
    tell(&token, &entry, setting).context("cannot write to standard output")
}

/// What to do with each line goes to standard error, so that the lines themselves can be read by a program.
fn tell(token: &Token, entry: &TokenEntry<impl Grant>, setting: &str) -> io::Result<()> {
    let (mut lines, mut words) = (io::stdout(), io::stderr());
    writeln!(
        words,
        "The token of {}, shown only here; send it as 'Authorization: Bearer TOKEN':",
        entry.name()
    )?;
    writeln!(lines, "{}", token.as_str())?;
    writeln!(words, "The line for {setting} or the file {setting}_FILE of the server:")?;
    writeln!(lines, "{}", entry.to_line())
}

/// The gate, and the token that it was made for where none was configured.
#[derive(Debug)]
pub(super) struct Entrance {
    pub(super) gate: Gate,
    pub(super) denials: Denials,
    made: Option<Token>,
}

impl Entrance {
    /// Lets in those whom `settings` name, or else who has the token that is made now.
    pub(super) fn open(settings: &AuthSettings) -> anyhow::Result<Self> {
        let made = if settings.is_empty() { Some(Token::draw()?) } else { None };
        let entry = made.as_ref().map(|token| TokenEntry::of(token, AT_START, Role::Admin, None));
        let entries = settings.all().chain(entry.transpose()?);
        let (gate, denials) = Gate::knowing(entries, settings.certificates.clone(), Clock::System);
        Ok(Self { gate, denials, made })
    }

    /// Shows the token that was made, once, to whoever has started the process.
    pub(super) fn announce(&mut self, scheme: &str, admin: SocketAddr) -> io::Result<()> {
        let Some(token) = self.made.take() else { return Ok(()) };
        let token = token.as_str();
        let text = format!(
            "\nNobody is configured to ask the admin listener, so this token was made. It may do everything, holds until \
             this process ends, and is shown only here:\n\n    export TOLLGATE_TOKEN={token}\n    \
             curl -H \"Authorization: Bearer $TOLLGATE_TOKEN\" {scheme}://{admin}/rlconfig\n\nFor one that lasts, type \
             `tollgate token new --name YOU --role admin`, and set TOLLGATE_ADMIN_TOKENS to the line that it prints.\n\n"
        );
        io::stderr().write_all(text.as_bytes())
    }
}
