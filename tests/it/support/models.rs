//! Client → Envoy → models, with the service beside it: Envoy as examples/envoy-llm.yaml sets it up.
//!
//! Envoy does not wait for the call at a stream's end, so the books are looked at until they are right.

use std::time::Duration;

use serde_json::{Value, json};

use super::envoy::Envoy;
use super::gate::Gate;
use super::http::{Answer, Call, post};
use super::process::Tollgate;
use super::redis::RedisServer;
use super::tools::Tool;
use super::upstream::Upstream;

pub(crate) const FILE: &str = include_str!("../../data/llm.yaml");

/// What a thousand tokens of gpt-4o-mini cost as output, in nano-USD.
pub(crate) const THOUSAND: u64 = 600_000;

/// Who keeps the counts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keeper {
    Memory,
    Redis,
}

pub(crate) struct Models {
    pub(crate) envoy: Envoy,
    pub(crate) gate: Gate,
    pub(crate) service: Tollgate,
    pub(crate) upstream: Upstream,
    _file: tempfile::TempDir,
    _redis: Option<RedisServer>,
}

/// What a limit has used and holds, of a user.
pub(crate) type Books = (u64, u64);

impl Models {
    /// With the limits of the tests, in memory.
    pub(crate) fn new() -> Self {
        Self::with(FILE)
    }

    /// With the limits in `file`, in memory.
    pub(crate) fn with(file: &str) -> Self {
        Self::of(Keeper::Memory, file, |envoy| envoy)
    }

    /// With the limits in `file`, behind an Envoy of which some text is changed.
    pub(crate) fn of(keeper: Keeper, file: &str, change: impl FnOnce(String) -> String) -> Self {
        let redis = match keeper {
            Keeper::Memory => None,
            Keeper::Redis => Some(RedisServer::start(Tool::Redis)),
        };
        let url = redis.as_ref().map(RedisServer::url);
        let mut models = Self::at(file, url.as_deref(), change);
        models._redis = redis;
        models
    }

    /// Over the Redis at `url`.
    pub(crate) fn over_redis(url: &str) -> Self {
        Self::at(FILE, Some(url), |envoy| envoy)
    }

    fn at(file: &str, url: Option<&str>, change: impl FnOnce(String) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("llm.yaml");
        std::fs::write(&path, file).expect("write a file");
        let path = path.display().to_string();
        let mut arguments = vec![path.as_str()];
        arguments.extend(url.into_iter().flat_map(|url| ["--store", url]));
        let service = Tollgate::with(&arguments, &[("TOLLGATE_STORE_TIMEOUT", "10s")]);
        let gate = Gate::before(service.grpc());
        let upstream = Upstream::start();
        let envoy = Envoy::example_of_models(gate.address, upstream.address, change);
        Self { envoy, gate, service, upstream, _file: folder, _redis: None }
    }

    /// What `limit` has used and holds of `user`.
    pub(crate) fn books(&self, user: &str, limit: &str) -> Books {
        let entries = json!([{"key": "limit", "value": limit}, {"key": "user", "value": user}]);
        let answer = self.ask(&json!([{"entries": entries, "hitsAddend": 0}]));
        let standing = &answer["dynamicMetadata"]["standings"][limit];
        let field = |name: &str| {
            let number = standing[name].as_f64().unwrap_or_else(|| panic!("no {name} in {answer}"));
            number.to_string().parse().expect("a whole number")
        };
        (field("used"), field("held"))
    }

    /// Asks the service, as Envoy would.
    pub(crate) fn ask(&self, descriptors: &Value) -> Value {
        let body = json!({"domain": "llm", "descriptors": descriptors}).to_string();
        let answer = post("/json").body(body).send(self.service.http());
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    /// Waits until the books of `ada` say that tokens, money in nano-USD and slots are used and held like this.
    #[track_caller]
    pub(crate) fn balanced(&self, tokens: Books, spend: Books, streams: u64) {
        self.balanced_of("ada", tokens, spend, streams);
    }

    /// The same, of `user`.
    #[track_caller]
    pub(crate) fn balanced_of(&self, user: &str, tokens: Books, spend: Books, streams: u64) {
        let expected = [tokens, spend, (0, streams)];
        let books = || ["tokens", "spend", "streams"].map(|limit| self.books(user, limit));
        for _ in 0..1_000 {
            if books() == expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(books(), expected, "tokens, spend and streams of {user}, each used and held");
    }

    /// Waits until it is so.
    #[track_caller]
    pub(crate) fn until(&self, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..3_000 {
            if is_so(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it is never so");
    }

    /// Waits until Envoy has had so many answers of Tollgate.
    pub(crate) fn settled(&self, count: u64) {
        self.until(|models| models.envoy.stat("cluster.tollgate.upstream_rq_completed") >= count);
    }

    pub(crate) fn call(&self, call: Call) -> Answer {
        call.send(self.envoy.open)
    }
}

impl Drop for Models {
    /// No answer of the service was an error.
    fn drop(&mut self) {
        if !std::thread::panicking() && self.service.is_running() {
            assert!(!self.service.log().contains("panicked"), "{}", self.service.log());
        }
    }
}

/// A call of `ada` that may use a thousand tokens.
pub(crate) fn chat() -> Call {
    chat_of("ada")
}

/// The same, of `user`.
pub(crate) fn chat_of(user: &str) -> Call {
    post("/v1/chat").header("x-user", user).header("x-model", "gpt-4o-mini").header("x-max-tokens", "1000")
}

/// A call whose answer says that it used 730 tokens, 10 of the prompt, 20 that a cache had, and 700 of the answer.
pub(crate) fn told() -> Call {
    told_of("ada")
}

/// The same, of `user`.
pub(crate) fn told_of(user: &str) -> Call {
    USED.iter().fold(chat_of(user), |call, (name, tokens)| call.header(name, tokens))
}

/// What the answer to such a call says that it used, as the upstream is asked for it.
pub(crate) const USED: [(&str, &str); 3] =
    [("x-answer-input-tokens", "10"), ("x-answer-cached-tokens", "20"), ("x-answer-output-tokens", "700")];

/// What such a call costs: 10 · 150 + 20 · 75 + 700 · 600 nano-USD.
pub(crate) const TOLD: u64 = 1_500 + 1_500 + 420_000;
