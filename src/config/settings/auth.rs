//! Who is let in: tokens in a setting and in a file, and certificates; and the files of TLS.

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::{AuthSettings, CertificateEntry, Domains, Grant, MalformedEntry, TokenEntry, TokensFile};
use crate::clock::{Micros, Timestamp};
use crate::transport::tls::{Tls, TlsFiles};

use super::error::SettingError;
use super::keys::{self, Key};
use super::layers::{self, Findings, Sources};
use super::read::{Parsed, Reader, span, text, truth};
use super::{Address, CallSettings};

/// The range of the time for which a token holds.
const LIVES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3650 * 24 * 3600));

/// Where it is written who is let in to a listener.
struct Lists {
    tokens: Key,
    file: Key,
    certificates: Key,
    client_ca: Key,
}

const OPERATORS: Lists = Lists {
    tokens: keys::TOKENS,
    file: keys::TOKENS_FILE,
    certificates: keys::CERTIFICATES,
    client_ca: keys::ADMIN_CLIENT_CA,
};

const CALLERS: Lists = Lists {
    tokens: keys::CALLER_TOKENS,
    file: keys::CALLER_TOKENS_FILE,
    certificates: keys::CALLER_CERTIFICATES,
    client_ca: keys::GRPC_CLIENT_CA,
};

/// Who is let in to the admin listener.
pub(super) fn auth(reader: &mut Reader<'_>) -> AuthSettings {
    listed(reader, &OPERATORS)
}

/// Who may call; `None` if everybody may.
pub(super) fn callers(reader: &mut Reader<'_>) -> Option<AuthSettings<Domains>> {
    let Lists { tokens, file, certificates, client_ca } = CALLERS;
    if reader.is_given(&client_ca) && !reader.is_given(&certificates) {
        reader.reject(
            &client_ca,
            format!("lets nobody in by itself: set {} too, which says whom", certificates.env),
        );
    }
    let is_asked = [tokens, file, certificates].iter().any(|key| reader.is_given(key));
    is_asked.then(|| listed(reader, &CALLERS))
}

/// Who may call by `sources`, for whoever only looks; `None` if everybody may, and where something is wrong with it, which the
/// start says.
pub fn callers_of(sources: &Sources) -> Option<AuthSettings<Domains>> {
    let (merged, mut errors) = (layers::merge(sources, &mut Findings::default()), Vec::new());
    let found = callers(&mut Reader { merged: &merged, errors: &mut errors });
    found.filter(|_| errors.is_empty())
}

/// Whom nobody can show a certificate to, though nothing else lets anybody in: HTTP, where it is not encrypted.
pub(super) fn closed_to_all(calls: &CallSettings) -> Option<String> {
    let AuthSettings { tokens, file, certificates } = calls.callers.as_ref()?;
    let by_certificate_alone = tokens.is_empty() && file.is_none() && !certificates.is_empty();
    (by_certificate_alone && calls.http_tls.is_none()).then(|| {
        let (tls, tokens) = (keys::HTTP_TLS.env, keys::CALLER_TOKENS.env);
        format!(
            "nobody may POST /json: callers are let in by certificate alone, and HTTP is not encrypted: set {tls}, or {tokens}"
        )
    })
}

/// What was to say who may call and has nothing in it, such as a secret that was not there, where nothing else says it: then
/// everybody might. `left_empty` are settings of that kind, and where they stand.
pub(super) fn left_open(left_empty: &[(Key, String)]) -> impl Iterator<Item = SettingError> {
    let Lists { tokens, file, certificates, .. } = CALLERS;
    let named = left_empty.iter().filter(move |(key, _)| [tokens, file, certificates].contains(key));
    named.map(|(_, origin)| SettingError::Value {
        origin: origin.clone(),
        value: "\"\"".to_owned(),
        problem: "would let everybody call: write who may, or take it away if everybody may".to_owned(),
    })
}

