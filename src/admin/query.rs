//! What stands in a URL: names, values and segments, which may stand for any bytes.

use crate::percent::decoded;

/// The names and values of a query.
pub(super) fn pairs(query: &str) -> Vec<(String, Vec<u8>)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let decoded = |text: &str| decoded(&text.replace('+', " ")).into_owned();
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (String::from_utf8_lossy(&decoded(name)).into_owned(), decoded(value))
    };
    parts.map(pair).collect()
}

/// The last segment of a path.
pub(super) fn last_segment(path: &str) -> Vec<u8> {
    decoded(path.rsplit('/').next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{last_segment, pairs};

    #[test]
    fn a_query_may_stand_for_any_bytes() {
        let read = pairs("a=b+c%20d&subject=user%3D%ff%00&&x&y=%&z=%4&%61=%2B=&w=%+1");
        let expected: [(&str, &[u8]); 7] = [
            ("a", b"b c d"),
            ("subject", b"user=\xff\0"),
            ("x", b""),
            ("y", b"%"),
            ("z", b"%4"),
            ("a", b"+="),
            ("w", b"% 1"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_vec()));
        assert_eq!(read, expected);
    }

    #[test]
    fn a_segment_may_stand_for_any_bytes_and_keeps_its_plus() {
        for (path, expected) in [
            ("/usage/ann", &b"ann"[..]),
            ("/usage/a+b%2Fc%ff", b"a+b/c\xff"),
            ("/usage/", b""),
            ("/usage/%2", b"%2"),
        ] {
            assert_eq!(last_segment(path), expected, "{path}");
        }
    }
}
