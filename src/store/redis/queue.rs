//! Calls that wait to be sent, oldest first, and those who wait for them.
//!
//! Bounded: what is beyond is refused at once. A call whose caller has gone is not sent.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::clock::{Micros, Timestamp};
use crate::store::StoreError;

use super::batch::MOST_CALLS;
use super::script::{PackedCall, Replied};

/// How many calls may wait: more than a Redis can make within their deadlines.
const MOST_WAITING: usize = 8192;
/// The most charges of a batch, unless its first call alone has more: a script that runs for long holds up all
/// others.
const MOST_CHARGES: usize = 512;

/// What a caller is told: the store's time and what was said of the call.
pub(super) type Reply = Result<(Timestamp, Replied), StoreError>;

/// Calls that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    calls: VecDeque<(PackedCall, Caller)>,
    closed: bool,
}

/// Who waits for a call.
#[derive(Debug)]
struct Caller {
    /// By the steady clock.
    until: Micros,
    answer: oneshot::Sender<Reply>,
}

/// Calls that were taken to be sent together, and those who wait for them.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) calls: Vec<PackedCall>,
    callers: Vec<Option<Caller>>,
}

impl Queue {
    /// Lets `call` wait, until `until` by the steady clock. What was asked before and has to be asked again goes
    /// before what has more time.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`], if too many wait already, or nobody takes calls any more.
    pub(super) fn push(
        &self,
        call: PackedCall,
        until: Micros,
    ) -> Result<oneshot::Receiver<Reply>, StoreError> {
        let (answer, answered) = oneshot::channel();
        let entry = (call, Caller { until, answer });
        let mut waiting = self.waiting.lock();
        if waiting.closed || waiting.calls.len() >= MOST_WAITING {
            return Err(StoreError::Unavailable);
        }
        let first = waiting.calls.is_empty();
        match waiting.calls.back() {
            Some((_, last)) if last.until > until => waiting.calls.push_front(entry),
            _ => waiting.calls.push_back(entry),
        }
        drop(waiting);
        if first {
            self.arrived.notify_one();
        }
        Ok(answered)
    }

    /// Waits for calls and takes as many as may travel together. What is overdue at `now` is told so.
    pub(super) async fn take(&self, now: impl Fn() -> Micros) -> Load {
        loop {
            let load = self.take_now(now());
            if !load.calls.is_empty() {
                return load;
            }
            self.arrived.notified().await;
        }
    }

    fn take_now(&self, now: Micros) -> Load {
        let mut charges = 0;
        let mut waiting = self.waiting.lock();
        let mut load = Load::for_calls(waiting.calls.len().min(MOST_CALLS));
        while let Some((call, _)) = waiting.calls.front() {
            charges += call.charges.len();
            if load.calls.len() == MOST_CALLS || (charges > MOST_CHARGES && !load.calls.is_empty()) {
                self.arrived.notify_one();
                break;
            }
            if let Some((call, caller)) = waiting.calls.pop_front() {
                load.add(call, caller, now);
            }
        }
        load
    }

    /// Takes no more calls, and tells those that wait.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.calls.clear();
    }
}

impl Load {
    fn for_calls(most: usize) -> Self {
        Self { calls: Vec::with_capacity(most), callers: Vec::with_capacity(most) }
    }

    fn add(&mut self, call: PackedCall, caller: Caller, now: Micros) {
        if caller.answer.is_closed() {
            return;
        }
        if caller.until <= now {
            caller.tell(Err(StoreError::Timeout));
            return;
        }
        self.calls.push(call);
        self.callers.push(Some(caller));
    }

    /// Until when the first of those waits who still do; `None` once nobody does.
    pub(super) fn until(&self) -> Option<Micros> {
        self.callers.iter().flatten().map(|caller| caller.until).min()
    }

    /// Tells those who would wait no longer than until `now` that there is no answer.
    pub(super) fn expire(&mut self, now: Micros) {
        for place in &mut self.callers {
            if let Some(caller) = place.take_if(|caller| caller.until <= now) {
                caller.tell(Err(StoreError::Timeout));
            }
        }
    }

    /// Tells each caller what was said of its call; those of whom nothing was said go without an answer.
    pub(super) fn tell(mut self, at: Timestamp, said: Vec<(usize, Replied)>) {
        for (call, replied) in said {
            if let Some(caller) = self.callers[call].take() {
                caller.tell(Ok((at, replied)));
            }
        }
    }

    /// Tells every caller the same.
    pub(super) fn fail(self, error: &StoreError) {
        for caller in self.callers.into_iter().flatten() {
            caller.tell(Err(error.clone()));
        }
    }
}

impl Caller {
    fn tell(self, reply: Reply) {
        // Whoever has gone does not want to know.
        _ = self.answer.send(reply);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use smallvec::SmallVec;

    use super::*;
    use crate::store::Admission;

    fn call() -> PackedCall {
        PackedCall { admission: Admission::Each, charges: SmallVec::new(), expenses: Box::default() }
    }

    fn taken(queue: &Queue) -> Option<Load> {
        let now = || Micros(10);
        match pin!(queue.take(now)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(load) => Some(load),
            Poll::Pending => None,
        }
    }

    #[test]
    fn all_that_waits_leaves_together_up_to_a_bound() {
        let queue = Queue::default();
        let callers: Vec<_> = (0..MOST_CALLS + 3).map(|_| queue.push(call(), Micros(20)).unwrap()).collect();
        assert_eq!(taken(&queue).unwrap().calls.len(), MOST_CALLS);
        assert_eq!(taken(&queue).unwrap().calls.len(), 3);
        assert!(taken(&queue).is_none());
        drop(callers);
    }

    #[test]
    fn who_has_gone_is_not_served_and_who_is_late_is_told() {
        let queue = Queue::default();
        drop(queue.push(call(), Micros(20)));
        let mut late = queue.push(call(), Micros(10)).unwrap();
        let mut kept = queue.push(call(), Micros(11)).unwrap();
        let mut load = taken(&queue).unwrap();
        assert_eq!((load.calls.len(), load.until()), (1, Some(Micros(11))));
        assert_eq!(late.try_recv(), Ok(Err(StoreError::Timeout)));
        load.expire(Micros(10));
        assert!(kept.try_recv().is_err());
        load.expire(Micros(11));
        assert_eq!((kept.try_recv(), load.until()), (Ok(Err(StoreError::Timeout)), None));
    }

    #[test]
    fn no_more_wait_than_may() {
        let queue = Queue::default();
        let callers: Vec<_> = (0..MOST_WAITING).map(|_| queue.push(call(), Micros(20)).unwrap()).collect();
        assert_eq!(queue.push(call(), Micros(20)).unwrap_err(), StoreError::Unavailable);
        assert!(taken(&queue).is_some());
        assert!(queue.push(call(), Micros(20)).is_ok());
        drop(callers);
    }

    #[test]
    fn nobody_waits_for_ever() {
        let queue = Queue::default();
        let mut caller = queue.push(call(), Micros(20)).unwrap();
        queue.close();
        assert_eq!(caller.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(queue.push(call(), Micros(20)).unwrap_err(), StoreError::Unavailable);
    }
}
