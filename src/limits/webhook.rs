//! Where alerts are sent: an address that may hold a secret, so it is read once and shown to nobody.

use std::fmt;
use std::sync::Arc;

/// The address of a webhook.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Webhook(Arc<Parts>);

/// How a webhook is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

#[derive(PartialEq, Eq, Hash)]
struct Parts {
    scheme: Scheme,
    /// Host and port as written.
    authority: Box<str>,
    host: Box<str>,
    port: u16,
    target: Box<str>,
}

/// Why a text is no address of a webhook. The text is not repeated: it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhook {
    /// Neither `http://` nor `https://`.
    #[error("the webhook's address does not begin with https:// or http://")]
    Scheme,
    /// A host that is none, or bytes that no address has.
    #[error("the webhook is no address")]
    Address,
    /// A user or a password before the host.
    #[error("the webhook's address holds a user or a password before its host")]
    Login,
}

impl Webhook {
    /// Reads `https://HOST[:PORT][/PATH][?QUERY]`, or the same with `http`.
    pub fn parse(text: &str) -> Result<Self, InvalidWebhook> {
        Self::read(text).map(|parts| Self(Arc::new(parts)))
    }

    fn read(text: &str) -> Result<Parts, InvalidWebhook> {
        let schemes = [("https://", Scheme::Https, 443), ("http://", Scheme::Http, 80)];
        let (rest, scheme, usual) = schemes
            .into_iter()
            .find_map(|(start, scheme, port)| Some((text.strip_prefix(start)?, scheme, port)))
            .ok_or(InvalidWebhook::Scheme)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(InvalidWebhook::Login);
        }
        if !path.bytes().all(is_part_of_a_path) {
            return Err(InvalidWebhook::Address);
        }
        let (host, port) = host_and_port(authority, usual).ok_or(InvalidWebhook::Address)?;
        let target = if path.starts_with('/') { path.into() } else { format!("/{path}").into() };
        Ok(Parts { scheme, authority: authority.into(), host: host.into(), port, target })
    }

    /// How it is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// Its name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Host and port as written.
    pub fn authority(&self) -> &str {
        &self.0.authority
    }

    /// Its path, and its query if it has one.
    pub fn target(&self) -> &str {
        &self.0.target
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook(…)")
    }
}

/// `host`, `host:port` or `[address]:port`.
fn host_and_port(authority: &str, usual: u16) -> Option<(&str, u16)> {
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((address, "")) => (address, None),
        Some((address, rest)) => (address, Some(rest.strip_prefix(':')?)),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let is_host = match bracketed {
        Some(_) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_part_of_a_name),
    };
    let port = port.map_or(Some(usual), |port| port.parse().ok().filter(|port| *port != 0))?;
    is_host.then_some((host, port))
}

const fn is_part_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// What RFC 3986 has in paths and queries.
const fn is_part_of_a_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'$'..=b'/' | b':' | b';' | b'=' | b'?' | b'@' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        for (text, scheme, host, port, target) in [
            ("https://example.org", Scheme::Https, "example.org", 443, "/"),
            ("https://example.org/a/b?c=d", Scheme::Https, "example.org", 443, "/a/b?c=d"),
            ("http://localhost:8080?key=1", Scheme::Http, "localhost", 8080, "/?key=1"),
            ("http://127.0.0.1/@", Scheme::Http, "127.0.0.1", 80, "/@"),
            ("https://[::1]:444/x", Scheme::Https, "::1", 444, "/x"),
            ("http://[::1]", Scheme::Http, "::1", 80, "/"),
        ] {
            let webhook = Webhook::parse(text).expect(text);
            let read = (webhook.scheme(), webhook.host(), webhook.port(), webhook.target());
            assert_eq!(read, (scheme, host, port, target), "{text}");
            assert!(text.contains(webhook.authority()), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in ["", "example.org", "ftp://example.org", "HTTPS://example.org"] {
            assert_eq!(Webhook::parse(text), Err(InvalidWebhook::Scheme), "{text}");
        }
        for text in [
            "https://",
            "https:///path",
            "https://a b/",
            "https://a/b c",
            "https://a/\n",
            "https://a/#part",
            "https://a/<b>",
            "https://a/\"",
            "https://a:0/",
            "https://a:99999/",
            "https://a:/",
            "https://[::1",
            "https://[a]/",
            "https://[::1]x/",
            "https://ä.org/",
            "https://a/ä",
        ] {
            assert_eq!(Webhook::parse(text), Err(InvalidWebhook::Address), "{text}");
        }
        assert_eq!(Webhook::parse("https://me:swordfish@example.org/"), Err(InvalidWebhook::Login));
    }

    #[test]
    fn is_shown_to_nobody() {
        let webhook = Webhook::parse("https://swordfish.example/swordfish?swordfish").expect("an address");
        assert_eq!(format!("{webhook:?}"), "Webhook(…)");
    }
}
