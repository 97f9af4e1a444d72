//! Bytes as hexadecimal digits, two each: written in lower case, read in both.

use std::fmt::{self, Write};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Bytes, to be written.
pub(crate) struct Digits<'b>(pub(crate) &'b [u8]);

impl fmt::Display for Digits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let halves = self.0.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        halves.map(|half| char::from(DIGITS[usize::from(half)])).try_for_each(|digit| f.write_char(digit))
    }
}

/// `bytes`, written.
pub(crate) fn digits(bytes: &[u8]) -> String {
    Digits(bytes).to_string()
}

/// So many bytes; `None` if that is not what `digits` are.
pub(crate) fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    (digits.len() == 2 * N).then_some(())?;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(letter: u8) -> Option<u8> {
    char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::{bytes, digits};

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        assert_eq!(digits(&[0, 0x0f, 0xa0, 0xff]), "000fa0ff");
        assert_eq!(bytes(b"000fa0ff"), Some([0, 0x0f, 0xa0, 0xff]));
        assert_eq!(bytes(b"000FA0fF"), Some([0, 0x0f, 0xa0, 0xff]));
        for wrong in ["", "00", "000fa0f", "000fa0ff0", "000fa0fg", "+00fa0ff", "000fa0f\u{e9}"] {
            assert_eq!(bytes::<4>(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
