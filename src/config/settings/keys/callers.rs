//! Settings of those who call: whether they are asked who they are, and whether what they say is encrypted.

use super::Key;

/// Who may call by a token.
pub const CALLER_TOKENS: Key = Key::new(
    "auth.callers.tokens",
    "TOLLGATE_CALLER_TOKENS",
    "",
    "Tokens of those who may call, as `tollgate token new --domain` prints them, NAME:DOMAINS:SHA-256[:EXPIRY], with \
     commas or blanks between them; DOMAINS has + between them, or is *. With this or one of the next two nobody else may call",
)
.hidden();

/// The same, in a file.
pub const CALLER_TOKENS_FILE: Key = Key::new(
    "auth.callers.tokens_file",
    "TOLLGATE_CALLER_TOKENS_FILE",
    "",
    "File with one such token a line, read again when it changes: tokens are exchanged without a restart",
);

/// Who may call by a certificate.
pub const CALLER_CERTIFICATES: Key = Key::new(
    "auth.callers.certificates",
    "TOLLGATE_CALLER_CERTIFICATES",
    "",
    "Names in certificates of those who may call, NAME:DOMAINS:SAN, with commas or blanks between them; a SAN is a URI, such \
     as spiffe://example.org/edge, or the name of a machine",
);

/// The certificate of the gRPC listener.
pub const GRPC_CERT: Key = Key::new(
    "grpc.tls.cert",
    "TOLLGATE_GRPC_TLS_CERT",
    "",
    "File in PEM with the certificate of the gRPC listener, which then speaks TLS; read again when it changes",
);

/// Its key.
pub const GRPC_KEY: Key = Key::new(
    "grpc.tls.key",
    "TOLLGATE_GRPC_TLS_KEY",
    "",
    "File in PEM with the private key of that certificate; read again when it changes",
);

/// Who signs the certificates of those who call.
pub const GRPC_CLIENT_CA: Key = Key::new(
    "grpc.tls.client_ca",
    "TOLLGATE_GRPC_TLS_CLIENT_CA",
    "",
    "File in PEM with the certificates that sign those of auth.callers.certificates; read again when it changes",
);

/// Whether HTTP is encrypted.
pub const HTTP_TLS: Key = Key::new(
    "http.tls",
    "TOLLGATE_HTTP_TLS",
    "false",
    "HTTP is served over TLS as well, by the files of gRPC",
);
