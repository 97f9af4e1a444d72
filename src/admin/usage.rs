//! `/usage`: what was spent and what was refused, as lines of JSON.
//!
//! An answer is as long as it has to be and never held whole: a page is read when the one before is on its way.

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{StreamExt, TryStreamExt, try_unfold};

use crate::engine::Inspect;

use super::Data;

pub(super) async fn usage<I: Inspect>(Shared(data): Shared<Data<I>>, uri: Uri) -> Response {
    let query = match data.inspect.usage(&pairs(uri.query().unwrap_or_default())) {
        Ok(query) => query,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let pages = try_unfold(query, move |query| {
        let inspect = data.inspect.clone();
        async move { inspect.read_usage(query).await }
    });
    let mut pages = Box::pin(pages);
    // The first page tells whether there is an answer at all.
    match pages.try_next().await {
        Ok(first) => {
            let lines = futures_util::stream::iter(first.map(Ok)).chain(pages);
            ([(CONTENT_TYPE, "application/jsonl")], Body::from_stream(lines)).into_response()
        }
        Err(error) => {
            let problem = format!("usage cannot be read: {error}; ask again\n");
            (StatusCode::SERVICE_UNAVAILABLE, problem).into_response()
        }
    }
}

/// The names and values of a query, which may stand for any bytes.
pub(super) fn pairs(query: &str) -> Vec<(String, Vec<u8>)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (String::from_utf8_lossy(&decoded(name)).into_owned(), decoded(value))
    };
    parts.map(pair).collect()
}

/// What is written with `+` for a blank and `%` before the two digits of a byte.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let escaped = (*first == b'%').then(|| behind.split_at_checked(2)).flatten();
        let byte = escaped.and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = byte.unwrap_or((if *first == b'+' { b' ' } else { *first }, behind));
        bytes.push(byte);
        rest = after;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[test]
    fn a_query_may_stand_for_any_bytes() {
        let read = pairs("a=b+c%20d&subject=user%3D%ff%00&&x&y=%&z=%4&%61=%2B=");
        let expected: [(&str, &[u8]); 6] = [
            ("a", b"b c d"),
            ("subject", b"user=\xff\0"),
            ("x", b""),
            ("y", b"%"),
            ("z", b"%4"),
            ("a", b"+="),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_vec()));
        assert_eq!(read, expected);
    }
}
