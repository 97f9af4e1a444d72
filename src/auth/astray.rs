//! Callers who are let in for nothing: they may ask about a domain that is not there. And that nobody is let in at all.
//!
//! Neither is a mistake of form, and Envoy lets every call pass that it gets an error for: whoever has slipped has no limits
//! and would hear nothing of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::certificate::CertificateEntry;
use super::gate::Gate;
use super::grant::{Domains, shown};
use super::tokens::TokenEntry;
use crate::audit::Role;
use crate::clock::Timestamp;
use crate::nearest::nearest;

/// What keeps callers out, though nothing is wrong with the form of their lines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Astray {
    /// No line of a token, and none of a certificate.
    #[error(
        "nobody may call, since no token and no certificate of a caller is configured: all calls are refused, {PASSED}"
    )]
    NoLine,
    /// Nothing but tokens that hold no longer.
    #[error("nobody may call, since all tokens of callers have expired: all calls are refused, {PASSED}")]
    AllExpired,
    /// A domain that a line names is in no file.
    #[error(
        "the {line} of {name} is for the domain '{domain}', which no file has{hint}; its calls are refused, {PASSED}"
    )]
    NoSuchDomain {
        /// What line.
        line: &'static str,
        /// Whose.
        name: Arc<str>,
        /// As it stands there.
        domain: String,
        /// What may have been meant.
        hint: String,
    },
    /// So many more do.
    #[error("{0} more times a line of a token or certificate is for a domain that no file has")]
    More(usize),
}

/// What becomes of calls that are refused.
const PASSED: &str = "which Envoy lets pass unless it is told failure_mode_deny";

/// Of how many lines it is told what domain they slipped on.
const MOST: usize = 10;

/// A line, whose it is, and a domain that it names.
type Named<'a> = (&'static str, &'a Arc<str>, &'a [u8]);

impl Gate<Domains> {
    /// What keeps callers out where there are the domains `known`, in a lasting order.
    pub fn astray<'k>(&self, known: impl IntoIterator<Item = &'k [u8]>) -> Vec<Astray> {
        let known: BTreeSet<&[u8]> = known.into_iter().collect();
        self.look_at(|tokens, certificates, now| {
            let mut found: Vec<Astray> = nobody(tokens.iter(), certificates, now).into_iter().collect();
            found.extend(missing(tokens.iter(), certificates, &known));
            found
        })
    }

    /// That nobody may call, whatever domains there are: between changes, nothing else comes of time.
    pub fn lets_nobody_in(&self) -> Option<Astray> {
        self.look_at(|tokens, certificates, now| nobody(tokens.iter(), certificates, now))
    }
}

fn nobody<'t>(
    mut tokens: impl Iterator<Item = &'t TokenEntry<Domains>>,
    certificates: &[CertificateEntry<Domains>],
    now: Timestamp,
) -> Option<Astray> {
    match (certificates, tokens.next()) {
        ([_, ..], _) => None,
        ([], None) => Some(Astray::NoLine),
        ([], Some(first)) => {
            let is_any_good = !first.has_expired(now) || tokens.any(|token| !token.has_expired(now));
            (!is_any_good).then_some(Astray::AllExpired)
        }
    }
}

/// Each domain that a line names and that is not `known`: of the first it is told what may be meant.
fn missing<'t>(
    tokens: impl Iterator<Item = &'t TokenEntry<Domains>>,
    certificates: &'t [CertificateEntry<Domains>],
    known: &BTreeSet<&[u8]>,
) -> Vec<Astray> {
    let tokens = tokens.map(|token| ("token", &token.name, token.grant()));
    let lines = certificates.iter().map(|entry| ("certificate", &entry.name, entry.grant())).chain(tokens);
    let named = lines
        .flat_map(|(line, name, domains)| domains.names().iter().map(move |domain| (line, name, &**domain)));
    let missing: BTreeSet<Named<'_>> = named.filter(|(.., domain)| !known.contains(domain)).collect();
    let told = missing.iter().take(MOST).map(|&(line, name, domain)| Astray::NoSuchDomain {
        line,
        name: name.clone(),
        domain: shown(domain),
        hint: hint(domain, known),
    });
    let more = missing.len().checked_sub(MOST).filter(|more| *more > 0);
    told.chain(more.map(Astray::More)).collect()
}

