//! `tollgate usage export` and `tollgate audit export`: ask a running server for lines and pass them on as they come.

use std::io::{self, Write};

use anyhow::Context;

use crate::config::cli::{AuditExportArgs, ExportArgs, ServerArgs};
use crate::percent::encoded;

use super::asking::Server;

/// Writes the usage events that `asked` is for to standard output; the server is sent the token of the file that `asked`
/// names, or else `token`.
///
/// # Errors
///
/// What is wrong with what is asked, that nobody answers, and that the answer breaks off.
pub async fn export(asked: &ExportArgs, token: Option<String>) -> anyhow::Result<()> {
    let broken_off = "the answer broke off; go on with --after and the last id";
    pass_on(&asked.server, &target(asked), token, broken_off).await
}

/// As [`export`], the records of the audit.
///
/// # Errors
///
/// As of [`export`].
pub async fn export_audit(asked: &AuditExportArgs, token: Option<String>) -> anyhow::Result<()> {
    let broken_off = "the answer broke off; go on with --from and the number behind the last";
    pass_on(&asked.server, &format!("/audit/lines?from={}", asked.from), token, broken_off).await
}

/// Writes what `server` answers at `target` to standard output.
async fn pass_on(
    server: &ServerArgs,
    target: &str,
    token: Option<String>,
    broken_off: &'static str,
) -> anyhow::Result<()> {
    let mut answer = Server::of(server, token)?.get(target).await?;
    let mut output = io::stdout().lock();
    while let Some(part) = answer.next_part().await.context(broken_off)? {
        match output.write_all(&part) {
            // Whoever reads has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("cannot write to standard output")?,
        }
    }
    output.flush().context("cannot write to standard output")
}

/// The path and query that ask for it.
fn target(asked: &ExportArgs) -> String {
    let mut target = "/usage".to_owned();
    let values = [
        ("from", &asked.from),
        ("to", &asked.to),
        ("domain", &asked.domain),
        ("subject", &asked.subject),
        ("after", &asked.after),
        ("limit", &asked.limit),
        ("sum", &asked.sum),
    ];
    let given = values.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    for (index, (name, value)) in given.enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target += name;
        target.push('=');
        target += &encoded(value);
    }
    target
}
