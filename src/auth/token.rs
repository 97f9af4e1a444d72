//! Tokens: how one is drawn, written and read, and what is kept of it.
//!
//! `tg_ID_SECRET` in hexadecimal digits. The secret is 192 bits drawn by the system; the id is where the SHA-256 of the
//! secret begins, so that the digest is found among many without a comparison with each. An id is public and proves
//! nothing; a fast hash is enough, since nobody tries all secrets.

use std::fmt;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use subtle::{Choice, ConstantTimeEq};

use crate::audit::TokenForm;
use crate::hex;

/// The bytes that are drawn.
const SECRET_BYTES: usize = TokenForm::SECRET_DIGITS / 2;
/// How many of the first bytes of a digest are the id.
const ID_BYTES: usize = TokenForm::ID_DIGITS / 2;

/// A token in clear text. It is shown to whom it is made for, once, and kept nowhere.
pub struct Token(String);

/// Where the digest of a token begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TokenId([u8; ID_BYTES]);

/// The SHA-256 of the secret of a token. Whoever compares two does it by [`is`](Self::is).
#[derive(Clone, Copy)]
pub(super) struct TokenDigest([u8; 32]);

/// A token as somebody sent it: of the right form, and no more is known of it.
#[derive(Clone, Copy)]
pub(super) struct Presented<'a> {
    pub(super) id: TokenId,
    secret: &'a [u8],
}

/// The system gives no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers to make a token of")]
pub struct NoRandomness;

impl Token {
    /// A new one.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`].
    pub fn draw() -> Result<Self, NoRandomness> {
        let mut drawn = [0; SECRET_BYTES];
        SystemRandom::new().fill(&mut drawn).map_err(|_| NoRandomness)?;
        let secret = hex::digits(&drawn);
        let id = hex::digits(&TokenDigest::of(secret.as_bytes()).id().0);
        Ok(Self(format!("{}{id}_{secret}", TokenForm::PREFIX)))
    }

    /// As it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub(super) fn digest(&self) -> TokenDigest {
        let (_, secret) = self.0.rsplit_once('_').expect("a token is drawn with a secret behind its id");
        TokenDigest::of(secret.as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl<'a> Presented<'a> {
    /// Reads what was sent; `None` if it is no token.
    pub(super) fn read(text: &'a [u8]) -> Option<Self> {
        let TokenForm { id, secret } = TokenForm::read(text)?;
        Some(Self { id: TokenId(hex::bytes(id)?), secret })
    }

    /// What would be kept of it.
    pub(super) fn digest(self) -> TokenDigest {
        TokenDigest::of(self.secret)
    }
}

impl TokenDigest {
    fn of(secret: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, secret).as_ref());
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits.
    pub(super) fn read(text: &str) -> Option<Self> {
        hex::bytes(text.as_bytes()).map(Self)
    }

    /// Where it begins.
    pub(super) fn id(&self) -> TokenId {
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&self.0[..ID_BYTES]);
        TokenId(id)
    }

    /// Whether it is `other`, in a time that does not tell where they differ.
    pub(super) fn is(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }

    /// As 64 hexadecimal digits: for the settings, and nothing else.
    pub(super) fn to_hex(self) -> String {
        hex::digits(&self.0)
    }
}

impl PartialEq for TokenDigest {
    fn eq(&self, other: &Self) -> bool {
        self.is(other).into()
    }
}

impl Eq for TokenDigest {}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_found_by_its_digest() {
        let [token, other] = [Token::draw().unwrap(), Token::draw().unwrap()];
        assert_ne!(token.as_str(), other.as_str());
        let presented = Presented::read(token.as_str().as_bytes()).unwrap();
        assert_eq!(presented.id, token.digest().id());
        assert!(bool::from(presented.digest().is(&token.digest())));
        assert!(!bool::from(presented.digest().is(&other.digest())));
        assert_eq!(TokenDigest::read(&token.digest().to_hex()), Some(token.digest()));
    }

    #[test]
    fn what_has_another_form_is_no_token() {
        let token = Token::draw().unwrap();
        let text = token.as_str();
        let shorter = &text[..text.len() - 1];
        for wrong in [
            "",
            "tg_",
            shorter,
            &format!("{text}0"),
            &text.replace("tg_", "tk_"),
            &format!("{shorter}g"),
            &format!("{shorter}é"),
            &format!("tg_{}", text[3..].replace('_', "0")),
        ] {
            assert!(Presented::read(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn nothing_of_a_token_is_shown_by_accident() {
        let token = Token::draw().unwrap();
        let shown = format!("{token:?} {:?}", token.digest());
        assert_eq!(shown, "Token(…) TokenDigest(…)");
    }
}