fn listed<G: Grant>(reader: &mut Reader<'_>, lists: &Lists) -> AuthSettings<G> {
    let tokens = entries(reader, &lists.tokens, TokenEntry::read);
    let file = reader.optional(&lists.file, |path| TokensFile::read(path).map_err(|error| error.to_string()));
    let certificates = entries(reader, &lists.certificates, CertificateEntry::read);
    if !certificates.is_empty() && !reader.is_given(&lists.client_ca) {
        let needed = lists.client_ca.env;
        reader.reject(&lists.certificates, format!("can be shown by nobody: set {needed}, who signs them"));
    }
    AuthSettings { tokens, file, certificates }
}

/// The entries of a setting, with commas or blanks between them.
fn entries<T>(
    reader: &mut Reader<'_>,
    key: &Key,
    read: impl Fn(&str) -> Result<T, MalformedEntry>,
) -> Vec<T> {
    let written = reader.list(key).join(" ");
    let entries = written.split([',', ' ', '\n', '\t', '\r']).filter(|entry| !entry.is_empty());
    let mut found = Vec::new();
    for (at, entry) in entries.enumerate() {
        match read(entry) {
            Ok(entry) => found.push(entry),
            Err(problem) => reader.reject(key, format!("at place {} {problem}", at + 1)),
        }
    }
    found
}

/// What the admin listener is encrypted by, once its files have been read.
pub(super) fn admin_tls(reader: &mut Reader<'_>) -> Option<Tls> {
    tls(reader, "the admin listener", [&keys::ADMIN_CERT, &keys::ADMIN_KEY, &keys::ADMIN_CLIENT_CA])
}

/// What the gRPC listener is encrypted by, and whether HTTP is as well.
pub(super) fn callers_tls(reader: &mut Reader<'_>) -> (Option<Tls>, bool) {
    let found = tls(reader, "the gRPC listener", [&keys::GRPC_CERT, &keys::GRPC_KEY, &keys::GRPC_CLIENT_CA]);
    let is_for_http = reader.value(&keys::HTTP_TLS, truth);
    if is_for_http && !reader.is_given(&keys::GRPC_CERT) {
        reader.reject(&keys::HTTP_TLS, alone(&keys::GRPC_CERT));
    }
    (found, is_for_http)
}

fn tls(
    reader: &mut Reader<'_>,
    listener: &'static str,
    [for_cert, for_key, for_client_ca]: [&Key; 3],
) -> Option<Tls> {
    let path = |reader: &mut Reader<'_>, key| reader.optional(key, text).map(PathBuf::from);
    let (cert, key) = (path(reader, for_cert), path(reader, for_key));
    let client_ca = path(reader, for_client_ca);
    let mut lacking = |given: &Key, other: &Key| {
        reader.reject(given, alone(other));
        None
    };
    match (cert, key) {
        (Some(cert), Some(key)) => {
            let read = Tls::read(listener, TlsFiles { cert, key, client_ca });
            read.map_err(|error| reader.reject(for_cert, format!("cannot be used: {error}"))).ok()
        }
        (None, None) if client_ca.is_some() => lacking(for_client_ca, for_cert),
        (None, None) => None,
        (Some(_), None) => lacking(for_cert, for_key),
        (None, Some(_)) => lacking(for_key, for_cert),
    }
}

fn alone(other: &Key) -> String {
    format!("is of no use alone: set {} too", other.env)
}

/// What is odd about `listener` at `address`, which takes tokens and is not encrypted; `key` would change that.
pub(super) fn in_the_clear(listener: &str, address: &Address, key: &Key) -> Option<String> {
    let ip: Option<std::net::IpAddr> = address.host.parse().ok();
    let is_near = address.host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
    let name = key.env;
    (!is_near).then(|| {
        format!("{listener}, {address}, is not encrypted, and tokens can be read on their way: set {name}")
    })
}

/// When a token that is made `now` and is to hold for the span `text`, such as `90d`, expires.
///
/// # Errors
///
/// What is wrong with the span, and what to write instead.
pub fn expiry(text: &str, now: Timestamp) -> Parsed<Timestamp> {
    let (shortest, longest) = LIVES;
    Ok(now.plus(Micros::of(span(shortest, longest)(text)?)))
}
