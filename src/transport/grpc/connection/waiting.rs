//! The calls of a connection that wait, for their callers or for the store, each until its own deadline.
//!
//! One timer serves them all: it goes off at the first deadline or before it, and then looks who is late. A call that
//! ends in time leaves it alone, so that most calls never touch it.

use std::future::{Pending, pending};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::Either;
use futures_util::stream::FuturesUnordered;
use h2::server::SendResponse;
use tokio::time::{Instant, Sleep, sleep_until};

use super::super::call::Decided;
use super::super::status;

/// Calls that wait.
pub(super) struct Waiting<F> {
    calls: Calls<F>,
    /// Goes off no later than the first of them has to end; not there until one has to wait.
    timer: Option<Pin<Box<Sleep>>>,
    /// The time, for all that begin to wait before this is polled.
    now: Option<Instant>,
}

/// The calls, and one that never ends: the set has its task woken once it has polled as many as it holds, so that a
/// connection whose calls are all new would be polled again for nothing.
type Calls<F> = FuturesUnordered<Either<Call<F>, Pending<Option<Ended<F>>>>>;

/// A call and who is to be answered.
struct Call<F> {
    /// Taken when the call ends.
    waits: Option<(Pin<Box<F>>, SendResponse<Bytes>)>,
    until: Instant,
    /// Has the set poll it again; there once it has been polled.
    waker: Option<Waker>,
}

/// What came of a call that waited.
pub(super) struct Ended<F> {
    /// Who is to be answered.
    pub(super) respond: SendResponse<Bytes>,
    pub(super) outcome: Decided,
    /// Where it was, if it has come to its end.
    pub(super) place: Option<Pin<Box<F>>>,
}

impl<F: Future<Output = Decided>> Waiting<F> {
    pub(super) fn new() -> Self {
        let never = Either::Right(pending());
        Self { calls: Calls::from_iter([never]), timer: None, now: None }
    }

    /// Lets `call` wait for `limit` at most, or until whoever is to be answered gives it up.
    pub(super) fn add(&mut self, call: Pin<Box<F>>, respond: SendResponse<Bytes>, limit: Duration) {
        let until = *self.now.get_or_insert_with(now) + limit;
        self.wake_by(until);
        self.calls.push(Either::Left(Call { waits: Some((call, respond)), until, waker: None }));
    }

    /// Hands each call that has ended to `end`.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, mut end: impl FnMut(Ended<F>)) {
        self.now = None;
        loop {
            while let Poll::Ready(Some(ended)) = self.calls.poll_next_unpin(context) {
                ended.into_iter().for_each(&mut end);
            }
            let goes_off = |timer: &mut Pin<Box<Sleep>>| timer.as_mut().poll(context).is_ready();
            if !self.timer.as_mut().is_some_and(goes_off) {
                return;
            }
            self.expire(&mut end);
        }
    }

    /// Ends the calls that are late, and sets the timer for the first of the others. These are not polled: a peer
    /// may have many calls that wait, and a deadline every millisecond.
    fn expire(&mut self, end: &mut impl FnMut(Ended<F>)) {
        self.timer = None;
        let now = now();
        let mut first = None;
        for held in self.calls.iter_mut() {
            let Either::Left(call) = held else { continue };
            if call.until > now {
                first = Some(first.map_or(call.until, |first| call.until.min(first)));
            } else if let Some(late) = call.give_up() {
                end(late);
            }
        }
        first.into_iter().for_each(|until| self.wake_by(until));
    }

    fn wake_by(&mut self, until: Instant) {
        match &mut self.timer {
            None => self.timer = Some(Box::pin(sleep_until(until))),
            Some(timer) if timer.deadline() > until => timer.as_mut().reset(until),
            Some(_) => {}
        }
    }
}

/// The time of the runtime's timers, which tests pause. It only says how long a call may wait; no state is of it.
#[expect(clippy::disallowed_methods, reason = "a deadline is by the clock of the timer that waits for it")]
fn now() -> Instant {
    Instant::now()
}

impl<F> Call<F> {
    /// Ends the call, unless it has ended, and has the set drop it.
    fn give_up(&mut self) -> Option<Ended<F>> {
        let (_, respond) = self.waits.take()?;
        self.waker.take().into_iter().for_each(Waker::wake);
        Some(Ended { respond, outcome: Err(status::too_late().into()), place: None })
    }
}

impl<F: Future<Output = Decided>> Future for Call<F> {
    /// `None` if nobody is to be answered any more.
    type Output = Option<Ended<F>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { waits, waker, .. } = &mut *self;
        let Some((call, respond)) = waits else { return Poll::Ready(None) };
        let outcome = match call.as_mut().poll(context) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => {
                waker.get_or_insert_with(|| context.waker().clone());
                _ = ready!(respond.poll_reset(context));
                None
            }
        };
        let ended = waits.take().zip(outcome);
        Poll::Ready(ended.map(|((place, respond), outcome)| Ended { respond, outcome, place: Some(place) }))
    }
}
