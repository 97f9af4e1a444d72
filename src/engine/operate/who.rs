//! Whose counters an operator means, and in which domain.

use crate::engine::Engine;
use crate::engine::hold::SubjectOf;
use crate::engine::native::{is_plausible, read_as, subject_in};
use crate::engine::request::Descriptor;
use crate::limits::{Domain, Entry, KeySecret, Limit, LimitId, NativeDomain, RuleSet, SubjectId, Subjects};
use crate::store::{Store, StoreError};

use super::error::{Near, OperateError, text};

/// Whose counters an operator means.
#[derive(Clone, Debug, Default)]
pub struct Who<'a> {
    /// Of which domain; may be `None` where there is one.
    pub domain: Option<&'a [u8]>,
    /// Who it is, by any keys that limits are kept by: `user`, `email`, `ip`; of limits per `user+kit` both. Beside that the
    /// tier and the `anchor`, as calls bring them. None at all: everybody together, of limits per `all`.
    pub entries: Vec<Entry<'a>>,
}

impl<'a> Who<'a> {
    /// The entries as a call to `domain` would bring them, of which something is to be set: a slip is told.
    ///
    /// # Errors
    ///
    /// What no call could bring, what no limit reads, an address that is none, and that nobody is named.
    pub(super) fn descriptor(&self, domain: &'a NativeDomain) -> Result<Descriptor<'a>, OperateError> {
        let descriptor = self.counted(domain)?;
        self.named(domain).try_for_each(check_address)?;
        Ok(descriptor)
    }

    /// The entries as a call to `domain` would bring them. Calls are counted by any bytes, also where an address is expected.
    fn counted(&self, domain: &'a NativeDomain) -> Result<Descriptor<'a>, OperateError> {
        let descriptor = SubjectOf { domain: domain.name.as_bytes(), entries: self.read().collect() };
        let descriptor = descriptor.descriptor()?;
        if let Some(entry) = self.read().find(|entry| !is_read(domain, entry.key)) {
            let keys = subject_keys(domain).into_iter();
            return Err(OperateError::UnreadEntry(Near::of(entry.key, keys)));
        }
        if self.named(domain).all(|entry| entry.value.is_empty()) {
            return Err(nobody(domain));
        }
        self.named(domain).try_for_each(check_value)?;
        Ok(descriptor)
    }

    /// What says whose counters are meant.
    pub(super) fn named(&self, domain: &NativeDomain) -> impl Iterator<Item = Entry<'a>> {
        self.read().filter(|entry| !is_beside(domain, entry.key))
    }

    /// Whose counters are looked at or reset: any that calls are counted by. Where there are no entries, all who share limits.
    ///
    /// # Errors
    ///
    /// What no call could bring, what no limit reads, that nobody is named, and that the domain has no limits that all share.
    pub(super) fn descriptor_or_all(&self, domain: &'a NativeDomain) -> Result<Descriptor<'a>, OperateError> {
        let is_shared = |limit: &Limit| *limit.subjects == Subjects::ALL;
        match (self.is_all(), domain.limits.iter().any(is_shared)) {
            (false, _) => self.counted(domain),
            (true, true) => Ok(Descriptor::default()),
            (true, false) => Err(nobody(domain)),
        }
    }

    /// The entries, by the keys that calls are read by.
    pub(super) fn read(&self) -> impl Iterator<Item = Entry<'a>> {
        self.entries.iter().map(|entry| Entry { key: read_as(entry.key), value: entry.value })
    }
}

/// That an entry which names somebody says who.
pub(super) fn check_value(entry: Entry<'_>) -> Result<(), OperateError> {
    if entry.value.is_empty() { Err(OperateError::EmptyEntry(text(entry.key))) } else { Ok(()) }
}

/// That there is an address where one is counted.
fn check_address(entry: Entry<'_>) -> Result<(), OperateError> {
    if is_plausible(entry.key, entry.value) {
        Ok(())
    } else {
        Err(OperateError::NoAddress(text(entry.value)))
    }
}

impl Who<'_> {
    /// Whether it is nobody alone, but all together.
    pub fn is_all(&self) -> bool {
        self.entries.is_empty()
    }

