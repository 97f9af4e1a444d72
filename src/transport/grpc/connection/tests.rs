//! What a connection writes, polls and ends by, over a stream in memory.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::service::Routes;

use crate::auth::{Domains, Gate, Grant, Token, TokenEntry};
use crate::clock::Clock;
use crate::engine::{Check, CheckRequest, Decision, InvalidRequest};
use crate::transport::access::{Access, Door};
use crate::transport::listener::Peer;

use super::super::deadline::WithDeadline;
use super::super::{GrpcSettings, Service};
use super::{Broken, SHOULD_RATE_LIMIT, serve};

/// Lets every call pass, where it is to wait after a pause.
#[derive(Clone)]
struct Passing {
    waits: bool,
}

impl Check for Passing {
    async fn check(&self, request: CheckRequest<'_>) -> Result<Decision, InvalidRequest> {
        if self.waits {
            // A call is polled twice before its connection pauses.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        Ok(Decision::pass(request.descriptors.len()))
    }
}

/// Decides no call, and counts how often one is polled.
#[derive(Clone, Default)]
struct Endless {
    polls: Arc<AtomicUsize>,
}

impl Check for Endless {
    async fn check(&self, _request: CheckRequest<'_>) -> Result<Decision, InvalidRequest> {
        poll_fn(|_| {
            self.polls.fetch_add(1, Ordering::Relaxed);
            Poll::Pending
        })
        .await
    }
}

/// A stream that counts what is written to it.
struct Counting(DuplexStream, Arc<AtomicUsize>);

impl AsyncRead for Counting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

struct Served {
    ended: JoinHandle<Result<(), Broken>>,
    polls: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
    leave: watch::Sender<bool>,
}

/// Serves one end of a stream; the other end.
fn served(check: impl Check, settings: GrpcSettings) -> (Served, DuplexStream) {
    served_by(Access::default(), check, settings)
}

/// The same, of those who have `access`.
fn served_by(access: Access, check: impl Check, settings: GrpcSettings) -> (Served, DuplexStream) {
    let (near, far) = duplex(1 << 20);
    let (polls, writes) = (Arc::<AtomicUsize>::default(), Arc::default());
    let (leave, leaving) = watch::channel(false);
    let routes = WithDeadline::new(Routes::default(), settings.timeout);
    let age = settings.max_connection_age;
    let door = Door::of(&access, Peer::default());
    let service = Arc::new(Service { check, routes, settings, access });
    let near = Counting(near, Arc::clone(&writes));
    let mut serving = Box::pin(serve(near, (door, age), service, leaving));
    let polled = polls.clone();
    let ended = tokio::spawn(poll_fn(move |context| {
        polled.fetch_add(1, Ordering::Relaxed);
        serving.as_mut().poll(context)
    }));
    (Served { ended, polls, writes, leave }, far)
}

async fn connect(stream: DuplexStream) -> SendRequest<Bytes> {
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(async { _ = connection.await });
    client
}

/// Makes a call that may wait so long.
fn begin(client: &mut SendRequest<Bytes>, limit: &str) -> ResponseFuture {
    let request = Request::post(format!("http://x{SHOULD_RATE_LIMIT}")).header("grpc-timeout", limit);
    let (answer, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::from_static(b"\0\0\0\0\x02\x12\0"), true).unwrap();
    answer
}

/// Lets all that can be done be done, where time is paused.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// Makes so many calls at once and waits for all to be answered.
async fn call(client: &SendRequest<Bytes>, calls: usize) {
    let mut client = client.clone().ready().await.unwrap();
    let answers: Vec<_> = (0..calls).map(|_| begin(&mut client, "1H")).collect();
    for answer in answers {
        let mut body = answer.await.unwrap().into_body();
        while let Some(data) = body.data().await {
            _ = data.unwrap();
        }
        assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    }
}

#[tokio::test]
async fn calls_that_arrive_together_are_answered_in_one_write() {
    for waits in [false, true] {
        let (served, stream) = served(Passing { waits }, GrpcSettings::default());
        let client = connect(stream).await;
        call(&client, 1).await;
        let before = served.writes.load(Ordering::Relaxed);
        call(&client, 16).await;
        assert_eq!(served.writes.load(Ordering::Relaxed) - before, 1, "waiting: {waits}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_calls_are_all_new_is_polled_no_more_than_another() {
    let (served, stream) = served(Endless::default(), GrpcSettings::default());
    let mut client = connect(stream).await;
    let mut answers = Vec::new();
    let mut polls = Vec::new();
    for calls in [16, 1, 16] {
        settle().await;
        let before = served.polls.load(Ordering::Relaxed);
        answers.extend((0..calls).map(|_| begin(&mut client, "1H")));
        settle().await;
        polls.push(served.polls.load(Ordering::Relaxed) - before);
    }
    assert_eq!(polls, [polls[1]; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_polls_no_call_that_may_wait_longer() {
    let check = Endless::default();
    let hour = Duration::from_secs(3600);
    let settings = GrpcSettings { timeout: hour, ..GrpcSettings::default() };
    let (_served, stream) = served(check.clone(), settings);
    let mut client = connect(stream).await;
    let mut answers = ["1H", "50m", "50m", "1H"].map(|limit| begin(&mut client, limit));
    settle().await;
    let before = check.polls.load(Ordering::Relaxed);
    for late in &mut answers[1..3] {
        assert_eq!(late.await.unwrap().headers()["grpc-status"], "4");
    }
    settle().await;
    assert_eq!(check.polls.load(Ordering::Relaxed), before);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_pings_is_lost() {
    let (served, mut stream) = served(Passing { waits: false }, GrpcSettings::default());
    let greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    tokio::io::AsyncWriteExt::write_all(&mut stream, greeting).await.unwrap();
    let ended = served.ended.await.unwrap();
    assert!(matches!(ended, Err(Broken::Lost)), "{ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_stays_until_it_is_too_old() {
    let settings = GrpcSettings::default();
    let nearly = settings.max_connection_age - Duration::from_millis(1);
    let (mut served, stream) = served(Passing { waits: false }, settings);
    let client = connect(stream).await;
    call(&client, 1).await;
    assert!(timeout(nearly, &mut served.ended).await.is_err(), "it stays");
    // Told to leave, the client may close the connection first.
    let ended = served.ended.await.unwrap();
    assert!(matches!(ended, Ok(()) | Err(Broken::Protocol(_))), "{ended:?}");
    assert!(client.ready().await.is_err(), "no more calls are taken");
}

#[tokio::test]
async fn a_connection_that_is_to_leave_ends_its_calls_first() {
    let (served, stream) = served(Passing { waits: true }, GrpcSettings::default());
    let client = connect(stream).await;
    let calls = call(&client, 16);
    served.leave.send_replace(true);
    calls.await;
    served.ended.await.unwrap().unwrap();
    assert!(client.ready().await.is_err(), "no more calls are taken");
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nobody_is_let_in_is_closed() {
    let token = Token::draw().unwrap();
    let entry = TokenEntry::of(&token, "edge", Domains::read("shop").unwrap(), None).unwrap();
    let (gate, _denials) = Gate::knowing([entry], Vec::new(), Clock::System);
    let access = Access { callers: Some(gate), ..Access::default() };
    for (bearer, stays) in [(format!("Bearer {}", token.as_str()), true), ("Bearer x".to_owned(), false)] {
        let (served, stream) = served_by(access.clone(), Passing { waits: false }, GrpcSettings::default());
        let mut client = connect(stream).await.ready().await.unwrap();
        let request = Request::post(format!("http://x{SHOULD_RATE_LIMIT}")).header("authorization", bearer);
        let (answer, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
        body.send_data(Bytes::from_static(b"\0\0\0\0\x02\x12\0"), true).unwrap();
        answer.await.unwrap();
        sleep(Duration::from_secs(9)).await;
        assert!(!served.ended.is_finished(), "not yet");
        sleep(Duration::from_secs(12)).await;
        assert_eq!(!served.ended.is_finished(), stays);
    }
}
