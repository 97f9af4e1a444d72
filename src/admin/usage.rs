//! `/usage`: what was spent and what was refused, as lines of JSON.
//!
//! An answer is as long as it has to be and never held whole: a page is read when the one before is on its way.

use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{StreamExt, TryStreamExt, try_unfold};

use crate::engine::{Inspect, UnreadUsage};

use super::Data;
use super::query::pairs;

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
            let status = match error {
                UnreadUsage::Key(_) => StatusCode::BAD_REQUEST,
                UnreadUsage::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, format!("{error}\n")).into_response()
        }
    }
}
