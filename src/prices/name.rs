//! What a model is called: names in every form that providers and gateways give them.
//!
//! Names come from callers, so the work for one is bounded by its length, which is bounded too.

/// The longest name of a model. A longer one is no model's.
pub const MOST_NAME_BYTES: usize = 256;

/// `name` as it is compared: without case.
pub(super) fn folded(name: &[u8]) -> Box<[u8]> {
    name.to_ascii_lowercase().into()
}

/// What `find` finds first: `name`, `name` without the date of a snapshot, then the same of what is left without
/// provider after provider.
pub(super) fn candidates<T>(name: &[u8], find: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    if name.len() > MOST_NAME_BYTES {
        return None;
    }
    let name = folded(name);
    let mut left = &*name;
    loop {
        if let Some(found) = find(left).or_else(|| find(without_date(left)?)) {
            return Some(found);
        }
        left = without_provider(left)?;
    }
}

/// `openai/gpt-5` is `gpt-5`.
fn without_provider(name: &[u8]) -> Option<&[u8]> {
    let slash = name.iter().position(|byte| *byte == b'/')?;
    Some(&name[slash + 1..])
}

/// `gpt-5-2025-08-07`, `gpt-5-20250807` and `gpt-5@20250807` are `gpt-5`.
fn without_date(name: &[u8]) -> Option<&[u8]> {
    ["dddd-dd-dd", "dddddddd"].into_iter().find_map(|form| {
        let (rest, date) = name.split_at_checked(name.len().checked_sub(form.len())?)?;
        let (separator, model) = rest.split_last()?;
        (matches!(separator, b'-' | b'@') && is_date(date, form)).then_some(model)
    })
}

/// Whether `text` has `form`, and its digits may be a date of this century.
fn is_date(text: &[u8], form: &str) -> bool {
    let fits = |(byte, form): (&u8, u8)| if form == b'd' { byte.is_ascii_digit() } else { *byte == form };
    let digits: Vec<u8> = text.iter().copied().filter(u8::is_ascii_digit).collect();
    text.iter().zip(form.bytes()).all(fits)
        && digits.starts_with(b"20")
        && matches!(&digits[4..6], b"10" | b"11" | b"12" | [b'0', b'1'..=b'9'])
        && matches!(&digits[6..8], b"30" | b"31" | [b'1' | b'2', _] | [b'0', b'1'..=b'9'])
}

#[cfg(test)]
mod tests {
    use super::{MOST_NAME_BYTES, candidates};
    use std::cell::RefCell;

    /// Every name that is looked for when none is found.
    fn looked_for(name: &str) -> Vec<String> {
        let asked = RefCell::new(Vec::new());
        let found: Option<()> = candidates(name.as_bytes(), |candidate| {
            asked.borrow_mut().push(String::from_utf8_lossy(candidate).into_owned());
            None
        });
        assert_eq!(found, None);
        asked.into_inner()
    }

    #[test]
    fn dates_and_providers_are_taken_off_in_turn() {
        for (name, expected) in [
            ("gpt-5", &["gpt-5"][..]),
            ("GPT-5-2025-08-07", &["gpt-5-2025-08-07", "gpt-5"]),
            ("claude-opus-4-20250514", &["claude-opus-4-20250514", "claude-opus-4"]),
            ("claude-opus-4@20250514", &["claude-opus-4@20250514", "claude-opus-4"]),
            ("openai/gpt-5", &["openai/gpt-5", "gpt-5"]),
            (
                "openai/gpt-5-2025-08-07",
                &["openai/gpt-5-2025-08-07", "openai/gpt-5", "gpt-5-2025-08-07", "gpt-5"],
            ),
            ("router/openai/o3", &["router/openai/o3", "openai/o3", "o3"]),
            ("gpt-4-0613", &["gpt-4-0613"]),
            ("gpt-5-2025-13-07", &["gpt-5-2025-13-07"]),
            ("gpt-5-2025-08-00", &["gpt-5-2025-08-00"]),
            ("gpt-5-2025-08-32", &["gpt-5-2025-08-32"]),
            ("gpt-5-19991231", &["gpt-5-19991231"]),
            ("gpt-5.20250807", &["gpt-5.20250807"]),
            ("2025-08-07", &["2025-08-07"]),
            ("/", &["/", ""]),
            ("", &[""]),
        ] {
            assert_eq!(looked_for(name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_nobody_s() {
        let slashes = "/".repeat(MOST_NAME_BYTES);
        assert_eq!(looked_for(&slashes).len(), MOST_NAME_BYTES + 1);
        assert!(looked_for(&(slashes + "/")).is_empty());
    }
}
