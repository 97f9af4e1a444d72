//! A caller's address in one form, however it was written: `10.0.0.1` and `::ffff:10.0.0.1` are one subject.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

/// The normal form of an address.
#[derive(Clone, Debug)]
pub(super) enum Address<'a> {
    /// What was sent is in normal form, or is no address.
    AsSent(&'a [u8]),
    /// Written anew.
    Written(SmallVec<[u8; 64]>),
}

impl<'a> Address<'a> {
    /// IPv4 inside IPv6 is IPv4; IPv6 counts by its prefix; what is no address is taken as it is. Envoy writes its
    /// mask behind a masked address, and none is all of it: a wider one stays, a narrower one splits nothing.
    pub(super) fn of(sent: &'a [u8], ipv6_prefix: u8) -> Self {
        let Some((address, mask)) = std::str::from_utf8(sent).ok().and_then(masked) else {
            return Self::AsSent(sent);
        };
        match address {
            IpAddr::V4(address) if mask >= 32 => Self::whole(sent, address),
            IpAddr::V4(address) => Self::written(format_args!("{address}/{mask}")),
            IpAddr::V6(address) => {
                let prefix = mask.min(ipv6_prefix);
                let bits = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
                let network = Ipv6Addr::from(u128::from(address) & bits);
                Self::written(format_args!("{network}/{prefix}"))
            }
        }
    }

    /// Whether `sent` is an address, with or without a mask.
    pub(super) fn is_one(sent: &[u8]) -> bool {
        std::str::from_utf8(sent).ok().and_then(masked).is_some()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::AsSent(sent) => sent,
            Self::Written(bytes) => bytes,
        }
    }

    /// There is one way to write an IPv4 address that is not inside IPv6, so what stands before a mask is it.
    fn whole(sent: &'a [u8], address: Ipv4Addr) -> Self {
        let before_mask = sent.split(|byte| *byte == b'/').next().unwrap_or(sent);
        if before_mask.contains(&b':') {
            Self::written(format_args!("{address}"))
        } else {
            Self::AsSent(before_mask)
        }
    }

    fn written(text: std::fmt::Arguments<'_>) -> Self {
        let mut bytes = SmallVec::new();
        bytes.write_fmt(text).expect("memory takes all that is written");
        Self::Written(bytes)
    }
}

/// `ADDRESS` or `ADDRESS/MASK`, and how many leading bits count.
fn masked(text: &str) -> Option<(IpAddr, u8)> {
    let (address, mask) = match text.split_once('/') {
        Some((address, mask)) => (address, mask.parse().ok()?),
        None => (text, 128),
    };
    let address: IpAddr = address.parse().ok()?;
    match address.to_canonical() {
        // A mask that leaves out a part of the prefix of IPv4 inside IPv6 leaves nothing of the address.
        IpAddr::V4(_) if address.is_ipv6() && mask < 96 => None,
        IpAddr::V4(inner) if address.is_ipv6() => Some((IpAddr::V4(inner), mask - 96)),
        address => Some((address, mask)),
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_has_one_form() {
        for (sent, form) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8::1", "2001:db8::/64"),
            ("2001:0DB8:0:0:1::9", "2001:db8::/64"),
            ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
            ("10.0.0.0/24", "10.0.0.0/24"),
            ("10.0.0.1/32", "10.0.0.1"),
            ("::ffff:10.0.0.1/128", "10.0.0.1"),
            ("::ffff:10.0.0.0/120", "10.0.0.0/24"),
            ("::ffff:0:0/90", "::ffff:0:0/90"),
            ("2001:db8::1/128", "2001:db8::/64"),
            ("2001:db8:0:0:1::/80", "2001:db8::/64"),
            ("2001:db8::/48", "2001:db8::/48"),
            ("2001:db8::1/x", "2001:db8::1/x"),
            ("2001:db8::1/300", "2001:db8::1/300"),
            ("::/0", "::/0"),
            ("unknown", "unknown"),
        ] {
            assert_eq!(Address::of(sent.as_bytes(), 64).as_bytes(), form.as_bytes(), "{sent}");
        }
        assert_eq!(Address::of(b"2001:db8::1", 128).as_bytes(), b"2001:db8::1/128");
        assert_eq!(Address::of(b"2001:db8::1", 0).as_bytes(), b"::/0");
        assert_eq!(Address::of(b"\xff\x00", 64).as_bytes(), b"\xff\x00");
        for (sent, is_one) in [("::1", true), ("10.0.0.0/8", true), ("10.0.0", false), ("", false)] {
            assert_eq!(Address::is_one(sent.as_bytes()), is_one, "{sent}");
        }
    }
}
