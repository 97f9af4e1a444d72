//! Whether a URL holds a token: proxies and browsers write URLs down, so what stands there is no secret any more.
//!
//! It is for those who mean no harm: nothing that is hidden by escapes is looked for.

use super::token::{LENGTH, PREFIX, Presented};

/// What a query calls a token, whatever its value is. Not `api_key`, which limits may be kept for.
const NAMES: [&str; 5] = ["token", "access_token", "auth_token", "authorization", "bearer"];

/// Whether a token, or what is called one, stands in `target`, the path and query of a request.
pub fn holds_token(target: &str) -> bool {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let mut names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let is_token = |at: usize| {
        let letters = target.as_bytes().get(at..at + LENGTH);
        letters.is_some_and(|letters| Presented::read(letters).is_some())
    };
    names.any(|name| NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)))
        || target.match_indices(PREFIX).any(|(at, _)| is_token(at))
}

#[cfg(test)]
mod tests {
    use super::super::token::Token;
    use super::holds_token;

    #[test]
    fn tokens_and_what_is_called_one_are_found() {
        let token = Token::draw().unwrap();
        let token = token.as_str();
        for target in [
            "/usage?token=",
            "/usage?domain=shop&Access_Token=x",
            "/usage?authorization=Bearer%20x",
            "/usage?bearer",
            &format!("/admin/rate-limits/usage/{token}"),
            &format!("/usage?x={token}&y"),
            &format!("/usage?tg_{token}"),
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
