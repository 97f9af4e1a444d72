//! The rate limit call on both paths: as it is served, and as tonic's generated service would serve it. Callers see
//! no difference but in words.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, HeaderValue, Method, Request};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tonic::Code as Grpc;

use tollgate::engine::{Check, CheckRequest, Decision, InvalidRequest};
use tollgate::limits::Metadata;
use tollgate::transport::grpc::GrpcSettings;
use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};

use crate::support::generated::Generated;
use crate::support::peer::{Heard, Peer, plain, with};
use crate::support::raw::framed;
use crate::support::server::TestServer;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);

/// Both paths in front of equal services.
struct Paths {
    served: TestServer,
    generated: Generated,
}

impl Paths {
    async fn of(check: impl Check, settings: GrpcSettings) -> Self {
        let generated = Generated::of(check.clone(), &settings).await;
        Self { served: TestServer::of(check, settings).await, generated }
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [self.served.grpc, self.generated.address]
    }

    async fn stop(self) {
        drop(self.generated);
        self.served.stop().await;
    }
}

/// Answers everything at once with an answer of this size, and tells what it was asked.
#[derive(Clone)]
struct Prompt {
    asked: mpsc::UnboundedSender<String>,
    answer_bytes: usize,
}

impl Prompt {
    fn new(answer_bytes: usize) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (asked, heard) = mpsc::unbounded_channel();
        (Self { asked, answer_bytes }, heard)
    }
}

impl Check for Prompt {
    async fn check(&self, request: CheckRequest<'_>) -> Result<Decision, InvalidRequest> {
        request.validate()?;
        self.asked.send(format!("{request:?}")).unwrap();
        let text = Metadata::Text("x".repeat(self.answer_bytes).into());
        let metadata = Some(BTreeMap::from([("text".into(), text)]));
        Ok(Decision { metadata, ..Decision::pass(request.descriptors.len()) })
    }
}

/// Answers when it is told to, and tells when a call came and when it was given up.
#[derive(Clone)]
struct Slow {
    told: mpsc::UnboundedSender<&'static str>,
    /// How many may be answered.
    go: std::sync::Arc<tokio::sync::Semaphore>,
}

struct TellWhenDropped<'a>(&'a Slow, bool);

impl Drop for TellWhenDropped<'_> {
    fn drop(&mut self) {
        _ = self.0.told.send(if self.1 { "answered" } else { "given up" });
    }
}

impl Slow {
    fn new() -> (Self, mpsc::UnboundedReceiver<&'static str>) {
        let (told, heard) = mpsc::unbounded_channel();
        (Self { told, go: std::sync::Arc::new(tokio::sync::Semaphore::new(0)) }, heard)
    }
}

impl Check for Slow {
    async fn check(&self, request: CheckRequest<'_>) -> Result<Decision, InvalidRequest> {
        let mut guard = TellWhenDropped(self, false);
        self.told.send("came").unwrap();
        self.go.acquire().await.unwrap().forget();
        guard.1 = true;
        Ok(Decision::pass(request.descriptors.len()))
    }
}

fn message(value_bytes: usize) -> Vec<u8> {
    let entry = Entry { key: "user".into(), value: vec![b'x'; value_bytes].into() };
    let descriptor = RateLimitDescriptor { entries: vec![entry], ..Default::default() };
    RateLimitRequest { domain: "api".into(), descriptors: vec![descriptor], hits_addend: 0 }.encode_to_vec()
}

fn call() -> Vec<u8> {
    framed(&message(3))
}

/// What a caller can tell apart, but for the words of errors that are not the engine's.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    code: Option<Grpc>,
    body: Vec<u8>,
    headers: [Option<HeaderValue>; 2],
    words: Option<HeaderValue>,
    reset: Option<Reason>,
}

