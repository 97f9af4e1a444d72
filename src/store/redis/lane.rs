//! A lane: the way of one thread to Redis, over connections that its own runtime keeps.
//!
//! Whatever waits leaves together as soon as there is a place for it: two batches are on their way at most, and
//! none waits to become fuller. Each call keeps its own deadline; a batch is made only before the first of them.
//! Nothing that may have written anything is sent again.

mod alone;

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Script, Value};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::clock::{Clock, Micros, Timestamp};
use crate::store::StoreError;

use super::batch::Batch;
use super::client::{Connections, Dial, FirstTries, Open};
use super::errors::{Failure, Remedy, classify, told_to_script};
use super::lua;
use super::offset::Offset;
use super::queue::{Load, Queue, Reply};
use super::script::{self, PackedCall, Replied, Time};
use super::unanswered::Unanswered;

pub(super) use alone::{Alone, Scripts};

/// Batches on their way at most.
const IN_FLIGHT: usize = 2;
/// How long after its caller has given up a decision may still be made: for clocks that are not quite the same.
const SLACK: Duration = Duration::from_millis(5);

/// The way of one thread to Redis; closed when this is dropped.
pub(super) struct Lane {
    track: Arc<Track>,
    _carriers: JoinSet<()>,
}

/// How lanes are made, and what they all know.
pub(super) struct Plan {
    pub(super) dial: Dial,
    pub(super) connections: usize,
    /// How long a call may take.
    pub(super) patience: Duration,
    pub(super) clock: Clock,
    pub(super) offset: Offset,
    pub(super) tracks: Tracks,
    pub(super) first_tries: FirstTries,
    pub(super) unanswered: Unanswered,
}

/// Those of the lanes there are.
#[derive(Default)]
pub(super) struct Tracks(Mutex<Vec<Weak<Track>>>);

/// What those who ask and those who carry share.
pub(super) struct Track {
    queue: Queue,
    connections: Connections,
    script: Script,
    scripts: Scripts,
    /// The places of calls that travel alone.
    alone: Semaphore,
    plan: Arc<Plan>,
}

impl Lane {
    /// A lane whose connections are kept by the Tokio runtime that this is called within.
    pub(super) fn open(plan: &Arc<Plan>) -> Self {
        let track = Arc::new(Track {
            queue: Queue::default(),
            connections: Connections::keep(plan.connections, &plan.dial, &plan.first_tries),
            script: Script::new(&lua::CHARGE),
            scripts: Scripts {
                charge: Script::new(&lua::CHARGE),
                reserve: Script::new(&lua::RESERVE),
                settle: Script::new(&lua::SETTLE),
            },
            alone: Semaphore::new(alone::MOST),
            plan: plan.clone(),
        });
        plan.tracks.add(&track);
        let mut carriers = JoinSet::new();
        for _ in 0..IN_FLIGHT {
            carriers.spawn(carry(Carrier(track.clone())));
        }
        Self { track, _carriers: carriers }
    }

    /// Sends `call`, for which somebody waits until `until` by the steady clock: what becomes of it.
    pub(super) fn ask(&self, call: PackedCall, until: Micros) -> impl Future<Output = Reply> + use<> {
        // Whoever waits keeps no call: that is a large part of what a waiting call would hold.
        let waiting = self.track.queue.push(call, until);
        async move { waiting?.await.unwrap_or(Err(StoreError::Unavailable)) }
    }

    /// Whether Redis answers now, and all lanes lead to it.
    pub(super) async fn ready(&self) -> Result<(), StoreError> {
        if !self.track.plan.tracks.are_open() {
            return Err(StoreError::Unavailable);
        }
        let connections = &self.track.connections;
        let open = connections.pick().ok_or(StoreError::Unavailable)?;
        let (ping, mut connection) = (redis::cmd("PING"), open.connection());
        match timeout(self.track.plan.patience, ping.query_async::<redis::Value>(&mut connection)).await {
            Ok(answer) => self.track.judge(&open, answer.map_err(Failure::from)).map(|_| ()),
            Err(_) => {
                connections.silent(&open);
                Err(StoreError::Timeout)
            }
        }
    }
}

impl Tracks {
    fn add(&self, track: &Arc<Track>) {
        let mut tracks = self.0.lock();
        tracks.retain(|track| track.strong_count() > 0);
        tracks.push(Arc::downgrade(track));
    }

