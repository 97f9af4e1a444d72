//! The gRPC wire: what it reads, what it writes, and what it does with calls that are wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::transport::Endpoint;
use tonic::{Code as Grpc, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use tollgate::engine::{
    Check, CheckRequest, Code, CurrentLimit, Decision, DescriptorStatus, Direction, Header, InvalidRequest,
    Override,
};
use tollgate::limits::{Metadata, WireUnit};
use tollgate::transport::grpc::GrpcSettings;
use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::{
    Entry, RateLimitOverride,
};
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::rate_limit_response as wire;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::rate_limit_response::rate_limit::Unit;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use tollgate::transport::health::Serving;

use crate::support::raw::{self, SHOULD_RATE_LIMIT, framed};
use crate::support::server::{TestServer, per_key};

const TEN_PER_HOUR: [(&str, u64, WireUnit); 1] = [("user", 10, WireUnit::Hour)];

/// Answers as it was made to, and remembers what it was asked.
#[derive(Clone)]
struct Canned {
    decision: Decision,
    asked: mpsc::UnboundedSender<String>,
}

impl Canned {
    fn new(decision: Decision) -> (Self, mpsc::UnboundedReceiver<String>) {
        let (asked, heard) = mpsc::unbounded_channel();
        (Self { decision, asked }, heard)
    }
}

impl Check for Canned {
    async fn check(&self, request: CheckRequest<'_>) -> Result<Decision, InvalidRequest> {
        request.validate()?;
        self.asked.send(format!("{request:?}")).unwrap();
        Ok(self.decision.clone())
    }
}

/// Never answers, and tells when a call came and when it was given up.
#[derive(Clone)]
struct Stuck(mpsc::UnboundedSender<&'static str>);

struct TellWhenDropped(mpsc::UnboundedSender<&'static str>);

impl Drop for TellWhenDropped {
    fn drop(&mut self) {
        let _ = self.0.send("given up");
    }
}

impl Check for Stuck {
    async fn check(&self, _: CheckRequest<'_>) -> Result<Decision, InvalidRequest> {
        let _guard = TellWhenDropped(self.0.clone());
        self.0.send("came").unwrap();
        std::future::pending().await
    }
}

fn entry(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Entry {
    Entry { key: key.into().into(), value: value.into().into() }
}

fn ask(entries: Vec<Entry>) -> RateLimitRequest {
    let descriptor = RateLimitDescriptor { entries, ..RateLimitDescriptor::default() };
    RateLimitRequest { domain: "api".into(), descriptors: vec![descriptor], hits_addend: 0 }
}

fn user(name: impl Into<Vec<u8>>) -> RateLimitRequest {
    ask(vec![entry("user", name)])
}

fn remaining(response: &RateLimitResponse) -> u32 {
    response.statuses[0].limit_remaining
}

#[tokio::test]
async fn counts_and_refuses_as_a_normal_answer() {
    let server = TestServer::start(per_key("api", &TEN_PER_HOUR)).await;
    let mut client = server.client().await;
    for left in (0..10).rev() {
        let answer = client.should_rate_limit(user("ann")).await.unwrap().into_inner();
        assert_eq!(answer.overall_code(), wire::Code::Ok);
        assert_eq!(remaining(&answer), left);
    }
    let answer = client.should_rate_limit(user("ann")).await.unwrap().into_inner();
    assert_eq!(answer.overall_code(), wire::Code::OverLimit);
    let shown = answer.statuses[0].current_limit.clone().unwrap();
    assert_eq!((shown.requests_per_unit, shown.unit(), shown.unit_multiplier), (10, Unit::Hour, None));
    let reset = answer.statuses[0].duration_until_reset.unwrap();
    assert_eq!((reset.seconds, reset.nanos), (3600 - 1_700_000_000 % 3600, 0));
    server.stop().await;
}

#[tokio::test]
async fn reads_every_field_of_a_request() {
    let (check, mut asked) = Canned::new(Decision::pass(1));
    let server = TestServer::of(check, GrpcSettings::default()).await;
    let message = RateLimitRequest {
        domain: vec![b'd', 0xff, 0].into(),
        hits_addend: 7,
        descriptors: vec![RateLimitDescriptor {
            entries: vec![entry("k", vec![0xfe]), entry("", "")],
            limit: Some(RateLimitOverride { requests_per_unit: 9, unit: 7, unit_multiplier: Some(3) }),
            hits_addend: Some(0),
            is_negative_hits: true,
        }],
    };
    server.client().await.should_rate_limit(message).await.unwrap();
    let entries = vec![
        tollgate::limits::Entry { key: b"k", value: &[0xfe] },
        tollgate::limits::Entry { key: b"", value: b"" },
    ];
    let number = Override { requests_per_unit: 9, unit: WireUnit::Week, multiplier: 3 };
    let descriptor = tollgate::engine::Descriptor {
        entries: entries.into(),
        hits: Some(0),
        direction: Direction::GiveBack,
        number: Some(number),
    };
    let wanted = CheckRequest { domain: &[b'd', 0xff, 0], descriptors: vec![descriptor].into(), hits: 7 };
    assert_eq!(asked.recv().await.unwrap(), format!("{wanted:?}"));
    server.stop().await;
}

#[tokio::test]
async fn writes_every_field_of_a_decision() {
    let limit =
        CurrentLimit { name: "login".into(), requests_per_unit: 5, unit: WireUnit::Minute, multiplier: 15 };
    let refused = DescriptorStatus {
        code: Code::OverLimit,
        limit: Some(limit),
        remaining: u32::MAX,
        reset_seconds: Some(u64::MAX),
    };
    let map = BTreeMap::from([
        ("flag".into(), Metadata::Bool(true)),
        ("list".into(), Metadata::List(vec![Metadata::Null, Metadata::Number(1.5)])),
        ("map".into(), Metadata::Map(BTreeMap::from([("text".into(), Metadata::Text("x".into()))]))),
    ]);
    let decision = Decision {
        code: Code::OverLimit,
        statuses: vec![refused, DescriptorStatus::UNLIMITED].into(),
        headers: vec![Header { name: "Retry-After".into(), value: "3".into() }].into(),
        body: Some("{}".into()),
        metadata: Some(map),
        unclaimed: None,
    };
    let (check, _asked) = Canned::new(decision);
    let server = TestServer::of(check, GrpcSettings::default()).await;
    let answer = server.client().await.should_rate_limit(user("ann")).await.unwrap().into_inner();

    assert_eq!(answer.overall_code(), wire::Code::OverLimit);
    let shown = answer.statuses[0].current_limit.clone().unwrap();
    assert_eq!((shown.name.as_str(), shown.unit(), shown.unit_multiplier), ("login", Unit::Minute, Some(15)));
    assert_eq!(answer.statuses[0].limit_remaining, u32::MAX);
    assert_eq!(answer.statuses[0].duration_until_reset.unwrap().seconds, i64::MAX);
    let bare = wire::DescriptorStatus { code: 1, ..wire::DescriptorStatus::default() };
    assert_eq!(answer.statuses[1], bare);
    let header = &answer.response_headers_to_add[0];
    assert_eq!((header.key.as_str(), header.value.as_str()), ("Retry-After", "3"));
    assert_eq!(&*answer.raw_body, b"{}");
    let text = format!("{:?}", answer.dynamic_metadata.unwrap());
    for part in ["BoolValue(true)", "NullValue(NullValue)", "NumberValue(1.5)", "StringValue(\"x\")"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    server.stop().await;
}

#[tokio::test]
async fn units_are_sent_under_envoys_numbers() {
    for (unit, number) in [
        (WireUnit::Unknown, 0),
        (WireUnit::Second, 1),
        (WireUnit::Minute, 2),
        (WireUnit::Hour, 3),
        (WireUnit::Day, 4),
        (WireUnit::Month, 5),
        (WireUnit::Year, 6),
        (WireUnit::Week, 7),
    ] {
        let limit = CurrentLimit { name: "".into(), requests_per_unit: 1, unit, multiplier: 1 };
        let status = DescriptorStatus { limit: Some(limit), ..DescriptorStatus::UNLIMITED };
        let (check, _asked) = Canned::new(Decision { statuses: vec![status].into(), ..Decision::pass(0) });
        let server = TestServer::of(check, GrpcSettings::default()).await;
        let answer = server.client().await.should_rate_limit(user("ann")).await.unwrap().into_inner();
        assert_eq!(answer.statuses[0].current_limit.as_ref().unwrap().unit, number);
        server.stop().await;
    }
}

#[tokio::test]
async fn what_an_operator_gets_wrong_is_named() {
    let server = TestServer::start(per_key("api", &TEN_PER_HOUR)).await;
    let mut client = server.client().await;
    let with = |change: &dyn Fn(&mut RateLimitRequest)| {
        let mut request = user("ann");
        change(&mut request);
        request
    };
    let override_of = |unit| Some(RateLimitOverride { requests_per_unit: 1, unit, unit_multiplier: None });
    for (field, request) in [
        ("domain", with(&|r| r.domain = "".into())),
        ("descriptors", with(&|r| r.descriptors.clear())),
        ("descriptors", with(&|r| r.descriptors = vec![RateLimitDescriptor::default(); 33])),
        ("descriptors[0].entries", with(&|r| r.descriptors[0].entries = vec![entry("user", "x"); 17])),
        ("descriptors[0].entries[1].key", ask(vec![entry("user", "x"), entry("k".repeat(65), "x")])),
        ("descriptors[0].hits_addend", with(&|r| r.descriptors[0].hits_addend = Some(u64::MAX))),
        ("descriptors[0].limit.unit", with(&|r| r.descriptors[0].limit = override_of(0))),
        ("descriptors[0].limit.unit", with(&|r| r.descriptors[0].limit = override_of(8))),
        ("descriptors[0].limit.unit", with(&|r| r.descriptors[0].limit = override_of(-1))),
    ] {
        let refused = client.should_rate_limit(request).await.unwrap_err();
        assert_eq!(refused.code(), Grpc::InvalidArgument, "{field}");
        assert!(refused.message().starts_with(&format!("{field}:")), "{field}: {}", refused.message());
    }
    let answer = client.should_rate_limit(user("ann")).await.unwrap().into_inner();
    assert_eq!(remaining(&answer), 9, "nothing was charged by what was refused");
    server.stop().await;
}

#[tokio::test]
async fn any_bytes_are_a_value_and_count() {
    let server = TestServer::start(per_key("api", &TEN_PER_HOUR)).await;
    let mut client = server.client().await;
    let long = "x".repeat(50_000);
    let values: [&[u8]; 7] =
        [b"\xff\xfe", b"", b"\0", b"{}", b"%00_", "\u{202e}".as_bytes(), long.as_bytes()];
    for value in values {
        for left in [9, 8] {
            let answer = client.should_rate_limit(user(value)).await.unwrap().into_inner();
            assert_eq!(remaining(&answer), left, "{value:?}");
        }
    }
    let bytes_everywhere = RateLimitRequest {
        domain: vec![0xff].into(),
        descriptors: vec![RateLimitDescriptor {
            entries: vec![entry(vec![0xff, 0], vec![0xc3, 0x28])],
            ..RateLimitDescriptor::default()
        }],
        hits_addend: u32::MAX,
    };
    let answer = client.should_rate_limit(bytes_everywhere).await.unwrap().into_inner();
    assert_eq!(answer.overall_code(), wire::Code::Ok);
    server.stop().await;
}

#[tokio::test]
async fn large_messages_pass_and_larger_ones_are_refused_unread() {
    let server = TestServer::start(per_key("api", &TEN_PER_HOUR)).await;
    let mut client = server.client().await;
    let answer = client.should_rate_limit(user(vec![b'x'; 511 * 1024])).await.unwrap().into_inner();
    assert_eq!(remaining(&answer), 9);
    for length in [512 * 1024, 1024 * 1024] {
        let refused = client.should_rate_limit(user(vec![b'x'; length])).await.unwrap_err();
        assert_eq!(refused.code(), Grpc::InvalidArgument, "{refused:?}");
    }
    client.should_rate_limit(user("ann")).await.unwrap();
    server.stop().await;
}

/// What Envoy makes of a path of 59 KB, where nine descriptors hold it.
#[tokio::test]
async fn nine_descriptors_that_repeat_a_long_path_fit_where_the_cap_is_raised() {
    let path = "/".repeat(59 * 1024);
    let mut message = user("ann");
    let repeated = RateLimitDescriptor { entries: vec![entry("path", path)], ..Default::default() };
    message.descriptors.extend(vec![repeated; 9]);
    for (max_message_bytes, wanted) in [(512 * 1024, Grpc::InvalidArgument), (1024 * 1024, Grpc::Ok)] {
        let (check, _asked) = Canned::new(Decision::pass(10));
        let settings = GrpcSettings { max_message_bytes, ..GrpcSettings::default() };
        let server = TestServer::of(check, settings).await;
        let answer = server.client().await.should_rate_limit(message.clone()).await;
        assert_eq!(answer.map_or_else(|refused| refused.code(), |_| Grpc::Ok), wanted);
        server.stop().await;
    }
}

/// Envoy's tracers copy `tracestate` of its client into the call, as long as it may be.
#[tokio::test]
async fn long_headers_of_envoys_clients_are_no_reason_to_fail() {
    let server = TestServer::start(per_key("api", &TEN_PER_HOUR)).await;
    let mut client = server.client().await;
    let mut call = tonic::Request::new(user("ann"));
    let states = format!("a={}", "b".repeat(60 * 1024));
    call.metadata_mut().insert("tracestate", states.parse().unwrap());
    let answer = client.should_rate_limit(call).await.unwrap().into_inner();
    assert_eq!(remaining(&answer), 9);
    server.stop().await;
}

#[tokio::test]
async fn calls_that_are_no_calls_get_the_codes_of_grpc() {
    let server = TestServer::start(per_key("api", &TEN_PER_HOUR)).await;
    let mut channel = server.channel().await;
    let message = user("ann").encode_to_vec();
    let good = framed(&message);
    let unknown = "/envoy.service.ratelimit.v3.RateLimitService/ShouldNotRateLimit";
    let truncated = good[..good.len() - 3].to_vec();
    let mut compressed = good.clone();
    compressed[0] = 1;
    let mut flagged = good.clone();
    flagged[0] = 9;
    for (what, path, headers, body, code) in [
        ("a call", SHOULD_RATE_LIMIT, &[][..], good.clone(), Grpc::Ok),
        ("unknown method", unknown, &[], good.clone(), Grpc::Unimplemented),
        ("unknown service", "/nobody/Home", &[], good.clone(), Grpc::Unimplemented),
        ("no path", "/", &[], good.clone(), Grpc::Unimplemented),
        ("malformed message", SHOULD_RATE_LIMIT, &[], framed(&[0x0a, 0xff, 0xff]), Grpc::Internal),
        ("no message", SHOULD_RATE_LIMIT, &[], Vec::new(), Grpc::Internal),
        ("truncated frame", SHOULD_RATE_LIMIT, &[], truncated, Grpc::Internal),
        ("unknown compression flag", SHOULD_RATE_LIMIT, &[], flagged, Grpc::Internal),
        ("compressed", SHOULD_RATE_LIMIT, &[("grpc-encoding", "gzip")], compressed, Grpc::Unimplemented),
        ("empty message", SHOULD_RATE_LIMIT, &[], framed(&[]), Grpc::InvalidArgument),
    ] {
        let answer = raw::call(&mut channel, path, headers, body).await;
        assert_eq!(answer.code, code, "{what}: {answer:?}");
    }
    let answer = raw::call(&mut channel, SHOULD_RATE_LIMIT, &[], good).await;
    assert_eq!(answer.code, Grpc::Ok);
    let answer = RateLimitResponse::decode(&answer.body[5..]).unwrap();
    assert_eq!(remaining(&answer), 8, "only the two calls were charged");
    server.stop().await;
}

#[tokio::test]
async fn compression_is_refused_and_never_offered() {
    let server = TestServer::start(per_key("api", &TEN_PER_HOUR)).await;
    let mut channel = server.channel().await;
    let accepting = [("grpc-accept-encoding", "gzip,deflate,zstd")];
    let answer =
        raw::call(&mut channel, SHOULD_RATE_LIMIT, &accepting, framed(&user("ann").encode_to_vec())).await;
    assert_eq!((answer.code, answer.body[0]), (Grpc::Ok, 0), "answers are sent as they are");
    server.stop().await;
}

#[tokio::test]
async fn a_deadline_that_passes_says_so_and_ends_the_work() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let settings = GrpcSettings { timeout: Duration::from_millis(50), ..GrpcSettings::default() };
    let server = TestServer::of(Stuck(told), settings).await;
    let mut channel = server.channel().await;
    for headers in [&[][..], &[("grpc-timeout", "nonsense")]] {
        let body = framed(&user("ann").encode_to_vec());
        let answer = raw::call(&mut channel, SHOULD_RATE_LIMIT, headers, body).await;
        assert_eq!(answer.code, Grpc::DeadlineExceeded, "{headers:?}: {answer:?}");
        assert_eq!((heard.recv().await, heard.recv().await), (Some("came"), Some("given up")));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_is_let_go() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let settings = GrpcSettings { timeout: Duration::from_secs(3600), ..GrpcSettings::default() };
    let server = TestServer::of(Stuck(told), settings).await;
    let mut client = server.client().await;
    let call = tokio::spawn(async move { client.should_rate_limit(user("ann")).await });
    assert_eq!(heard.recv().await, Some("came"));
    call.abort();
    assert_eq!(heard.recv().await, Some("given up"));
    server.stop().await;
}

#[tokio::test]
async fn ten_connections_at_once_count_exactly() {
    let server = TestServer::start(per_key("api", &[("user", 100, WireUnit::Hour)])).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let mut client = server.client().await;
        tasks.spawn(async move {
            let mut passed = 0;
            for _ in 0..20 {
                let answer = client.should_rate_limit(user("ann")).await.unwrap().into_inner();
                passed += u32::from(answer.overall_code() == wire::Code::Ok);
            }
            passed
        });
    }
    assert_eq!(tasks.join_all().await.iter().sum::<u32>(), 100);
    server.stop().await;
}

#[tokio::test]
async fn rubbish_on_the_wire_harms_nobody_else() {
    let server = TestServer::start(per_key("api", &TEN_PER_HOUR)).await;
    let mut client = server.client().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let huge_frame = [&preface[..], &[0xff; 64]].concat();
    let headers_of_nothing =
        [&preface[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 3, 1, 5, 0, 0, 0, 1, 1, 2, 3]].concat();
    for rubbish in
        [b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), vec![0; 4096], huge_frame, headers_of_nothing]
    {
        let mut stream = TcpStream::connect(server.grpc).await.unwrap();
        stream.write_all(&rubbish).await.unwrap();
        // The server ends such a connection by itself, in peace or by a reset.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        client.should_rate_limit(user("rubbish")).await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn a_connection_that_never_says_a_word_is_closed() {
    let settings = GrpcSettings { greeting_timeout: Duration::from_millis(50), ..GrpcSettings::default() };
    let (check, _asked) = Canned::new(Decision::pass(1));
    let server = TestServer::of(check, settings).await;
    let mut greeted = server.client().await;
    for beginning in [&b""[..], b"PRI * HT"] {
        let mut silent = TcpStream::connect(server.grpc).await.unwrap();
        silent.write_all(beginning).await.unwrap();
        let _ = silent.read_to_end(&mut Vec::new()).await;
    }
    greeted.should_rate_limit(user("ann")).await.unwrap();
    server.stop().await;
}

/// A peer that grants no window, sends calls and reads nothing.
#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_nobody() {
    let server = TestServer::start(per_key("api", &[("user", 1000, WireUnit::Hour)])).await;
    let mut stream = TcpStream::connect(server.grpc).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let no_window = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    stream.write_all(&no_window).await.unwrap();
    let body = framed(&user("slow").encode_to_vec());
    for stream_id in (1..200u32).step_by(2) {
        stream.write_all(&frame(1, 4, stream_id, &request_headers())).await.unwrap();
        stream.write_all(&frame(0, 1, stream_id, &body)).await.unwrap();
    }
    let mut client = server.client().await;
    let mut left = 1000;
    while left > 850 {
        let answer = client.should_rate_limit(user("slow")).await.unwrap().into_inner();
        left = remaining(&answer);
    }
    drop(stream);
    server.stop().await;
}

fn frame(kind: u8, flags: u8, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream_id.to_be_bytes(), payload].concat()
}

/// The headers of a rate limit call, each written out in full.
fn request_headers() -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [
        (":path", SHOULD_RATE_LIMIT),
        (":authority", "tollgate"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// Opens a connection as a well-made client would, and reads nothing yet.
async fn open(server: &TestServer) -> TcpStream {
    let mut stream = TcpStream::connect(server.grpc).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    stream
}

/// Kind, flags and stream of the next frame that the server sends.
async fn next_frame(stream: &mut TcpStream) -> (u8, u8, u32) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.expect("the connection is open");
    let [_, high, low, kind, flags, stream_id @ ..] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    stream.read_exact(&mut vec![0; length]).await.expect("a frame is whole");
    (kind, flags, u32::from_be_bytes(stream_id))
}

/// Whether the server closes the connection on `frames` sent for each of so many calls.
async fn is_closed_by(server: &TestServer, calls: u32, frames: impl Fn(u32) -> Vec<u8>) -> bool {
    let mut stream = open(server).await;
    for stream_id in (0..calls).map(|call| 2 * call + 1) {
        if stream.write_all(&frames(stream_id)).await.is_err() {
            return true;
        }
    }
    if stream.write_all(&frame(6, 0, 0, b"are you?")).await.is_err() {
        return true;
    }
    let mut heard = Vec::new();
    let acknowledged = frame(6, 1, 0, b"are you?");
    while !heard.windows(acknowledged.len()).any(|bytes| bytes == acknowledged) {
        match stream.read_buf(&mut heard).await {
            Ok(0) | Err(_) => return true,
            Ok(_) => {}
        }
    }
    false
}

#[tokio::test]
async fn floods_of_resets_cost_the_flooder_its_connection_and_nobody_else() {
    let server = TestServer::start(per_key("api", &[("user", 1000, WireUnit::Hour)])).await;
    let mut client = server.client().await;
    let reset = |stream_id| {
        [frame(1, 4, stream_id, &request_headers()), frame(3, 0, stream_id, &[0, 0, 0, 8])].concat()
    };
    let overflow = |stream_id| {
        [frame(1, 4, stream_id, &request_headers()), frame(8, 0, stream_id, &[0x7f, 0xff, 0xff, 0xff])]
            .concat()
    };
    assert!(!is_closed_by(&server, 20_000, reset).await, "calls given up in bursts are honest");
    assert!(!is_closed_by(&server, 500, overflow).await);
    assert!(is_closed_by(&server, 2_000, overflow).await, "calls that the server has to reset");
    client.should_rate_limit(user("ann")).await.unwrap();
    server.stop().await;

    let (check, _asked) = Canned::new(Decision::pass(1));
    let strict = GrpcSettings { max_pending_reset_streams: 100, ..GrpcSettings::default() };
    let server = TestServer::of(check, strict).await;
    let mut client = server.client().await;
    assert!(!is_closed_by(&server, 90, reset).await);
    assert!(is_closed_by(&server, 20_000, reset).await, "more calls reset by the peer than are put up with");
    client.should_rate_limit(user("ann")).await.unwrap();
    server.stop().await;
}

/// Envoy carries the calls of all its clients on one connection. A client that gives up its own by the thousand
/// must not cost another its answer.
#[tokio::test]
async fn calls_given_up_by_the_thousand_leave_the_others_of_their_connection_alone() {
    let (check, _asked) = Canned::new(Decision::pass(1));
    let settings = GrpcSettings { timeout: Duration::from_secs(3600), ..GrpcSettings::default() };
    let server = TestServer::of(check, settings).await;
    let mut stream = open(&server).await;
    let call = |stream_id| frame(1, 4, stream_id, &request_headers());
    let body = |stream_id| frame(0, 1, stream_id, &framed(&user("ann").encode_to_vec()));
    let given_up = (1..=5_000).flat_map(|call_number| {
        let stream_id = 2 * call_number + 1;
        [call(stream_id), body(stream_id), frame(3, 0, stream_id, &[0, 0, 0, 8])].concat()
    });
    let after = 2 * 5_001 + 1;
    let burst = [call(1), given_up.collect(), body(1), call(after), body(after)].concat();
    stream.write_all(&burst).await.unwrap();
    let mut unanswered = vec![1, after];
    while !unanswered.is_empty() {
        let (kind, flags, stream_id) = next_frame(&mut stream).await;
        assert_ne!((kind, stream_id), (7, 0), "the connection is given up with {unanswered:?} unanswered");
        if (kind, flags & 1) == (1, 1) {
            unanswered.retain(|unanswered| *unanswered != stream_id);
        }
    }
    drop(stream);
    server.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Whatever the bytes, the answer is one of four and the service goes on.
    #[test]
    fn random_messages_are_answered(messages in prop::collection::vec(any_message(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = TestServer::start(per_key("api", &TEN_PER_HOUR)).await;
            let mut channel = server.channel().await;
            for message in messages {
                let answer = raw::call(&mut channel, SHOULD_RATE_LIMIT, &[], message).await;
                let known = [Grpc::Ok, Grpc::InvalidArgument, Grpc::Internal, Grpc::Unimplemented];
                assert!(known.contains(&answer.code), "{answer:?}");
            }
            let answer = raw::call(&mut channel, SHOULD_RATE_LIMIT, &[], framed(&user("ann").encode_to_vec())).await;
            assert_eq!(answer.code, Grpc::Ok);
            server.stop().await;
        });
    }
}

/// Bytes of any kind: as a frame, as a message in a frame, and as a request with a few bytes changed.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    let bent = (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(place, byte)| {
        let mut message = user("ann").encode_to_vec();
        let place = place.index(message.len());
        message[place] = byte;
        framed(&message)
    });
    prop_oneof![bytes(), bytes().prop_map(|message| framed(&message)), bent]
}

