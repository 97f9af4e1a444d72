//! Who is let in: tokens in a setting, and in a file.

use std::time::Duration;

use crate::auth::{AuthSettings, TokenEntry, TokensFile};
use crate::clock::{Micros, Timestamp};

use super::keys;
use super::read::{Parsed, Reader, span};

/// The range of the time for which a token holds.
const LIVES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3650 * 24 * 3600));

/// Who is let in.
pub(super) fn auth(reader: &mut Reader<'_>) -> AuthSettings {
    let written = reader.list(&keys::TOKENS).join(" ");
    let entries = written.split([',', ' ', '\n', '\t', '\r']).filter(|entry| !entry.is_empty());
    let mut tokens = Vec::new();
    for (at, entry) in entries.enumerate() {
        match TokenEntry::read(entry) {
            Ok(token) => tokens.push(token),
            Err(problem) => reader.reject(&keys::TOKENS, format!("at place {} {problem}", at + 1)),
        }
    }
    let file =
        reader.optional(&keys::TOKENS_FILE, |path| TokensFile::read(path).map_err(|error| error.to_string()));
    AuthSettings { tokens, file }
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
