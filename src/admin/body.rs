//! Bodies: one JSON object each, of so many bytes at most, read within 10 s, and said to be JSON: without that, any page in an
//! operator's browser could send it. No body at all, of no kind, is an empty object.

mod repeated;

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use futures_util::stream::StreamExt;
use serde_json::{Map, Value};

use super::answer::{JSON, NoAnswer};
pub(crate) use repeated::repeated_key;

/// The largest body of most routes.
pub(super) const SMALL: usize = 64 * 1024;
/// The largest body of many rows, as gRPC takes it.
pub(super) const LARGE: usize = 512 * 1024;
/// How long it may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// The object in a body of `most` bytes at most.
pub(super) async fn object(
    headers: &HeaderMap,
    body: Body,
    most: usize,
) -> Result<Map<String, Value>, NoAnswer> {
    let is_said = headers.contains_key(CONTENT_TYPE);
    if is_said {
        check(headers)?;
    }
    let read = tokio::time::timeout(PATIENCE, whole(body, most)).await;
    let bytes = read.map_err(|_| {
        NoAnswer::with(StatusCode::REQUEST_TIMEOUT, format!("the body: took longer than {PATIENCE:?}"))
    })??;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    if !is_said {
        check(headers)?;
    }
    let object = serde_json::from_slice(&bytes);
    let object = object.map_err(|error| NoAnswer::invalid(format!("the body: {error}")))?;
    match repeated_key(&bytes) {
        Some(key) => Err(NoAnswer::invalid(format!("{key}: stands twice in one object"))),
        None => Ok(object),
    }
}

async fn whole(body: Body, most: usize) -> Result<Vec<u8>, NoAnswer> {
    let (mut parts, mut bytes) = (body.into_data_stream(), Vec::new());
    while let Some(part) = parts.next().await {
        let part = part.map_err(|_| NoAnswer::invalid("the body: broke off"))?;
        if bytes.len() + part.len() > most {
            let text = format!("the body: has more than {most} bytes");
            return Err(NoAnswer::with(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// Whether what is sent is JSON as it is, in UTF-8.
fn check(headers: &HeaderMap) -> Result<(), NoAnswer> {
    let wrong = |text: &str| Err(NoAnswer::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    let mut kind =
        headers.get(CONTENT_TYPE).map_or(&b""[..], |sent| sent.as_bytes()).split(|byte| *byte == b';');
    if !kind.next().unwrap_or_default().trim_ascii().eq_ignore_ascii_case(JSON.as_bytes()) {
        return wrong(&format!("content-type: must be {JSON}"));
    }
    if kind.any(is_other_charset) {
        return wrong("content-type: the charset must be utf-8");
    }
    let encoding = headers.get(CONTENT_ENCODING).map(|sent| sent.as_bytes());
    if encoding.is_some_and(|sent| !sent.eq_ignore_ascii_case(b"identity")) {
        return wrong("content-encoding: must be left out");
    }
    Ok(())
}

fn is_other_charset(parameter: &[u8]) -> bool {
    let mut parts = parameter.splitn(2, |byte| *byte == b'=');
    let [name, value] = [(); 2].map(|()| parts.next().unwrap_or_default().trim_ascii());
    let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    name.eq_ignore_ascii_case(b"charset") && !value.eq_ignore_ascii_case(b"utf-8")
}
