//! Text that stands in records, in logs and on terminals as somebody wrote it: no control characters, and nothing that turns
//! the direction of what is read or breaks its line.

/// Whether `text` can be shown as it is.
pub(super) fn is_plain(text: &str) -> bool {
    !text.chars().any(|character| {
        character.is_control()
            || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

/// Whether `text` holds what nobody sees: characters without a width, and those that only say where a line may break.
pub(super) fn has_unseen(text: &str) -> bool {
    let is_unseen = |character| matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    text.chars().any(is_unseen)
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn what_moves_a_terminal_is_not_plain() {
        for text in ["", "an outage: r\u{e9}tablir, \u{5d0} \u{1f642}", "\u{200d}"] {
            assert!(is_plain(text), "{text:?}");
        }
        for bad in ["\n", "\t", "\0", "\u{7f}", "\u{9b}2J", "\u{2028}", "\u{202e}", "\u{2066}"] {
            assert!(!is_plain(&format!("a{bad}b")), "{bad:?}");
        }
    }
}
