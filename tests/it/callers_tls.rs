//! Who may call, over TLS and through a real Envoy, as the README shows it.
//!
//! The certificates are those of `auth_tls`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::auth_tls::{ANYBODY, Client, pem};
use crate::callers::SHOPS;
use crate::readme;
use crate::support::envoy::Envoy;
use crate::support::http::post;
use crate::support::process::Tollgate;
use crate::support::tools::Tool;
use crate::support::upstream::Upstream;

/// What a caller sends by hand.
const CALL: &str = r#"{"domain": "shop", "descriptors": [{"entries": [{"key": "user", "value": "u"}]}]}"#;
const CHECK: &str = "envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";

/// The block of the README that begins so.
fn shown(begins: &str) -> &'static str {
    let found = readme::blocks().into_iter().find(|(_, text)| text.starts_with(begins));
    found.unwrap_or_else(|| panic!("the README shows no {begins}")).1
}

/// A service with the settings that the README shows and the tokens in `folder`, of which it shows one.
fn serve(file: &str, folder: &Path) -> Tollgate {
    let line = shown("tg_").lines().nth(1).expect("the line of the token");
    std::fs::write(folder.join("callers"), line).expect("write a file");
    let [cert, clients] = ["localhost", "clients-ca"].map(pem);
    let settings = shown("auth:\n  callers:")
        .replace("/etc/tollgate/callers", folder.join("callers").to_str().expect("a path"))
        .replace("/etc/tollgate/clients-ca.pem", &clients)
        .replace("/etc/tollgate/tls.pem", &cert)
        .replace("/etc/tollgate/tls.key", &cert);
    let path = folder.join("settings.yaml");
    std::fs::write(&path, settings).expect("write a file");
    Tollgate::with(&[file, "--settings", path.to_str().expect("a path")], &[])
}

fn token() -> &'static str {
    shown("tg_").lines().next().expect("the token")
}

#[tokio::test]
async fn callers_are_known_by_their_certificates_or_by_their_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let service = serve(SHOPS, folder.path());
    let to = service.http();
    for (who, token, expected) in [
        (ANYBODY, None, 401),
        (ANYBODY, Some(token()), 200),
        (Client::with("alice"), None, 200),
        (Client::with("alice"), Some("tg_wrong"), 401),
        (Client::with("carol"), None, 401),
        (Client::with("carol"), Some(token()), 200),
    ] {
        let answered = who.post(to, "/json", token, CALL).await.unwrap();
        assert_eq!(answered, expected, "{token:?}");
        let elsewhere = who.post(to, "/json", token, &CALL.replace("shop", "blog")).await.unwrap();
        assert_eq!(elsewhere, if expected == 200 { 403 } else { 401 }, "{token:?}");
        assert_eq!(who.post(to, "/healthcheck", None, "").await.unwrap(), 200);
    }
    for stranger in ["expired", "stranger"] {
        assert!(Client::with(stranger).post(to, "/json", Some(token()), CALL).await.is_err(), "{stranger}");
    }
}

