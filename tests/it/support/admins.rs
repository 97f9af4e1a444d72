//! Those who run the service in tests: one of them, with a token that every service of the tests knows.

use tollgate::audit::{Actor, Journal, Role};
use tollgate::auth::{Gate, TokenEntry};
use tollgate::clock::{Clock, Timestamp};

/// The token of `tests`, who may do everything.
pub(crate) const TOKEN: &str = "tg_a4636daca9ae_7e577e577e577e577e577e577e577e577e577e577e577e57";
/// The line of it.
pub(crate) const LINE: &str = "tests:admin:a4636daca9aecca36cfb19d4e5cdd7119a00ff2a2f29c197043b8c61c203639a";
/// The header that sends it.
pub(crate) const AUTHORIZATION: &str =
    "Bearer tg_a4636daca9ae_7e577e577e577e577e577e577e577e577e577e577e577e57";

/// A gate that lets in whoever has it. What it tells of others is told nobody.
pub(crate) fn gate() -> Gate {
    Gate::new([TokenEntry::read(LINE).expect("a line")], Clock::System).0
}

/// Somebody who may do everything, where nobody asks for a token.
pub(crate) fn ann() -> Actor {
    Actor { name: "ann".into(), role: Role::Admin, from: None }
}

/// A journal of a test's own, which sets nothing over any files.
pub(crate) fn journal() -> Journal {
    Journal::in_memory(Clock::manual(Timestamp(1_795_262_400_000_000)), |_, _| {})
}
