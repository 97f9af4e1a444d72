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
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::auth::Pass;
use crate::engine::Check;
use crate::transport::access::Door;

use super::call::{self, Decided, SHOULD_RATE_LIMIT};
use super::{GrpcSettings, Service, behind, deadline, holds, status};
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
    /// Callers are asked who they are, and nobody was let in.
    #[error("nobody was let in")]
    Strangers,
    /// HTTP/2 was broken.
    #[error(transparent)]
    Protocol(#[from] h2::Error),
    /// The socket was.
    #[error(transparent)]
    Socket(#[from] std::io::Error),
}

/// What happened beside the calls that are decided here.
enum Event {
    /// A call that tonic answers has come to its end, or what was waited for did not happen.
    Over,
    /// The peer is to open another connection.
    Leave,
    /// The peer is gone.
    Lost,
    /// The peer was told to leave, and is still there.
    Stays,
}

type Beside = FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>;

/// Serves `stream`, whose calls come in by `door` if there is one, until its peer closes it, it is of `age`, or `leave` says that it is to end and its calls have.
pub(super) async fn serve<C: Check>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    (door, age): (Option<Door>, Duration),
    service: Arc<Service<C>>,
    leave: watch::Receiver<bool>,
) -> Result<(), Broken> {
    let settings = &service.settings;
    let greeting = builder(settings).handshake(stream);
    let mut h2 =
        tokio::time::timeout(settings.greeting_timeout, greeting).await.map_err(|_| Broken::Silent)??;
    let (beside, activity) = (Beside::new(), Activity::default());
    beside.push(Box::pin(ends::asked_to(leave)));
    beside.push(Box::pin(ends::of_age(age)));
    send_strangers_away(&beside, door.as_ref(), settings.greeting_timeout);
    if let Some(pings) = h2.ping_pong() {
        beside.push(Box::pin(ends::of_silence(pings, activity.clone(), settings)));
    }
    let begin = |body, pass| call::decide(service.clone(), body, pass);
    let mut connection = Connection {
        h2,
        door,
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

/// Others need the place of a connection on which nobody is let in for as long as a greeting may take. It is told to come again,
/// as probes of the health do without harm, and is closed if it is there as long again: to watch the health is no reason to stay.
fn send_strangers_away(beside: &Beside, door: Option<&Door>, patience: Duration) {
    let Some(door) = door else { return };
    beside.push(Box::pin(ends::of_strangers(door.entered(), patience, Event::Leave)));
    beside.push(Box::pin(ends::of_strangers(door.entered(), 2 * patience, Event::Stays)));
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
    /// Asks callers who they are; `None` if everybody may call.
    door: Option<Door>,
    service: Arc<Service<C>>,
    /// Makes a call out of its body, and whose it is where that is asked.
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
    B: Fn(RecvStream, Option<Pass>) -> F,
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
                Event::Stays => return Poll::Ready(Err(Broken::Strangers)),
            }
        }
        self.answers.send();
        Poll::Pending
    }

    fn take(&mut self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        self.activity.mark();
        if request.uri().path() != SHOULD_RATE_LIMIT {
            return self.pass_on(request, respond);
        }
        let (head, body) = request.into_parts();
        if let Err(status) = call::takes(&head.headers) {
            return self.answers.add(respond, Err(status.into()));
        }
        let pass = self.door.as_ref().map(|door| door.enter(&head.headers, &head.uri)).transpose();
        let mut call = match pass {
            Ok(pass) => self.place((self.begin)(body, pass)),
            Err(refusal) => return self.answers.add(respond, Err(status::refused(refusal).into())),
        };
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

    /// Has tonic answer `request`. What it serves to everybody is open to everybody.
    fn pass_on(&mut self, mut request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        if let Some(door) = self.door.as_ref().filter(|_| holds::is_asked(request.uri().path())) {
            match door.enter(request.headers(), request.uri()) {
                Ok(pass) => _ = request.extensions_mut().insert(pass),
                Err(refusal) => return self.answers.add(respond, Err(status::refused(refusal).into())),
            }
        }
        let answering = behind::answer(self.service.routes.clone(), request, respond);
        self.beside.push(Box::pin(async {
            answering.await;
            Event::Over
        }));
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
mod tests;
