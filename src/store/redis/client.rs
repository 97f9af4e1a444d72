//! A few multiplexed connections to one Redis, each kept open by a task of its own.
//!
//! The first that is there is used and the others stand by; one that is not there is not waited for. Whoever
//! finds a connection bad closes it, and its task opens another, first at once and then with pauses. What is to
//! be done before a connection is used, and now and then while it is, others say. Nothing is ever sent twice here.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::errors::{Remedy, classify};

/// How many decisions in a row may go unanswered before the connection is closed.
const SILENCES: u32 = 5;
/// How often a connection that nobody complains about is tried.
const HEARTBEAT: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What is done on a connection.
pub(super) type Step =
    Arc<dyn Fn(MultiplexedConnection) -> Pin<Box<dyn Future<Output = RedisResult<()>> + Send>> + Send + Sync>;

/// The connections; closed when this is dropped.
pub(super) struct Connections {
    slots: Vec<Arc<Slot>>,
    _keepers: JoinSet<()>,
}

#[derive(Default)]
struct Slot {
    open: ArcSwapOption<Open>,
    closed: Notify,
}

/// An open connection.
pub(super) struct Open {
    connection: MultiplexedConnection,
    silences: AtomicU32,
    /// Whether a decision was answered since this was last looked at.
    heard: AtomicBool,
}

impl Open {
    /// A handle to ask it with.
    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }
}

/// How connections are made.
#[derive(Clone)]
pub(super) struct Dial {
    pub(super) client: Client,
    pub(super) timeout: Duration,
    /// Before it is used.
    pub(super) opening: Step,
    /// Every second while it is; the connection is left when this fails or takes too long.
    pub(super) heartbeat: Step,
    /// What all connections that are made so have lost.
    pub(super) losses: Arc<Losses>,
}

/// Those connections whose first try has not ended: each keeps a receiver until then.
#[derive(Default)]
pub(super) struct FirstTries(watch::Sender<()>);

impl FirstTries {
    /// Waits until each has ended, well or not.
    pub(super) async fn done(&self) {
        self.0.closed().await;
    }
}

impl Connections {
    /// Keeps `count` connections open, beginning now, in the background.
    pub(super) fn keep(count: usize, dial: &Dial, first_tries: &FirstTries) -> Self {
        let slots: Vec<Arc<Slot>> = (0..count.max(1)).map(|_| Arc::default()).collect();
        let mut keepers = JoinSet::new();
        for slot in &slots {
            keepers.spawn(keep(slot.clone(), dial.clone(), first_tries.0.subscribe()));
        }
        Self { slots, _keepers: keepers }
    }

    /// The first connection that is open; the others stand by. `None` if there is none.
    pub(super) fn pick(&self) -> Option<Arc<Open>> {
        self.slots.iter().find_map(|slot| slot.open.load_full())
    }

    /// Tells that `open` answered.
    pub(super) fn answered(&self, open: &Open) {
        open.silences.store(0, Ordering::Relaxed);
        open.heard.store(true, Ordering::Relaxed);
    }

    /// Tells that `open` did not answer in time. After a few times in a row it is closed, so that what it may
    /// still hold back does not run later.
    pub(super) fn silent(&self, open: &Arc<Open>) {
        if open.silences.fetch_add(1, Ordering::Relaxed) + 1 >= SILENCES {
            self.close(open);
        }
    }

    /// Closes `open`; another takes its place as soon as there is one.
    pub(super) fn close(&self, open: &Arc<Open>) {
        for slot in &self.slots {
            slot.close(open);
        }
    }
}

impl Slot {
    fn close(&self, open: &Arc<Open>) {
        let previous = self.open.compare_and_swap(open, None);
        if previous.as_ref().is_some_and(|previous| Arc::ptr_eq(previous, open)) {
            self.closed.notify_one();
        }
    }
}

/// Which connections are missing, and what the log was told of that: they fail together, and are one loss.
#[derive(Default)]
pub(super) struct Losses(Mutex<Lost>);

#[derive(Default)]
struct Lost {
    missing: usize,
    /// Why, each reason once until all are back.
    told: BTreeSet<String>,
}

impl Losses {
    /// One more is missing.
    fn begin(&self) {
        self.0.lock().missing += 1;
    }