/// What may have been meant by `domain`.
fn hint(domain: &[u8], known: &BTreeSet<&[u8]>) -> String {
    let texts = known.iter().filter_map(|name| str::from_utf8(name).ok());
    let text = String::from_utf8_lossy(domain);
    match nearest(&text, texts) {
        Some(near) => format!(" (did you mean '{}'?)", shown(near.as_bytes())),
        None if Role::named(&text).is_some() => {
            " (is it the line of somebody who runs the service? it belongs in TOLLGATE_ADMIN_TOKENS)"
                .to_owned()
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Grant, Token};
    use crate::clock::Clock;

    fn token(name: &str, domains: &str, expires: Option<Timestamp>) -> TokenEntry<Domains> {
        TokenEntry::of(&Token::draw().unwrap(), name, Domains::read(domains).unwrap(), expires).unwrap()
    }

    fn said(tokens: Vec<TokenEntry<Domains>>, certificates: &[&str]) -> Vec<String> {
        let certificates = certificates.iter().map(|line| CertificateEntry::read(line).unwrap()).collect();
        let (gate, _denials) = Gate::knowing(tokens, certificates, Clock::System);
        gate.astray([&b"shop"[..], b"aurastream"]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn who_names_a_domain_that_is_not_there_is_told_with_the_nearest() {
        assert_eq!(said(vec![token("all", "*", None), token("both", "shop+aurastream", None)], &[]), [""; 0]);
        let tokens = [
            token("two", "shop%2Baurastream", None),
            token("two", "shop%2Baurastream", None),
            token("typo", "shop+aurastraem", None),
            token("admin", "admin", None),
        ];
        let found = said(tokens.into(), &["edge:Shop:edge.example", "till:shop:till.example"]);
        let expected = [
            "the certificate of edge is for the domain 'Shop', which no file has (did you mean 'shop'?); ",
            "the token of admin is for the domain 'admin', which no file has (is it the line of somebody who runs",
            "the token of two is for the domain 'shop%2Baurastream', which no file has (did you mean 'aurastream'?); its calls are refused, which Envoy",
            "the token of typo is for the domain 'aurastraem', which no file has (did you mean 'aurastream'?); its",
        ];
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}");
        }
    }

    #[test]
    fn of_many_it_is_told_how_many_more_there_are() {
        let tokens = |count| (0..count).map(|number| token(&format!("t{number:02}"), "blog", None)).collect();
        assert_eq!(said(tokens(10), &[]).len(), 10);
        let found = said(tokens(25), &["edge:wiki+blog:edge.example"]);
        assert_eq!(found.len(), 11, "{found:#?}");
        assert!(found[9].starts_with("the token of t07 is"), "{found:#?}");
        assert!(found[10].starts_with("17 more times a line"), "{found:#?}");
    }

    #[test]
    fn that_nobody_may_call_is_told() {
        let (past, ahead) = (Some(Timestamp(1)), Some(Timestamp(u64::MAX)));
        for (tokens, certificates, expected) in [
            (vec![], &[][..], Some("nobody may call, since no token and no certificate")),
            (
                vec![token("a", "shop", past)],
                &[],
                Some("nobody may call, since all tokens of callers have expired"),
            ),
            (vec![token("a", "shop", past), token("b", "shop", ahead)], &[], None),
            (vec![token("a", "shop", past)], &["edge:shop:edge.example"], None),
        ] {
            let found = said(tokens, certificates);
            assert_eq!(found.len(), usize::from(expected.is_some()), "{found:?}");
            assert!(found.iter().zip(expected).all(|(found, words)| found.starts_with(words)), "{found:?}");
        }
    }
}
