//! Takes connections from a listener and deals them out to workers.
//!
//! One acceptor feeds any number of runtimes, each of which serves the connections it was dealt. Running out
//! of file descriptors slows it down and never makes it spin.

use std::io;
use std::net;
use std::time::Duration;

use tokio::net::TcpListener;
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
    let mut next = 0;
    let mut pause = FIRST_PAUSE;
    while !workers.iter().all(Sender::is_closed) {
        match listener.accept().await.and_then(|(stream, _)| prepare(stream)) {
            Ok(stream) => {
                pause = FIRST_PAUSE;
                deal(&workers, &mut next, stream);
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
fn prepare(stream: tokio::net::TcpStream) -> io::Result<net::TcpStream> {
    stream.set_nodelay(true)?;
    stream.into_std()
}

/// Hands `stream` to the next worker that has room. If none has, the connection is closed: its client comes
/// back, and those who are already served stay so.
fn deal(workers: &[Worker], next: &mut usize, mut stream: net::TcpStream) {
    for _ in workers {
        let worker = &workers[*next % workers.len()];
        *next = next.wrapping_add(1);
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
