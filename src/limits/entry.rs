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

/// The entries of a subject as people write it, each `key=value`: `user=u1` and `kit=k2` of `user=u1+kit=k2`. A `+` that no key
/// and `=` follow is one of the value; what stands first may have neither.
pub fn subject_parts(text: &str) -> Vec<&str> {
    let begins = |at: &usize| text[*at..].split('+').next().and_then(|part| part.find('=')) > Some(0);
    let pluses = text.match_indices('+').map(|(at, _)| at + 1);
    let starts: Vec<usize> = std::iter::once(0).chain(pluses.filter(begins)).collect();
    let ends = starts.iter().skip(1).map(|start| start - 1).chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect()
}