    /// Who is named, without values: a user first.
    pub(super) fn subjects(&self, domain: &NativeDomain, secret: KeySecret) -> Vec<SubjectId> {
        let mut subjects: Vec<SubjectId> =
            self.named(domain).filter_map(|entry| subject_of(domain, entry, secret)).collect();
        subjects.sort_by_key(|subject| *subject.key != *"user");
        subjects
    }
}

/// Who is named by `entry`, without the value; `None` if that is nobody.
pub(super) fn subject_of(domain: &NativeDomain, entry: Entry<'_>, secret: KeySecret) -> Option<SubjectId> {
    let key = read_as(entry.key);
    let hash = subject_in(domain, key, entry.value, secret)?;
    Some(SubjectId { key: String::from_utf8_lossy(key).into(), hash })
}

/// The secret under which subjects are kept whose hash is to last: the one that all instances go by.
///
/// # Errors
///
/// [`OperateError::Unavailable`], while nobody knows it.
pub(super) fn secret<S: Store>(engine: &Engine<S>) -> Result<KeySecret, OperateError> {
    engine.store.agreed_secret().ok_or(OperateError::Unavailable(StoreError::Unavailable))
}

fn nobody(domain: &NativeDomain) -> OperateError {
    OperateError::NoSubject(subject_keys(domain).join(", "))
}

/// Whether `key` says something about a call, but not whose it is.
fn is_beside(domain: &NativeDomain, key: &[u8]) -> bool {
    key == &*domain.tiers.from || key == b"anchor"
}

/// Whether any limit of `domain` reads entries of `key` for its subject, or they say the tier or the anchor.
fn is_read(domain: &NativeDomain, key: &[u8]) -> bool {
    is_beside(domain, key) || subject_keys(domain).iter().any(|known| known.as_bytes() == key)
}

/// By what limits of `domain` are kept, sorted.
pub(in crate::engine) fn subject_keys(domain: &NativeDomain) -> Vec<&str> {
    let parts = domain.limits.iter().flat_map(|limit| limit.subjects.parts.iter().flatten());
    let mut keys: Vec<&str> = parts.filter_map(|key| std::str::from_utf8(key).ok()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The domain that is called `name`, or the only one.
pub(super) fn domain<'r>(rules: &'r RuleSet, name: Option<&[u8]>) -> Result<&'r NativeDomain, OperateError> {
    let known = natives(rules);
    let names = || known.iter().map(|domain| &*domain.name);
    match (name, known.as_slice()) {
        (None, [only]) => Ok(*only),
        (None, []) => Err(OperateError::NothingToOperate),
        (None, _) => Err(OperateError::NoDomain(names().collect::<Vec<_>>().join(", "))),
        (Some(name), _) => match rules.domains.get(name) {
            Some(Domain::Native(domain)) => Ok(domain),
            Some(Domain::Reference(_)) => Err(OperateError::ReferenceDomain(text(name))),
            None => Err(OperateError::UnknownDomain(Near::of(name, names()))),
        },
    }
}

/// The limit called `name`.
pub(super) fn limit_named(domain: &NativeDomain, name: &[u8]) -> Result<LimitId, OperateError> {
    let names = domain.limits.iter().map(|limit| &*limit.name);
    domain.by_name.get(name).copied().ok_or_else(|| OperateError::UnknownLimit(Near::of(name, names)))
}

/// Every domain of a Tollgate file, by name.
pub(in crate::engine) fn natives(rules: &RuleSet) -> Vec<&NativeDomain> {
    let mut found: Vec<&NativeDomain> = rules
        .domains
        .values()
        .filter_map(|domain| match domain {
            Domain::Native(domain) => Some(&**domain),
            Domain::Reference(_) => None,
        })
        .collect();
    found.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    found
}
