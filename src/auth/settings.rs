//! Who is let in, as it is configured.

use super::certificate::CertificateEntry;
use super::file::TokensFile;
use super::grant::Grant;
use super::tokens::TokenEntry;
use crate::audit::Role;

/// Who is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings<G = Role> {
    /// The tokens that hold as long as the process runs.
    pub tokens: Vec<TokenEntry<G>>,
    /// Those that may change meanwhile.
    pub file: Option<TokensFile<G>>,
    /// Whose names stand in certificates of callers. The first that does says who it is.
    pub certificates: Vec<CertificateEntry<G>>,
}

impl<G: Grant> AuthSettings<G> {
    /// Whether nothing is configured, so that nobody could be let in.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.file.is_none() && self.certificates.is_empty()
    }

    /// The tokens that hold at first.
    pub fn all(&self) -> impl Iterator<Item = TokenEntry<G>> {
        let in_file = self.file.iter().flat_map(TokensFile::tokens);
        self.tokens.iter().chain(in_file).cloned()
    }
}
