//! Whose usage something is and what for, as it is written down: names of the configuration and keyed hashes, never
//! what a caller sent.

use std::collections::BTreeSet;

use crate::engine::request::Descriptor;
use crate::engine::usage::{Object, subject_hash};
use crate::limits::{Captures, Entry, KeySecret, NativeDomain};
use crate::prices::Model;

use super::address::Address;
use super::reading::{Reading, sent};
use super::select::{Selection, route};

/// What is written down of `descriptor`: its domain, the limit or the route that it comes to, its tier, whose the limits are
/// that it touches, and the `model` that it asks for, if that has prices.
pub(in crate::engine) fn about(
    domain: &NativeDomain,
    descriptor: &Descriptor<'_>,
    secret: KeySecret,
    model: Option<&Model>,
) -> Vec<u8> {
    let mut selection = Selection::of(domain, descriptor);
    let captures = std::mem::take(&mut selection.captures);
    let reading = Reading::new(descriptor, captures, domain.ipv6_prefix);
    let mut about = Object::new();
    about.text("domain", &domain.name);
    match sent(&descriptor.entries, b"limit") {
        Some(name) => {
            if let Some(id) = domain.by_name.get(name) {
                about.text("limit", &domain.limit(*id).name);
            }
        }
        None => {
            if let Some((id, _)) = route(domain, &descriptor.entries) {
                about.text("route", domain.routes.name(id));
            }
        }
    }
    about.text("tier", &domain.tiers.names[domain.tier_of(secret, |key| reading.value_of(key)).0]);
    if let Some(model) = model {
        about.text("model", &model.name);
    }
    let limits = selection.limits().map(|(id, _)| domain.limit(id));
    let of_limits = limits.flat_map(|limit| limit.subjects.parts.iter().flatten().map(|key| &**key));
    let keys: BTreeSet<&[u8]> = of_limits.chain([&b"session"[..], b"user"]).collect();
    let mut subject = Object::new();
    for key in keys {
        if let Some(value) = reading.value_of(key) {
            subject.hash(&String::from_utf8_lossy(key), subject_hash(secret, key, value));
        }
    }
    about.object("subject", subject);
    about.finish()
}

/// The key by which calls are read that bring `key`: Envoy has names of its own for the address of a caller.
pub(in crate::engine) fn read_as(key: &[u8]) -> &[u8] {
    match key {
        b"remote_address" | b"masked_remote_address" => b"ip",
        key => key,
    }
}

/// Whether `value` is one that `key` may have: an address, if it is the caller's.
pub(in crate::engine) fn is_plausible(key: &[u8], value: &[u8]) -> bool {
    read_as(key) != b"ip" || Address::is_one(value)
}

/// The keyed hash of the subject that has the `value` of `key`, as `domain` reads it; `None` if that is nobody.
pub(in crate::engine) fn subject_in(
    domain: &NativeDomain,
    key: &[u8],
    value: &[u8],
    secret: KeySecret,
) -> Option<u128> {
    let entries = [Entry { key, value }].into_iter().collect();
    let descriptor = Descriptor { entries, ..Descriptor::default() };
    let reading = Reading::new(&descriptor, Captures::new(), domain.ipv6_prefix);
    reading.value_of(key).map(|value| subject_hash(secret, key, value))
}
