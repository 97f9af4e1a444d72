//! Where the server listens: three addresses, and the host that stands in where none is written.

use std::fmt;

use super::read::Parsed;

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// For gRPC. Default 127.0.0.1:8081.
    pub grpc: Address,
    /// For HTTP. Default 127.0.0.1:8080.
    pub http: Address,
    /// For operators. Default 127.0.0.1:6070.
    pub admin: Address,
}

/// A host and a port to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port; 0 takes a free one.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Reads `HOST:PORT`; without a host, `otherwise` is it.
pub(super) fn address(otherwise: &str) -> impl Fn(&str) -> Parsed<Address> {
    move |text| {
        let read = || {
            let (host, port) = text.rsplit_once(':')?;
            let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let host = match bracketed {
                Some(ipv6) => ipv6,
                None if host.contains([':', '/', '[', ']', ' ']) => return None,
                None if host.is_empty() => otherwise,
                None => host,
            };
            Some(Address { host: host.to_owned(), port: port.parse().ok()? })
        };
        read().ok_or_else(|| "is no address: write HOST:PORT, such as 127.0.0.1:8081".to_owned())
    }
}
