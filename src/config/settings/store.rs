//! Where counters are kept, in the many ways that is written.
//!
//! `memory`; `redis://…` and `rediss://…` whole; `HOST:PORT` and a path, as the reference's `REDIS_URL` has
//! them. Every form of a Redis becomes a URL, and a login beside it.

use crate::store::redis::Secret;

use super::read::Parsed;

/// Where counters are kept, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this process.
    Memory,
    /// In a Redis at this URL.
    Redis(String),
}

/// What is known about a Redis beside its address.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    /// What an address without a scheme is.
    pub(super) socket: Option<Socket>,
    /// Whether an address without a scheme is spoken to over TLS.
    pub(super) tls: bool,
}

/// What an address without a scheme is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    /// A host and a port.
    Tcp,
    /// A path.
    Unix,
}

/// Reads `REDIS_SOCKET_TYPE`.
pub(super) fn socket(text: &str) -> Parsed<Socket> {
    match text.to_ascii_lowercase().as_str() {
        "tcp" | "tcp4" | "tcp6" => Ok(Socket::Tcp),
        "unix" => Ok(Socket::Unix),
        _ => Err("is no type of socket: write tcp or unix".to_owned()),
    }
}

/// Reads where counters are kept.
pub(super) fn place(beside: &Beside) -> impl Fn(&str) -> Parsed<Place> {
    move |text| match text.split_once("://") {
        _ if text == "memory" => Ok(Place::Memory),
        Some(("redis" | "rediss", rest)) => tcp(text, rest),
        Some(("unix" | "redis+unix", path)) => unix(path),
        Some((scheme @ ("redis+sentinel" | "redis+cluster"), _)) => Err(format!(
            "asks for {scheme}, which is not available yet: write redis://HOST:PORT of one primary"
        )),
        Some(_) => Err(FORMS.to_owned()),
        None if text.contains(',') => {
            Err("is a list, and Sentinel and Cluster are not available yet: write one HOST:PORT".to_owned())
        }
        None => without_scheme(text, beside),
    }
}

const FORMS: &str = "is no store: write memory, redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH";

fn without_scheme(text: &str, beside: &Beside) -> Parsed<Place> {
    let looks = if text.starts_with('/') { Socket::Unix } else { Socket::Tcp };
    match beside.socket.unwrap_or(looks) {
        Socket::Unix => unix(text),
        Socket::Tcp if !text.contains(':') => Err(FORMS.to_owned()),
        Socket::Tcp if beside.tls => tcp(&format!("rediss://{text}"), text),
        Socket::Tcp => tcp(&format!("redis://{text}"), text),
    }
}

/// A URL over TCP, of which `rest` follows the scheme.
fn tcp(url: &str, rest: &str) -> Parsed<Place> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let database = path.split('?').next().unwrap_or_default();
    if is_host(host) && database.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(Place::Redis(url.to_owned()))
    } else {
        Err("is no address of a Redis: write redis://USER:PASSWORD@HOST:PORT/DATABASE".to_owned())
    }
}

/// A host, with or without a port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((ipv6, after)) => (ipv6, after.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    !host.is_empty() && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn unix(path: &str) -> Parsed<Place> {
    if path.starts_with('/') {
        Ok(Place::Redis(format!("redis+unix://{path}")))
    } else {
        Err("is no path of a socket: write unix:///PATH".to_owned())
    }
}

/// Who asks: a user, where one is named, and a password.
pub(super) type Login = (Option<String>, Secret);

/// Reads `PASSWORD` or `USER:PASSWORD`.
pub(super) fn login(text: &str) -> Parsed<Login> {
    Ok(match text.split_once(':') {
        Some(("", password)) => (None, Secret::new(password)),
        Some((user, password)) => (Some(user.to_owned()), Secret::new(password)),
        None => (None, Secret::new(text)),
    })
}

/// Reads certificates out of the file of this name.
pub(super) fn certificates(path: &str) -> Parsed<Vec<u8>> {
    let pem = std::fs::read(path).map_err(|error| format!("cannot be read ({error}): name a file in PEM"))?;
    if pem.windows(CERTIFICATE.len()).any(|window| window == CERTIFICATE) {
        Ok(pem)
    } else {
        Err("holds no certificate: name a file in PEM".to_owned())
    }
}

const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";