#[test]
fn grpcurl_calls_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let service = serve(SHOPS, folder.path());
    let place = format!("localhost:{}", service.grpc().port());
    let asked = |arguments: &[&str], call: &str| {
        let mut grpcurl = Command::new(Tool::Grpcurl.path());
        grpcurl.args(["-cacert", &pem("ca")]).args(arguments).args(["-d", call, &place, CHECK]);
        let output = grpcurl.output().expect("start grpcurl");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said + &String::from_utf8_lossy(&output.stderr)
    };
    let by_token = format!("authorization: Bearer {}", token());
    let alice = pem("alice");
    for arguments in [&["-H", &by_token][..], &["-cert", &alice, "-key", &alice]] {
        assert!(asked(arguments, CALL).contains(r#""overallCode": "OK""#), "{arguments:?}");
        let elsewhere = asked(arguments, &CALL.replace("shop", "blog"));
        assert!(elsewhere.contains("PermissionDenied"), "{elsewhere}");
    }
    let carol = pem("carol");
    for arguments in [&[][..], &["-cert", &carol, "-key", &carol]] {
        let refused = asked(arguments, CALL);
        assert!(refused.contains("Unauthenticated"), "{refused}");
    }
}

/// Envoy before `service`, which shows what it shows by `changed`: what to write in the place of what.
fn envoy(service: SocketAddr, upstream: SocketAddr, changed: &[(&str, String)]) -> Envoy {
    Envoy::changed(service, upstream, |text| {
        changed.iter().fold(text, |text, (there, instead)| {
            assert!(text.contains(there), "{there}");
            text.replace(there, instead)
        })
    })
}

/// `text` as it stands so deep.
fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

#[test]
fn envoy_is_let_in_by_its_token() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("callers"),
        shown("tg_").lines().nth(1).unwrap().replace(":shop:", ":edge:"),
    )
    .unwrap();
    let tokens = folder.path().join("callers");
    let environment = [("TOLLGATE_CALLER_TOKENS_FILE", tokens.to_str().unwrap())];
    let service = Tollgate::with(&["tests/data/edge.yaml"], &environment);
    let upstream = Upstream::start();
    let there = "                        transport_api_version: V3\n                        grpc_service: { envoy_grpc: { cluster_name: service } }\n";
    let sends = shown("rate_limit_service:\n")
        .split_once('\n')
        .unwrap()
        .1
        .replace("cluster_name: tollgate", "cluster_name: service");
    let known = envoy(service.grpc(), upstream.address, &[(there, indented(&sends, 22))]);
    let answers = (0..6).map(|_| post("/login").header("x-client", "a").send(known.open).status);
    assert_eq!(answers.collect::<Vec<_>>(), [200, 200, 200, 200, 200, 429], "it is asked, and decides");
    assert_eq!(known.errors(), [0, 0]);

    // Of one that is not let in, Envoy makes what it is told to make of errors.
    let unknown = Envoy::start(service.grpc(), upstream.address);
    assert_eq!(
        post("/login").header("x-client", "a").send(unknown.open).status,
        200,
        "failure_mode_deny: false"
    );
    assert_eq!(
        post("/login").header("x-client", "a").send(unknown.closed).status,
        503,
        "failure_mode_deny: true"
    );
    assert_eq!(unknown.errors()[1], 1);
}

#[test]
fn envoy_is_let_in_by_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, ca, alice, clients] = ["localhost", "ca", "alice", "clients-ca"].map(pem);
    let service = Tollgate::with(
        &["tests/data/edge.yaml"],
        &[
            ("TOLLGATE_CALLER_CERTIFICATES", "edge:edge:spiffe://example.org/alice"),
            ("TOLLGATE_GRPC_TLS_CERT", &cert),
            ("TOLLGATE_GRPC_TLS_KEY", &cert),
            ("TOLLGATE_GRPC_TLS_CLIENT_CA", &clients),
        ],
    );
    let upstream = Upstream::start();
    let socket = shown("transport_socket:\n")
        .replace("/etc/envoy/edge.pem", &alice)
        .replace("/etc/envoy/edge.key", &alice)
        .replace("/etc/envoy/ca.pem", &ca)
        .replace("tollgate.example.org", "localhost");
    let there = "    - name: service\n";
    let known =
        envoy(service.grpc(), upstream.address, &[(there, format!("{there}{}", indented(&socket, 6)))]);
    let answers = (0..6).map(|_| post("/login").header("x-client", "a").send(known.open).status);
    assert_eq!(answers.collect::<Vec<_>>(), [200, 200, 200, 200, 200, 429], "it is asked, and decides");
    assert_eq!(known.errors(), [0, 0]);
    drop(folder);
    // /json is asked as well, by tokens; in this service nobody has one, which its start says.
    service.logs("nobody may POST /json: callers are let in by certificate alone, and HTTP is not encrypted");
    let body = json!({"domain": "edge", "descriptors": [{"entries": [{"key": "x"}]}]}).to_string();
    assert_eq!(post("/json").body(body).send(service.http()).status, 401);
}
