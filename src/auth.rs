//! Who asks, and what they may: tokens, certificates, roles of those who run it, domains of those who call.
//!
//! A token is drawn at random and never kept: what is configured is its SHA-256, and what is asked is compared with that in
//! constant time. Nothing here logs or repeats a token or a digest, and no `Debug` shows one. Whoever is refused is
//! counted, and told of as a [`Denial`], for the records; nobody who has the right token is ever kept out by
//! what others send.
//!
//! It knows no wire: a [`Caller`] is made of what a request said about itself, by whoever has read it.

mod astray;
mod certificate;
mod denials;
mod file;
mod gate;
mod grant;
mod permission;
mod refusal;
mod settings;
mod token;
mod tokens;
mod url;

pub use astray::Astray;
pub use certificate::{CertificateEntry, SubjectName};
pub(crate) use denials::network;
pub use denials::{Denial, Denials, Holder, Refused};
pub use file::{TokensFile, TokensFileError, follow};
pub use gate::{Caller, Gate, Meant, Pass};
pub use grant::{Domains, Grant};
pub use permission::{least_form, least_role};
pub use refusal::Refusal;
pub use settings::AuthSettings;
pub use token::{NoRandomness, Token};
pub use tokens::{MalformedEntry, TokenEntry};
pub use url::holds_token;
