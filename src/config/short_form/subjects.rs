//! Whose counter it is: `user|ip` (the first there is), `user+kit` (both), `all`.

use super::InvalidForm;
use crate::config::diagnostic::shorten;
use crate::limits::Subjects;

/// The longest key of an entry that a request may carry, in bytes.
const MAX_KEY_BYTES: usize = 64;

/// Reads subjects.
///
/// # Errors
///
/// Names that no entry can have, and names that stand twice.
pub fn subjects(text: &str) -> Result<Subjects, InvalidForm> {
    let text = text.trim();
    if text == "all" {
        return Ok(Subjects::ALL);
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut parts = Vec::new();
    for part in text.split('+') {
        let mut alternatives: Vec<Box<[u8]>> = Vec::new();
        for key in part.split('|').map(str::trim) {
            check(key, &seen)?;
            seen.push(key);
            alternatives.push(key.as_bytes().into());
        }
        parts.push(alternatives);
    }
    Ok(Subjects { parts })
}

fn check(key: &str, seen: &[&str]) -> Result<(), InvalidForm> {
    let fix = "write entry keys as in 'user', 'user|ip', 'user+kit', or 'all'";
    let shown = shorten(key);
    match key {
        "" => Err(InvalidForm::new("a subject has no name", fix)),
        "all" => {
            Err(InvalidForm::new("'all' stands beside other subjects", "write 'all' alone, or leave it out"))
        }
        "remote_address" | "masked_remote_address" => {
            Err(InvalidForm::new(format!("'{key}' is read as 'ip'"), "write 'ip'"))
        }
        _ if key.contains(char::is_whitespace) => {
            Err(InvalidForm::new(format!("'{shown}' is not the key of an entry"), fix))
        }
        _ if key.len() > MAX_KEY_BYTES => {
            let fix = format!("write a key of at most {MAX_KEY_BYTES} bytes");
            Err(InvalidForm::new(format!("'{shown}' is longer than the key of an entry may be"), fix))
        }
        _ if seen.contains(&key) => {
            Err(InvalidForm::new(format!("'{shown}' stands twice"), "keep one of them"))
        }
        _ => Ok(()),
    }
}
