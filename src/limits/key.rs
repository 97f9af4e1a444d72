//! The identity of a counter: a keyed 128-bit hash of length-prefixed pieces.
//!
//! Lengths are hashed as little-endian bytes, so that every machine names a counter alike.
//! No separator can be forged, because every piece is preceded by its length. No collision can be
//! searched for, because the hash is keyed with a secret (SipHash-2-4, Aumasson and Bernstein 2012). No raw
//! value ever reaches a store.

use std::hash::{BuildHasher, Hasher, RandomState};

use siphasher::sip128::{Hasher128, SipHasher24};

/// The secret under which values are hashed. Every instance over one store uses the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeySecret(pub [u8; 16]);

impl KeySecret {
    /// A secret that nobody knows, for a store that is given none and lives no longer than its process, or that
    /// keeps it.
    pub fn random() -> Self {
        // The standard library draws the 128-bit keys of `RandomState` from the system, and its hash is SipHash:
        // without the keys, nobody can tell what it makes of two known inputs.
        let drawn = RandomState::new();
        let half = |input: u8| u128::from(drawn.hash_one(input));
        Self((half(0) << 64 | half(1)).to_be_bytes())
    }
}

impl std::fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySecret(…)")
    }
}

/// Where a counter lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterKey {
    /// Groups the counters of one subject: in a Redis Cluster they share a slot.
    pub tag: u64,
    /// Which counter it is; unique on its own.
    pub id: u128,
}

impl CounterKey {
    /// The group of whose counter it is; `None` if that has nothing in common with others, as one of everybody has not.
    pub fn root(self) -> Option<u64> {
        (self.tag != tag_of(self.id)).then_some(self.tag)
    }

    /// The counter that the same subject has for the identity `other`, if this is the one that it has for `own`.
    pub const fn beside(self, own: u128, other: u128) -> Self {
        let id = self.id ^ own ^ other;
        Self { tag: if self.tag == tag_of(self.id) { tag_of(id) } else { self.tag }, id }
    }
}

/// Whose counter it is: hashed once, for all the limits that one subject or one path of entries touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    hash: u128,
    tag: Option<u64>,
}

impl Whose {
    /// What has the keyed hash `hash`; its counters have nothing in common with any others.
    pub const fn alone(hash: u128) -> Self {
        Self { hash, tag: None }
    }

    /// As [`alone`](Self::alone); its counters are grouped with all that have the same `root`, a keyed hash too.
    pub const fn grouped(hash: u128, root: u128) -> Self {
        Self { hash, tag: Some(tag_of(root)) }
    }

    /// The halves of keyed hashes by which numbers of its own are found: those of itself, and of whom it is grouped with.
    pub fn halves(self) -> impl Iterator<Item = u64> {
        [Some(tag_of(self.hash)), self.tag].into_iter().flatten()
    }

    /// What its counters are grouped by; `None` if by nothing.
    pub const fn root(self) -> Option<u64> {
        self.tag
    }

    /// The counter of the limit with the public identity `identity`.
    ///
    /// One is added to the other without carry. So different limits keep different counters for one subject, and
    /// those of different subjects meet as seldom as their hashes do, which nobody without the secret can
    /// foretell: among `n` subjects of `m` limits with a probability of (n·m)² / 2^129 at most.
    pub fn counter(self, identity: u128) -> CounterKey {
        let id = self.hash ^ identity;
        CounterKey { tag: self.tag.unwrap_or(tag_of(id)), id }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half of a hash is as good a tag as any")]
const fn tag_of(hash: u128) -> u64 {
    hash as u64
}

/// Hashes pieces, so that no two lists of them come out alike.
#[derive(Clone, Debug)]
pub struct KeyHasher(SipHasher24);

impl KeyHasher {
    /// Starts a hash under `secret`.
    pub fn new(secret: KeySecret) -> Self {
        Self(SipHasher24::new_with_key(&secret.0))
    }

    /// Adds a piece of bytes.
    pub fn piece(&mut self, bytes: &[u8]) {
        self.0.write_u64((bytes.len() as u64).to_le());
        self.0.write(bytes);
    }

    /// The hash of all that was added.
    pub fn finish(&self) -> u128 {
        self.0.finish128().as_u128()
    }
}

/// The identity of a limit within a set of rules: a public hash of `pieces`, computed at load.
pub fn identity(pieces: &[&[u8]]) -> u128 {
    let mut hasher = KeyHasher::new(KeySecret([0; 16]));
    for piece in pieces {
        hasher.piece(piece);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_its_counters_beside_each_other() {
        for whose in [Whose::alone(7 << 70 | 3), Whose::grouped(7 << 70 | 3, 9)] {
            assert_eq!(whose.counter(5 << 90).beside(5 << 90, 4 << 60 | 1), whose.counter(4 << 60 | 1));
        }
    }

    #[test]
    fn counters_of_everybody_have_no_root() {
        assert_eq!(Whose::alone(7).counter(5 << 90).root(), None);
        assert_eq!(Whose::grouped(7 << 70 | 3, 9).counter(5 << 90).root(), Some(9));
    }

    #[test]
    fn every_machine_hashes_the_same_bytes() {
        let secret = KeySecret([7; 16]);
        let mut hasher = KeyHasher::new(secret);
        hasher.piece(b"abc");
        hasher.piece(b"");
        let mut bytes = SipHasher24::new_with_key(&secret.0);
        bytes.write(b"\x03\0\0\0\0\0\0\0abc\0\0\0\0\0\0\0\0");
        assert_eq!(hasher.finish(), bytes.finish128().as_u128());
    }
}
