//! A descriptor as the caller sent it: an ordered list of entries, bytes throughout.

/// One `key = value` of a descriptor, borrowed from the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The entry's key.
    pub key: &'a [u8],
    /// The entry's value; any bytes, also none.
    pub value: &'a [u8],
}

/// The entries of one descriptor, in the order in which they were sent.
pub type Entries<'a> = [Entry<'a>];
