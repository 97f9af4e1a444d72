//! Takes connections from a listener and deals each to the worker that has the fewest open.
//!
//! One acceptor feeds any number of runtimes, each of which serves the connections it was dealt to their end.
//! Callers open few connections and keep them, so that a worker which is given one too many stays so. Running out
//! of file descriptors slows the acceptor down and never makes it spin; where there is [`Room`] for so many only, those beyond
//! are closed before that.

use std::future::poll_fn;
use std::io;
use std::net;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Receiver, Sender};

/// How many accepted connections may wait for one worker.
const WAITING: usize = 256;

/// The first pause after a failure that is not the fault of one connection; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The connections dealt to one worker. It ends when the acceptor does.
pub type Connections = Receiver<Connection>;

/// A connection that was dealt.
#[derive(Debug)]
pub struct Connection {
    /// Its socket.
    pub stream: net::TcpStream,
    /// To be kept until the connection is closed.
    pub open: Open,
}

/// That a connection is open at a worker, for as long as this lives.
#[derive(Debug)]
pub struct Open(Arc<AtomicUsize>);

/// The acceptor's end of a worker's [`Connections`].
#[derive(Debug)]
pub struct Worker {
    inbox: Sender<Connection>,
    /// How many connections are open, those included that wait in the inbox.
    open: Arc<AtomicUsize>,
}

/// How many connections some workers may have open, and how many were closed since they had.
#[derive(Debug)]
pub struct Room {
    most: usize,
    open: Vec<Arc<AtomicUsize>>,
    refused: AtomicU64,
}

impl Room {
    /// For `most` at all of `workers`.
    pub fn of(workers: &[Worker], most: usize) -> Self {
        let open = workers.iter().map(|worker| worker.open.clone()).collect();
        Self { most, open, refused: AtomicU64::new(0) }
    }

    /// How many may be open.
    pub fn most(&self) -> usize {
        self.most
    }

    /// How many are.
    pub fn open(&self) -> usize {
        self.open.iter().map(|open| open.load(Ordering::Relaxed)).sum()
    }

