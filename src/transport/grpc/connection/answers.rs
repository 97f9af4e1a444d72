//! The answers of a connection that are ready: kept as their calls end, handed to h2 all at once.
//!
//! A peer that has reset its call, or gone, gets no answer, and that is no failure: what is held for it is given back.

use bytes::Bytes;
use h2::server::SendResponse;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tonic::Status;

use crate::engine::Unclaimed;

use super::super::call::{Answer, Decided, Undecided};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Answers that wait to be sent.
pub(super) struct Answers {
    ready: Vec<(SendResponse<Bytes>, Result<Answer, Status>)>,
    /// What stands before every decision, and after it.
    head: HeaderMap,
    trailers: HeaderMap,
}

impl Answers {
    pub(super) fn new() -> Self {
        Self {
            ready: Vec::new(),
            head: one(CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
            trailers: one(GRPC_STATUS, HeaderValue::from_static("0")),
        }
    }

    /// Keeps what came of a call until the next [`Answers::send`].
    pub(super) fn add(&mut self, respond: SendResponse<Bytes>, outcome: Decided) {
        let answer = match outcome {
            Ok(answer) => Ok(answer),
            Err(Undecided::Status(status)) => Err(status),
            Err(Undecided::Gone) => return,
        };
        self.ready.push((respond, answer));
    }

    /// Hands all that is ready to h2, which sends as much as each caller has room for and keeps the rest.
    pub(super) fn send(&mut self) {
        for (mut respond, answer) in self.ready.drain(..) {
            _ = match answer {
                Ok(Answer { frame, unclaimed }) => {
                    let mut response = Response::new(());
                    *response.headers_mut() = self.head.clone();
                    let sent = send(&mut respond, response, frame, self.trailers.clone());
                    sent.inspect(|()| unclaimed.iter().for_each(Unclaimed::claim))
                }
                Err(status) => respond.send_response(status.into_http(), true).map(|_| ()),
            };
        }
    }
}

fn send(
    respond: &mut SendResponse<Bytes>,
    head: Response<()>,
    frame: Bytes,
    trailers: HeaderMap,
) -> Result<(), h2::Error> {
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(frame, false)?;
    stream.send_trailers(trailers)
}

fn one(name: HeaderName, value: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert(name, value);
    headers
}
