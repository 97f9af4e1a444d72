//! Which limits a descriptor touches, and by which entries it is read.
//!
//! By an entry `limit`; else by an entry `route`; else by method and path. All but `limit` also touch the
//! limits of route `"*"`, so that a call which matches no route is still counted.

use std::net::{IpAddr, Ipv6Addr};

use crate::engine::request::{CheckRequest, Descriptor};
use crate::limits::{Captures, Entries, LimitId, NativeDomain};

/// How a descriptor came to a limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// It names the limit.
    Named,
    /// Its route lists the limit.
    Route,
    /// Route `"*"` lists the limit: charged by 1, whatever the hits.
    Every,
}

/// What a descriptor comes to.
pub(super) struct Selection<'a> {
    /// The limits, in the order of the file's route.
    pub(super) limits: Vec<(LimitId, Reached)>,
    /// What is read for subjects and tiers: captures first, since they beat what was sent.
    pub(super) entries: Captures<'a>,
}

/// Selects the limits of `descriptor`. `address` is its normal form of the caller's address.
pub(super) fn select<'a>(
    domain: &'a NativeDomain,
    descriptor: &'a Descriptor<'_>,
    address: Option<&'a [u8]>,
) -> Selection<'a> {
    let sent = &descriptor.entries;
    let (limits, captures) = match value(sent, b"limit") {
        Some(name) => {
            (domain.by_name.get(name).map(|id| (*id, Reached::Named)).into_iter().collect(), vec![])
        }
        None => routed(domain, sent),
    };
    let mut entries = captures;
    entries.extend(address.map(|address| (&b"ip"[..], address)));
    entries.extend(sent.iter().map(|entry| (entry.key, entry.value)));
    Selection { limits, entries }
}

/// The limits of the route, then those of every call that it does not list itself.
fn routed<'a>(domain: &'a NativeDomain, sent: &Entries<'a>) -> (Vec<(LimitId, Reached)>, Captures<'a>) {
    let found = match value(sent, b"route") {
        Some(name) => domain.routes.named(name).map(|id| (id, vec![])),
        None => value(sent, b"path").or_else(|| value(sent, b":path")).and_then(|path| {
            let method = value(sent, b"method").or_else(|| value(sent, b":method")).unwrap_or_default();
            domain.routes.find(method, path)
        }),
    };
    let (listed, captures) =
        found.map_or((&[][..], vec![]), |(route, captures)| (domain.routes.limits(route), captures));
    let every = domain.routes.every.iter().filter(|id| !listed.contains(id));
    let of_route = listed.iter().map(|id| (*id, Reached::Route));
    (of_route.chain(every.map(|id| (*id, Reached::Every))).collect(), captures)
}

fn value<'a>(entries: &Entries<'a>, key: &[u8]) -> Option<&'a [u8]> {
    entries.iter().find(|entry| entry.key == key).map(|entry| entry.value)
}

/// The day of the month on which months and years begin for this call, by its entry `anchor`. Only what was sent
/// counts: whoever could choose it in a path would choose a fresh counter.
pub(super) fn anchor(descriptor: &Descriptor<'_>) -> Option<u8> {
    std::str::from_utf8(value(&descriptor.entries, b"anchor")?).ok()?.parse().ok()
}

/// The caller's address in each descriptor, in one form for all the ways in which it can be written.
pub(super) fn addresses(request: &CheckRequest<'_>, ipv6_prefix: u8) -> Vec<Option<Vec<u8>>> {
    let address = |descriptor: &Descriptor<'_>| {
        [&b"ip"[..], b"remote_address", b"masked_remote_address"]
            .iter()
            .filter_map(|key| value(&descriptor.entries, key))
            .find(|sent| !sent.is_empty())
            .map(|sent| normal_form(sent, ipv6_prefix))
    };
    request.descriptors.iter().map(address).collect()
}

/// IPv4 inside IPv6 is IPv4; IPv6 counts by its prefix; what is no address is taken as it is. Envoy writes its
/// mask behind a masked address, and none is all of it: a wider one stays, a narrower one splits nothing.
fn normal_form(sent: &[u8], ipv6_prefix: u8) -> Vec<u8> {
    let Some((address, mask)) = std::str::from_utf8(sent).ok().and_then(masked) else {
        return sent.to_vec();
    };
    match address {
        IpAddr::V4(address) if mask >= 32 => address.to_string().into_bytes(),
        IpAddr::V4(address) => format!("{address}/{mask}").into_bytes(),
        IpAddr::V6(address) => {
            let prefix = mask.min(ipv6_prefix);
            let bits = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            format!("{}/{prefix}", Ipv6Addr::from(u128::from(address) & bits)).into_bytes()
        }
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
    use super::normal_form;

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
            assert_eq!(normal_form(sent.as_bytes(), 64), form.as_bytes(), "{sent}");
        }
        assert_eq!(normal_form(b"2001:db8::1", 128), b"2001:db8::1/128");
        assert_eq!(normal_form(b"2001:db8::1", 0), b"::/0");
        assert_eq!(normal_form(b"\xff\x00", 64), b"\xff\x00");
    }
}
