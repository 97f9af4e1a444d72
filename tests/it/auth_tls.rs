//! The admin listener over TLS: who is let in by a certificate, and certificates that change while it serves.
//!
//! In `tests/data/tls`, `alice.pem` has the SAN `spiffe://example.org/alice`, `bob.pem` has `Bob.example.org`, `carol.pem`
//! names that nobody configures; `clients-ca.pem` signs them, and `expired.pem` as well. `stranger.pem` says it is Alice, and
//! another authority signs it. `localhost.pem` and `next.pem` are the listener's, by `ca.pem` and `next-ca.pem`.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::support::admins;
use crate::support::process::{Tollgate, run};
use crate::support::raw;
use crate::support::tools::Tool;

const FILE: &str = "examples/tollgate.yaml";
const BREAKER: &str = "/admin/rate-limits/breaker/x";

pub(crate) fn pem(name: &str) -> String {
    format!("{}/tests/data/tls/{name}.pem", env!("CARGO_MANIFEST_DIR"))
}

fn certificates(name: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(pem(name)).unwrap().map(Result::unwrap).collect()
}

/// Who asks: with a certificate, or without one.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    certificate: Option<&'static str>,
    versions: &'static [&'static SupportedProtocolVersion],
}

impl Client {
    pub(crate) fn with(certificate: &'static str) -> Self {
        Self { certificate: Some(certificate), ..ANYBODY }
    }

