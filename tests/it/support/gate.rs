//! A way from one program to another that a test can close: what is sent while it is closed arrives when it is open again,
//! all at once. What comes back is never held up, but the next of it can be lost.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::spawn;

/// A way that lives as long as the test process.
pub(crate) struct Gate {
    /// Where it begins.
    pub(crate) address: SocketAddr,
    ways: Arc<(Mutex<Ways>, Condvar)>,
}

/// What is on its way, by connection, and whether it may go on.
#[derive(Default)]
struct Ways {
    closed: bool,
    /// How many answers get lost.
    to_lose: usize,
    held_up: Vec<Vec<u8>>,
}

impl Gate {
    /// An open way to `target`.
    pub(crate) fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
        let address = listener.local_addr().expect("a bound address");
        let ways = Arc::<(Mutex<Ways>, Condvar)>::default();
        let shared = Arc::clone(&ways);
        spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect(target).expect("the program takes connections");
                let (from, to) = (far.try_clone().expect("a socket"), near.try_clone().expect("a socket"));
                let place = enter(&shared);
                let (reads, writes, comes_back) =
                    (Arc::clone(&shared), Arc::clone(&shared), Arc::clone(&shared));
                spawn(move || bring_back(from, to, &comes_back.0));
                spawn(move || take_in(near, &reads, place));
                spawn(move || let_out(far, &writes, place));
            }
        });
        Self { address, ways }
    }

    /// Holds up all that is sent from now on.
    pub(crate) fn close(&self) {
        self.ways.0.lock().expect("ways").closed = true;
    }

    /// Lets through what was held up, and what comes.
    pub(crate) fn open(&self) {
        self.ways.0.lock().expect("ways").closed = false;
        self.ways.1.notify_all();
    }

    /// Loses what comes back next, and with it the connection that it comes by; and that so often.
    pub(crate) fn lose(&self, answers: usize) {
        self.ways.0.lock().expect("ways").to_lose = answers;
    }

    /// How many answers are yet to be lost.
    pub(crate) fn to_lose(&self) -> usize {
        self.ways.0.lock().expect("ways").to_lose
    }

    /// How many bytes are held up on the way that has most of them.
    pub(crate) fn held_up(&self) -> usize {
        self.ways.0.lock().expect("ways").held_up.iter().map(Vec::len).max().unwrap_or(0)
    }
}

fn enter((ways, _): &(Mutex<Ways>, Condvar)) -> usize {
    let mut ways = ways.lock().expect("ways");
    ways.held_up.push(Vec::new());
    ways.held_up.len() - 1
}

/// Brings back what is answered, until an answer is lost or there is none.
fn bring_back(mut from: TcpStream, mut to: TcpStream, ways: &Mutex<Ways>) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let mut ways = ways.lock().expect("ways");
        if ways.to_lose > 0 {
            ways.to_lose -= 1;
            break;
        }
        drop(ways);
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    _ = to.shutdown(Shutdown::Both);
    _ = from.shutdown(Shutdown::Both);
}

/// Takes in what comes until its sender leaves.
fn take_in(mut from: TcpStream, (ways, changed): &(Mutex<Ways>, Condvar), place: usize) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        ways.lock().expect("ways").held_up[place].extend_from_slice(&bytes[..count]);
        changed.notify_all();
    }
}

/// Lets out what was taken in while the way is open.
fn let_out(mut to: TcpStream, (ways, changed): &(Mutex<Ways>, Condvar), place: usize) {
    loop {
        let ways = ways.lock().expect("ways");
        let stopped = |ways: &mut Ways| ways.closed || ways.held_up[place].is_empty();
        let bytes = std::mem::take(&mut changed.wait_while(ways, stopped).expect("ways").held_up[place]);
        if to.write_all(&bytes).is_err() {
            return;
        }
    }
}
