//! Who is let in: tokens in a setting and in a file, and certificates; and the files of TLS.

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::{AuthSettings, CertificateEntry, MalformedEntry, TokenEntry, TokensFile};
use crate::clock::{Micros, Timestamp};
use crate::transport::tls::{Tls, TlsFiles};

use super::Address;
use super::keys::{self, Key};
use super::read::{Parsed, Reader, span, text};

/// The range of the time for which a token holds.
const LIVES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3650 * 24 * 3600));

/// Who is let in.
pub(super) fn auth(reader: &mut Reader<'_>) -> AuthSettings {
    let tokens = entries(reader, &keys::TOKENS, TokenEntry::read);
    let file =
        reader.optional(&keys::TOKENS_FILE, |path| TokensFile::read(path).map_err(|error| error.to_string()));
    let certificates = entries(reader, &keys::CERTIFICATES, CertificateEntry::read);
    if !certificates.is_empty() && !reader.is_given(&keys::ADMIN_CLIENT_CA) {
        let needed = keys::ADMIN_CLIENT_CA.env;
        reader.reject(&keys::CERTIFICATES, format!("can be shown by nobody: set {needed}, who signs them"));
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
pub(super) fn tls(reader: &mut Reader<'_>) -> Option<Tls> {
    let path = |reader: &mut Reader<'_>, key| reader.optional(key, text).map(PathBuf::from);
    let (cert, key) = (path(reader, &keys::ADMIN_CERT), path(reader, &keys::ADMIN_KEY));
    let client_ca = path(reader, &keys::ADMIN_CLIENT_CA);
    match (cert, key) {
        (Some(cert), Some(key)) => {
            let read = Tls::read(TlsFiles { cert, key, client_ca });
            read.map_err(|error| reader.reject(&keys::ADMIN_CERT, format!("cannot be used: {error}"))).ok()
        }
        (None, None) => {
            if client_ca.is_some() {
                reader.reject(&keys::ADMIN_CLIENT_CA, alone(&keys::ADMIN_CERT));
            }
            None
        }
        (Some(_), None) => {
            reader.reject(&keys::ADMIN_CERT, alone(&keys::ADMIN_KEY));
            None
        }
        (None, Some(_)) => {
            reader.reject(&keys::ADMIN_KEY, alone(&keys::ADMIN_CERT));
            None
        }
    }
}

fn alone(other: &Key) -> String {
    format!("is of no use alone: set {} too", other.env)
}

/// What is odd about an admin listener at `address` that is not encrypted.
pub(super) fn in_the_clear(address: &Address) -> Option<String> {
    let ip: Option<std::net::IpAddr> = address.host.parse().ok();
    let is_near = address.host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
    let name = keys::ADMIN_CERT.env;
    (!is_near).then(|| {
        format!(
            "the admin listener, {address}, is not encrypted, and tokens can be read on their way: set {name}"
        )
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
