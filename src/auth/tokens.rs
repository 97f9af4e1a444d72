//! The tokens that are configured: their names, what they grant, and what is kept of them.
//!
//! One is written as `NAME:ROLE:SHA-256[:EXPIRY]`, with domains in place of the role where it is a caller's. Several may have one
//! name: then both hold while one takes the place of the other.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use subtle::{Choice, ConditionallySelectable};

use super::grant::Grant;
use super::token::{Presented, Token, TokenDigest, TokenId};
use crate::audit::Role;
use crate::calendar::{in_utc, instant, start_of_day};
use crate::clock::Timestamp;

/// The longest name.
const LONGEST_NAME: usize = 64;

/// One token that is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenEntry<G = Role> {
    pub(super) name: Arc<str>,
    grant: G,
    digest: TokenDigest,
    expires: Option<Timestamp>,
}

/// What is wrong with a line of a token, in words that repeat nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedEntry {
    /// The clear text stands where the digest should.
    #[error(
        "holds a token in clear text: it is known to whoever reads this, so make another with \
         `tollgate token new`, and write the line that it prints"
    )]
    ClearText,
    /// It is no line of a token.
    #[error(
        "is no token: write NAME:ROLE:SHA-256 or NAME:ROLE:SHA-256:EXPIRY, as `tollgate token new` prints it"
    )]
    Form,
    /// It is no line of a certificate.
    #[error("is no certificate: write NAME:ROLE:SAN, such as alice:operator:spiffe://example.org/alice")]
    CertificateForm,
    /// It is no line of a caller's token.
    #[error(
        "is no token of a caller: write NAME:DOMAINS:SHA-256 or NAME:DOMAINS:SHA-256:EXPIRY, as `tollgate token new \
         --domain` prints it"
    )]
    CallerForm,
    /// It is no line of a caller's certificate.
    #[error(
        "is no certificate of a caller: write NAME:DOMAINS:SAN, such as edge:shop+blog:spiffe://example.org/edge"
    )]
    CallerCertificateForm,
    /// They are no domains.
    #[error(
        "names no domains: write them with + between them, such as shop+blog, or * alone for all; in a name a colon is %3A, \
         a + is %2B, a * is %2A, and a % is %25"
    )]
    Domains,
    /// No certificate has such a name.
    #[error("has no name that a certificate may have: write a URI, or the whole name of a machine")]
    Subject,
    /// It could not be told apart from others in the log.
    #[error("has no good name: write 1 to 64 letters, digits, dots, dashes, underscores and @")]
    Name,
    /// There is no such role.
    #[error("has no role: write viewer, operator or admin")]
    Role,
    /// The digest is none.
    #[error("has no SHA-256: write the 64 hexadecimal digits that `tollgate token new` prints")]
    Digest,
    /// The time is none.
    #[error("has no time of expiry: write it as 2027-01-31 or 2027-01-31T00:00:00Z")]
    Expiry,
}

impl<G: Grant> TokenEntry<G> {
    /// What is written down for `token`.
    ///
    /// # Errors
    ///
    /// What is wrong with the name.
    pub fn of(
        token: &Token,
        name: &str,
        grant: G,
        expires: Option<Timestamp>,
    ) -> Result<Self, MalformedEntry> {
        Ok(Self { name: name_of(name)?, grant, digest: token.digest(), expires })
    }

    /// Reads `NAME:ROLE:SHA-256[:EXPIRY]`, or `NAME:DOMAINS:…`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, MalformedEntry> {
        if text.split(':').any(|part| Presented::read(part.as_bytes()).is_some()) {
            return Err(MalformedEntry::ClearText);
        }
        let mut parts = text.splitn(4, ':');
        let (Some(name), Some(grant), Some(digest)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(G::TOKEN_FORM);
        };
        let expires = parts.next().map(|expiry| time(expiry).ok_or(MalformedEntry::Expiry)).transpose()?;
        Ok(Self {
            name: name_of(name)?,
            grant: G::read(grant)?,
            digest: TokenDigest::read(digest).ok_or(MalformedEntry::Digest)?,
            expires,
        })
    }

    /// Whose it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What they may.
    pub fn grant(&self) -> &G {
        &self.grant
    }

    /// Whether it no longer holds.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// The line for the settings. It holds the digest: for whoever makes a token, and nobody's log.
    pub fn to_line(&self) -> String {
        let Self { name, grant, digest, expires } = self;
        let expiry = expires.map(|at| format!(":{}", in_utc(at))).unwrap_or_default();
        format!("{name}:{grant}:{}{expiry}", digest.to_hex())
    }
}

