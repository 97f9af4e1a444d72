//! What several test files share: the programs around the service, started, driven and stopped.

pub(crate) mod raw;
pub(crate) mod server;
pub(crate) mod tools;
