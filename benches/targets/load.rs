//! The load: unary gRPC calls over a few connections, each with a fixed number of calls in progress, as fast as they are
//! answered. It speaks through the `h2` crate alone, on one thread: what it costs is not taken from the server.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, Uri, Version};
use prost::Message;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

/// How many connections, and how many calls are in progress on each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) streams: usize,
}

/// What is asked, in turn, of which method.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    path: &'static str,
    bodies: Rc<[Bytes]>,
    is_allowed: IsAllowed,
}

/// Whether an answer's message says that the call may pass.
type IsAllowed = fn(&[u8]) -> bool;

/// Open connections to one server.
pub(crate) struct Callers {
    runtime: Runtime,
    senders: Vec<SendRequest<Bytes>>,
    streams: usize,
    calls: Calls,
    uri: Uri,
    turn: Rc<Cell<usize>>,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    /// From the first call to the last answer.
    wall: Duration,
    /// How long each call took, sorted, in nanoseconds.
    latencies: Vec<u64>,
}

type Failure = Box<dyn std::error::Error>;

impl Calls {
    /// `messages` in turn, to `path`, all of which are within their limits.
    pub(crate) fn new<M: Message>(
        path: &'static str,
        messages: impl Iterator<Item = M>,
        is_allowed: IsAllowed,
    ) -> Self {
        Self { path, bodies: messages.map(|message| framed(&message)).collect(), is_allowed }
    }
}

/// How many bytes gRPC sends before each message.
const PREFIX_BYTES: usize = 5;

/// `message` behind gRPC's prefix.
fn framed(message: &impl Message) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.encoded_len()).expect("a small message"));
    message.encode(&mut frame).expect("a buffer that grows");
    frame.freeze()
}

impl Callers {
    /// Connects to `server`, and makes one call to see that it answers.
    pub(crate) fn connect(server: SocketAddr, shape: Shape, calls: &Calls) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let open = (0..shape.connections)
            .map(|_| runtime.block_on(open(server)).expect("the server takes connections"));
        let senders = open.collect();
        let uri = Uri::builder().scheme("http").authority(server.to_string()).path_and_query(calls.path);
        let uri = uri.build().expect("an address");
        let turn = Rc::default();
        let mut callers = Self { runtime, senders, streams: shape.streams, calls: calls.clone(), uri, turn };
        callers.run(1);
        callers
    }

    /// Makes `count` calls. Panics if one fails or may not pass: a figure of failures is none.
    pub(crate) fn run(&mut self, count: usize) -> Ran {
        let left = Rc::new(Cell::new(count));
        let latencies = Rc::new(RefCell::new(Vec::with_capacity(count)));
        let tasks = LocalSet::new();
        for sender in &self.senders {
            for _ in 0..self.streams {
                let caller = Caller {
                    sender: sender.clone(),
                    uri: self.uri.clone(),
                    calls: self.calls.clone(),
                    turn: self.turn.clone(),
                };
                tasks.spawn_local(caller.repeat(left.clone(), latencies.clone()));
            }
        }
        let start = now();
        self.runtime.block_on(tasks);
        let ran = Ran::new(now() - start, latencies.take());
        assert_eq!(ran.latencies.len(), count, "every call is answered");
        ran
    }
}

impl Ran {
    /// `latencies` in nanoseconds, of calls made within `wall`.
    pub(crate) fn new(wall: Duration, mut latencies: Vec<u64>) -> Self {
        latencies.sort_unstable();
        Self { wall, latencies }
    }

    /// The calls answered in a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.wall.as_secs_f64()
    }

    /// The time within which 99 of 100 calls were answered, in microseconds.
    pub(crate) fn p99(&self) -> f64 {
        self.latencies[self.latencies.len() * 99 / 100] as f64 / 1e3
    }
}

/// One call in progress after another.
struct Caller {
    sender: SendRequest<Bytes>,
    uri: Uri,
    calls: Calls,
    turn: Rc<Cell<usize>>,
}

impl Caller {
    async fn repeat(mut self, left: Rc<Cell<usize>>, latencies: Rc<RefCell<Vec<u64>>>) {
        while let Some(rest) = left.get().checked_sub(1) {
            left.set(rest);
            let start = now();
            if let Err(error) = self.call().await {
                panic!("a call failed: {error}");
            }
            let taken = u64::try_from((now() - start).as_nanos()).expect("less than centuries");
            latencies.borrow_mut().push(taken);
        }
    }

    async fn call(&mut self) -> Result<(), Failure> {
        let turn = self.turn.replace(self.turn.get() + 1);
        let body = self.calls.bodies[turn % self.calls.bodies.len()].clone();
        let mut request =
            Request::builder().method(Method::POST).uri(self.uri.clone()).version(Version::HTTP_2);
        let headers = request.headers_mut().expect("a request in the making");
        headers.insert("content-type", http::HeaderValue::from_static("application/grpc"));
        headers.insert("te", http::HeaderValue::from_static("trailers"));
        poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (response, mut stream) = self.sender.send_request(request.body(())?, false)?;
        stream.send_data(body, true)?;
        let (head, mut body) = response.await?.into_parts();
        let frame = read(&mut body).await?;
        let trailers = body.trailers().await?;
        is_ok(trailers.as_ref().unwrap_or(&head.headers))?;
        let is_allowed = frame.get(PREFIX_BYTES..).is_some_and(self.calls.is_allowed);
        if is_allowed { Ok(()) } else { Err(format!("it may not pass: {frame:?}").into()) }
    }
}

/// All of an answer's body.
async fn read(body: &mut RecvStream) -> Result<BytesMut, Failure> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

fn is_ok(trailers: &HeaderMap) -> Result<(), Failure> {
    match trailers.get("grpc-status") {
        Some(status) if status == "0" => Ok(()),
        _ => Err(format!("{trailers:?}").into()),
    }
}

async fn open(server: SocketAddr) -> Result<SendRequest<Bytes>, Failure> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let mut settings = h2::client::Builder::new();
    settings.initial_window_size(1 << 20).initial_connection_window_size(1 << 24);
    let (sender, connection) = settings.handshake(stream).await?;
    tokio::spawn(async move {
        // A connection that breaks fails its calls, which say so.
        _ = connection.await;
    });
    Ok(sender)
}

#[expect(clippy::disallowed_methods, reason = "latencies and calls a second are of wall time")]
fn now() -> Instant {
    Instant::now()
}
