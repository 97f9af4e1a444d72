//! What stands behind Envoy: an HTTP/1.1 server that answers 200 to everything, 101 to a WebSocket and then echoes.
//! The request header `x-answer-tokens` comes back as `x-tokens-used`.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::http;

/// A server that lives as long as the test process.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    served: Arc<AtomicU64>,
}

impl Upstream {
    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind a free port");
        let address = listener.local_addr().expect("a bound address");
        let served = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&served);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                std::thread::spawn(move || serve(stream, &count));
            }
        });
        Self { address, served }
    }

    /// How many calls came through.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }
}

/// Answers the calls of one connection until the other side leaves.
fn serve(mut stream: TcpStream, served: &AtomicU64) -> Option<()> {
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
        served.fetch_add(1, Ordering::SeqCst);
        if header(&head, "upgrade") == Some("websocket") {
            return echo(&mut stream, bytes);
        }
        let tokens = header(&head, "x-answer-tokens").map(|n| format!("x-tokens-used: {n}\r\n"));
        let answer =
            format!("HTTP/1.1 200 OK\r\n{}content-length: 3\r\n\r\nok\n", tokens.unwrap_or_default());
        stream.write_all(answer.as_bytes()).ok()?;
    }
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
