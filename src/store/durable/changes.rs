//! What has changed of one kind of thing, as bytes: keys with their new values, and keys that are gone.

/// What has changed, in the order in which it was told: of a key that stands here twice, the last holds.
#[derive(Debug, Default)]
pub struct Changes {
    bytes: Vec<u8>,
    /// Where each key and each value ends. A value of no bytes: the key is gone.
    ends: Vec<(usize, usize)>,
    track: Track,
}

/// Whether all keys that are gone are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Track {
    /// They are.
    #[default]
    Kept,
    /// Some are not: what the file has and memory has not is gone.
    Lost,
}

impl Changes {
    /// Makes sure that there is room for so many more keys and values, of so many bytes together.
    pub fn reserve(&mut self, changes: usize, bytes: usize) {
        self.ends.reserve(changes);
        self.bytes.reserve(bytes);
    }

    /// `key` has the value that `write` writes, of one byte or more.
    pub fn put(&mut self, key: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        write(&mut self.bytes);
        self.ends.push((key_end, self.bytes.len()));
    }

    /// `key` is gone.
    pub fn remove(&mut self, key: &[u8]) {
        self.put(key, |_| {});
    }

    /// Adds all of `later`, which holds where both tell of a key.
    pub fn append(&mut self, later: &Self) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&later.bytes);
        self.ends.extend(later.ends.iter().map(|(key_end, end)| (start + key_end, start + end)));
        if later.track == Track::Lost {
            self.lose_track();
        }
    }

    /// There are keys that are gone and not told.
    pub fn lose_track(&mut self) {
        self.track = Track::Lost;
    }

    /// Whether all keys that are gone are told.
    pub fn track(&self) -> Track {
        self.track
    }

    /// How many were told.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.track == Track::Kept
    }

    /// Each key, with its value unless it is gone.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        starts.zip(&self.ends).map(|(start, (key_end, end))| {
            let value = &self.bytes[*key_end..*end];
            (&self.bytes[start..*key_end], (!value.is_empty()).then_some(value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Changes;

    #[test]
    fn what_is_told_is_told_in_its_order() {
        let mut changes = Changes::default();
        assert!(changes.is_empty());
        changes.remove(b"b");
        changes.put(b"aa", |bytes| bytes.extend_from_slice(b"xyz"));
        changes.put(b"b", |bytes| bytes.push(0));
        let told: Vec<(&[u8], Option<&[u8]>)> = changes.iter().collect();
        assert_eq!(told, [(&b"b"[..], None), (b"aa", Some(&b"xyz"[..])), (b"b", Some(b"\0"))]);
        assert_eq!((changes.len(), changes.is_empty()), (3, false));
        let mut both = Changes::default();
        both.put(b"first", |bytes| bytes.push(1));
        both.append(&changes);
        assert_eq!(both.iter().next(), Some((&b"first"[..], Some(&b"\x01"[..]))));
        assert_eq!(both.iter().skip(1).collect::<Vec<_>>(), told);
        let mut lost = Changes::default();
        lost.lose_track();
        assert!(!lost.is_empty(), "what is gone has still to be found");
    }
}
