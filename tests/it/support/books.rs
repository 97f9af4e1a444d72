//! A Tollgate over a store of its own, its client, and books of which every unit is known: hits, tokens, money, open calls.

use std::fs;
use std::time::Duration as Pause;

use prost_types::Duration;
use tollgate::transport::grpc::proto::tollgate::v1::limit_service_client::LimitServiceClient;
use tollgate::transport::grpc::proto::tollgate::v1::{
    Decision, ReserveRequest, ReserveResponse, SettleRequest, SettleResponse, Standing, Usage,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response};

use super::limit_calls::{amounts, subject, tokens};
use super::process::Tollgate;
use super::redis::RedisServer;

const LIMITS: &str = "
domains:
  app:
    per: user
    limits:
      calls: 1000000 total
      words: 1000000 tokens/1d
      spend: $1000.00 total
      open:  {limit: 100000, window: concurrent, lease: 2s, max_age: 30m}
    routes:
      all:   [calls, words, spend, open]
      words: words
prices: {models: {gpt-realtime: {input: 100.00, output: 200.00}}}
";
const EVERY: [&str; 4] = ["calls", "words", "spend", "open"];
const TTL_SECONDS: u64 = 2;
const ALL_WORDS: i64 = 1_000_000;
const NANO_USD_EACH: i64 = 200_000;

/// How often, and after which pause, something is asked again.
const ATTEMPTS: usize = 1000;
const PAUSE: Pause = Pause::from_millis(10);

/// The limits in a file of their own.
pub(crate) struct Limits {
    _folder: tempfile::TempDir,
    pub(crate) path: String,
    data: String,
}

impl Limits {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.yaml");
        fs::write(&path, LIMITS).unwrap();
        let data = folder.path().join("data").display().to_string();
        Self { path: path.display().to_string(), data, _folder: folder }
    }

    /// A Tollgate over `redis`, which has all the time it needs to answer.
    pub(crate) async fn over(&self, redis: &RedisServer) -> Service {
        self.waiting(redis, "10s").await
    }

    /// A Tollgate that waits no longer than `patience` for an answer of `redis`.
    pub(crate) async fn waiting(&self, redis: &RedisServer, patience: &str) -> Service {
        let arguments = [&self.path, "--store", &redis.url(), "--threads", "1"];
        Service::of(Tollgate::with(&arguments, &[("TOLLGATE_STORE_TIMEOUT", patience)])).await
    }

    /// A Tollgate that keeps its books itself.
    pub(crate) async fn embedded(&self) -> Service {
        let arguments = [&self.path, "--data-dir", &self.data, "--threads", "1"];
        Service::of(Tollgate::with(&arguments, &[("TOLLGATE_FLUSH_INTERVAL", "100ms")])).await
    }
}

/// A Tollgate, and a client of it.
pub(crate) struct Service {
    pub(crate) process: Tollgate,
    pub(crate) client: LimitServiceClient<Channel>,
}

impl Service {
    pub(crate) async fn of(process: Tollgate) -> Self {
        let address = format!("http://{}", process.grpc());
        let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
        Self { process, client: LimitServiceClient::new(channel) }
    }

    /// Reserves what there is room for, however often it has to be asked before the store answers.
    pub(crate) async fn reserve(&self, request: ReserveRequest) -> ReserveResponse {
        for _ in 0..ATTEMPTS {
            match self.client.clone().reserve(request.clone()).await.map(Response::into_inner) {
                Ok(answer) if answer.decision() == Decision::Allow && !answer.reservation.is_empty() => {
                    return answer;
                }
                Ok(_) => {}
                Err(error) => assert_eq!(error.code(), Code::DeadlineExceeded, "{error}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
        panic!("{request:?} is refused")
    }

    /// Settles, however often it has to be told before the store answers.
    pub(crate) async fn settle(&self, request: SettleRequest) -> SettleResponse {
        for _ in 0..ATTEMPTS {
            match self.client.clone().settle(request.clone()).await {
                Err(error) if matches!(error.code(), Code::Unavailable | Code::DeadlineExceeded) => {
                    tokio::time::sleep(PAUSE).await;
                }
                answer => return answer.unwrap().into_inner(),
            }
        }
        panic!("{request:?} is not answered")
    }

    /// Sends `reserve` and `settle`, and waits for no answer to either.
    pub(crate) fn send(&self, reserve: ReserveRequest, settle: SettleRequest) {
        let (mut first, mut second) = (self.client.clone(), self.client.clone());
        tokio::spawn(async move { first.reserve(reserve).await });
        tokio::spawn(async move { second.settle(settle).await });
    }

    /// Where every limit of ann stands, seen by a call that is too large to be made.
    pub(crate) async fn standings(&self) -> Vec<Standing> {
        let estimate = Some(Usage { hits: 1 << 52, ..Usage::default() });
        let look = ReserveRequest { estimate, ..ask("all", "", 0) };
        self.client.clone().reserve(look).await.unwrap().into_inner().standings
    }

    /// Waits for as long as anything may be held, and a second. Then nothing is, and what is not used can be had.
    pub(crate) async fn nothing_is_held(&self) -> Vec<Standing> {
        tokio::time::sleep(Pause::from_secs(TTL_SECONDS + 1)).await;
        let standings = self.standings().await;
        for limit in EVERY {
            assert_eq!(amounts(&standings, limit)[1], 0, "{limit}: {standings:?}");
        }
        let rest = ALL_WORDS - amounts(&standings, "words")[0];
        self.reserve(ask("words", "rest", rest.unsigned_abs())).await;
        standings
    }
}

/// Reserves so many tokens under `key`.
pub(crate) fn ask(route: &str, key: &str, output: u64) -> ReserveRequest {
    ReserveRequest {
        subject: Some(subject("app", &[("route", route), ("user", "ann")])),
        estimate: Some(tokens(&[("output", output)])),
        idempotency_key: key.to_owned().into(),
        ttl: Some(Duration { seconds: TTL_SECONDS.cast_signed(), nanos: 0 }),
        ..ReserveRequest::default()
    }
}

/// Settles so many tokens of what was reserved under `key`.
pub(crate) fn by_key(key: &str, output: u64) -> SettleRequest {
    let ReserveRequest { subject, idempotency_key, .. } = ask("all", key, 0);
    let used = Some(tokens(&[("output", output)]));
    SettleRequest { subject, idempotency_key, used, ..SettleRequest::default() }
}

pub(crate) fn output(tokens_used: u64) -> Usage {
    tokens(&[("output", tokens_used)])
}

/// What so many tokens cost, as it is written.
pub(crate) fn dollars(tokens_used: u64) -> String {
    let text = format!("0.{:04}", tokens_used * 2);
    let short = text.trim_end_matches('0');
    format!("{short:0<4}")
}

/// `standings` are those after so many reservations, and so many tokens.
pub(crate) fn assert_books(standings: &[Standing], calls: u64, words: u64) {
    let used = |limit| amounts(standings, limit)[0];
    let words = words.cast_signed();
    let expected = [calls.cast_signed(), words, words * NANO_USD_EACH, 0];
    assert_eq!(EVERY.map(used), expected);
}
