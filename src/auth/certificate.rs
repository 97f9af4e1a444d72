//! Certificates in place of tokens: whose name in one stands for whom.
//!
//! One is written as `NAME:ROLE:SAN`, with domains in place of the role where it is a caller's. That the certificate is good, and its holder has the key, was proved before.

use std::sync::Arc;

use crate::audit::Role;

use super::grant::Grant;
use super::tokens::{MalformedEntry, name_of};

/// A name in a certificate, of those that say who it is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SubjectName {
    /// A name of a machine, in small letters.
    Dns(Box<str>),
    /// A URI, such as `spiffe://example.org/alice`.
    Uri(Box<str>),
}

impl SubjectName {
    /// A name of a machine; they are the same in small and in large letters.
    pub fn dns(name: &str) -> Self {
        Self::Dns(name.to_ascii_lowercase().into())
    }

    /// A URI.
    pub fn uri(name: &str) -> Self {
        Self::Uri(name.into())
    }

    /// Reads one as it is configured: what has a colon is a URI.
    fn read(text: &str) -> Option<Self> {
        let is_machine = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        match text.split_once(':') {
            Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => Some(Self::uri(text)),
            None if !text.is_empty() && text.bytes().all(is_machine) => Some(Self::dns(text)),
            _ => None,
        }
    }
}

/// One name in certificates that is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateEntry<G = Role> {
    pub(super) name: Arc<str>,
    grant: G,
    subject: SubjectName,
}

impl<G: Grant> CertificateEntry<G> {
    /// Reads `NAME:ROLE:SAN`, or `NAME:DOMAINS:SAN`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Self, MalformedEntry> {
        let mut parts = text.splitn(3, ':');
        let (Some(name), Some(grant), Some(subject)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(G::CERTIFICATE_FORM);
        };
        Ok(Self {
            name: name_of(name)?,
            grant: G::read(grant)?,
            subject: SubjectName::read(subject).ok_or(MalformedEntry::Subject)?,
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

    /// Whether one of `names` is the one.
    pub(super) fn is_among(&self, names: &[SubjectName]) -> bool {
        names.contains(&self.subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_their_kind_and_whole() {
        let entry = |text| CertificateEntry::<Role>::read(text).unwrap();
        let alice = entry("alice:operator:spiffe://example.org/alice");
        assert_eq!((alice.name(), *alice.grant()), ("alice", Role::Operator));
        assert!(alice.is_among(&[SubjectName::dns("x"), SubjectName::uri("spiffe://example.org/alice")]));
        assert!(!alice.is_among(&[SubjectName::uri("spiffe://example.org/alice/x")]));
        assert!(!alice.is_among(&[SubjectName::uri("spiffe://example.org/Alice")]));
        let machine = entry("bob:viewer:Bob.example.org");
        assert!(machine.is_among(&[SubjectName::dns("bob.EXAMPLE.org")]));
        assert!(!machine.is_among(&[SubjectName::uri("bob.example.org"), SubjectName::dns("*.example.org")]));
    }

    #[test]
    fn what_is_wrong_with_one_is_said() {
        for (text, wrong) in [
            ("alice:operator", MalformedEntry::CertificateForm),
            ("al ice:operator:x", MalformedEntry::Name),
            ("alice:owner:x", MalformedEntry::Role),
            ("alice:viewer:", MalformedEntry::Subject),
            ("alice:viewer:*.example.org", MalformedEntry::Subject),
            ("alice:viewer:spiffe:", MalformedEntry::Subject),
        ] {
            assert_eq!(CertificateEntry::<Role>::read(text), Err(wrong), "{text}");
        }
    }
}
