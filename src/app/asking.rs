//! Asks the admin listener of a running server, for the commands that do.

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::config::cli::ServerArgs;

use super::dial::Place;

/// How long the server may take to begin its answer, and to go on with it.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most that is read of an answer that says what is wrong.
const MOST_OF_PROBLEM: usize = 4096;

/// A running server.
pub(super) struct Server<'a> {
    address: &'a str,
    place: Place<'a>,
    authorization: Option<HeaderValue>,
}

/// An answer, which is read as it comes.
pub(super) struct Answer(Response<Incoming>);

impl<'a> Server<'a> {
    /// The one that `args` name. It is sent the token of the file that they name, or else `token`. There is no flag for it:
    /// everybody on a machine sees how its programs were started.
    pub(super) fn of(args: &'a ServerArgs, token: Option<String>) -> anyhow::Result<Self> {
        let token = match &args.token_file {
            Some(file) => Some(read_token(file)?),
            None => token,
        };
        let token = token.as_deref().map(str::trim).filter(|token| !token.is_empty());
        let header = |token| HeaderValue::try_from(format!("Bearer {token}"));
        let authorization = token.map(header).transpose().context("the token holds what none does")?;
        Ok(Self { address: &args.admin, place: Place::read(&args.admin)?, authorization })
    }

    /// What it answers to a GET of `target`.
    ///
    /// # Errors
    ///
    /// That nobody answers, and in the server's words what is wrong with what is asked.
    pub(super) async fn get(&self, target: &str) -> anyhow::Result<Answer> {
        self.ask(Request::get(target), String::new()).await
    }

    /// What it answers to a POST of `body`, which is JSON.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    pub(super) async fn post(&self, target: &str, body: String) -> anyhow::Result<Answer> {
        self.ask(Request::post(target).header(CONTENT_TYPE, "application/json"), body).await
    }

    async fn ask(&self, request: http::request::Builder, body: String) -> anyhow::Result<Answer> {
        let mut request = request.header(HOST, self.place.authority);
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let request = request.body(body)?;
        let asking = async {
            let stream = self.place.connect().await?;
            let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
            // It carries the answer, and ends with it.
            tokio::spawn(connection);
            Ok(sender.send_request(request).await?)
        };
        let answer =
            timeout(PATIENCE, asking).await.unwrap_or_else(|_| bail!("no answer within {PATIENCE:?}"));
        let answer = answer.with_context(|| {
            let address = self.address;
            format!("no Tollgate answers at {address}; name the admin listener of a running one with --admin")
        })?;
        if answer.status().is_success() {
            return Ok(Answer(answer));
        }
        bail!("{}", in_words(&Answer(answer).begins().await?))
    }
}

impl Answer {
    /// What comes next of it; `None` at its end.
    pub(super) async fn next_part(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let body = self.0.body_mut();
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

    /// All of it.
    pub(super) async fn whole(mut self) -> anyhow::Result<Vec<u8>> {
        let mut read = Vec::new();
        while let Some(part) = self.next_part().await? {
            read.extend_from_slice(&part);
        }
        Ok(read)
    }

    /// Enough of it to be read by people.
    async fn begins(mut self) -> anyhow::Result<Vec<u8>> {
        let mut read = Vec::new();
        while read.len() < MOST_OF_PROBLEM
            && let Some(part) = self.next_part().await?
        {
            read.extend_from_slice(&part);
        }
        Ok(read)
    }
}

/// What an answer says that is none: the error in its JSON, or all of it.
fn in_words(problem: &[u8]) -> String {
    let read = serde_json::from_slice(problem).ok();
    let error = read.as_ref().and_then(|value: &serde_json::Value| value.get("error")?.as_str());
    error.map_or_else(|| String::from_utf8_lossy(problem).trim_end().to_owned(), str::to_owned)
}

fn read_token(file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let text =
        std::fs::read_to_string(file).with_context(|| format!("--token-file: cannot read '{shown}'"))?;
    if text.split_whitespace().nth(1).is_some() {
        bail!("--token-file: '{shown}' holds more than a token; leave nothing in it but tg_…");
    }
    Ok(text)
}
