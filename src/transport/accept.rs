//! Takes connections from a listener and deals them out to workers.
//!
//! One acceptor feeds any number of runtimes, each of which serves the connections it was dealt. Running out
//! of file descriptors slows it down and never makes it spin.

use std::future::poll_fn;
use std::io;
use std::net;
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
pub type Connections = Receiver<net::TcpStream>;

/// The acceptor's end of a worker's [`Connections`].
pub type Worker = Sender<net::TcpStream>;

/// The two ends between the acceptor and one worker.
pub fn worker() -> (Worker, Connections) {
    mpsc::channel(WAITING)
}

/// Accepts until every worker is gone. Dropped, it closes the listener and thereby ends its workers'
/// connections.
pub async fn accept(listener: TcpListener, workers: Vec<Worker>) {
    take(|context| listener.poll_accept(context).map_ok(|(stream, _)| stream), &workers).await;
}

async fn take(mut next: impl FnMut(&mut Context<'_>) -> Poll<io::Result<TcpStream>>, workers: &[Worker]) {
    let mut turn = 0;
    let mut pause = FIRST_PAUSE;
    while !workers.iter().all(Sender::is_closed) {
        match poll_fn(&mut next).await.and_then(prepare) {
            Ok(stream) => {
                pause = FIRST_PAUSE;
                deal(workers, &mut turn, stream);
            }
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

/// Hands `stream` to the next worker that has room. If none has, the connection is closed: its client comes
/// back, and those who are already served stay so.
fn deal(workers: &[Worker], turn: &mut usize, mut stream: net::TcpStream) {
    for _ in workers {
        let worker = &workers[*turn % workers.len()];
        *turn = turn.wrapping_add(1);
        match worker.try_send(stream) {
            Ok(()) => return,
            Err(TrySendError::Full(back) | TrySendError::Closed(back)) => stream = back,
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
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tokio::net::{TcpListener, TcpStream};

    use super::{accept, take, worker};

    #[tokio::test]
    async fn connections_are_dealt_in_turn_and_past_those_who_are_gone() {
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
            let stream = stream.unwrap();
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
            _ = tokio::time::timeout(Duration::from_millis(70), take(failing, &workers)).await;
            assert!(calls <= at_most, "{kind}: {calls} calls");
            assert!(at_most == 10 || calls > 10, "{kind}: {calls} calls");
        }
        drop(connections);
    }
}
