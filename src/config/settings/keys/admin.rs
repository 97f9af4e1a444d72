//! Settings of those who run the service: who is let in.

use super::Key;

/// Who is let in by a token.
pub const TOKENS: Key = Key::new(
    "auth.tokens",
    "TOLLGATE_ADMIN_TOKENS",
    "",
    "Tokens of those who may ask the admin listener, as `tollgate token new` prints them, NAME:ROLE:SHA-256[:EXPIRY], \
     with commas or blanks between them; without any, one is made at start and shown on standard error",
)
.hidden();

/// The same, in a file.
pub const TOKENS_FILE: Key = Key::new(
    "auth.tokens_file",
    "TOLLGATE_ADMIN_TOKENS_FILE",
    "",
    "File with one such token a line, read again when it changes: tokens are exchanged without a restart",
);
