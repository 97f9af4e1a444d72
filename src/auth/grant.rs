//! What is granted to whoever has a token or a certificate: a role to those who run the service, domains to those who call
//! it.
//!
//! It stands between the name and what proves it, as in `alice:operator:…` and `edge:shop+blog:…`.

use std::fmt;
use std::sync::Arc;

use super::tokens::MalformedEntry;
use crate::audit::{Action, Role};
use crate::percent;

/// What is granted, as it is configured.
pub trait Grant: Clone + fmt::Debug + fmt::Display + PartialEq + Eq + Send + Sync + 'static {
    /// What somebody wants who is not let in.
    const ENTRY: Action;
    /// What is said of a line that is none of a token.
    const TOKEN_FORM: MalformedEntry;
    /// What is said of a line that is none of a certificate.
    const CERTIFICATE_FORM: MalformedEntry;

    /// Reads it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    fn read(text: &str) -> Result<Self, MalformedEntry>;
}

impl Grant for Role {
    const ENTRY: Action = Action::LogIn;
    const TOKEN_FORM: MalformedEntry = MalformedEntry::Form;
    const CERTIFICATE_FORM: MalformedEntry = MalformedEntry::CertificateForm;

    fn read(text: &str) -> Result<Self, MalformedEntry> {
        Self::named(text).ok_or(MalformedEntry::Role)
    }
}

/// The domains that a caller may ask about, written with `+` between them; `*` is all. What a name may not hold where it is
/// written, such as a colon or a blank, is written as in URLs, `%3A`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domains {
    /// All, also those that are configured later.
    All,
    /// These.
    These(Arc<[Box<[u8]>]>),
}

impl Domains {
    /// Their names; none where it is all.
    pub(super) fn names(&self) -> &[Box<[u8]>] {
        match self {
            Self::All => &[],
            Self::These(names) => names,
        }
    }

    /// Whether `domain` is among them.
    pub fn has(&self, domain: &[u8]) -> bool {
        self.any(|name| name == domain)
    }

    /// Whether one of them is as `is_right` says; of all there is always one.
    pub fn any(&self, is_right: impl Fn(&[u8]) -> bool) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.iter().any(|name| is_right(name)),
        }
    }
}

impl Grant for Domains {
    const ENTRY: Action = Action::Call;
    const TOKEN_FORM: MalformedEntry = MalformedEntry::CallerForm;
    const CERTIFICATE_FORM: MalformedEntry = MalformedEntry::CallerCertificateForm;

    fn read(text: &str) -> Result<Self, MalformedEntry> {
        if text == "*" {
            return Ok(Self::All);
        }
        let names: Option<Arc<[_]>> = text.split('+').map(unescaped).collect();
        names.map(Self::These).ok_or(MalformedEntry::Domains)
    }
}

impl fmt::Display for Domains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::These(names) = self else { return f.write_str("*") };
        for (place, name) in names.iter().enumerate() {
            if place > 0 {
                f.write_str("+")?;
            }
            f.write_str(&shown(name))?;
        }
        Ok(())
    }
}

/// The name of a domain, as it stands in a line.
pub(super) fn shown(name: &[u8]) -> String {
    let byte = |byte: &u8| match is_plain(*byte) {
        true => char::from(*byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    name.iter().map(byte).collect()
}

/// Whether a byte of a name stands for itself.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b":,+%*#".contains(&byte)
}

/// The name that is written as `text`; `None` if that is none.
fn unescaped(text: &str) -> Option<Box<[u8]>> {
    let is_name = !text.is_empty() && !text.contains('*') && percent::is_sound(text);
    is_name.then(|| percent::decoded(text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_read_as_they_are_written() {
        for (text, names) in [
            ("shop", vec!["shop"]),
            ("shop+blog", vec!["shop", "blog"]),
            ("edge%3A1+a%20b%2B%2C%25", vec!["edge:1", "a b+,%"]),
            ("%2A", vec!["*"]),
            ("caf%C3%A9", vec!["café"]),
        ] {
            let domains = Domains::read(text).unwrap();
            assert_eq!(domains.to_string(), text);
            assert!(names.iter().all(|name| domains.has(name.as_bytes())), "{text}");
            for other in ["", "sho", "shop+blog", "SHOP", "%3A", "**"] {
                assert!(!domains.has(other.as_bytes()), "{text} {other}");
            }
        }
        assert!(Domains::read("*").unwrap().has(b"anything"));
        // As a hand writes it.
        assert_eq!(Domains::read("a b+(c)").unwrap().to_string(), "a%20b+(c)");
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for text in ["", "+", "shop+", "+shop", "*+shop", "sh*p", "shop%", "shop%2", "%zz", "%+1a"] {
            assert_eq!(Domains::read(text), Err(MalformedEntry::Domains), "{text}");
        }
    }
}
