//! The short form of a limit: `[amount][/][window][ fixed][ burst B][ per subjects]`.
//!
//! Pure text to values: what the parts mean together, and whether they fit, is decided by whoever asked.

mod amount;
mod subjects;
mod window;

pub use amount::{Quantity, quantity};
pub use subjects::subjects;
pub use window::{Forgets, forgets, span};

use crate::limits::Subjects;

/// A limit as written in short. Every part may be absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShortForm {
    /// How much, and of what.
    pub quantity: Quantity,
    /// When it forgets.
    pub window: Option<Forgets>,
    /// Whether `fixed` stands behind the window.
    pub aligned: Aligned,
    /// How much a bucket holds.
    pub burst: Option<Quantity>,
    /// Whose counter it is.
    pub per: Option<Subjects>,
}

/// Whether a window keeps to the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aligned {
    /// It slides, or is a bucket.
    #[default]
    No,
    /// It is `fixed`.
    Fixed,
}

/// Why a text is no short form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {fix}")]
pub struct InvalidForm {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub fix: String,
}

impl InvalidForm {
    fn new(message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { message: message.into(), fix: fix.into() }
    }
}

/// The words that begin a part, each at most once.
const KEYWORDS: [&str; 3] = ["fixed", "burst", "per"];

/// Reads a limit written in short.
///
/// # Errors
///
/// The first part that cannot be read, and what to write in its place.
pub fn short_form(text: &str) -> Result<ShortForm, InvalidForm> {
    let mut form = ShortForm::default();
    let words: Vec<&str> = text.split_whitespace().collect();
    let end_of_head = words.iter().position(|word| KEYWORDS.contains(word)).unwrap_or(words.len());
    (form.quantity, form.window) = head(&words[..end_of_head])?;
    let mut seen: Vec<&str> = Vec::new();
    let mut rest = &words[end_of_head..];
    while let Some((keyword, after)) = rest.split_first() {
        if seen.contains(keyword) {
            return Err(InvalidForm::new(format!("'{keyword}' stands twice"), "keep one of them"));
        }
        seen.push(keyword);
        let end = after.iter().position(|word| KEYWORDS.contains(word)).unwrap_or(after.len());
        part(&mut form, keyword, &after[..end])?;
        rest = &after[end..];
    }
    Ok(form)
}

/// Reads what stands behind one keyword.
fn part(form: &mut ShortForm, keyword: &str, words: &[&str]) -> Result<(), InvalidForm> {
    match (keyword, words) {
        ("fixed", []) => form.aligned = Aligned::Fixed,
        ("fixed", [word, ..]) => {
            let message = format!("'{word}' behind 'fixed' means nothing");
            return Err(InvalidForm::new(message, "write it as in '100/1m fixed per ip'"));
        }
        ("burst", []) => {
            return Err(InvalidForm::new("'burst' has no amount", "write it as in '10/1s burst 20'"));
        }
        ("burst", words) => form.burst = Some(quantity(&words.join(" "))?),
        (_, []) => {
            return Err(InvalidForm::new("'per' names nobody", "write it as in 'per user' or 'per user|ip'"));
        }
        (_, words) => form.per = Some(subjects(&words.join(" "))?),
    }
    Ok(())
}

/// Reads amount and window: `5/15m`, `10 concurrent`, `tokens/month`, `1m`, `60`, or nothing.
fn head(words: &[&str]) -> Result<(Quantity, Option<Forgets>), InvalidForm> {
    let text = words.join(" ");
    if let Some((amount, window)) = text.split_once('/') {
        if window.trim().is_empty() {
            let fix = "write a window behind it, as in '5/15m' or '3/month'";
            return Err(InvalidForm::new("nothing stands behind the '/'", fix));
        }
        return Ok((quantity(amount.trim())?, Some(forgets(window.trim())?)));
    }
    let Some((last, before)) = words.split_last() else { return Ok((Quantity::default(), None)) };
    let before = before.join(" ");
    match (forgets(last), quantity(&text)) {
        (Ok(window), _) => Ok((quantity(&before)?, Some(window))),
        (Err(_), Ok(amount)) => Ok((amount, None)),
        (Err(error), Err(_)) if window::is_like_one(last) && quantity(&before).is_ok() => Err(error),
        (Err(_), Err(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests;
