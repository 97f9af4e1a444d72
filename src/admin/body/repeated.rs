//! Keys that stand twice: whoever passes a body on may read the first, and here the last would count.

use std::collections::HashSet;

/// A key that stands twice in one of the objects of `json`, which is sound.
pub(crate) fn repeated_key(json: &[u8]) -> Option<String> {
    let (mut open, mut at) = (Vec::<HashSet<String>>::new(), 0);
    while let Some(byte) = json.get(at) {
        match byte {
            b'{' => open.push(HashSet::new()),
            b'}' => drop(open.pop()),
            b'"' => {
                let end = at + text_length(&json[at..]);
                let behind = json[end..].iter().find(|byte| !byte.is_ascii_whitespace());
                if behind == Some(&b':') {
                    let key: String = serde_json::from_slice(&json[at..end]).ok()?;
                    if open.last().is_some_and(|keys| keys.contains(&key)) {
                        return Some(key);
                    }
                    open.last_mut()?.insert(key);
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// How long the text is that `json` begins with, quotes and all.
fn text_length(json: &[u8]) -> usize {
    let mut is_escaped = false;
    let closes = |byte: &u8| {
        let closes = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        closes
    };
    json.iter().skip(1).position(closes).map_or(json.len(), |at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::repeated_key;

    #[test]
    fn a_key_that_stands_twice_is_found_in_whatever_object() {
        for (json, key) in [
            (r#"{"value": 8, "value": null}"#, "value"),
            (r#"{"subject": {"user": "x", "user": "y"}}"#, "user"),
            (r#"{"rows": [{"a": 1}, {"a": 1, "b": [{}], "a" : 2}]}"#, "a"),
            (r#"{"force": false, "f\u006frce": true}"#, "force"),
            (r#"{"\\": 1, "\"": 2, "\\": 3}"#, "\\"),
        ] {
            assert_eq!(repeated_key(json.as_bytes()).as_deref(), Some(key), "{json}");
        }
        for json in [
            "{}",
            r#"{"a": "b", "b": "a:", "c": {"a": "\"a\":"}}"#,
            r#"{"a": [{"x": 1}, {"x": 1}], "x": "a", "\"a\"": 1}"#,
        ] {
            assert_eq!(repeated_key(json.as_bytes()), None, "{json}");
        }
    }
}
