//! `tollgate usage export` and `tollgate audit export`: ask a running server for lines and pass them on as they come.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::io::{self, Write};
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http::header::{AUTHORIZATION, HOST, HeaderValue};
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::cli::{AuditExportArgs, ExportArgs, ServerArgs};

/// How long the server may take to begin its answer, and to go on with it.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most that is read of an answer that says what is wrong.
const MOST_OF_PROBLEM: usize = 4096;

/// Writes the usage events that `asked` is for to standard output; the server is sent the token of the file that `asked`
/// names, or else `token`. There is no flag for it: everybody on a machine sees how its programs were started.
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
    let place = place(&server.admin)?;
    let token = token_of(server, token)?;
    let mut answer = ask(place, target, token.as_deref()).await.with_context(|| {
        format!(
            "no Tollgate answers at {}; name the admin listener of a running one with --admin",
            server.admin
        )
    })?;
    if !answer.status().is_success() {
        let mut problem = Vec::new();
        while problem.len() < MOST_OF_PROBLEM
            && let Some(part) = next_part(&mut answer).await?
        {
            problem.extend_from_slice(&part);
        }
        bail!("{}", in_words(&problem));
    }
    let mut output = io::stdout().lock();
    while let Some(part) = next_part(&mut answer).await.context(broken_off)? {
        match output.write_all(&part) {
            // Whoever reads has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("cannot write to standard output")?,
        }
    }
    output.flush().context("cannot write to standard output")
}

/// What an answer says that is none: the error in its JSON, or all of it.
fn in_words(problem: &[u8]) -> String {
    let read = serde_json::from_slice(problem).ok();
    let error = read.as_ref().and_then(|value: &serde_json::Value| value.get("error")?.as_str());
    error.map_or_else(|| String::from_utf8_lossy(problem).trim_end().to_owned(), str::to_owned)
}

/// The host and port of an address such as `http://127.0.0.1:6070`.
fn place(address: &str) -> anyhow::Result<&str> {
    let place = address.strip_prefix("http://").map(|place| place.trim_end_matches('/'));
    let is_place = |place: &&str| {
        place.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    place.filter(is_place).ok_or_else(|| {
        anyhow!("--admin: '{address}' is no address of an admin listener; write http://127.0.0.1:6070")
    })
}

/// The token to send, if there is one.
fn token_of(server: &ServerArgs, token: Option<String>) -> anyhow::Result<Option<String>> {
    let read = |file: &PathBuf| {
        std::fs::read_to_string(file)
            .with_context(|| format!("--token-file: cannot read '{}'", file.display()))
    };
    let token = server.token_file.as_ref().map(read).transpose()?.or(token);
    Ok(token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()))
}

async fn ask(place: &str, target: &str, token: Option<&str>) -> anyhow::Result<Response<Incoming>> {
    let mut request = Request::get(target).header(HOST, place);
    if let Some(token) = token {
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        request =
            request.header(AUTHORIZATION, value.map_err(|_| anyhow!("the token holds what none does"))?);
    }
    let request = request.body(String::new())?;
    let asking = async {
        let stream = TcpStream::connect(place).await?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It carries the answer, and ends with it.
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?)
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| bail!("no answer within {PATIENCE:?}"))
}

/// What comes next of an answer; `None` at its end.
async fn next_part(answer: &mut Response<Incoming>) -> anyhow::Result<Option<bytes::Bytes>> {
    loop {
        let body = answer.body_mut();
        let next = timeout(PATIENCE, poll_fn(|context| Pin::new(&mut *body).poll_frame(context)));
        match next.await.context("nothing more came")? {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(part) = frame?.into_data() {
                    return Ok(Some(part));
                }
            }
        }
    }
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
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    target.push(byte.into())
                }
                _ => _ = write!(target, "%{byte:02X}"),
            }
        }
    }
    target
}
