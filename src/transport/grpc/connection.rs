//! One connection, driven by its task: calls are read, decided and answered where they arrive.
//!
//! HTTP/2 is h2's. Every call that has arrived is decided before any answer is sent, so that one write carries
//! the answers of all; nothing is spawned for a call, and one that is decided at once sets no timer. What has to
//! wait is kept beside: calls that wait for their caller or the store, calls that tonic answers, and what ends
//! the connection.
//!
//! What a peer can make this hold is bounded by the calls that it may have open, each with one message and one
//! answer: an answer waits for its caller to read it, and h2 counts its call until then.

mod answers;
mod ends;
mod waiting;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::engine::Check;

use super::call::{self, Decided, SHOULD_RATE_LIMIT};
use super::{GrpcSettings, Service, behind, deadline};
use answers::Answers;
use ends::Activity;
use waiting::{Ended, Waiting};

/// How many places of calls a connection keeps for those to come.
const SPARE: usize = 16;

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The peer took too long to say what it speaks.
    #[error("nothing was said")]
    Silent,
    /// The peer did not answer a ping.
    #[error("the peer does not answer")]
    Lost,
    /// HTTP/2 was broken.
    #[error(transparent)]
    Protocol(#[from] h2::Error),
    /// The socket was.
    #[error(transparent)]
    Socket(#[from] std::io::Error),
}

/// What happened beside the calls that are decided here.
enum Event {
    /// A call that tonic answers has come to its end.
    Over,
    /// The peer is to open another connection.
    Leave,
    /// The peer is gone.
    Lost,
}

type Beside = FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>;

/// Serves `stream` until its peer closes it, or `leave` says that it is to end and its calls have.
pub(super) async fn serve<C: Check>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    service: Arc<Service<C>>,
    leave: watch::Receiver<bool>,
) -> Result<(), Broken> {
    let settings = &service.settings;
    let greeting = builder(settings).handshake(stream);
    let mut h2 =
        tokio::time::timeout(settings.greeting_timeout, greeting).await.map_err(|_| Broken::Silent)??;
    let (beside, activity) = (Beside::new(), Activity::default());
    beside.push(Box::pin(ends::asked_to(leave)));
    beside.push(Box::pin(ends::of_age(settings.max_connection_age)));
    if let Some(pings) = h2.ping_pong() {
        beside.push(Box::pin(ends::of_silence(pings, activity.clone(), settings)));
    }
    let begin = |body| call::decide(service.clone(), body);
    let mut connection = Connection {
        h2,
        service: service.clone(),
        begin,
        spare: Vec::new(),
        waiting: Waiting::new(),
        beside,
        activity,
        answers: Answers::new(),
    };
    poll_fn(|context| connection.poll(context)).await
}

fn builder(settings: &GrpcSettings) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(settings.max_concurrent_streams)
        .max_pending_accept_reset_streams(settings.max_pending_reset_streams)
        .max_local_error_reset_streams(Some(settings.max_error_reset_streams))
        .max_header_list_size(settings.max_header_list_bytes)
        .initial_window_size(settings.stream_window_bytes)
        .initial_connection_window_size(settings.connection_window_bytes);
    builder
}

struct Connection<S, C, B, F> {
    h2: h2::server::Connection<S, Bytes>,
    service: Arc<Service<C>>,
    /// Makes a call out of its body.
    begin: B,
    /// Where the next calls are polled: the places of some that are over.
    spare: Vec<Pin<Box<F>>>,
    waiting: Waiting<F>,
    beside: Beside,
    activity: Activity,
    answers: Answers,
}

impl<S, C, B, F> Connection<S, C, B, F>
where
    S: AsyncRead + AsyncWrite + Unpin,
    C: Check,
    B: Fn(RecvStream) -> F,
    F: Future<Output = Decided> + Send + 'static,
{
    /// Takes in all that has arrived, then answers all that is decided. h2 wakes this task for answers that
    /// it was given, and sends them when it is polled next.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while let Poll::Ready(accepted) = self.h2.poll_accept(context) {
            match accepted.transpose()? {
                Some((request, respond)) => self.take(request, respond),
                None => return Poll::Ready(Ok(())),
            }
        }
        self.waiting.poll(context, |Ended { respond, outcome, place }| {
            self.answers.add(respond, outcome);
            keep(&mut self.spare, place);
        });
        while let Poll::Ready(Some(event)) = self.beside.poll_next_unpin(context) {
            match event {
                Event::Over => {}
                Event::Leave => {
                    self.h2.graceful_shutdown();
                    context.waker().wake_by_ref();
                }
                Event::Lost => return Poll::Ready(Err(Broken::Lost)),
            }
        }
        self.answers.send();
        Poll::Pending
    }

    fn take(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        self.activity.mark();
        if request.uri().path() != SHOULD_RATE_LIMIT {
            let answering = behind::answer(self.service.routes.clone(), request, respond);
            self.beside.push(Box::pin(async {
                answering.await;
                Event::Over
            }));
            return;
        }
        let (head, body) = request.into_parts();
        if let Err(status) = call::takes(&head.headers) {
            return self.answers.add(respond, Err(status.into()));
        }
        let mut call = self.place((self.begin)(body));
        // If it has to wait it is polled again, by those who wait, and only then asks to be woken.
        match call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => {
                keep(&mut self.spare, Some(call));
                self.answers.add(respond, outcome);
            }
            Poll::Pending => {
                let limit = deadline::of(&head.headers, self.service.settings.timeout);
                self.waiting.add(call, respond, limit);
            }
        }
    }

    /// Puts `call` where one was that is over, or somewhere new.
    fn place(&mut self, call: F) -> Pin<Box<F>> {
        match self.spare.pop() {
            Some(mut place) => {
                place.set(call);
                place
            }
            None => Box::pin(call),
        }
    }
}

/// Keeps `place` for a call to come, unless there are places enough.
fn keep<F>(spare: &mut Vec<Pin<Box<F>>>, place: Option<Pin<Box<F>>>) {
    if spare.len() < SPARE {
        spare.extend(place);
    }
}

#[cfg(test)]
mod tests {
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

    use crate::engine::{Check, CheckRequest, Decision, InvalidRequest};

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
        let (near, far) = duplex(1 << 20);
        let (polls, writes) = (Arc::<AtomicUsize>::default(), Arc::default());
        let (leave, leaving) = watch::channel(false);
        let routes = WithDeadline::new(Routes::default(), settings.timeout);
        let service = Arc::new(Service { check, routes, settings });
        let mut serving = Box::pin(serve(Counting(near, Arc::clone(&writes)), service, leaving));
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
}