fn seen(heard: &Heard) -> Seen {
    let code = match heard.code() {
        // tonic's own names for a message that is too long and a deadline that has passed.
        Some(Grpc::OutOfRange) => Some(Grpc::InvalidArgument),
        Some(Grpc::Cancelled) => Some(Grpc::DeadlineExceeded),
        code => code,
    };
    let header = |name: &str| heard.headers.get(name).cloned();
    Seen {
        status: heard.status,
        code,
        body: heard.body.clone(),
        headers: ["content-type", "grpc-accept-encoding"].map(header),
        words: header("grpc-message").filter(|words| words.to_str().unwrap().contains("must")),
        reset: heard.reset,
    }
}

#[tokio::test]
async fn every_form_of_a_call_is_answered_alike() {
    let (check, mut asked) = Prompt::new(10);
    let settings = GrpcSettings { max_message_bytes: 1000, timeout: LONG, ..GrpcSettings::default() };
    let paths = Paths::of(check, settings).await;
    let good = call();
    let prefixed = |flag: u8, length: u32, rest: &[u8]| [&[flag], &length.to_be_bytes()[..], rest].concat();
    let at_most = framed(&(900..1000).map(message).find(|message| message.len() == 1000).unwrap());
    let get = || {
        let mut request = plain();
        *request.method_mut() = Method::GET;
        request
    };
    let ask = |headers| with(headers);
    for (what, request, body, asks) in [
        ("a call", plain(), good.clone(), true),
        (
            "content type with a suffix",
            ask(&[("content-type", "application/grpc+proto")]),
            good.clone(),
            true,
        ),
        ("another content type", ask(&[("content-type", "application/json")]), good.clone(), true),
        ("no content type", ask(&[]), good.clone(), true),
        ("another method", get(), good.clone(), true),
        ("compressed by nothing", ask(&[("grpc-encoding", "identity")]), good.clone(), true),
        ("compressed", ask(&[("grpc-encoding", "gzip")]), good.clone(), false),
        ("compression is accepted", ask(&[("grpc-accept-encoding", "gzip")]), good.clone(), true),
        ("compressed and not said so", plain(), prefixed(1, 3, b"abc"), false),
        ("an unknown flag", plain(), prefixed(9, 3, b"abc"), false),
        ("as long as may be", plain(), at_most, true),
        ("too long", plain(), framed(&vec![0; 1001]), false),
        ("too long by its length only", plain(), prefixed(0, 1001, b"abc"), false),
        ("as long as can be", plain(), prefixed(0, u32::MAX, b"abc"), false),
        ("shorter than its length", plain(), prefixed(0, 100, &good), false),
        ("longer than its length", plain(), [&good[..], b"abc"].concat(), false),
        ("two calls in one", plain(), [good.clone(), good.clone()].concat(), true),
        ("a call and rubbish in a frame", plain(), [good.clone(), framed(&[0xff])].concat(), false),
        ("a call and one that is too long", plain(), [good.clone(), prefixed(0, 1001, b"")].concat(), false),
        ("nothing", plain(), Vec::new(), false),
        ("half a prefix", plain(), vec![0, 0, 0], false),
        ("no message", plain(), framed(&[]), false),
        ("rubbish in a frame", plain(), framed(&[0xff]), false),
        ("a field of another type", plain(), framed(&[0x08, 1]), false),
        ("no descriptors", plain(), framed(b"\x0a\x03api"), false),
    ] {
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        for pieces in [&[&body[..]][..], &bytes] {
            if pieces.is_empty() {
                continue;
            }
            let mut heard = Vec::new();
            for address in paths.addresses() {
                heard.push(Peer::of(address).await.call(clone(&request), pieces).await);
            }
            assert_eq!(seen(&heard[0]), seen(&heard[1]), "{what}, in {} pieces:\n{heard:#?}", pieces.len());
            let decided: Vec<_> = std::iter::from_fn(|| asked.try_recv().ok()).collect();
            assert_eq!(decided.len(), 2 * usize::from(asks), "{what}: {decided:?}");
            assert!(decided.windows(2).all(|pair| pair[0] == pair[1]), "{what}: {decided:?}");
        }
    }
    paths.stop().await;
}

