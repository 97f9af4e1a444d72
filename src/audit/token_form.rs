//! How tokens look: what has this form stands in no record and no log, whoever has it.

/// What a text consists of that has the form of a token, `tg_ID_SECRET`, both in hexadecimal digits.
#[derive(Clone, Copy)]
pub struct TokenForm<'a> {
    /// The digits of the id.
    pub id: &'a [u8],
    /// The digits of the secret.
    pub secret: &'a [u8],
}

impl<'a> TokenForm<'a> {
    /// What every token begins with.
    pub const PREFIX: &'static str = "tg_";
    /// How many digits an id has.
    pub const ID_DIGITS: usize = 12;
    /// How many a secret has.
    pub const SECRET_DIGITS: usize = 48;

    const LENGTH: usize = Self::PREFIX.len() + Self::ID_DIGITS + 1 + Self::SECRET_DIGITS;

    /// Takes `text` apart; `None` if it has another form.
    pub fn read(text: &'a [u8]) -> Option<Self> {
        let rest = text.strip_prefix(Self::PREFIX.as_bytes()).filter(|_| text.len() == Self::LENGTH)?;
        let (id, rest) = rest.split_at(Self::ID_DIGITS);
        let secret = rest.strip_prefix(b"_")?;
        let are_digits = |part: &[u8]| part.iter().all(u8::is_ascii_hexdigit);
        (are_digits(id) && are_digits(secret)).then_some(Self { id, secret })
    }

    /// Whatever in `text` has the form of one.
    pub fn all_in(text: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        text.windows(Self::LENGTH).filter(|part| Self::read(part).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::TokenForm;

    #[test]
    fn tokens_are_found_wherever_they_stand() {
        let token = format!("tg_a4636daca9ae_{}", "7e57".repeat(12));
        let found = |text: &str| TokenForm::all_in(text.as_bytes()).count();
        assert_eq!(found(&format!("my tokens are {token}, {token}.")), 2);
        assert_eq!([found(""), found("tg_17"), found(&token[1..]), found(&token[..63])], [0; 4]);
        assert_eq!(found(&token.replace('7', "g")), 0);
    }
}