    /// How many were closed at once.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Whether there is room for another; if not, that one is closed.
    fn has_another(&self) -> bool {
        let has = self.open() < self.most;
        if !has {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        has
    }
}

/// The two ends between the acceptor and one worker.
pub fn worker() -> (Worker, Connections) {
    let (inbox, connections) = mpsc::channel(WAITING);
    (Worker { inbox, open: Arc::default() }, connections)
}

impl Open {
    fn at(worker: &Worker) -> Self {
        worker.open.fetch_add(1, Ordering::Relaxed);
        Self(worker.open.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Takes `stream`, or gives it back.
    fn take(&self, stream: net::TcpStream) -> Result<(), net::TcpStream> {
        self.inbox.try_send(Connection { stream, open: Open::at(self) }).map_err(|refused| match refused {
            TrySendError::Full(back) | TrySendError::Closed(back) => back.stream,
        })
    }
}

/// Accepts until every worker is gone. Dropped, it closes the listener and thereby ends its workers'
/// connections.
pub async fn accept(listener: TcpListener, workers: Vec<Worker>) {
    let room = Room::of(&workers, usize::MAX);
    accept_within(listener, workers, &room).await;
}

/// The same, of no more connections than there is `room` for.
pub async fn accept_within(listener: TcpListener, workers: Vec<Worker>, room: &Room) {
    take(|context| listener.poll_accept(context).map_ok(|(stream, _)| stream), &workers, room).await;
}

async fn take(
    mut next: impl FnMut(&mut Context<'_>) -> Poll<io::Result<TcpStream>>,
    workers: &[Worker],
    room: &Room,
) {
    let (mut turn, mut told) = (0, false);
    let mut pause = FIRST_PAUSE;
    while !workers.iter().all(|worker| worker.inbox.is_closed()) {
        match poll_fn(&mut next).await.and_then(prepare) {
            Ok(stream) if room.has_another() => {
                (pause, told) = (FIRST_PAUSE, false);
                deal(workers, &mut turn, stream);
            }
            Ok(_) if std::mem::replace(&mut told, true) => {}
            Ok(_) => tracing::warn!(
                open = room.most,
                "too many connections for the file descriptors that this process may have: new ones are closed"
            ),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, ?pause, "cannot accept connections");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Answers are small and must not wait for more to say.
fn prepare(stream: TcpStream) -> io::Result<net::TcpStream> {
    stream.set_nodelay(true)?;
    stream.into_std()
}

/// Hands `stream` to the worker with the fewest open connections that has room; where several have as few, to
/// the next in turn. If none has room, the connection is closed: its client comes back, and those who are
/// already served stay so.
fn deal(workers: &[Worker], turn: &mut usize, mut stream: net::TcpStream) {
    let first = *turn % workers.len();
    *turn = first + 1;
    let mut order: Vec<&Worker> = workers[first..].iter().chain(&workers[..first]).collect();
    order.sort_by_key(|worker| worker.open());
    for worker in order {
        match worker.take(stream) {
            Ok(()) => return,
            Err(back) => stream = back,
        }
    }
    tracing::warn!("no worker has room for another connection");
}

/// Failures that concern the connection being accepted and no other.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
    )
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpStream};

    use super::{Connections, Room, Worker, accept, accept_within, deal, take, worker};

    /// A socket that leads to itself.
    fn socket() -> net::TcpStream {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        net::TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    }

    fn workers<const COUNT: usize>() -> (Vec<Worker>, [Connections; COUNT]) {
        let mut workers = Vec::new();
        let inboxes = [(); COUNT].map(|()| {
            let (worker, connections) = worker();
            workers.push(worker);
            connections
        });
        (workers, inboxes)
    }

    #[test]
    fn one_connection_after_the_other_goes_round() {
        let (workers, mut inboxes) = workers::<3>();
        let mut turn = 0;
        for place in [0, 1, 2, 0, 1, 2, 0] {
            deal(&workers, &mut turn, socket());
            // It is closed before the next one comes.
            inboxes[place].try_recv().unwrap();
        }
    }

    #[test]
    fn a_thousand_connections_each_go_where_the_fewest_are_open() {
        let (workers, mut inboxes) = workers::<4>();
        let mut turn = 0;
        let mut open = [const { Vec::new() }; 4];
        for number in 0..1_000_usize {
            let fewest = open.iter().map(Vec::len).min().unwrap();
            deal(&workers, &mut turn, socket());
            let place = (0..4).find(|place| !inboxes[*place].is_empty()).unwrap();
            assert_eq!(
                open[place].len(),
                fewest,
                "connection {number} of {:?}",
                open.each_ref().map(Vec::len)
            );
            open[place].push(inboxes[place].try_recv().unwrap());
            // From time to time one worker loses many, another one, and the rest none.
            if number % 50 == 49 {
                open[number / 50 % 4].truncate(3);
            }
            if number % 3 == 0 {
                open[number * 7 % 4].pop();
            }
        }
    }

    #[test]
    fn a_worker_that_takes_none_is_passed_over() {
        let (workers, [mut first, second]) = workers::<2>();
        drop(second);
        let mut turn = 0;
        for _ in 0..300 {
            deal(&workers, &mut turn, socket());
        }
        assert_eq!(first.len(), super::WAITING, "those beyond are closed");
        assert_eq!(workers[0].open(), super::WAITING);
        first.close();
        drop(first);
        assert_eq!(workers.iter().map(Worker::open).sum::<usize>(), 0);
    }

    #[tokio::test]
    async fn connections_are_dealt_out_and_past_those_who_are_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ((first, mut to_first), (second, to_second), (third, mut to_third)) =
            (worker(), worker(), worker());
        drop(to_second);
        let accepting = tokio::spawn(accept(listener, vec![first, second, third]));
        let mut clients = Vec::new();
        for _ in 0..6 {
            clients.push(TcpStream::connect(address).await.unwrap());
        }
        let mut dealt = Vec::new();
        for _ in 0..6 {
            let stream = tokio::select! { one = to_first.recv() => one, one = to_third.recv() => one };
            let stream = stream.unwrap().stream;
            assert!(stream.nodelay().unwrap());
            dealt.push(stream.peer_addr().unwrap());
        }
        dealt.sort_unstable();
        let mut wanted: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
        wanted.sort_unstable();
        assert_eq!(dealt, wanted, "each connection reaches one worker");
        drop((to_first, to_third));
        // The listener notices with the next connection that nobody is left.
        _ = TcpStream::connect(address).await;
        accepting.await.unwrap();
    }

    #[tokio::test]
    async fn there_is_room_for_so_many_and_again_once_one_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (worker, mut dealt) = worker();
        let workers = vec![worker];
        let room = std::sync::Arc::new(Room::of(&workers, 2));
        let counts = room.clone();
        let accepting = tokio::spawn(async move { accept_within(listener, workers, &room).await });
        let mut open = Vec::new();
        for _ in 0..2 {
            let client = TcpStream::connect(address).await.unwrap();
            open.push((client, dealt.recv().await.unwrap()));
        }
        for refused in 1..=3 {
            let mut beyond = TcpStream::connect(address).await.unwrap();
            let heard = tokio::io::AsyncReadExt::read(&mut beyond, &mut [0]).await;
            assert!(matches!(heard, Ok(0) | Err(_)), "it is closed: {heard:?}");
            assert_eq!((counts.open(), counts.refused()), (2, refused));
        }
        open.pop();
        let _client = TcpStream::connect(address).await.unwrap();
        dealt.recv().await.unwrap();
        accepting.abort();
    }

    #[tokio::test]
    async fn it_waits_when_descriptors_run_out_and_not_for_a_connection_that_broke() {
        let (worker, connections) = worker();
        let workers = [worker];
        for (kind, at_most) in [(io::ErrorKind::ConnectionAborted, usize::MAX), (io::ErrorKind::Other, 10)] {
            let mut calls = 0;
            let failing = |context: &mut Context<'_>| {
                calls += 1;
                if calls % 2 == 0 {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Err(io::Error::from(kind)))
            };
            _ = tokio::time::timeout(
                Duration::from_millis(70),
                take(failing, &workers, &Room::of(&workers, usize::MAX)),
            )
            .await;
            assert!(calls <= at_most, "{kind}: {calls} calls");
            assert!(at_most == 10 || calls > 10, "{kind}: {calls} calls");
        }
        drop(connections);
    }
}
