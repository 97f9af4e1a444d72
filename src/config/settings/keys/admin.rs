//! Settings of those who run the service: who is let in, and whether what they say is encrypted.

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

/// Who is let in by a certificate.
pub const CERTIFICATES: Key = Key::new(
    "auth.certificates",
    "TOLLGATE_ADMIN_CERTIFICATES",
    "",
    "Names in certificates of those who may ask the admin listener, NAME:ROLE:SAN, with commas or blanks between them; \
     a SAN is a URI, such as spiffe://example.org/alice, or the name of a machine",
);

/// The certificate of the admin listener.
pub const ADMIN_CERT: Key = Key::new(
    "admin.tls.cert",
    "TOLLGATE_ADMIN_TLS_CERT",
    "",
    "File in PEM with the certificate of the admin listener, which then speaks TLS; read again when it changes",
);

/// Its key.
pub const ADMIN_KEY: Key = Key::new(
    "admin.tls.key",
    "TOLLGATE_ADMIN_TLS_KEY",
    "",
    "File in PEM with the private key of that certificate; read again when it changes",
);

/// Who signs the certificates of those who ask.
pub const ADMIN_CLIENT_CA: Key = Key::new(
    "admin.tls.client_ca",
    "TOLLGATE_ADMIN_TLS_CLIENT_CA",
    "",
    "File in PEM with the certificates that sign those of auth.certificates; read again when it changes",
);
