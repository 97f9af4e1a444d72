//! `/audit/lines`: the records of the audit as they are kept, each on its line, for whoever wants to verify them.

use axum::body::{Body, Bytes};
use axum::extract::State as Shared;
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{StreamExt, TryStreamExt, iter, try_unfold};

use crate::engine::Inspect;
use crate::store::LedgerError;

use super::Data;
use super::query::pairs;

pub(super) async fn lines<I: Inspect>(Shared(data): Shared<Data<I>>, uri: Uri) -> Response {
    let Some(from) = from(&uri) else {
        return (StatusCode::BAD_REQUEST, "from: write the number of a record, as in ?from=12\n")
            .into_response();
    };
    let pages = try_unfold(from, move |from| {
        let inspect = data.inspect.clone();
        async move { page(&inspect, from).await }
    });
    let mut pages = Box::pin(pages);
    // The first page tells whether there is an answer at all.
    match pages.try_next().await {
        Ok(first) => {
            let lines = iter(first.map(Ok)).chain(pages);
            ([(CONTENT_TYPE, "application/jsonl")], Body::from_stream(lines)).into_response()
        }
        Err(error) => {
            let problem = format!("the audit cannot be read: {error}; ask again\n");
            (StatusCode::SERVICE_UNAVAILABLE, problem).into_response()
        }
    }
}

/// From which record on; `None` if that is no number.
fn from(uri: &Uri) -> Option<u64> {
    match &pairs(uri.query().unwrap_or_default())[..] {
        [] => Some(1),
        [(name, value)] if name == "from" => std::str::from_utf8(value).ok()?.parse().ok(),
        _ => None,
    }
}

/// Some lines from the record `from` on, and where those behind them begin.
async fn page(inspect: &impl Inspect, from: u64) -> Result<Option<(Bytes, u64)>, LedgerError> {
    let lines = inspect.audit_lines(from).await?;
    let Some(last) = lines.last() else { return Ok(None) };
    let next = last.place.saturating_add(1);
    let text: Vec<u8> = lines.iter().flat_map(|line| [&line.bytes[..], b"\n"]).flatten().copied().collect();
    Ok(Some((text.into(), next)))
}
