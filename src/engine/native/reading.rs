//! How the entries of a descriptor are read for subjects and tiers.
//!
//! What the path captured comes first, since it beats what was sent. A caller's address is in its normal form, whoever says
//! it, and under its one name.

use std::cell::OnceCell;

use crate::engine::request::Descriptor;
use crate::limits::{Captures, Entries};

use super::address::Address;

/// The entries of one descriptor.
pub(super) struct Reading<'a> {
    captures: Captures<'a>,
    sent: &'a Entries<'a>,
    ipv6_prefix: u8,
    address: OnceCell<Option<Address<'a>>>,
}

impl<'a> Reading<'a> {
    /// What `descriptor` sent and its path captured. Addresses of IPv6 count by their first `ipv6_prefix` bits.
    pub(super) fn new(descriptor: &'a Descriptor<'_>, captures: Captures<'a>, ipv6_prefix: u8) -> Self {
        Self { captures, sent: &descriptor.entries, ipv6_prefix, address: OnceCell::new() }
    }

    /// What the entries say of `key`: the first one that has it counts, whatever comes behind it.
    ///
    /// An empty value is none, since an empty header names nobody. Nor does a later entry stand in for it: what the
    /// caller sent must not take the place of what its path left empty.
    pub(super) fn value_of(&self, key: &[u8]) -> Option<&[u8]> {
        let value = match key {
            b"ip" => self.address(),
            key => self.captured(key).or_else(|| sent(self.sent, key)),
        };
        value.filter(|value| !value.is_empty())
    }

    fn captured(&self, key: &[u8]) -> Option<&'a [u8]> {
        self.captures.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// The caller's address, by whichever name it was sent.
    fn address(&self) -> Option<&[u8]> {
        let find = || {
            let names = [&b"ip"[..], b"remote_address", b"masked_remote_address"];
            let mut values = names.into_iter().filter_map(|name| sent(self.sent, name));
            let value = self.captured(b"ip").or_else(|| values.find(|value| !value.is_empty()));
            value.map(|value| Address::of(value, self.ipv6_prefix))
        };
        self.address.get_or_init(find).as_ref().map(Address::as_bytes)
    }
}

/// The value that was sent under `key`.
pub(super) fn sent<'a>(entries: &Entries<'a>, key: &[u8]) -> Option<&'a [u8]> {
    entries.iter().find(|entry| entry.key == key).map(|entry| entry.value)
}
