//! Routes that speak protobuf JSON: the messages of the admin service, field by field as `proto/tollgate/v1/admin.proto` has
//! them. What stands in the path or the query is a field like any other.

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State as Shared};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::audit::Actor;
use crate::engine::Operate;
use crate::transport::grpc::admin::{AdminCalls, Twin};

use super::Data;
use super::answer::{JSON, NoAnswer, to_the_end};
use super::body::{LARGE, SMALL, object};
use super::query::pairs;

/// Answers `twin` by the fields in the query.
pub(super) async fn read<I: Operate>(
    Extension(twin): Extension<Twin>,
    Shared(data): Shared<Data<I>>,
    Extension(actor): Extension<Actor>,
    uri: Uri,
) -> Response {
    let asked = async { ask(data, actor, twin, in_query(&uri)?).await };
    respond(asked.await)
}

/// Answers `twin` by the fields in the body, and those in the path and the query.
pub(super) async fn write<I: Operate>(
    Extension(twin): Extension<Twin>,
    Shared(data): Shared<Data<I>>,
    Extension(actor): Extension<Actor>,
    Path(path): Path<Vec<(String, String)>>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let asked = async {
        let most = if twin == Twin::ImportUsage { LARGE } else { SMALL };
        let mut fields = object(&headers, body, most).await?;
        let more = path.into_iter().map(|(name, value)| (name, Value::from(value)));
        for (name, value) in more.chain(in_query(&uri)?) {
            if fields.insert(name.clone(), value).is_some() {
                return Err(NoAnswer::invalid(format!("{name}: stands in the body and in the address")));
            }
        }
        ask(data, actor, twin, fields).await
    };
    respond(asked.await)
}

async fn ask<I: Operate>(
    data: Data<I>,
    actor: Actor,
    twin: Twin,
    fields: Map<String, Value>,
) -> Result<Vec<u8>, NoAnswer> {
    let calls = AdminCalls { operate: data.inspect, gate: data.gate };
    to_the_end(async move { calls.by_json(actor, twin, fields).await }).await
}

fn respond(answer: Result<Vec<u8>, NoAnswer>) -> Response {
    match answer {
        Ok(body) => ([(CONTENT_TYPE, JSON)], body).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// The fields that a query has.
fn in_query(uri: &Uri) -> Result<Map<String, Value>, NoAnswer> {
    let mut fields = Map::new();
    for (name, value) in pairs(uri.query().unwrap_or_default()) {
        let text = String::from_utf8(value);
        let text = text.map_err(|_| NoAnswer::invalid(format!("{name}: is no text in UTF-8")))?;
        if fields.insert(name.clone(), text.into()).is_some() {
            return Err(NoAnswer::invalid(format!("{name}: stands twice in the address")));
        }
    }
    Ok(fields)
}