    /// One cannot be opened for this `reason`. Whether that is news.
    fn is_news(&self, reason: &str) -> bool {
        self.0.lock().told.insert(reason.to_owned())
    }

    /// One is missing no longer. Whether it was the last.
    fn end(&self) -> bool {
        let mut lost = self.0.lock();
        lost.missing -= 1;
        let are_back = lost.missing == 0;
        if are_back {
            lost.told.clear();
        }
        are_back
    }
}

/// How the tries to open a connection have gone so far.
struct Tries {
    /// Kept until the first has ended.
    first: Option<watch::Receiver<()>>,
    losses: Arc<Losses>,
    is_missing: bool,
}

impl Tries {
    fn failed(&mut self, reason: &str) {
        self.first = None;
        if !std::mem::replace(&mut self.is_missing, true) {
            self.losses.begin();
        }
        if self.losses.is_news(reason) {
            tracing::warn!(reason, "no connection to the store; trying again until there is one");
        }
    }

    fn succeeded(&mut self) {
        self.first = None;
        if std::mem::take(&mut self.is_missing) && self.losses.end() {
            tracing::info!("the store is back");
        }
    }
}

impl Drop for Tries {
    /// Nobody wants the connection any more.
    fn drop(&mut self) {
        if self.is_missing {
            self.losses.end();
        }
    }
}

/// Keeps one connection open, for ever.
async fn keep(slot: Arc<Slot>, dial: Dial, first_try: watch::Receiver<()>) {
    let mut tries = Tries { first: Some(first_try), losses: dial.losses.clone(), is_missing: false };
    loop {
        let connection = patiently(&dial, &mut tries).await;
        let open = Arc::new(Open { connection, silences: AtomicU32::new(0), heard: AtomicBool::new(false) });
        slot.open.store(Some(open.clone()));
        tries.succeeded();
        look_after(&slot, &open, &dial).await;
        slot.close(&open);
    }
}

/// A connection that is ready for use, however long it takes.
async fn patiently(dial: &Dial, tries: &mut Tries) -> MultiplexedConnection {
    let mut pause = FIRST_PAUSE;
    loop {
        tries.failed(&match timeout(dial.timeout, connect(dial)).await {
            Ok(Ok(connection)) => return connection,
            Ok(Err(error)) => classify(&error).0.to_string(),
            Err(_) => "the store did not answer in time".to_owned(),
        });
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn connect(dial: &Dial) -> RedisResult<MultiplexedConnection> {
    // The one deadline is the caller's: two clocks over one wait only make the answer depend on a race.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let connection = dial.client.get_multiplexed_async_connection_with_config(&config).await?;
    (dial.opening)(connection.clone()).await?;
    Ok(connection)
}

/// Returns once the connection was closed, or is no good any more.
async fn look_after(slot: &Slot, open: &Arc<Open>, dial: &Dial) {
    loop {
        tokio::select! {
            () = slot.closed.notified() => {}
            () = sleep(HEARTBEAT) => {}
        }
        let still_open = slot.open.load().as_ref().is_some_and(|now| Arc::ptr_eq(now, open));
        if !still_open || !is_alive(open, dial).await {
            return;
        }
    }
}

/// Whether it answers: a process that was not run for a while finds all deadlines over, so it asks twice, and
/// what answers decisions is alive.
async fn is_alive(open: &Open, dial: &Dial) -> bool {
    let keeps = |error: RedisError| classify(&error).1 == Remedy::Keep;
    for _ in 0..2 {
        open.heard.store(false, Ordering::Relaxed);
        match timeout(dial.timeout, (dial.heartbeat)(open.connection())).await {
            Ok(answer) => return answer.err().is_none_or(keeps),
            Err(_) if open.heard.load(Ordering::Relaxed) => return true,
            Err(_) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::Losses;

    #[test]
    fn one_loss_of_many_connections_is_told_once_and_ends_with_the_last() {
        let losses = Losses::default();
        for round in 0..2 {
            let news = ["gone", "gone", "late", "gone"].map(|reason| {
                losses.begin();
                losses.is_news(reason)
            });
            assert_eq!(news, [true, false, true, false], "round {round}");
            assert_eq!([(); 4].map(|()| losses.end()), [false, false, false, true], "round {round}");
        }
    }
}
