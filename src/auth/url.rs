//! Whether a URL holds a token: proxies and browsers write URLs down, so what stands there is no secret any more.
//!
//! It is read as whoever it was meant for would read it, with its escapes taken off.

use std::borrow::Cow;

use super::token::Presented;
use crate::audit::TokenForm;
use crate::percent;

/// What a query calls a token, whatever its value is. Not `api_key`, which limits may be kept for.
const NAMES: [&str; 5] = ["token", "access_token", "auth_token", "authorization", "bearer"];

/// The path and query of a request, read.
pub(super) struct Target<'a>(Cow<'a, [u8]>);

impl<'a> Target<'a> {
    /// Of what was sent.
    pub(super) fn of(sent: &'a str) -> Self {
        Self(percent::decoded(sent))
    }

    /// What has the form of a token.
    pub(super) fn tokens(&self) -> impl Iterator<Item = Presented<'_>> {
        TokenForm::all_in(&self.0).filter_map(Presented::read)
    }

    /// Whether a token stands in it, or what is called one.
    pub(super) fn holds_token(&self) -> bool {
        let query = self.0.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default();
        let pairs = query.split(|byte| *byte == b'&');
        let mut names = pairs.map(|pair| pair.split(|byte| *byte == b'=').next().unwrap_or_default());
        names.any(|name| NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())))
            || self.tokens().next().is_some()
    }
}

/// Whether a token, or what is called one, stands in `target`, the path and query of a request.
pub fn holds_token(target: &str) -> bool {
    Target::of(target).holds_token()
}

#[cfg(test)]
mod tests {
    use super::super::token::Token;
    use super::holds_token;

    #[test]
    fn tokens_and_what_is_called_one_are_found() {
        let token = Token::draw().unwrap();
        let token = token.as_str();
        let escaped: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for target in [
            "/usage?token=",
            "/usage?domain=shop&Access_Token=x",
            "/usage?authorization=Bearer%20x",
            "/usage?bearer",
            &format!("/admin/rate-limits/usage/{token}"),
            &format!("/usage?x={token}&y"),
            &format!("/usage?tg_{token}"),
            &format!("/admin/rate-limits/usage/%74g%5f{}?domain=shop", &token[3..]),
            &format!("/livez?t={escaped}"),
            &format!("/livez?t=%FF{escaped}%"),
            "/usage?%74oken=x",
        ] {
            assert!(holds_token(target), "{target}");
        }
        for target in [
            "/",
            "/usage?domain=token&subject=tg_17",
            "/admin/rate-limits/usage/tg_17?api_key=k",
            "/token",
            &token[1..],
        ] {
            assert!(!holds_token(target), "{target}");
        }
    }
}
