//! What several test files share: the programs around the service, started, driven and stopped.

pub(crate) mod tools;