fn clone(request: &Request<()>) -> Request<()> {
    let mut copy = Request::builder().method(request.method()).uri(request.uri()).body(()).unwrap();
    copy.headers_mut().clone_from(request.headers());
    copy
}

#[tokio::test]
async fn answers_carry_what_grpc_asks_for_and_nothing_else() {
    let (check, _asked) = Prompt::new(10);
    let server = TestServer::of(check, GrpcSettings::default()).await;
    let mut peer = Peer::of(server.grpc).await;
    let names = |headers: &HeaderMap| headers.keys().map(|name| name.to_string()).collect::<Vec<_>>();
    let answered = peer.call(plain(), &[&call()]).await;
    assert_eq!(names(&answered.headers), ["content-type"]);
    assert_eq!(names(&answered.trailers), ["grpc-status"]);
    let refused = peer.call(plain(), &[&framed(b"\x0a\x03api")]).await;
    assert_eq!(names(&refused.headers), ["content-type", "grpc-status", "grpc-message"]);
    assert_eq!(refused.headers["grpc-message"], "descriptors:%20must%20not%20be%20empty");
    assert_eq!(names(&refused.trailers), [""; 0]);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_end_is_heard_as_far_as_it_matters() {
    let too_long = [0, 0, 0, 4, 0, b'x'];
    let soon = Duration::from_millis(50);
    for (what, request, sent, timeout, code) in [
        ("only headers", plain(), &b""[..], soon, Grpc::DeadlineExceeded),
        ("half a call", plain(), &call()[..8], soon, Grpc::DeadlineExceeded),
        ("a call and no end", plain(), &call()[..], soon, Grpc::DeadlineExceeded),
        ("too long", plain(), &too_long, LONG, Grpc::InvalidArgument),
        ("compressed", with(&[("grpc-encoding", "zstd")]), b"", LONG, Grpc::Unimplemented),
    ] {
        let (check, mut asked) = Prompt::new(10);
        let settings = GrpcSettings { timeout, max_message_bytes: 1000, ..GrpcSettings::default() };
        let paths = Paths::of(check, settings).await;
        for address in paths.addresses() {
            let mut begun = Peer::of(address).await.begin(clone(&request)).await;
            if !sent.is_empty() {
                begun.sending.send_data(Bytes::copy_from_slice(sent), false).unwrap();
            }
            let heard = begun.heard().await;
            assert_eq!(seen(&heard).code, Some(code), "{what}: {heard:?}");
        }
        assert!(asked.try_recv().is_err(), "{what}: nothing is decided before the whole request is there");
        drop(paths);
    }
}

#[tokio::test]
async fn trailers_of_a_request_end_it() {
    let (check, _asked) = Prompt::new(10);
    let paths = Paths::of(check, GrpcSettings::default()).await;
    for address in paths.addresses() {
        let mut begun = Peer::of(address).await.begin(plain()).await;
        begun.sending.send_data(call().into(), false).unwrap();
        begun
            .sending
            .send_trailers(HeaderMap::from_iter([(http::header::ETAG, "x".parse().unwrap())]))
            .unwrap();
        assert_eq!(begun.heard().await.code(), Some(Grpc::Ok));
    }
    paths.stop().await;
}

#[tokio::test]
async fn the_deadline_of_the_caller_or_the_server_ends_a_call_that_waits() {
    for (longest, header) in [
        (Duration::from_millis(50), "1H"),
        (Duration::from_millis(50), "nonsense"),
        (LONG, "50m"),
        (LONG, "0n"),
    ] {
        let (check, mut told) = Slow::new();
        let settings = GrpcSettings { timeout: longest, ..GrpcSettings::default() };
        let paths = Paths::of(check, settings).await;
        for address in paths.addresses() {
            let heard = Peer::of(address).await.call(with(&[("grpc-timeout", header)]), &[&call()]).await;
            assert_eq!(seen(&heard).code, Some(Grpc::DeadlineExceeded), "{header}: {heard:?}");
            assert_eq!((told.recv().await, told.recv().await), (Some("came"), Some("given up")), "{header}");
        }
        drop(paths);
    }
}

#[tokio::test]
async fn a_deadline_ends_no_call_that_may_wait_longer() {
    let (check, mut told) = Slow::new();
    let go = check.go.clone();
    let paths = Paths::of(check, GrpcSettings { timeout: LONG, ..GrpcSettings::default() }).await;
    for address in paths.addresses() {
        let mut peer = Peer::of(address).await;
        let mut calls = Vec::new();
        for timeout in ["1H", "100m", "50m", "1H"] {
            calls.push(peer.ask(with(&[("grpc-timeout", timeout)]), &call()).await);
        }
        for _ in 0..2 {
            let ended = calls.remove(1).heard().await;
            assert_eq!(seen(&ended).code, Some(Grpc::DeadlineExceeded), "{ended:?}");
        }
        go.add_permits(2);
        for begun in calls {
            assert_eq!(begun.heard().await.code(), Some(Grpc::Ok));
        }
        // Which of them come before the first is given up is a matter of pace.
        let mut all = Vec::new();
        for _ in 0..8 {
            all.push(told.recv().await.unwrap());
        }
        all.sort_unstable();
        assert_eq!(all, [["answered"; 2].as_slice(), &["came"; 4], &["given up"; 2]].concat());
    }
    paths.stop().await;
}

#[tokio::test]
async fn a_call_that_is_decided_at_once_has_no_deadline() {
    let (check, _asked) = Prompt::new(10);
    let paths = Paths::of(check, GrpcSettings { timeout: Duration::ZERO, ..GrpcSettings::default() }).await;
    for address in paths.addresses() {
        let heard = Peer::of(address).await.call(with(&[("grpc-timeout", "0n")]), &[&call()]).await;
        assert_eq!(heard.code(), Some(Grpc::Ok), "{heard:?}");
    }
    paths.stop().await;
}

#[tokio::test]
async fn a_reset_ends_a_call_that_waits_and_no_other() {
    let (check, mut told) = Slow::new();
    let go = check.go.clone();
    let paths = Paths::of(check, GrpcSettings { timeout: LONG, ..GrpcSettings::default() }).await;
    for address in paths.addresses() {
        let mut peer = Peer::of(address).await;
        let mut calls = Vec::new();
        for _ in 0..3 {
            calls.push(peer.ask(plain(), &call()).await);
            assert_eq!(told.recv().await, Some("came"));
        }
        let mut given_up = calls.remove(1);
        given_up.sending.send_reset(Reason::CANCEL);
        assert_eq!(told.recv().await, Some("given up"));
        go.add_permits(2);
        for begun in calls {
            assert_eq!(begun.heard().await.code(), Some(Grpc::Ok));
            assert_eq!(told.recv().await, Some("answered"));
        }
    }
    paths.stop().await;
}

#[tokio::test]
async fn calls_that_wait_are_answered_as_they_end_and_so_are_those_between() {
    let (check, mut told) = Slow::new();
    let go = check.go.clone();
    let paths = Paths::of(check, GrpcSettings { timeout: LONG, ..GrpcSettings::default() }).await;
    for address in paths.addresses() {
        let peer = Peer::of(address).await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..300 {
            let mut peer = peer.clone();
            calls.spawn(async move { peer.call(plain(), &[&call()]).await });
        }
        for _ in 0..300 {
            assert_eq!(told.recv().await, Some("came"));
        }
        go.add_permits(300);
        for heard in calls.join_all().await {
            assert_eq!(heard.code(), Some(Grpc::Ok), "{heard:?}");
        }
        for _ in 0..300 {
            assert_eq!(told.recv().await, Some("answered"));
        }
    }
    paths.stop().await;
}

#[tokio::test]
async fn a_slow_reader_gets_its_whole_answer() {
    let (check, _asked) = Prompt::new(100_000);
    let paths = Paths::of(check, GrpcSettings::default()).await;
    let mut heard = Vec::new();
    for address in paths.addresses() {
        let mut settings = h2::client::Builder::new();
        settings.initial_window_size(1000);
        let peer = Peer::with(address, &settings).await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let mut peer = peer.clone();
            calls.spawn(async move { peer.call(plain(), &[&call()]).await });
        }
        for answer in calls.join_all().await {
            assert_eq!(answer.code(), Some(Grpc::Ok));
            RateLimitResponse::decode(&answer.body[5..]).unwrap();
            heard.push(answer.body);
        }
    }
    assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "all answers are equal");
    paths.stop().await;
}

