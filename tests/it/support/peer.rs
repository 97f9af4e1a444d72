//! A peer that says on HTTP/2 what it is told to: any headers, a body in any pieces, trailers, resets.

use std::future::poll_fn;
use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Method, Request};
use tokio::net::TcpStream;

use super::raw::SHOULD_RATE_LIMIT;

/// One connection.
#[derive(Clone)]
pub(crate) struct Peer(SendRequest<Bytes>);

/// What a call came to. Where it was reset, what is missing is empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
    pub(crate) reset: Option<Reason>,
}

/// A call that was begun.
pub(crate) struct Begun {
    pub(crate) sending: SendStream<Bytes>,
    answer: ResponseFuture,
}

impl Peer {
    /// Connects to `address`.
    pub(crate) async fn of(address: SocketAddr) -> Self {
        // h2 gives up a connection on which too many small frames wait; the larger its window, the more may.
        Self::with(address, Builder::new().initial_connection_window_size(16 << 20)).await
    }

    /// Connects to `address` with settings of its own.
    pub(crate) async fn with(address: SocketAddr, settings: &Builder) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (peer, connection) = settings.handshake(stream).await.unwrap();
        tokio::spawn(async { _ = connection.await });
        Self(peer)
    }

    /// Sends the headers of `request`, as soon as the server takes another call.
    pub(crate) async fn begin(&mut self, request: Request<()>) -> Begun {
        poll_fn(|context| self.0.poll_ready(context)).await.unwrap();
        let (answer, sending) = self.0.send_request(request, false).unwrap();
        Begun { sending, answer }
    }

    /// Sends `request` with `body`, and does not wait for what comes back.
    pub(crate) async fn ask(&mut self, request: Request<()>, body: &[u8]) -> Begun {
        let mut begun = self.begin(request).await;
        begun.sending.send_data(Bytes::copy_from_slice(body), true).unwrap();
        begun
    }

    /// Sends `request`, then `pieces` as frames of their own, and hears all that comes back.
    pub(crate) async fn call(&mut self, request: Request<()>, pieces: &[&[u8]]) -> Heard {
        let mut begun = self.begin(request).await;
        for (place, piece) in pieces.iter().enumerate() {
            // A server that has heard enough does not listen to the end.
            _ = begun.sending.send_data(Bytes::copy_from_slice(piece), place + 1 == pieces.len());
            if pieces.len() > 1 {
                tokio::task::yield_now().await;
            }
        }
        begun.heard().await
    }
}

impl Begun {
    /// The status of the answer, and its body, which is still to come. Whoever lets go of both ends the stream.
    pub(crate) async fn opened(self) -> (u16, (SendStream<Bytes>, RecvStream)) {
        let (head, body) = self.answer.await.unwrap().into_parts();
        (head.status.as_u16(), (self.sending, body))
    }

    /// All that comes back.
    pub(crate) async fn heard(self) -> Heard {
        let mut heard = Heard::default();
        match self.answer.await {
            Ok(response) => {
                let (head, mut body) = response.into_parts();
                (heard.status, heard.headers) = (head.status.as_u16(), head.headers);
                heard.reset = heard.listen(&mut body).await.err().map(|error| error.reason().unwrap());
            }
            Err(error) => heard.reset = error.reason(),
        }
        heard
    }
}

impl Heard {
    async fn listen(&mut self, body: &mut RecvStream) -> Result<(), h2::Error> {
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            self.body.extend_from_slice(&data);
        }
        self.trailers = body.trailers().await?.unwrap_or_default();
        Ok(())
    }

    /// The status of gRPC, in whichever place it stands.
    pub(crate) fn code(&self) -> Option<tonic::Code> {
        let status = self.trailers.get("grpc-status").or(self.headers.get("grpc-status"))?;
        Some(tonic::Code::from_bytes(status.as_bytes()))
    }
}

/// A rate limit call as most send it.
pub(crate) fn plain() -> Request<()> {
    with(&[("content-type", "application/grpc"), ("te", "trailers")])
}

/// A rate limit call with these headers and no others.
pub(crate) fn with(headers: &[(&'static str, &'static str)]) -> Request<()> {
    let uri = format!("http://tollgate{SHOULD_RATE_LIMIT}");
    let request = Request::builder().method(Method::POST).uri(uri);
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(()).unwrap()
}
