//! Who may call, where that is configured: tokens and the domains that they are for, on each wire and for all that can be
//! asked there.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tollgate::auth::{Domains, Grant, Token, TokenEntry};
use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use tollgate::transport::grpc::proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use tollgate::transport::grpc::proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use tollgate::transport::grpc::proto::tollgate::v1::limit_service_client::LimitServiceClient;
use tollgate::transport::grpc::proto::tollgate::v1::{ReleaseRequest, ReserveRequest, SettleRequest};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::admins;
use crate::support::http::{Answer, get, post};
use crate::support::limit_calls::{done, subject, usd};
use crate::support::process::{Tollgate, run};
use crate::support::raw;

/// Two domains that are alike.
pub(crate) const SHOPS: &str = "tests/data/two-shops.yaml";

/// The line of a token.
fn line(name: &str, domains: &str, token: &Token) -> String {
    TokenEntry::of(token, name, Domains::read(domains).unwrap(), None).unwrap().to_line()
}

/// Those who call: the first two about one domain each, the third about all.
pub(crate) struct Callers {
    tokens: [Token; 3],
}

impl Callers {
    pub(crate) fn draw() -> Self {
        Self { tokens: [(); 3].map(|()| Token::draw().unwrap()) }
    }

    /// Their lines.
    fn lines(&self) -> String {
        let [shop, blog, all] = &self.tokens;
        [line("till", "shop", shop), line("press", "blog+news", blog), line("edge", "*", all)].join(",")
    }

    pub(crate) fn serve(&self) -> Tollgate {
        Tollgate::with(&[SHOPS], &[("TOLLGATE_CALLER_TOKENS", &self.lines())])
    }

    fn bearers(&self) -> [String; 3] {
        self.tokens.each_ref().map(|token| format!("Bearer {}", token.as_str()))
    }
}

async fn channel(to: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{to}")).unwrap().connect().await.unwrap()
}

/// `message` with this header, or without one.
fn by<M>(bearer: &str, message: M) -> Request<M> {
    let mut request = Request::new(message);
    if !bearer.is_empty() {
        request.metadata_mut().insert("authorization", bearer.parse().unwrap());
    }
    request
}

fn descriptor(entries: &[(&str, &str)]) -> RateLimitDescriptor {
    let entry = |(key, value): &(&str, &str)| Entry {
        key: (*key).to_owned().into(),
        value: (*value).to_owned().into(),
    };
    RateLimitDescriptor { entries: entries.iter().map(entry).collect(), ..Default::default() }
}

async fn check(
    channel: &Channel,
    bearer: &str,
    domain: &str,
    entries: &[(&str, &str)],
) -> Result<RateLimitResponse, Status> {
    let descriptors = vec![descriptor(entries)];
    let request = RateLimitRequest { domain: domain.to_owned().into(), descriptors, hits_addend: 0 };
    let answer = RateLimitServiceClient::new(channel.clone()).should_rate_limit(by(bearer, request)).await;
    answer.map(tonic::Response::into_inner)
}