#[tokio::test]
async fn bodies_longer_than_the_windows_arrive() {
    let (check, mut asked) = Prompt::new(10);
    let settings = GrpcSettings {
        stream_window_bytes: 5_000,
        connection_window_bytes: 70_000,
        timeout: LONG,
        ..GrpcSettings::default()
    };
    let paths = Paths::of(check, settings).await;
    let body = framed(&message(400_000));
    for address in paths.addresses() {
        let peer = Peer::of(address).await;
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (mut peer, body) = (peer.clone(), body.clone());
            calls.spawn(async move { peer.call(plain(), &[&body]).await });
        }
        for heard in calls.join_all().await {
            assert_eq!(heard.code(), Some(Grpc::Ok));
            assert!(asked.recv().await.unwrap().len() > 400_000);
        }
        // Windows are given back whole, whatever became of the calls.
        let mut peer = peer;
        for _ in 0..30 {
            let heard = peer.call(plain(), &[&framed(&[0xff; 4_000])]).await;
            assert_eq!(heard.code(), Some(Grpc::Internal));
        }
    }
    paths.stop().await;
}

#[tokio::test]
async fn a_malformed_frame_ends_its_connection_only() {
    let (check, _asked) = Prompt::new(10);
    let paths = Paths::of(check, GrpcSettings::default()).await;
    for address in paths.addresses() {
        let mut peer = Peer::of(address).await;
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        // SETTINGS of a length that there is not.
        let rubbish = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x05\x04\0\0\0\0\0abcde";
        tokio::io::AsyncWriteExt::write_all(&mut stream, rubbish).await.unwrap();
        let mut heard = Vec::new();
        _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut heard).await;
        let goaway = [7, 0, 0, 0, 0, 0];
        assert!(heard.windows(6).any(|bytes| bytes == goaway), "GOAWAY in {heard:?}");
        assert_eq!(peer.call(plain(), &[&call()]).await.code(), Some(Grpc::Ok));
    }
    paths.stop().await;
}