/// What the reflection service answers to `$question`, in the version `$version`.
macro_rules! reflect {
    ($version:ident, $server:expr, $question:ident($value:expr)) => {{
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_response::MessageResponse,
        };
        let message_request = Some(MessageRequest::$question($value.to_owned()));
        let question = ServerReflectionRequest { host: String::new(), message_request };
        let mut client = ServerReflectionClient::new($server.channel().await);
        let mut answers =
            client.server_reflection_info(tokio_stream::once(question)).await.unwrap().into_inner();
        match answers.next().await.unwrap().unwrap().message_response.unwrap() {
            MessageResponse::ListServicesResponse(list) => {
                list.service.into_iter().map(|service| service.name.into_bytes()).collect::<Vec<_>>()
            }
            MessageResponse::FileDescriptorResponse(files) => files.file_descriptor_proto,
            other => panic!("{other:?}"),
        }
    }};
}

#[tokio::test]
async fn reflection_lists_every_service_and_shows_strings() {
    let server = TestServer::start(per_key("api", &TEN_PER_HOUR)).await;
    for mut services in [reflect!(v1, server, ListServices("")), reflect!(v1alpha, server, ListServices(""))]
    {
        services.sort_unstable();
        let services: Vec<_> = services.iter().map(|name| str::from_utf8(name).unwrap()).collect();
        assert_eq!(services, NAMES[2..]);
    }
    for (symbol, message, fields) in [
        ("envoy.service.ratelimit.v3.RateLimitRequest", "RateLimitRequest", &["domain"][..]),
        ("envoy.extensions.common.ratelimit.v3.RateLimitDescriptor", "Entry", &["key", "value"]),
        ("tollgate.v1.Subject", "EntriesEntry", &["key", "value"]),
        ("tollgate.v1.ReleaseRequest", "ReleaseRequest", &["reservation", "limit", "idempotency_key"]),
    ] {
        for files in [
            reflect!(v1, server, FileContainingSymbol(symbol)),
            reflect!(v1alpha, server, FileContainingSymbol(symbol)),
        ] {
            let file = prost_types::FileDescriptorProto::decode(&*files[0]).unwrap();
            let nested = file.message_type.iter().flat_map(|outer| &outer.nested_type);
            let found = file.message_type.iter().chain(nested).find(|found| found.name() == message).unwrap();
            for field in fields {
                let field = found.field.iter().find(|found| found.name() == *field).unwrap();
                assert_eq!(field.r#type(), prost_types::field_descriptor_proto::Type::String, "{field:?}");
            }
        }
    }
    for name in &NAMES[2..] {
        assert!(!reflect!(v1, server, FileContainingSymbol(*name)).is_empty(), "{name}");
    }
    server.stop().await;
}

const NAMES: [&str; 7] = [
    "",
    "ratelimit",
    "envoy.service.ratelimit.v3.RateLimitService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "tollgate.v1.LimitService",
];

async fn health_of(
    client: &mut HealthClient<tonic::transport::Channel>,
    name: &str,
) -> Result<ServingStatus, Status> {
    let request = HealthCheckRequest { service: name.to_owned() };
    client.check(request).await.map(|answer| answer.into_inner().status())
}

#[tokio::test]
async fn health_is_told_for_every_name() {
    let server = TestServer::start(per_key("api", &TEN_PER_HOUR)).await;
    let mut client = HealthClient::new(server.channel().await);
    for name in NAMES {
        assert_eq!(health_of(&mut client, name).await.unwrap(), ServingStatus::Serving, "{name}");
    }
    assert_eq!(health_of(&mut client, "nobody").await.unwrap_err().code(), Grpc::NotFound);
    server.health.set(Serving::Unwanted);
    for name in NAMES {
        while health_of(&mut client, name).await.unwrap() != ServingStatus::NotServing {
            tokio::task::yield_now().await;
        }
    }
    let mut calls = server.client().await;
    calls.should_rate_limit(user("ann")).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_drain_tells_watchers_ends_calls_in_peace_and_turns_new_ones_away() {
    let (told, mut heard) = mpsc::unbounded_channel();
    let settings = GrpcSettings { timeout: Duration::from_millis(300), ..GrpcSettings::default() };
    let server = TestServer::of(Stuck(told), settings).await;
    let mut watcher = HealthClient::new(server.channel().await);
    let watch = watcher.watch(HealthCheckRequest { service: String::new() }).await.unwrap();
    let mut watch = watch.into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::Serving);

    let mut client = server.client().await;
    let call = tokio::spawn(async move { client.should_rate_limit(user("ann")).await });
    assert_eq!(heard.recv().await, Some("came"));
    server.ask_to_stop();
    assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(watch.next().await.is_none(), "the watch ends");
    let ended = call.await.unwrap().unwrap_err();
    assert_eq!(ended.code(), Grpc::DeadlineExceeded, "the call in progress is answered: {ended:?}");
    let address = format!("http://{}", server.grpc);
    server.stop().await;
    assert!(Endpoint::from_shared(address).unwrap().connect().await.is_err(), "the listener is closed");
}

#[tokio::test]
async fn peers_that_ignore_the_end_do_not_hold_it_up() {
    let settings = GrpcSettings { timeout: Duration::from_millis(50), ..GrpcSettings::default() };
    let (check, _asked) = Canned::new(Decision::pass(1));
    let server = TestServer::of(check, settings).await;
    let _silent = TcpStream::connect(server.grpc).await.unwrap();
    let mut greeting = TcpStream::connect(server.grpc).await.unwrap();
    greeting.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    greeting.read_exact(&mut [0; 9]).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), server.stop()).await;
    assert!(ended.is_ok(), "the server waits for nobody who asks nothing");
}

#[tokio::test]
async fn protections_are_announced() {
    let server = TestServer::start(per_key("api", &TEN_PER_HOUR)).await;
    let mut stream = TcpStream::connect(server.grpc).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "the first frame is SETTINGS");
    let mut settings = vec![0; usize::from(head[2])];
    stream.read_exact(&mut settings).await.unwrap();
    let settings: BTreeMap<u16, u32> = settings
        .chunks(6)
        .map(|one| {
            (u16::from_be_bytes([one[0], one[1]]), u32::from_be_bytes([one[2], one[3], one[4], one[5]]))
        })
        .collect();
    assert_eq!(settings.get(&3), Some(&1024), "MAX_CONCURRENT_STREAMS of {settings:?}");
    assert_eq!(settings.get(&4).copied().unwrap_or(65_535), 65_536, "INITIAL_WINDOW_SIZE of {settings:?}");
    assert_eq!(settings.get(&6), Some(&262_144), "MAX_HEADER_LIST_SIZE of {settings:?}");
    drop(stream);
    server.stop().await;
}