fn code<T>(answer: Result<T, Status>) -> Code {
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

/// What `/json` answers to whoever sends `bearer`.
async fn json(service: &Tollgate, bearer: &str, target: &str, domain: &str) -> Answer {
    let (to, bearer, target) = (service.http(), bearer.to_owned(), target.to_owned());
    let body = json!({
        "domain": domain,
        "descriptors": [{"entries": [{"key": "limit", "value": "pages"}, {"key": "user", "value": "u"}]}],
    });
    let ask = move || {
        let call = post(target).body(body.to_string());
        if bearer.is_empty() { call } else { call.header("authorization", bearer) }.send(to)
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

#[tokio::test]
async fn each_asks_about_its_own_domains_alone() {
    let callers = Callers::draw();
    let service = callers.serve();
    let [shop, blog, all] = callers.bearers();
    let unknown = format!("Bearer {}", Token::draw().unwrap().as_str());
    let grpc = channel(service.grpc()).await;
    for (bearer, domain, expected) in [
        (&*shop, "shop", Code::Ok),
        (&shop, "blog", Code::PermissionDenied),
        (&shop, "nowhere", Code::PermissionDenied),
        (&shop, "", Code::InvalidArgument),
        (&blog, "blog", Code::Ok),
        (&blog, "news", Code::Ok),
        (&blog, "shop", Code::PermissionDenied),
        (&all, "shop", Code::Ok),
        (&all, "nowhere", Code::Ok),
        (&all, "", Code::InvalidArgument),
        ("", "shop", Code::Unauthenticated),
        (&unknown, "shop", Code::Unauthenticated),
        (admins::AUTHORIZATION, "shop", Code::Unauthenticated),
        ("Basic dTpw", "shop", Code::Unauthenticated),
        ("Bearer", "shop", Code::Unauthenticated),
    ] {
        // More than ten refusals: each says what is wrong, and none is taken for a limit.
        let answer = check(&grpc, bearer, domain, &[("limit", "pages"), ("user", "u")]).await;
        assert_eq!(code(answer), expected, "{bearer} {domain}");
        let (status, expected) = (
            json(&service, bearer, "/json", domain).await.status,
            match expected {
                Code::Ok => 200,
                Code::InvalidArgument => 400,
                Code::Unauthenticated => 401,
                _ => 403,
            },
        );
        assert_eq!(status, expected, "{bearer} {domain}");
    }
    let answer = json(&service, &shop, &format!("/json?token={}", &shop[7..]), "shop").await;
    assert_eq!(answer.status, 401, "{answer:?}");
    let answer = json(&service, "", "/json", "shop").await;
    assert_eq!(answer.header("www-authenticate"), Some("Bearer".to_owned()), "{answer:?}");
    let answer = json(&service, &shop, "/json", "blog").await;
    let said: Value = serde_json::from_str(&answer.body).unwrap();
    let expected =
        "till may ask about shop alone: its line in the settings names the domains that it may ask about";
    assert_eq!(said, json!({"error": expected}));
}

#[tokio::test]
async fn health_and_what_there_is_to_call_are_told_to_everybody() {
    let callers = Callers::draw();
    let service = callers.serve();
    let grpc = channel(service.grpc()).await;
    let health = HealthClient::new(grpc).check(HealthCheckRequest::default()).await;
    assert_eq!(code(health), Code::Ok);
    let to = service.http();
    let healthy = tokio::task::spawn_blocking(move || get("/healthcheck").send(to)).await.unwrap();
    assert_eq!(healthy.status, 200);
    // An admin is asked as ever, by tokens of their own.
    assert_eq!(raw::http(service.admin(), "GET", "/rlconfig", b"").await.status, 200);
    let place = service.grpc().to_string();
    let grpcurl = crate::support::tools::Tool::Grpcurl.path();
    let output = std::process::Command::new(grpcurl).args(["-plaintext", &place, "list"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("tollgate.v1.LimitService"));
}

#[tokio::test]
async fn holds_are_of_the_domain_that_they_were_taken_in() {
    let callers = Callers::draw();
    let service = callers.serve();
    let [shop, blog, all] = callers.bearers();
    let grpc = channel(service.grpc()).await;
    let mut client = LimitServiceClient::new(grpc.clone());
    let ask = |domain: &str, key: &str| ReserveRequest {
        subject: Some(subject(domain, &[("limit", "budget"), ("user", "u")])),
        estimate: Some(usd("1.00")),
        idempotency_key: key.to_owned().into(),
        ..ReserveRequest::default()
    };
    for (bearer, domain, expected) in [
        (&*blog, "shop", Code::PermissionDenied),
        ("", "shop", Code::Unauthenticated),
        (&shop, "blog", Code::PermissionDenied),
        (&shop, "", Code::InvalidArgument),
        ("", "", Code::Unauthenticated),
    ] {
        assert_eq!(code(client.reserve(by(bearer, ask(domain, "k"))).await), expected, "{bearer} {domain}");
    }
    let held = client.reserve(by(&shop, ask("shop", "k"))).await.unwrap().into_inner();
    let settle = || done(&held, usd("0.25"));
    let release =
        || ReleaseRequest { reservation: held.reservation.clone().into(), ..ReleaseRequest::default() };
    let by_key = || SettleRequest {
        subject: Some(subject("shop", &[("limit", "budget"), ("user", "u")])),
        idempotency_key: "k".into(),
        used: Some(usd("0.50")),
        ..SettleRequest::default()
    };
    let units = || ReleaseRequest {
        subject: Some(subject("shop", &[("user", "u")])),
        limit: "seats".into(),
        ..ReleaseRequest::default()
    };
    for (bearer, expected) in [(&*blog, Code::PermissionDenied), ("", Code::Unauthenticated)] {
        assert_eq!(code(client.settle(by(bearer, settle())).await), expected);
        assert_eq!(code(client.settle(by(bearer, by_key())).await), expected);
        assert_eq!(code(client.release(by(bearer, release())).await), expected);
        assert_eq!(code(client.release(by(bearer, units())).await), expected);
    }
    // What names nothing is a mistake of whoever is known.
    let nothing = |subject| SettleRequest { subject, used: Some(usd("1")), ..Default::default() };
    for subject in [None, Some(subject("", &[("user", "u")]))] {
        assert_eq!(code(client.settle(by(&blog, nothing(subject.clone()))).await), Code::InvalidArgument);
        let release = ReleaseRequest { subject, limit: "seats".into(), ..Default::default() };
        assert_eq!(code(client.release(by(&blog, release)).await), Code::InvalidArgument);
    }
    // What is no handle is a mistake of whoever is known, and says nothing about holds of others.
    let garbage = || SettleRequest { reservation: "x".into(), used: Some(usd("1")), ..Default::default() };
    assert_eq!(code(client.settle(by(&blog, garbage())).await), Code::InvalidArgument);
    assert_eq!(code(client.settle(by("", garbage())).await), Code::Unauthenticated);
    // Nothing of that has done anything.
    let settled = client.settle(by(&shop, settle())).await.unwrap().into_inner();
    assert_eq!((settled.replayed, &*settled.charged_usd), (false, "0.25"), "{settled:?}");
    let again = client.settle(by(&all, settle())).await.unwrap().into_inner();
    assert!(again.replayed, "{again:?}");
}

#[tokio::test]
async fn the_end_of_a_call_settles_holds_of_its_own_domain_alone() {
    let callers = Callers::draw();
    let service = callers.serve();
    let [shop, blog, _] = callers.bearers();
    let grpc = channel(service.grpc()).await;
    let begin = async || {
        let begins = [("limit", "budget"), ("user", "u"), ("reserve", "$1.00")];
        let metadata = check(&grpc, &shop, "shop", &begins).await.unwrap().dynamic_metadata.unwrap();
        match metadata.fields["hold"].kind.clone() {
            Some(prost_types::value::Kind::StringValue(hold)) => hold,
            other => panic!("{other:?}"),
        }
    };
    let (hold, other) = (begin().await, begin().await);
    // Whoever calls about another domain passes, as ever, and settles nothing of this one.
    let ends = [("limit", "budget"), ("user", "u"), ("hold", &*hold)];
    assert_eq!(code(check(&grpc, &blog, "blog", &ends).await), Code::Ok);
    // Whose domain it is does.
    let ends = [("limit", "budget"), ("user", "u"), ("hold", &*other)];
    assert_eq!(code(check(&grpc, &shop, "shop", &ends).await), Code::Ok);
    for (hold, was_settled) in [(hold, false), (other, true)] {
        let settle =
            SettleRequest { reservation: hold.into(), used: Some(usd("0.25")), ..Default::default() };
        let mut client = LimitServiceClient::new(grpc.clone());
        let settled = client.settle(by(&shop, settle)).await.unwrap().into_inner();
        assert_eq!(settled.replayed, was_settled, "{settled:?}");
    }
}

#[tokio::test]
async fn who_is_refused_is_recorded_once_a_minute_however_often() {
    let callers = Callers::draw();
    let service = callers.serve();
    let [shop, ..] = callers.bearers();
    let grpc = channel(service.grpc()).await;
    for _ in 0..500 {
        let guess = format!("Bearer {}", Token::draw().unwrap().as_str());
        assert_eq!(code(check(&grpc, &guess, "shop", &[("user", "u")]).await), Code::Unauthenticated);
        for domain in ["blog", "ann@example.org"] {
            let answer = check(&grpc, &shop, domain, &[("user", "u")]).await;
            assert_eq!(code(answer), Code::PermissionDenied);
        }
    }
    service.logs("somebody was refused");
    let mut records = Vec::new();
    for _ in 0..200 {
        let lines = raw::http(service.admin(), "GET", "/audit/lines", b"").await.body;
        let read = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records = read.filter(|record| record["outcome"] == "refused").collect();
        if records.len() >= 3 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let said: Vec<_> = records
        .iter()
        .map(|record| ["who", "role", "action", "reason", "domain"].map(|name| record[name].clone()))
        .collect();
    assert_eq!(said.len(), 3, "{records:?}");
    let stranger = [Value::Null, Value::Null, "call".into(), "unknown".into(), Value::Null];
    assert!(said.contains(&stranger), "{said:?}");
    // Only what is configured is named: anybody may write anything into a call.
    for domain in ["blog".into(), Value::Null] {
        let known = ["till".into(), "caller".into(), "call".into(), "other_domain".into(), domain];
        assert!(said.contains(&known), "{said:?}");
    }
    let log = service.log();
    assert!(callers.tokens.iter().all(|token| !log.contains(token.as_str())), "{log}");
}

#[tokio::test]
async fn tokens_are_exchanged_by_their_file() {
    let callers = Callers::draw();
    let [shop, blog, _] = callers.bearers();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("callers");
    std::fs::write(&file, "# nobody yet\n").unwrap();
    let service = Tollgate::with(&[SHOPS], &[("TOLLGATE_CALLER_TOKENS_FILE", file.to_str().unwrap())]);
    let grpc = channel(service.grpc()).await;
    let asked = async |bearer: &str| code(check(&grpc, bearer, "shop", &[("user", "u")]).await);
    assert_eq!(asked(&shop).await, Code::Unauthenticated, "a file without any lets nobody in");
    std::fs::write(&file, callers.lines().replace(',', "\n")).unwrap();
    service.logs("the file of tokens was read again");
    assert_eq!((asked(&shop).await, asked(&blog).await), (Code::Ok, Code::PermissionDenied));
}

#[test]
fn who_is_let_in_for_nothing_is_told_of_at_each_change() {
    let token = || Token::draw().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [limits, tokens] = ["limits.yaml", "callers"].map(|name| folder.path().join(name));
    let shops = std::fs::read_to_string(SHOPS).unwrap();
    std::fs::write(&limits, &shops).unwrap();
    std::fs::write(&tokens, line("till", "shp+blog", &token())).unwrap();
    let [limits_file, tokens_file] = [&limits, &tokens].map(|path| path.to_str().unwrap());
    let environment = [("TOLLGATE_CALLER_TOKENS_FILE", tokens_file)];
    let till = "the token of till is for the domain 'shp', which no file has (did you mean 'shop'?); its calls are refused";
    let checked = run(&["check", limits_file], &environment);
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(checked.status.success() && said.contains(&format!("warning: {till}")), "{said}");

    let service = Tollgate::with(&[limits_file], &environment);
    service.logs(till);
    std::fs::write(&tokens, line("press", "blog", &token()) + "\n" + &line("admin", "admin", &token()))
        .unwrap();
    service.logs(
        "the token of admin is for the domain 'admin', which no file has (is it the line of somebody who",
    );
    assert!(!service.log().contains("of press"), "{}", service.log());
    std::fs::write(&limits, shops.replace("  blog:", "  blogs:")).unwrap();
    service.logs("the token of press is for the domain 'blog', which no file has (did you mean 'blogs'?)");
    std::fs::write(&tokens, "# nobody\n").unwrap();
    service.logs("nobody may call, since no token and no certificate of a caller is configured");
    let ended = line("late", "shop", &token()) + ":2026-01-01";
    std::fs::write(&tokens, ended).unwrap();
    service.logs("nobody may call, since all tokens of callers have expired");
}

#[test]
fn a_line_that_is_wrong_ends_the_start() {
    let (digest, pem) = ("ab".repeat(32), "tests/data/tls/localhost.pem");
    for (environment, says) in [
        (vec![("TOLLGATE_CALLER_TOKENS", format!("till:operator+:{digest}"))], "names no domains"),
        (vec![("TOLLGATE_CALLER_TOKENS", "till:shop".to_owned())], "write NAME:DOMAINS:SHA-256"),
        (
            vec![("TOLLGATE_CALLER_CERTIFICATES", "till:shop:a.example".to_owned())],
            "can be shown by nobody: set TOLLGATE_GRPC_TLS_CLIENT_CA",
        ),
        (
            vec![
                ("TOLLGATE_GRPC_TLS_CERT", pem.to_owned()),
                ("TOLLGATE_GRPC_TLS_KEY", pem.to_owned()),
                ("TOLLGATE_GRPC_TLS_CLIENT_CA", pem.to_owned()),
            ],
            "lets nobody in by itself: set TOLLGATE_CALLER_CERTIFICATES too",
        ),
        (
            vec![("TOLLGATE_HTTP_TLS", "true".to_owned())],
            "is of no use alone: set TOLLGATE_GRPC_TLS_CERT too",
        ),
    ] {
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let output = run(&["serve", SHOPS], &environment);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(78) && said.contains(says), "{environment:?}: {said}");
        assert!(!said.contains(&digest), "{said}");
    }
}

#[test]
fn a_token_is_made_with_its_line() {
    let made = run(&["token", "new", "--name", "till", "--domain", "shop", "--domain", "a:b"], &[]);
    let text = String::from_utf8(made.stdout).unwrap();
    let [token, line] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert!(token.starts_with("tg_") && line.starts_with("till:shop+a%3Ab:"), "{text}");
    let entry = TokenEntry::<Domains>::read(line).unwrap();
    assert!(entry.grant().has(b"a:b") && !entry.grant().has(b"a"));
    let told = String::from_utf8(made.stderr).unwrap();
    assert!(told.contains("TOLLGATE_CALLER_TOKENS_FILE"), "{told}");
    // As in the line: several, and a name that has a plus in it.
    for (domains, written) in
        [(&["--domain", "shop+blog"][..], "shop+blog"), (&["--domain", "a%2Bb", "--domain", "c"], "a%2Bb+c")]
    {
        let made = run(&[&["token", "new", "--name", "till"], domains].concat(), &[]);
        let text = String::from_utf8(made.stdout).unwrap();
        assert!(text.lines().last().unwrap().starts_with(&format!("till:{written}:")), "{text}");
    }
    for wrong in [
        &["--role", "admin", "--domain", "shop"][..],
        &["--domain", ""],
        &["--domain", "shop", "--domain", ""],
        &["--domain", "*+shop"],
        &["--domain", "50%"],
        &[],
    ] {
        let output = run(&[&["token", "new", "--name", "x"], wrong].concat(), &[]);
        assert!(!output.status.success() && output.stdout.is_empty(), "{wrong:?}");
    }
}
