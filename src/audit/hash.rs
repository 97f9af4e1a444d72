//! The hash that ties a record to all before it: SHA-256.

use std::fmt;

use ring::digest::{SHA256, digest};

use crate::hex;

/// The hash of a record, which covers all records before it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

/// How many digits it is written with.
pub(super) const DIGITS: usize = 64;

impl Hash {
    /// Of `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut hash = Self::default();
        hash.0.copy_from_slice(digest(&SHA256, bytes).as_ref());
        hash
    }

    /// Reads 64 hexadecimal digits, in lower case as they are written.
    pub fn parse(text: &str) -> Option<Self> {
        let is_written_so = !text.bytes().any(|digit| digit.is_ascii_uppercase());
        hex::bytes(text.as_bytes()).map(Self).filter(|_| is_written_so)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::digits(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_one_that_everybody_computes() {
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let hash = Hash::of(b"abc");
        assert_eq!(hash.to_string(), text);
        assert_eq!(Hash::parse(text), Some(hash));
        assert_eq!(Hash::parse(&text.to_uppercase()), None);
        assert_eq!(Hash::parse(&text[1..]), None);
        assert_eq!(Hash::default().to_string(), "0".repeat(64));
    }
}