#[tokio::test]
async fn no_more_calls_are_open_than_may_be() {
    let (check, mut told) = Slow::new();
    let go = check.go.clone();
    let settings = GrpcSettings { timeout: LONG, max_concurrent_streams: 10, ..GrpcSettings::default() };
    let paths = Paths::of(check, settings).await;
    for address in paths.addresses() {
        let peer = Peer::of(address).await;
        // The limit is known once the server has spoken.
        let first = peer.clone().ask(plain(), &call()).await;
        assert_eq!(told.recv().await, Some("came"));
        go.add_permits(1);
        assert_eq!(first.heard().await.code(), Some(Grpc::Ok));
        assert_eq!(told.recv().await, Some("answered"));
        let calls: Vec<_> = (0..40)
            .map(|_| {
                let mut peer = peer.clone();
                tokio::spawn(async move { peer.call(plain(), &[&call()]).await })
            })
            .collect();
        let mut open = 0;
        for step in 0..40 {
            while told.try_recv().is_ok_and(|what| what == "came") {
                open += 1;
            }
            assert!(open <= step + 10, "{open} came before {step} were answered");
            go.add_permits(1);
            while told.recv().await != Some("answered") {
                open += 1;
            }
        }
        for heard in tokio_stream::iter(calls).then(|call| call).collect::<Vec<_>>().await {
            assert_eq!(heard.unwrap().code(), Some(Grpc::Ok));
        }
    }
    paths.stop().await;
}

