//! Where counters are kept, in the many ways that is written.
//!
//! `memory`; `redis://…` and `rediss://…` whole; `HOST:PORT` and a path, as the reference's `REDIS_URL` has
//! them. Every form of a Redis becomes one URL that holds all there is to know.

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
    /// `PASSWORD` or `USER:PASSWORD`.
    pub(super) auth: Option<String>,
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
        Some(("redis" | "rediss", rest)) => tcp(text, rest, beside.auth.as_deref()),
        Some(("unix" | "redis+unix", path)) => unix(path, beside.auth.as_deref()),
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
    let auth = beside.auth.as_deref();
    match beside.socket.unwrap_or(looks) {
        Socket::Unix => unix(text, auth),
        Socket::Tcp if !text.contains(':') => Err(FORMS.to_owned()),
        Socket::Tcp if beside.tls => tcp(&format!("rediss://{text}"), text, auth),
        Socket::Tcp => tcp(&format!("redis://{text}"), text, auth),
    }
}

/// A URL over TCP, with `auth` put in where it names nobody.
fn tcp(url: &str, rest: &str, auth: Option<&str>) -> Parsed<Place> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) =
        authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let database = path.split('?').next().unwrap_or_default();
    if !is_host(host) || !(database.is_empty() || database.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("is no address of a Redis: write redis://USER:PASSWORD@HOST:PORT/DATABASE".to_owned());
    }
    Ok(Place::Redis(match (user, auth) {
        (None, Some(auth)) => url.replacen("://", &format!("://{}@", credentials(auth)), 1),
        _ => url.to_owned(),
    }))
}

/// A host, with or without a port.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((ipv6, after)) => (ipv6, after.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    !host.is_empty() && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn unix(path: &str, auth: Option<&str>) -> Parsed<Place> {
    if !path.starts_with('/') {
        return Err("is no path of a socket: write unix:///PATH".to_owned());
    }
    let (user, password) = auth.map_or((None, None), |auth| match auth.split_once(':') {
        Some((user, password)) => (Some(user), Some(password)),
        None => (None, Some(auth)),
    });
    let mut url = format!("redis+unix://{path}");
    for (name, value) in [("user", user), ("pass", password)] {
        if let Some(value) = value {
            let joint = if url.contains('?') { '&' } else { '?' };
            url = format!("{url}{joint}{name}={}", escaped(value));
        }
    }
    Ok(Place::Redis(url))
}

/// `PASSWORD` or `USER:PASSWORD`, as a URL has it.
fn credentials(auth: &str) -> String {
    match auth.split_once(':') {
        Some((user, password)) => format!("{}:{}", escaped(user), escaped(password)),
        None => format!(":{}", escaped(auth)),
    }
}

/// `text` with everything but letters, digits and a few marks written as `%XX`.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut written, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02X}"));
        }
        written
    })
}