    async fn connect(self, to: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(["ca", "next-ca"].into_iter().flat_map(certificates));
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(self.versions).unwrap().with_root_certificates(roots);
        let mut config = match self.certificate {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let key = PrivateKeyDer::from_pem_file(pem(name)).unwrap();
                builder.with_client_auth_cert(certificates(name), key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(to).await?).await
    }

    /// The status of the answer; an error where there is none.
    async fn ask(self, to: SocketAddr, method: &str, path: &str, token: Option<&str>) -> io::Result<u16> {
        let mut stream = self.connect(to).await?;
        ask(&mut stream, method, path, token).await
    }

    /// The status of the answer to `body`; an error where there is none.
    pub(crate) async fn post(
        self,
        to: SocketAddr,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> io::Result<u16> {
        let mut stream = self.connect(to).await?;
        asked(&mut stream, ("POST", path), token, body).await
    }
}

pub(crate) const ANYBODY: Client = Client { certificate: None, versions: &[&TLS12, &TLS13] };

/// What is spoken, one at a time.
const EACH_VERSION: [&[&SupportedProtocolVersion]; 2] = [&[&TLS12], &[&TLS13]];

async fn ask(
    stream: &mut TlsStream<TcpStream>,
    method: &str,
    path: &str,
    token: Option<&str>,
) -> io::Result<u16> {
    asked(stream, (method, path), token, "").await
}

async fn asked(
    stream: &mut TlsStream<TcpStream>,
    (method, path): (&str, &str),
    token: Option<&str>,
    body: &str,
) -> io::Result<u16> {
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{token}content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    if let Some(length) = length {
        stream.read_exact(&mut vec![0; length.parse().unwrap()]).await?;
    }
    Ok(head.split(' ').nth(1).unwrap().parse().unwrap())
}

/// A service whose listener has the certificate `cert` and the key `key`.
fn serve(cert: &str, key: &str) -> Tollgate {
    let environment = [
        ("TOLLGATE_ADMIN_TLS_CERT", cert),
        ("TOLLGATE_ADMIN_TLS_KEY", key),
        ("TOLLGATE_ADMIN_TLS_CLIENT_CA", &pem("clients-ca")),
        (
            "TOLLGATE_ADMIN_CERTIFICATES",
            "alice:operator:spiffe://example.org/alice bob:viewer:bob.example.org",
        ),
    ];
    Tollgate::with(&[FILE], &environment)
}

#[tokio::test]
async fn certificates_are_let_in_by_their_names() {
    let service = serve(&pem("localhost"), &pem("localhost"));
    let to = service.admin();
    for (who, token, usage, breaker) in [
        (ANYBODY, None, 401, 401),
        (ANYBODY, Some(admins::TOKEN), 200, 400),
        (Client::with("alice"), None, 200, 400),
        (Client::with("alice"), Some("tg_wrong"), 401, 401),
        (Client::with("bob"), None, 200, 403),
        (Client::with("bob"), Some(admins::TOKEN), 200, 400),
        (Client::with("carol"), None, 401, 401),
    ] {
        for versions in EACH_VERSION {
            let who = Client { versions, ..who };
            let name = who.certificate;
            assert_eq!(who.ask(to, "GET", "/livez", None).await.unwrap(), 200, "{name:?}");
            for (method, path, expected) in [("GET", "/usage", usage), ("POST", BREAKER, breaker)] {
                let answered = who.ask(to, method, path, token).await.unwrap();
                // Ten refusals in a minute say what is wrong.
                let is_put_off = (expected, answered) == (401, 429);
                assert!(answered == expected || is_put_off, "{name:?} {token:?} {path}: {answered}");
            }
        }
    }
    for name in ["expired", "stranger"] {
        for versions in EACH_VERSION {
            let who = Client { certificate: Some(name), versions };
            assert!(who.ask(to, "GET", "/livez", None).await.is_err(), "{name}");
        }
    }
    let mut plain = TcpStream::connect(to).await.unwrap();
    plain.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    _ = plain.read_to_end(&mut heard).await;
    assert!(!heard.starts_with(b"HTTP"), "{heard:?}");
    assert_eq!(raw::http(service.http(), "GET", "/healthcheck", b"").await.status, 200, "as ever");
}

#[test]
fn grpc_is_spoken_over_tls_as_well() {
    let service = serve(&pem("localhost"), &pem("localhost"));
    let place = format!("localhost:{}", service.admin().port());
    let output = Command::new(Tool::Grpcurl.path()).args(["-cacert", &pem("ca"), &place, "list"]).output();
    let output = output.expect("start grpcurl");
    let services = String::from_utf8_lossy(&output.stdout);
    assert!(services.contains("grpc.health.v1.Health"), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn usage_is_exported_over_tls_from_whom_the_machine_trusts() {
    let service = serve(&pem("localhost"), &pem("localhost"));
    let export = |host: &str, ca: &str| {
        let admin = format!("https://{host}:{}", service.admin().port());
        let output = run(&["usage", "export", "--admin", &admin], &[("SSL_CERT_FILE", &pem(ca))]);
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    for host in ["localhost", "127.0.0.1"] {
        assert_eq!(export(host, "ca"), (true, String::new()), "{host}");
    }
    let (exported, said) = export("localhost", "next-ca");
    assert!(
        !exported && said.contains("no TLS connection comes about") && said.contains("UnknownIssuer"),
        "{said}"
    );
}

/// The certificate that the listener shows.
async fn shown(to: SocketAddr) -> CertificateDer<'static> {
    let stream = ANYBODY.connect(to).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn certificates_are_exchanged_while_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = ["cert", "key"].map(|name| folder.path().join(name));
    let [first, next] = ["localhost", "next"].map(|name| fs::read(pem(name)).unwrap());
    let (shown_first, shown_next) = (certificates("localhost").remove(0), certificates("next").remove(0));
    fs::write(&cert, &first).unwrap();
    fs::write(&key, &first).unwrap();
    let service = serve(cert.to_str().unwrap(), key.to_str().unwrap());
    let mut open = Client::with("alice").connect(service.admin()).await.unwrap();
    assert_eq!(ask(&mut open, "GET", "/rlconfig", None).await.unwrap(), 200);
    assert_eq!(shown(service.admin()).await, shown_first);

    fs::write(&cert, "nothing").unwrap();
    service.logs("the certificates were not reloaded; the last good ones stay in use");
    assert_eq!(shown(service.admin()).await, shown_first);
    fs::write(&cert, &next).unwrap();
    fs::write(&key, &next).unwrap();
    service.logs("the certificates of the admin listener were read again");
    assert_eq!(shown(service.admin()).await, shown_next);
    assert_eq!(ask(&mut open, "GET", "/rlconfig", None).await.unwrap(), 200, "what is open stays so");
    let log = service.log();
    assert!(log.contains(&format!("{}: holds no certificate in PEM", cert.display())), "{log}");
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

#[test]
fn files_that_cannot_be_used_end_the_start() {
    let (localhost, next, ca) = (pem("localhost"), pem("next"), pem("ca"));
    let [cert, key, client_ca, names] =
        ["TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA", "CERTIFICATES"].map(|name| format!("TOLLGATE_ADMIN_{name}"));
    for (environment, says) in [
        (vec![(&cert, &*localhost)], "is of no use alone: set TOLLGATE_ADMIN_TLS_KEY too"),
        (vec![(&key, &*localhost)], "is of no use alone: set TOLLGATE_ADMIN_TLS_CERT too"),
        (vec![(&client_ca, &*ca)], "is of no use alone: set TOLLGATE_ADMIN_TLS_CERT too"),
        (vec![(&cert, &*localhost), (&key, &*next)], "the certificate and its key cannot be used: "),
        (vec![(&cert, &*localhost), (&key, &*ca)], "ca.pem: holds no private key in PEM"),
        (vec![(&cert, "/nowhere/cert"), (&key, &*next)], "/nowhere/cert: cannot be read ("),
        (
            vec![(&names, "alice:viewer:x"), (&cert, &*localhost), (&key, &*localhost)],
            "can be shown by nobody: set TOLLGATE_ADMIN_TLS_CLIENT_CA, who signs them",
        ),
        (vec![(&names, "alice:viewer:*.x")], "at place 1 has no name that a certificate may have"),
    ] {
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let output = run(&["serve", FILE], &environment);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(78) && said.contains(says), "{environment:?}: {said}");
        assert!(!said.contains("PRIVATE"), "{said}");
    }
}
