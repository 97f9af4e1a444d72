//! What stands behind the rate limit call on the same port: health, reflection, and the answer to unknown methods.
//!
//! A call goes to tonic's routes with its body as it arrives, and their answer goes back as fast as the caller
//! reads it. Nothing here is on the way of a decision. What is held for a caller is claimed once its answer is sent.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use hyper::body::{Body as _, Frame};
use tonic::body::Body;
use tonic::codegen::Service as _;

use crate::engine::Unclaimed;

use super::deadline::WithDeadline;
use super::status;

/// Answers `request` by `routes`, unless the caller gives it up before.
pub(super) async fn answer(
    mut routes: WithDeadline,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let answering = routes.call(request.map(|body| Body::new(Incoming(body))));
    let response = tokio::select! {
        biased;
        Ok(response) = answering => response,
        _ = poll_fn(|context| respond.poll_reset(context)) => return,
    };
    let (mut head, body) = response.into_parts();
    let unclaimed = head.extensions.remove::<Unclaimed>();
    status::name_too_long(&mut head.headers);
    let ended = body.is_end_stream();
    // Where anything cannot be sent any more, the caller or its connection has gone.
    if let Ok(mut stream) = respond.send_response(Response::from_parts(head, ()), ended)
        && !ended
        && send(body, &mut stream).await.is_ok()
    {
        unclaimed.iter().for_each(Unclaimed::claim);
    }
}

/// Sends all of `body` and its trailers, unless the caller gives it up before.
async fn send(body: Body, stream: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    let mut body = pin!(body);
    loop {
        let frame = tokio::select! {
            biased;
            frame = poll_fn(|context| body.as_mut().poll_frame(context)) => frame,
            _ = poll_fn(|context| stream.poll_reset(context)) => return Err(Reason::CANCEL.into()),
        };
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => send_data(data, stream).await?,
            Some(Ok(Err(other))) => {
                if let Ok(trailers) = other.into_trailers() {
                    return stream.send_trailers(trailers);
                }
            }
            Some(Err(_)) => {
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Err(Reason::INTERNAL_ERROR.into());
            }
            None => return stream.send_data(Bytes::new(), true),
        }
    }
}

/// Sends `data` in pieces as large as the caller has room for.
async fn send_data(mut data: Bytes, stream: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room = match poll_fn(|context| stream.poll_capacity(context)).await {
            Some(room) => room?.min(data.len()),
            None => return Err(Reason::CANCEL.into()),
        };
        if room > 0 {
            stream.send_data(data.split_to(room), false)?;
        }
    }
    Ok(())
}

/// The body of a request as tonic reads it.
struct Incoming(RecvStream);

impl hyper::body::Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let frame = match ready!(self.0.poll_data(context)) {
            Some(data) => {
                let data = data?;
                self.0.flow_control().release_capacity(data.len())?;
                Some(Frame::data(data))
            }
            None => ready!(self.0.poll_trailers(context))?.map(Frame::trailers),
        };
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
