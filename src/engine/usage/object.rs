//! A JSON object, written as it grows: a reservation makes one, and has no time for more.

use std::io::Write;

/// A JSON object that is being written.
#[derive(Debug)]
pub(in crate::engine) struct Object(Vec<u8>);

/// As many bytes as most take.
const USUAL: usize = 192;

impl Object {
    /// One without members.
    pub(in crate::engine) fn new() -> Self {
        let mut text = Vec::with_capacity(USUAL);
        text.push(b'{');
        Self(text)
    }

    /// Adds a text.
    pub(in crate::engine) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        quote(&mut self.0, value);
    }

    /// Adds a number.
    pub(in crate::engine) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Adds that something is so.
    pub(in crate::engine) fn flag(&mut self, name: &str) {
        self.name(name);
        self.0.extend_from_slice(b"true");
    }

    /// Adds a hash, in hexadecimal.
    pub(in crate::engine) fn hash(&mut self, name: &str, value: u128) {
        self.name(name);
        _ = write!(self.0, "\"{value:032x}\"");
    }

    /// Adds an object.
    pub(in crate::engine) fn object(&mut self, name: &str, value: Self) {
        self.name(name);
        self.0.extend(value.finish());
    }

    /// Adds several objects.
    pub(in crate::engine) fn objects(&mut self, name: &str, values: impl IntoIterator<Item = Self>) {
        self.name(name);
        self.0.push(b'[');
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            self.0.extend(value.finish());
        }
        self.0.push(b']');
    }

    /// Its text.
    pub(in crate::engine) fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        quote(&mut self.0, name);
        self.0.push(b':');
    }
}

fn quote(text: &mut Vec<u8>, value: &str) {
    let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if value.bytes().all(plain) {
        text.push(b'"');
        text.extend_from_slice(value.as_bytes());
        text.push(b'"');
    } else {
        serde_json::to_writer(text, value).expect("a text is JSON, and memory takes it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_json_whatever_is_put_into_it() {
        let mut inner = Object::new();
        inner.hash("h", 10);
        let mut object = Object::new();
        object.text("a \"b\" \\", "\n\u{0}ü\"");
        object.number("n", u64::MAX);
        object.flag("f");
        object.object("o", inner);
        object.objects("l", [Object::new(), Object::new()]);
        let read: serde_json::Value = serde_json::from_slice(&object.finish()).unwrap();
        let hash = "0000000000000000000000000000000a";
        let expected = serde_json::json!({
            "a \"b\" \\": "\n\u{0}ü\"", "n": u64::MAX, "f": true, "o": {"h": hash}, "l": [{}, {}],
        });
        assert_eq!(read, expected);
    }
}