    /// Whether each has a connection.
    fn are_open(&self) -> bool {
        self.0.lock().iter().filter_map(Weak::upgrade).all(|track| track.connections.pick().is_some())
    }
}

/// One who carries batches to Redis and their answers back.
struct Carrier(Arc<Track>);

impl Drop for Carrier {
    /// Those who carry end together, when their lane is closed or their runtime is gone.
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

async fn carry(carrier: Carrier) {
    let track = &carrier.0;
    loop {
        let load = track.queue.take(|| track.plan.clock.steady()).await;
        track.deliver(load).await;
    }
}

impl Track {
    /// Sends `load` and tells everybody what came of it, or that nothing did in time.
    async fn deliver(&self, mut load: Load) {
        let Some(open) = self.connections.pick() else {
            return load.fail(&StoreError::Unavailable);
        };
        let mut answer = self.answer(&open, &Batch::of(&load.calls), &mut load).await;
        let is_of_writes = matches!(&answer, Some(Err(failure)) if failure.is_of_writes());
        if is_of_writes && load.calls.len() > 1 {
            answer = self.answer(&open, &Batch::one_by_one(&load.calls), &mut load).await;
        }
        match answer.map(|answer| self.judge(&open, answer)) {
            Some(Ok((at, said))) => load.tell(at, said),
            Some(Err(error)) => load.fail(&error),
            None => self.connections.silent(&open),
        }
    }

    /// What becomes of `batch`, which `load` is; nothing if nobody waits for it any more.
    async fn answer(
        &self,
        open: &Open,
        batch: &Batch,
        load: &mut Load,
    ) -> Option<Result<(Timestamp, Vec<(usize, Replied)>), Failure>> {
        let mut asking = pin!(self.ask(open, batch, self.left(load)));
        while let Some(first) = load.until() {
            tokio::select! {
                biased;
                answer = &mut asking => return Some(answer),
                () = sleep(self.left(load)) => load.expire(first.max(self.plan.clock.steady())),
            }
        }
        None
    }

    /// How long the first of those may still wait who wait for `load`.
    fn left(&self, load: &Load) -> Duration {
        let now = self.plan.clock.steady();
        let left = load.until().map_or(0, |until| until.0.saturating_sub(now.0));
        Duration::from(Micros(left)).min(self.plan.patience)
    }

    /// Makes the calls of `batch`; again if the script has to be loaded first. What Redis comes to only after
    /// `left` has passed, it leaves undone.
    async fn ask(
        &self,
        open: &Open,
        batch: &Batch,
        left: Duration,
    ) -> Result<(Timestamp, Vec<(usize, Replied)>), Failure> {
        let mut connection = open.connection();
        let until = self.plan.clock.now().plus(Micros::of(left + SLACK));
        for _ in 0..3 {
            let asked = self.plan.clock.now();
            let command = batch.command(self.script.get_hash(), self.time(asked, Some(until)));
            let reply = match command.query_async::<Value>(&mut connection).await {
                Err(error) if classify(&error).1 == Remedy::Load => {
                    self.script.load_async(&mut connection).await?;
                    continue;
                }
                reply => reply?,
            };
            let (numbers, refusal) = script::take_apart(reply)?;
            let refusal = refusal.map(|text| told_to_script(&String::from_utf8_lossy(&text)));
            // On a server that nobody may write to, looks are out of date too.
            let refusal = match refusal {
                Some(failure) if failure.remedy == Remedy::Reconnect => return Err(failure),
                refusal => refusal.map(|failure| failure.error),
            };
            let (at, said) = batch.read(&numbers, refusal.as_ref())?;
            self.plan.offset.learn(asked, at, self.plan.clock.now());
            return Ok((at, said));
        }
        Err(StoreError::Unavailable.into())
    }

    /// By which time the script goes at `now`, with `until` put into it.
    fn time(&self, now: Timestamp, until: Option<Timestamp>) -> Time {
        match self.plan.clock {
            Clock::Manual(_) => Time::At(now),
            Clock::System => Time::Redis { until: until.map(|until| self.plan.offset.theirs(until)) },
        }
    }

    /// Draws the consequences of an answer for the connection that it came over.
    fn judge<T>(&self, open: &Arc<Open>, answer: Result<T, Failure>) -> Result<T, StoreError> {
        answer.inspect(|_| self.connections.answered(open)).map_err(|failure| {
            if failure.remedy == Remedy::Reconnect {
                self.connections.close(open);
            }
            failure.error
        })
    }
}