/// A call that makes the program panic is answered, and so are the others of its connection.
#[tokio::test]
async fn a_call_that_panics_ends_alone() {
    #[derive(Clone)]
    struct Panics;
    impl Check for Panics {
        async fn check(&self, request: CheckRequest<'_>) -> Result<Decision, InvalidRequest> {
            assert_ne!(request.hits, 7, "this one panics on purpose");
            Ok(Decision::pass(request.descriptors.len()))
        }
    }
    let server = TestServer::of(Panics, GrpcSettings::default()).await;
    let mut peer = Peer::of(server.grpc).await;
    for (body, code) in [
        (call(), Grpc::Ok),
        (framed(&[&message(3)[..], &[0x18, 7]].concat()), Grpc::Internal),
        (call(), Grpc::Ok),
    ] {
        assert_eq!(peer.call(plain(), &[&body]).await.code(), Some(code));
    }
    server.stop().await;
}

/// Given up before it was read to its end, a call is not decided.
#[tokio::test]
async fn a_reset_before_the_end_of_a_request_charges_nothing() {
    let (check, mut asked) = Prompt::new(10);
    let server = TestServer::of(check, GrpcSettings { timeout: LONG, ..GrpcSettings::default() }).await;
    let mut peer = Peer::of(server.grpc).await;
    let mut begun = peer.begin(plain()).await;
    begun.sending.send_data(call().into(), false).unwrap();
    assert_eq!(peer.call(plain(), &[&call()]).await.code(), Some(Grpc::Ok));
    begun.sending.send_reset(Reason::CANCEL);
    assert_eq!(peer.call(plain(), &[&call()]).await.code(), Some(Grpc::Ok));
    server.stop().await;
    let decided = std::iter::from_fn(|| asked.try_recv().ok()).count();
    assert_eq!(decided, 2, "the call that was given up was not decided");
}

#[tokio::test]
async fn bodies_of_calls_that_wait_leave_room_for_others() {
    let (check, mut told) = Slow::new();
    let settings =
        GrpcSettings { connection_window_bytes: 128 * 1024, timeout: LONG, ..GrpcSettings::default() };
    let paths = Paths::of(check, settings).await;
    let body = framed(&message(10_000));
    for address in paths.addresses() {
        let mut peer = Peer::of(address).await;
        let mut calls = Vec::new();
        for _ in 0..40 {
            let mut begun = peer.begin(plain()).await;
            begun.sending.send_data(body.clone().into(), true).unwrap();
            let came = tokio::time::timeout(Duration::from_secs(20), told.recv()).await;
            assert_eq!(came, Ok(Some("came")), "after {} calls", calls.len());
            calls.push(begun);
        }
        drop(calls);
        for _ in 0..40 {
            assert_eq!(told.recv().await, Some("given up"));
        }
    }
    drop(paths);
}

#[tokio::test]
async fn a_long_name_of_a_compression_is_not_repeated() {
    let (check, _asked) = Prompt::new(10);
    let paths = Paths::of(check, GrpcSettings::default()).await;
    let mut request = plain();
    request.headers_mut().insert("grpc-encoding", HeaderValue::from_bytes(&[0x80; 10_000]).unwrap());
    let heard = Peer::of(paths.served.grpc).await.call(request, &[&call()]).await;
    assert_eq!(heard.code(), Some(Grpc::Unimplemented), "{heard:?}");
    let words = heard.headers["grpc-message"].len();
    assert!(words < 1000, "{words} bytes");
    paths.stop().await;
}
