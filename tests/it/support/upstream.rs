//! What stands behind Envoy: an HTTP/1.1 server that answers 200 to everything, 101 to a WebSocket and then echoes.
//! The request header `x-answer-NAME` comes back as `x-NAME`. The header `x-upstream` asks for an answer in two parts that
//! `waits`, or for none after the first part: it `breaks`. With `x-upstream-after: nothing` the first part is empty.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use super::http;

/// A server that lives as long as the test process.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

/// What all connections share.
#[derive(Default)]
struct Shared {
    served: AtomicU64,
    /// How many calls go on that were to wait.
    waiting: AtomicU64,
    goes_on: Mutex<bool>,
    told: Condvar,
}

impl Upstream {
    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
        let address = listener.local_addr().expect("a bound address");
        let shared = Arc::<Shared>::default();
        let common = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let common = Arc::clone(&common);
                std::thread::spawn(move || serve(stream, &common));
            }
        });
        Self { address, shared }
    }

    /// How many calls came through.
    pub(crate) fn served(&self) -> u64 {
        self.shared.served.load(Ordering::SeqCst)
    }

    /// How many calls have come so far as to wait.
    pub(crate) fn waiting(&self) -> u64 {
        self.shared.waiting.load(Ordering::SeqCst)
    }

    /// Has all that waits go on, and what comes later not wait.
    pub(crate) fn go_on(&self) {
        *self.shared.goes_on.lock().expect("a flag") = true;
        self.shared.told.notify_all();
    }
}

impl Shared {
    fn wait(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let goes_on = self.goes_on.lock().expect("a flag");
        drop(self.told.wait_while(goes_on, |goes_on| !*goes_on).expect("a flag"));
    }
}

/// Answers the calls of one connection until the other side leaves.
fn serve(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let (head, length) = loop {
            if let Some((head, rest)) = http::split(&bytes) {
                let head = String::from_utf8_lossy(head).to_ascii_lowercase();
                let length =
                    header(&head, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
                if rest.len() >= length {
                    break (head, bytes.len() - rest.len() + length);
                }
            }
            receive(&mut stream, &mut bytes)?;
        };
        bytes.drain(..length);
        shared.served.fetch_add(1, Ordering::SeqCst);
        if header(&head, "upgrade") == Some("websocket") {
            return echo(&mut stream, bytes);
        }
        let answer =
            format!("HTTP/1.1 200 OK\r\n{}transfer-encoding: chunked\r\n\r\n3\r\nok\n\r\n", answered(&head));
        let first = if header(&head, "x-upstream-after") == Some("nothing") { "" } else { &answer };
        stream.write_all(first.as_bytes()).ok()?;
        match header(&head, "x-upstream") {
            Some("waits") => shared.wait(),
            Some("breaks") => return None,
            _ => {}
        }
        stream.write_all(&answer.as_bytes()[first.len()..]).ok()?;
        stream.write_all(b"0\r\n\r\n").ok()?;
    }
}

/// What the head of a call asks to have in the head of its answer.
fn answered(head: &str) -> String {
    let lines = head.split("\r\n").filter_map(|line| line.strip_prefix("x-answer-"));
    lines.map(|line| format!("x-{line}\r\n")).collect()
}

fn echo(stream: &mut TcpStream, mut bytes: Vec<u8>) -> Option<()> {
    let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(head.as_bytes()).ok()?;
    loop {
        stream.write_all(&bytes).ok()?;
        bytes.clear();
        receive(stream, &mut bytes)?;
    }
}

/// Appends what arrives; `None` when nothing will.
fn receive(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut part = [0; 16 * 1024];
    let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(&part[..count]);
    Some(())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
