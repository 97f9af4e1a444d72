//! Text of a URL, in which `%` and two digits stand for a byte.

use std::borrow::Cow;

use crate::hex;

/// The bytes that `text` stands for. A `%` that begins no byte is one.
pub(crate) fn decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let (byte, after) = escaped(rest).unwrap_or((*first, behind));
        bytes.push(byte);
        rest = after;
    }
    Cow::Owned(bytes)
}

/// `text` as it stands in the query of a URL.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

/// Whether every `%` in `text` begins a byte.
pub(crate) fn is_sound(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.match_indices('%').all(|(at, _)| escaped(&bytes[at..]).is_some())
}

/// The byte that `text` begins with, if that is written with `%`, and what is behind it.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = text.strip_prefix(b"%")?.split_at_checked(2)?;
    let [byte] = hex::bytes(digits)?;
    Some((byte, after))
}

#[cfg(test)]
mod tests {
    use super::{decoded, encoded, is_sound};

    #[test]
    fn what_is_encoded_stands_for_itself() {
        for (text, written) in
            [("shop-1.a_b~", "shop-1.a_b~"), ("a&b=c d%é", "a%26b%3Dc%20d%25%C3%A9"), ("", "")]
        {
            assert_eq!(encoded(text), written);
            assert_eq!(*decoded(written), *text.as_bytes());
        }
    }

    #[test]
    fn a_text_may_stand_for_any_bytes() {
        for (text, bytes, sound) in [
            ("ann", &b"ann"[..], true),
            ("a+b%2Fc%ff%00", b"a+b/c\xff\0", true),
            ("%2541", b"%41", true),
            ("%", b"%", false),
            ("a%2", b"a%2", false),
            ("a%zzb", b"a%zzb", false),
            ("%+1", b"%+1", false),
            ("%%41", b"%A", false),
            ("%\u{e9}", "%\u{e9}".as_bytes(), false),
        ] {
            assert_eq!((&*decoded(text), is_sound(text)), (bytes, sound), "{text}");
        }
    }
}