/// A name that may stand in logs and records.
pub(super) fn name_of(text: &str) -> Result<Arc<str>, MalformedEntry> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_@".contains(&byte);
    let is_name = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(is_good);
    if is_name { Ok(text.into()) } else { Err(MalformedEntry::Name) }
}

fn time(text: &str) -> Option<Timestamp> {
    start_of_day(text, "UTC").or_else(|| instant(text))
}

/// All that are configured, by their ids.
pub(super) struct Tokens<G>(HashMap<TokenId, Vec<TokenEntry<G>>>);

impl<G: Grant> Tokens<G> {
    pub(super) fn new(entries: impl IntoIterator<Item = TokenEntry<G>>) -> Self {
        let mut by_id: HashMap<TokenId, Vec<TokenEntry<G>>> = HashMap::new();
        for entry in entries {
            by_id.entry(entry.digest.id()).or_default().push(entry);
        }
        Self(by_id)
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &TokenEntry<G>> {
        self.0.values().flatten()
    }

    /// Whose `presented` is. What has another id costs no digest; what has the same is compared with all that have it,
    /// over all of their length, whichever is right.
    pub(super) fn find(&self, presented: Presented<'_>) -> Option<&TokenEntry<G>> {
        let entries = self.0.get(&presented.id)?;
        let digest = presented.digest();
        let mut found = Choice::from(0);
        let mut place = 0_u64;
        for (at, entry) in (0_u64..).zip(entries) {
            let is = digest.is(&entry.digest);
            place.conditional_assign(&at, is);
            found |= is;
        }
        let place = usize::try_from(place).ok()?;
        bool::from(found).then(|| entries.get(place)).flatten()
    }
}

impl<G> fmt::Debug for Tokens<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_is_written() {
        let token = Token::draw().unwrap();
        for expires in [None, instant("2027-01-31T12:00:00Z")] {
            let entry = TokenEntry::of(&token, "alice@example.org", Role::Operator, expires).unwrap();
            let line = entry.to_line();
            assert_eq!(TokenEntry::read(&line).as_ref(), Ok(&entry), "{line}");
            assert!(!line.contains(token.as_str()));
            assert_eq!(entry.has_expired(instant("2027-01-31T12:00:00Z").unwrap()), expires.is_some());
            assert!(!entry.has_expired(instant("2027-01-31T11:59:59Z").unwrap()));
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_without_repeating_it() {
        let digest = "ab".repeat(32);
        let token = Token::draw().unwrap();
        for (line, wrong) in [
            (String::new(), MalformedEntry::Form),
            ("alice:admin".to_owned(), MalformedEntry::Form),
            (format!(":admin:{digest}"), MalformedEntry::Name),
            (format!("al ice:admin:{digest}"), MalformedEntry::Name),
            (format!("alice:root:{digest}"), MalformedEntry::Role),
            (format!("alice:admin:{}", &digest[1..]), MalformedEntry::Digest),
            (format!("alice:admin:{digest}:soon"), MalformedEntry::Expiry),
            (format!("alice:admin:{digest}:"), MalformedEntry::Expiry),
            (format!("alice:admin:{}", token.as_str()), MalformedEntry::ClearText),
            (token.as_str().to_owned(), MalformedEntry::ClearText),
        ] {
            assert_eq!(TokenEntry::<Role>::read(&line), Err(wrong), "{line}");
        }
    }

    #[test]
    fn each_of_several_tokens_of_one_name_holds() {
        let tokens = [(); 3].map(|()| Token::draw().unwrap());
        let entry = |token| TokenEntry::of(token, "alice", Role::Viewer, None).unwrap();
        let known = Tokens::new(tokens[..2].iter().map(entry));
        let find = |token: &Token| known.find(Presented::read(token.as_str().as_bytes()).unwrap()).cloned();
        assert_eq!(tokens.each_ref().map(|token| find(token).is_some()), [true, true, false]);
        // The same id, and another secret.
        let (id, _) = tokens[0].as_str().rsplit_once('_').unwrap();
        let forged = format!("{id}_{}", "0".repeat(48));
        assert_eq!(known.find(Presented::read(forged.as_bytes()).unwrap()), None);
    }

    #[test]
    fn those_of_one_id_are_told_apart() {
        let token = Token::draw().unwrap();
        let right = TokenEntry::of(&token, "right", Role::Viewer, None).unwrap();
        let id = &right.digest.to_hex()[..12];
        let beside = |name: &str| TokenEntry::read(&format!("{name}:admin:{id}{}", "0".repeat(52))).unwrap();
        let presented = Presented::read(token.as_str().as_bytes()).unwrap();
        for at in 0..3 {
            let mut entries = vec![beside("one"), beside("other")];
            entries.insert(at, right.clone());
            assert_eq!(Tokens::new(entries).find(presented).map(TokenEntry::name), Some("right"));
        }
    }
}
