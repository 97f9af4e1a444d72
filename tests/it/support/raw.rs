//! Calls that no well-made client would send: bytes as messages, bytes as frames, plain HTTP/1.1.

use std::net::SocketAddr;
use std::pin::Pin;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use tonic::body::Body;
use tonic::codegen::http::{HeaderMap, Method, Request};
use tonic::codegen::{Body as _, Service};
use tonic::transport::Channel;

use super::admins;

/// The path of the rate limit call.
pub(crate) const SHOULD_RATE_LIMIT: &str = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/// What a call came to.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) code: Code,
    pub(crate) text: String,
    pub(crate) body: Vec<u8>,
}

/// `message` in a gRPC frame.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// Calls `path` with `body` as the bytes after the headers.
pub(crate) async fn call(
    channel: &mut Channel,
    path: &str,
    headers: &[(&'static str, &'static str)],
    body: Vec<u8>,
) -> RawAnswer {
    let mut request = Request::builder().method(Method::POST).uri(format!("http://tollgate{path}"));
    for (name, value) in [("te", "trailers"), ("content-type", "application/grpc")].iter().chain(headers) {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::new(axum::body::Body::from(body))).unwrap();
    std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let (head, mut body) = channel.call(request).await.unwrap().into_parts();
    let mut answer = RawAnswer { code: Code::Unknown, text: String::new(), body: Vec::new() };
    answer.read_status(&head.headers);
    while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame.unwrap().into_data() {
            Ok(data) => answer.body.extend_from_slice(&data),
            Err(frame) => answer.read_status(&frame.into_trailers().unwrap_or_default()),
        }
    }
    answer
}

impl RawAnswer {
    fn read_status(&mut self, headers: &HeaderMap) {
        if let Some(status) = tonic::Status::from_header_map(headers) {
            self.code = status.code();
            self.text = status.message().to_owned();
        }
    }
}

/// What an HTTP/1.1 server answers.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

/// Sends one HTTP/1.1 request with the token of the tests, and reads the whole answer.
pub(crate) async fn http(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> HttpAnswer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: tollgate\r\nauthorization: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        admins::AUTHORIZATION,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // A server that refuses a body unread may close before it is all sent.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let content_type = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap_or_default();
    HttpAnswer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        content_type: content_type.to_owned(),
        body: body.to_owned(),
    }
}
